import json
from pathlib import Path
from typing import Any

import pytest
from fake_diverse import diverse_row, write_diverse
from releases import PEOPLE, write_dim_release, write_json

from dim.errors import DataError
from dim.releases.base import Release
from dim.releases.diverse import Diverse
from dim.releases.found_images import look_up_images
from dim.releases.mention_rows import NOTHING_TO_READ


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_diverse(tmp_path / "diverse")


def read_dev(root: Path, *rows: Any) -> Release:
    """The release with other dev rows."""
    write_json(root / "dev.json", list(rows))
    return Diverse().read(root)


def read_error(root: Path) -> str:
    with pytest.raises(DataError) as caught:
        Diverse().read(root)
    return str(caught.value)


def test_rows_become_mentions_in_the_order_of_the_files(root: Path) -> None:
    release = Diverse().read(root)
    mentions = release.mentions
    assert (release.name, release.licence) == ("diverse", "unknown")
    assert release.rows_read == len(mentions) == 28
    assert mentions["split"].value_counts().to_dict() == {"train": 20, "dev": 4, "test": 4}
    first = mentions.iloc[0]
    assert (first["id"], first["mention"], first["entity_id"]) == ("train-000000", "Lovelace", "Ada Lovelace")
    assert (first["type"], first["images"], first["candidates"]) == (
        "Person",
        ["0.jpg"],
        ["Ada Lovelace", "Joan Clarke"],
    )
    assert first["context"][first["start"] : first["end"]] == "Lovelace"
    assert json.loads(first["attributes"]) == {"topic": "science"}


def test_the_kb_is_the_list_then_the_texts_then_candidates_and_golds(root: Path) -> None:
    entities = Diverse().read(root).entities
    assert entities["id"].tolist() == [*PEOPLE[::-1], "Joan Clarke"]
    (root / "entity_list.json").unlink()
    assert Diverse().read(root).entities["id"].tolist() == [*PEOPLE, "Joan Clarke"]
    (root / "brief.json").unlink()
    release = Diverse().read(root)
    assert release.entities["id"].tolist() == sorted([*PEOPLE, "Joan Clarke"])
    assert release.texts == {}
    assert any("no brief.json: the entities have no text" in note for note in release.notes)
    assert "the KB is made of the release's candidates" in release.notes


def test_golds_that_no_file_names_join_the_kb_and_are_counted(root: Path) -> None:
    release = read_dev(root, diverse_row(0, entity="Ada Byron"))
    assert release.entities["id"].tolist()[8:] == ["Ada Byron", "Joan Clarke"]
    assert (
        "the KB is made of the release's entity files and candidates, and of 1 answers that are not among them"
        in release.notes
    )


def test_one_entity_has_one_id_however_its_title_is_written(root: Path) -> None:
    forms = [
        "https://en.wikipedia.org/wiki/Jean%2DLuc_Picard",
        "/wiki/Jean-Luc_Picard",
        "Jean Luc  Picard",
        "jean-Luc_Picard",
    ]
    release = read_dev(root, *[diverse_row(number, entity=form, cands=forms) for number, form in enumerate(forms)])
    dev = release.mentions[release.mentions["split"] == "dev"]
    assert dev["entity_id"].tolist() == ["Jean Luc Picard"] * 4
    assert dev["candidates"].tolist() == [["Jean Luc Picard"]] * 4
    entity = release.entities.set_index("id").loc["Jean Luc Picard"]
    assert (entity["name"], entity["aliases"]) == ("Jean-Luc Picard", ["Jean Luc Picard", "jean-Luc Picard"])


def test_a_spelling_that_golds_alone_have_does_not_reach_the_kb(root: Path) -> None:
    release = read_dev(root, diverse_row(0, entity="Ada-Lovelace", cands=[]))
    entity = release.entities.set_index("id").loc["Ada Lovelace"]
    assert (entity["name"], entity["aliases"]) == ("Ada Lovelace", [])


def test_names_may_be_numbers_in_one_file_and_strings_in_the_other(root: Path) -> None:
    write_json(root / "entity_list.json", [*PEOPLE, 1984])
    texts = json.loads((root / "brief.json").read_text())
    write_json(root / "brief.json", texts | {"1984": "A novel."})
    release = read_dev(root, diverse_row(0, entity=1984, mention=1984), diverse_row(1, entity="1984", cands=[1984]))
    dev = release.mentions[release.mentions["split"] == "dev"]
    assert dev["entity_id"].tolist() == ["1984", "1984"]
    assert dev["candidates"].tolist()[1] == ["1984"]
    assert release.texts["brief"].set_index("entity_id").loc["1984", "text"] == "A novel."


def test_odd_quoting_survives(root: Path) -> None:
    title, sentence = 'Dwayne "The Rock" Johnson\'s film', 'She said: "Rock\\n" \u201cRock\u201d, 50% \U0001f600'
    release = read_dev(root, diverse_row(0, entity=title, mention='"Rock', sentence=sentence, start=10, end=15))
    dev = release.mentions[release.mentions["split"] == "dev"].iloc[0]
    assert (dev["entity_id"], dev["mention"], dev["context"]) == (title, '"Rock', sentence)
    assert (dev["start"], dev["end"]) == (10, 15)


@pytest.mark.parametrize("entity", ["", None, "NIL", "nil", " Nil "])
def test_nil_in_any_form_is_no_entity(root: Path, entity: object) -> None:
    release = read_dev(root, diverse_row(0, entity=entity, cands=["Ada Lovelace", "NIL", ""]))
    dev = release.mentions[release.mentions["split"] == "dev"].iloc[0]
    assert dev["entity_id"] is None
    assert dev["candidates"] == ["Ada Lovelace"]
    assert "candidates that are no entity (left out): 2" in release.notes
    assert not release.entities["id"].str.casefold().isin(["nil", ""]).any()


def test_diverse_plus_differs_in_the_text_alone(root: Path, tmp_path: Path) -> None:
    plus = Diverse().read(write_diverse(tmp_path / "diverse_plus", text="Known for"))
    plain = Diverse().read(root)
    assert plus.mentions.equals(plain.mentions)
    assert plus.entities.equals(plain.entities)
    assert plain.texts["brief"].iloc[0].tolist() == ["Tony Hoare", "Occupation: scientist 7."]
    assert plus.texts["brief"].iloc[0].tolist() == ["Tony Hoare", "Known for 7."]


def test_texts_may_be_split_by_split_and_repeat_an_entity(root: Path) -> None:
    (root / "brief.json").unlink()
    write_json(root / "entity2brief_train.json", {"Ada Lovelace": "first"})
    write_json(root / "entity2brief_valid.json", {"Ada_Lovelace": "second", "Alan Turing": "third", "Tony Hoare": None})
    release = Diverse().read(root)
    assert release.texts["brief"].to_numpy().tolist() == [["Alan Turing", "third"], ["Ada Lovelace", "first"]]
    assert "brief: texts whose entity came before (the first counts): 1" in release.notes


def test_the_search_file_is_not_read_because_its_keys_are_the_golds(root: Path) -> None:
    write_json(root / "search_top100.json", {"Ada Lovelace": ["Alan Turing"]})
    write_json(root / "neg.json", {})
    release = read_dev(root, {key: value for key, value in diverse_row(0).items() if key != "cands"})
    assert release.mentions[release.mentions["split"] == "dev"]["candidates"].tolist() == [None]
    assert any("search_top100.json was not read: its keys are the gold entities" in note for note in release.notes)
    assert "not read: neg.json" in release.notes


def test_what_a_row_says_of_its_entity_reaches_no_attribute(root: Path) -> None:
    release = read_dev(root, diverse_row(0, entity_introduction="Ada Lovelace wrote programs", section="news"))
    assert json.loads(release.mentions.iloc[20]["attributes"]) == {"topic": "science", "section": "news"}


def test_images_of_golds_alone_are_left_out(root: Path) -> None:
    release = read_dev(root, diverse_row(0, entity_image_list=["a.jpg"]))
    assert not release.entities["images"].map(len).any()
    assert "images of 1 entities were left out: golds alone have them" in release.notes
    release = read_dev(
        root,
        diverse_row(0, entity_image_list=["a.jpg"], cands=[["Alan Turing", ["t.jpg", "t.jpg"]], ["Tony Hoare", None]]),
    )
    images = release.entities.set_index("id")["images"]
    assert (images["Ada Lovelace"], images["Alan Turing"], images["Tony Hoare"]) == (["a.jpg"], ["t.jpg"], [])


def test_a_missing_image_is_a_state(tmp_path: Path) -> None:
    root = write_diverse(tmp_path / "diverse", images=True)
    release = read_dev(root, diverse_row(20, mention_image=None), diverse_row(21, mention_image="../secret.jpg"))
    found = look_up_images(release, None)
    problems, without = found.problems, found.has_image.count(False)
    assert {kind: of["count"] for kind, of in problems.as_json().items()} == {
        "path leaves the image folder": 1,
        "no such file": 2,
    }
    assert without == 4
    assert release.mentions["images"].tolist()[20:22] == [[], []]


def test_rows_that_stand_twice_or_in_two_splits_are_kept_and_named(root: Path) -> None:
    rows = [diverse_row(20), diverse_row(20), diverse_row(0), diverse_row(1, entity="Ada Lovelace")]
    release = read_dev(root, *rows)
    assert len(release.mentions) == 28
    notes = " ".join(release.notes)
    assert (
        "stand twice in one split are kept: 1, first 'Hopper' in dev" in notes
        or "twice in one split are kept: 1" in notes
    )
    assert "stand in two splits are kept: 1" in notes
    assert "mentions of one sentence and image with different answers (kept): 1" in notes


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("text", "a string"),
        (None, "null"),
        ({"sentence": "s", "mention": "m"}, "no field 'entity'"),
        ({"sentence": "s", "entity": "m"}, "no field 'mention'"),
        (diverse_row(0, mention=["a"]), "an array as 'mention'"),
        (diverse_row(0, entity={"id": 1}), "an object as 'entity'"),
        (diverse_row(0, cands="Ada"), "a string as 'cands'"),
        (diverse_row(0, mention=" ", sentence="", mention_image=None), NOTHING_TO_READ),
    ],
)
def test_a_row_that_cannot_be_used_is_skipped_with_reason_and_place(root: Path, bad: object, reason: str) -> None:
    release = read_dev(root, diverse_row(20), bad)
    assert release.skipped.as_json() == {reason: {"count": 1, "examples": ["dev.json row 2"]}}
    assert (release.rows_read, len(release.mentions)) == (26, 25)


def test_wrong_offsets_are_searched_for_and_counted(root: Path) -> None:
    release = read_dev(root, diverse_row(20, start=1, end=3), diverse_row(21, start="x", end=None))
    dev = release.mentions[release.mentions["split"] == "dev"]
    assert [row["context"][row["start"] : row["end"]] for _, row in dev.iterrows()] == dev["mention"].tolist()
    assert "rows whose start and end did not hold the mention (searched for it): 1" in release.notes


def test_a_bom_and_crlf_do_no_harm(root: Path) -> None:
    text = json.dumps([diverse_row(20)], indent=1).replace("\n", "\r\n")
    (root / "dev.json").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert Diverse().recognizes(root)
    assert len(Diverse().read(root).mentions) == 25


def test_truncated_and_empty_files_are_named(root: Path) -> None:
    text = json.dumps([diverse_row(20), diverse_row(21)], indent=1)
    (root / "dev.json").write_text(text[:-80])
    assert f"expected JSON in {root / 'dev.json'}" in read_error(root)
    assert "Unterminated string starting at at line 23" in read_error(root)
    (root / "dev.json").write_text(text.rstrip("]"))
    assert "its end (truncated?) at line 30" in read_error(root)
    (root / "dev.json").write_text("")
    assert "its end (truncated?) at line 1, column 1" in read_error(root)
    (root / "dev.json").write_text("[]")
    assert f"expected mention rows in {root / 'dev.json'}\nfound    an empty array" in read_error(root)
    (root / "dev.json").write_text("{}")
    assert f"expected a JSON array in {root / 'dev.json'}\nfound    an object" in read_error(root)


@pytest.mark.parametrize(
    ("file", "content", "problem"),
    [
        ("brief.json", ["a"], "expected a JSON object"),
        ("brief.json", {"Ada": 3}, "a number for Ada"),
        ("entity_list.json", {"Ada": 3}, "expected an array of entity names"),
    ],
)
def test_an_entity_file_of_another_shape_is_named(root: Path, file: str, content: object, problem: str) -> None:
    write_json(root / file, content)
    assert problem in read_error(root)


def test_absent_splits_are_noted_and_none_at_all_is_an_error(root: Path) -> None:
    (root / "dev.json").rename(root / "valid.json")
    (root / "test.json").unlink()
    release = Diverse().read(root)
    assert release.mentions["split"].value_counts().to_dict() == {"train": 20, "dev": 4}
    assert "no test.json: the split test is empty" in release.notes
    (root / "train.json").unlink()
    (root / "valid.json").unlink()
    assert not Diverse().recognizes(root)
    assert f"expected mentions in {root} (train.json, dev.json, test.json)\nfound    none of these files" in read_error(
        root
    )


def test_another_layout_is_not_recognized(root: Path, tmp_path: Path) -> None:
    assert Diverse().recognizes(root)
    assert not Diverse().recognizes(write_dim_release(tmp_path / "dim"))
    assert not Diverse().recognizes(root / "train.json")
    write_json(root / "train.json", [{"id": 1, "image": "a.jpg", "wikiid": "Q1", "boundingbox": "[]"}])
    (root / "dev.json").unlink()
    (root / "test.json").unlink()
    assert not Diverse().recognizes(root)


def test_reading_twice_gives_the_same(root: Path) -> None:
    first, second = Diverse().read(root), Diverse().read(root)
    assert first.mentions.equals(second.mentions)
    assert first.entities.equals(second.entities)
    assert first.notes == second.notes
