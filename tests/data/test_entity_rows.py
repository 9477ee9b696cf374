from dim.releases.entity_rows import MERGED, TWO_TEXTS, EntityRows


def test_rows_of_one_id_become_one_entity_and_what_was_merged_is_counted() -> None:
    rows = EntityRows()
    assert rows.add("Q1", name=" Ada ", text="poet", images=["a.jpg"], attributes={"born": 1815}) == 0
    assert rows.add("Q2", name="", text="") == 1
    assert rows.add("Q1", name="Countess", text="mathematician", images=["b.jpg", "a.jpg"], attributes={"x": 1}) == 0
    assert rows.add("Q1", name="Countess", text="") == 0
    assert rows.add("Q2", name="Alan", text="runner") == 1
    assert "Q1" in rows
    assert "Q3" not in rows
    assert rows.table().to_dict("records") == [
        {
            "id": "Q1",
            "name": "Ada",
            "aliases": ["Countess"],
            "images": ["a.jpg", "b.jpg"],
            "attributes": '{"born": 1815}',
        },
        {"id": "Q2", "name": "Alan", "aliases": [], "images": [], "attributes": None},
    ]
    assert rows.texts().to_dict("records") == [
        {"entity_id": "Q1", "text": "poet"},
        {"entity_id": "Q2", "text": "runner"},
    ]
    assert rows.met.counts == {MERGED: 3, TWO_TEXTS: 1}
    assert rows.notes() == [
        f"{MERGED}: 3, first: Q1 'Countess', Q2 'Alan'",
        f"{TWO_TEXTS}: 1, first: Q1",
    ]


def test_an_empty_kb_has_its_columns() -> None:
    assert EntityRows().table().columns.tolist() == ["id", "name", "aliases", "images", "attributes"]
    assert EntityRows().texts().empty
    assert EntityRows().notes() == []
