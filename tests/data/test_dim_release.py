import json
from pathlib import Path
from typing import Any

import pytest
from releases import PEOPLE, edit_json, row, write_dim_release, write_json

from dim.errors import DataError
from dim.releases.dim_release import DimRelease


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_dim_release(tmp_path / "wikimel")


def read_error(root: Path) -> str:
    with pytest.raises(DataError) as caught:
        DimRelease().read(root)
    return str(caught.value)


def test_rows_become_mentions_in_the_order_of_the_files(root: Path) -> None:
    release = DimRelease().read(root)
    mentions = release.mentions
    assert release.name == "wikimel"
    assert release.rows_read == len(mentions) == 28
    assert mentions["split"].value_counts().to_dict() == {"train": 20, "dev": 4, "test": 4}
    first = mentions.iloc[0]
    assert (first["id"], first["mention"], first["entity_id"]) == ("train-000000", "Lovelace", "Q100")
    assert first["context"][first["start"] : first["end"]] == "Lovelace"
    assert first["images"] == ["0.jpg"]


def test_no_id_holds_the_answer_though_keys_do(root: Path) -> None:
    write_json(root / "train.json", {row(n)["answer"]: row(n) | {"id": row(n)["answer"]} for n in range(8)})
    mentions = DimRelease().read(root).mentions
    assert not mentions["id"].str.contains("Q").any()
    assert json.loads(mentions["attributes"][0]) == {"key": "Q100"}


def test_the_kb_has_the_order_of_the_release_and_its_names(root: Path) -> None:
    entities = DimRelease().read(root).entities
    assert entities["id"].tolist() == [f"Q{n}" for n in range(107, 99, -1)]
    assert entities["name"].tolist() == list(PEOPLE)[::-1]


def test_without_an_order_file_the_kb_has_the_order_of_the_names(root: Path) -> None:
    (root / "qids_ordered.json").unlink()
    assert DimRelease().read(root).entities["name"].tolist() == list(PEOPLE)


def test_names_may_come_from_name_to_id_and_further_ones_are_aliases(root: Path) -> None:
    write_json(root / "ne2qid.json", {"Countess Lovelace": "Q100", "Ada Lovelace": "Q100"})
    assert DimRelease().read(root).entities["aliases"].tolist()[-1] == ["Countess Lovelace"]
    (root / "qid2ne.json").unlink()
    entities = DimRelease().read(root).entities.set_index("id")
    assert entities.loc["Q100", "name"] == "Countess Lovelace"
    assert entities.loc["Q101", "name"] == ""


@pytest.mark.parametrize("names", [("brief.json", "brief_long.json"), ("qid2abs.json", "qid2abs_long.json")])
def test_both_texts_are_read_under_either_name(root: Path, names: tuple[str, str]) -> None:
    (root / "brief.json").rename(root / "b")
    (root / "brief_long.json").rename(root / "l")
    (root / "b").rename(root / names[0])
    (root / "l").rename(root / names[1])
    texts = DimRelease().read(root).texts
    assert {variant: len(table) for variant, table in texts.items()} == {"brief": 7, "brief_long": 8}
    assert texts["brief"].iloc[-1].tolist() == ["Q100", "Occupation: scientist Q100."]


def test_each_file_of_texts_is_read_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_json(root / "qid2abs.json", {"Q100": "An abstract."})
    opened: list[str] = []
    open_path = Path.open

    def counted(path: Path, *args: Any, **options: Any) -> Any:
        opened.extend([path.name] if args[:1] != ("rb",) else [])
        return open_path(path, *args, **options)

    monkeypatch.setattr(Path, "open", counted)
    DimRelease().read(root)
    read = [name for name in opened if name.startswith(("brief", "qid2abs"))]
    assert read == ["brief.json", "qid2abs.json", "brief_long.json"]


def test_of_two_files_of_one_text_the_first_counts_and_both_name_entities(root: Path) -> None:
    edit_json(root / "qid2ne.json", Q100=None, Q101=None)
    write_json(root / "brief.json", {"Q100": "Ada [SEP]. A poet.", "Q101": "A runner."})
    write_json(root / "qid2abs.json", {"Q100": "Other [SEP]. An abstract.", "Q101": "Alan [SEP]. An abstract."})
    release = DimRelease().read(root)
    names = release.entities.set_index("id")["name"]
    assert (names["Q100"], names["Q101"]) == ("Ada", "Alan")
    assert sorted(release.texts["brief"]["text"]) == ["A poet.", "A runner."]
    assert (
        "names that stand before texts (`Name [SEP]. text`) were cut off: 2, and are those of 2 entities without one"
    ) in release.notes


def test_candidates_come_from_the_search_file(root: Path) -> None:
    release = DimRelease().read(root)
    candidates = release.mentions.set_index("mention")["candidates"]
    assert candidates["Turing"].tolist()[0] == ["Q101", "Q100"]
    assert candidates["Lovelace"].tolist()[0] is None
    assert "candidates that the KB lacks were left out: 1" in release.notes


def test_richpedia_rows_may_have_several_images_or_none(root: Path) -> None:
    several = row(0) | {"img_list": ["Q100/1.jpg", "Q100/2.jpg"]}
    del several["imgPath"]
    write_json(
        root / "dev.json", {"Q100": several, "Q101": row(1) | {"imgPath": ""}, "Q102": row(2) | {"imgPath": None}}
    )
    mentions = DimRelease().read(root).mentions
    assert mentions.loc[mentions["split"] == "dev", "images"].tolist() == [["Q100/1.jpg", "Q100/2.jpg"], [], []]


def test_a_missing_split_file_is_noted(root: Path) -> None:
    (root / "test.json").unlink()
    (root / "train.json").unlink()
    notes = DimRelease().read(root).notes
    assert "no train.json: the split train is empty" in notes
    assert "no test.json: the split test is empty" in notes


def test_no_mention_file_at_all_is_an_error(root: Path) -> None:
    for split in ("train", "dev", "test"):
        (root / f"{split}.json").unlink()
    message = read_error(root)
    assert f"expected mentions in {root} (train.json, dev.json, test.json)" in message
    assert "none of these files" in message


def test_a_split_file_without_rows_is_an_error(root: Path) -> None:
    write_json(root / "dev.json", {})
    assert f"expected mention rows in {root / 'dev.json'}\nfound    an empty object" in read_error(root)


def test_missing_names_are_an_error(root: Path) -> None:
    (root / "qid2ne.json").unlink()
    assert "entity names" in read_error(root)
    assert "qid2ne.json or ne2qid.json" in read_error(root)


def test_an_array_of_rows_is_another_layout(root: Path) -> None:
    write_json(root / "train.json", [row(0)])
    message = read_error(root)
    assert f"a JSON object in {root / 'train.json'}" in message
    assert "--layout" in message


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        ([1], "an array at the key 'x'"),
        ({"mention": "A", "answer": "Q100"}, "no field 'mentions' at the key 'x'"),
        ({"mentions": "A"}, "no field 'answer' at the key 'x'"),
        ({"mentions": ["A"], "answer": "Q100"}, "an array as 'mentions' at the key 'x'"),
        ({"mentions": "A", "answer": 17}, "a number as 'answer' at the key 'x'"),
        ({"mentions": "A", "answer": "Q100", "sentence": {}}, "an object as 'sentence' at the key 'x'"),
        (
            {"mentions": "A", "answer": "Q100", "img_list": "a.jpg"},
            "no array of file names as 'img_list' at the key 'x'",
        ),
    ],
)
def test_a_row_of_another_shape_is_named(root: Path, bad: object, problem: str) -> None:
    edit_json(root / "train.json", x=bad)
    assert problem in read_error(root)


@pytest.mark.parametrize(
    ("file", "content", "problem"),
    [
        ("qids_ordered.json", {"Q1": 1}, "expected an array of entity ids"),
        ("qid2ne.json", {"Q1": ["A"]}, "expected one string for each key"),
        ("brief.json", {"Q100": 3}, "a number for Q100"),
        ("brief.json", {"X1": "text"}, "none; its first id is 'X1'"),
        ("search_top100.json", {"Turing": "Q101"}, "something else at 'Turing'"),
    ],
)
def test_a_kb_file_of_another_shape_is_named(root: Path, file: str, content: object, problem: str) -> None:
    write_json(root / file, content)
    assert problem in read_error(root)


def test_reading_twice_gives_the_same(root: Path) -> None:
    first, second = DimRelease().read(root), DimRelease().read(root)
    assert first.mentions.equals(second.mentions)
    assert first.entities.equals(second.entities)
