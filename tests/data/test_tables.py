import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from releases import PEOPLE, entity_rows, mention_rows, write_image, write_table, write_tables

from dim.data.dataset import MENTION_SCHEMA
from dim.errors import DataError
from dim.releases.prepare import prepare
from dim.releases.tables import Tables


def write(root: Path, entities: list[dict[str, Any]], mentions: list[dict[str, Any]], suffix: str = ".csv") -> Path:
    write_table(root / f"entities{suffix}", entities)
    write_table(root / f"mentions{suffix}", mentions)
    return root


def read_error(root: Path) -> str:
    with pytest.raises(DataError) as caught:
        Tables().read(root)
    return str(caught.value)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_each_format_is_read_in_full(tmp_path: Path, suffix: str) -> None:
    release = Tables().read(write_tables(tmp_path / "mine", suffix))
    assert release.entities["id"].tolist() == [str(n) for n in range(8)]
    assert release.entities["name"].tolist() == list(PEOPLE)
    assert release.entities["aliases"][1] == ["Turing", "Professor Turing"]
    assert release.entities["images"][1] == ["kb/1.jpg"]
    assert release.entities["popularity"].tolist() == [10.5 * n for n in range(8)]
    assert int(json.loads(release.entities["attributes"][1])["born"]) == 1901
    assert release.texts["brief"].iloc[1].tolist() == ["1", "Scientist number 1."]
    assert release.mentions["entity_id"].tolist()[:3] == ["0", "1", "2"]
    assert json.loads(release.mentions["attributes"][0]) == {"topic": "science"}
    assert release.image_root == tmp_path / "mine"
    assert not release.skipped.total


def test_an_entity_id_that_stands_twice_is_named_with_its_places(tmp_path: Path) -> None:
    root = write(tmp_path, [*entity_rows(), entity_rows()[2]], mention_rows())
    with pytest.raises(DataError, match=r"1 twice: 2 \(entities\.csv line 4, entities\.csv line 10\)"):
        Tables().read(root)


def test_without_a_split_column_splits_are_drawn_and_a_note_says_so(tmp_path: Path) -> None:
    dataset = prepare(write_tables(tmp_path / "mine"), tmp_path / "out", audit=False)
    assert dataset.mentions["split"].value_counts().to_dict() == {"train": 22, "tune": 2, "dev": 2, "test": 2}
    assert any("80/10/10" in note for note in dataset.meta["notes"])


def test_a_split_column_is_obeyed_with_the_common_names(tmp_path: Path) -> None:
    mentions = [
        row | {"split": split} for row, split in zip(mention_rows(), ("train", "VAL", "tune", "test"), strict=False)
    ]
    release = Tables().read(write(tmp_path, entity_rows(), mentions))
    assert release.mentions["split"].tolist() == ["train", "dev", "tune", "test"]
    assert release.mentions["id"].tolist()[1] == "dev-000000"


def test_another_word_as_a_split_is_an_error(tmp_path: Path) -> None:
    mentions = [row | {"split": "holdout"} for row in mention_rows()]
    message = read_error(write(tmp_path, entity_rows(), mentions))
    assert "expected train, tune, dev or test as the split in mentions.csv line 2\nfound    'holdout'" in message


def test_integer_ids_meet_string_ids(tmp_path: Path) -> None:
    mentions = [row | {"entity_id": float(row["entity_id"])} for row in mention_rows()]
    mentions[0]["entity_id"] = None
    write_table(tmp_path / "entities.csv", entity_rows())
    write_table(tmp_path / "mentions.parquet", mentions)
    assert Tables().read(tmp_path).mentions["entity_id"].tolist()[:3] == [None, "1", "2"]


def test_an_unknown_column_near_a_known_one_is_asked_about(tmp_path: Path) -> None:
    mentions = [{("entityid" if key == "entity_id" else key): v for key, v in row.items()} for row in mention_rows()]
    notes = Tables().read(write(tmp_path, entity_rows(), mentions)).notes
    assert "the column 'entityid' of mentions.csv is kept as an attribute; did you mean 'entity_id'?" in notes
    assert any("every mention counts as NIL" in note for note in notes)


def test_a_missing_column_names_the_nearest_one(tmp_path: Path) -> None:
    entities = [{("names" if key == "name" else key): v for key, v in row.items()} for row in entity_rows()]
    message = read_error(write(tmp_path, entities, mention_rows()))
    assert f"expected the column 'name' in {tmp_path / 'entities.csv'}" in message
    assert "to do    Rename 'names' to 'name'." in message


def test_a_missing_column_without_a_near_one_lists_the_columns(tmp_path: Path) -> None:
    message = read_error(write(tmp_path, entity_rows(), [{"mention": "A", "x": 1}]))
    assert "expected the column 'context'" in message
    assert "Add the column; mentions have mention, context, entity_id" in message


def test_an_entity_without_id_is_an_error(tmp_path: Path) -> None:
    entities = entity_rows()
    entities[2]["id"] = ""
    assert "entities.csv line 4\nfound    an empty cell" in read_error(write(tmp_path, entities, mention_rows()))


def test_a_popularity_that_is_no_number_is_an_error(tmp_path: Path) -> None:
    entities = entity_rows()
    entities[2]["popularity"] = "high"
    message = read_error(write(tmp_path, entities, mention_rows()))
    assert "line 4, column popularity\nfound    'high'" in message


def test_two_tables_of_one_kind_are_an_error(tmp_path: Path) -> None:
    write_tables(tmp_path)
    write_table(tmp_path / "entities.jsonl", entity_rows())
    assert "found    entities.csv and entities.jsonl" in read_error(tmp_path)


def test_a_missing_table_is_an_error(tmp_path: Path) -> None:
    write_tables(tmp_path)
    (tmp_path / "mentions.csv").unlink()
    assert "one of mentions.csv, mentions.tsv, mentions.jsonl, mentions.ndjson, mentions.parquet" in read_error(
        tmp_path
    )


def test_candidates_and_offsets_are_read_and_noted(tmp_path: Path) -> None:
    mentions = [row | {"candidates": "0|1|99", "start": 0, "end": 3} for row in mention_rows()[:2]]
    release = Tables().read(write(tmp_path, entity_rows(), mentions))
    assert release.mentions["candidates"].tolist() == [["0", "1"]] * 2
    assert "start and end did not hold the mention in 2 rows: searched for it" in release.notes
    assert "candidates that the KB lacks were left out: 2" in release.notes


def test_what_dataset_folders_call_a_column_is_read_where_the_table_has_no_other(tmp_path: Path) -> None:
    entities = [{"id": "1", "name": "Ada", "text": "A poet.", "images": "a.jpg|b.jpg"}]
    mentions = [{"mention": "Ada", "context": "", "entity_id": "1", "images": "c.jpg"}]
    release = Tables().read(write(tmp_path, entities, mentions))
    assert release.texts["brief"]["text"].tolist() == ["A poet."]
    assert (release.entities["images"][0], release.mentions["images"][0]) == (["a.jpg", "b.jpg"], ["c.jpg"])
    assert release.image_root == tmp_path
    assert not any("kept as attributes" in note for note in release.notes)


def test_beside_a_description_a_text_is_an_attribute(tmp_path: Path) -> None:
    entities = [{"id": "1", "name": "Ada", "text": "Long.", "description": "A poet."}]
    release = Tables().read(write(tmp_path, entities, [{"mention": "Ada", "context": "", "entity_id": "1"}]))
    assert release.texts["brief"]["text"].tolist() == ["A poet."]
    assert json.loads(release.entities["attributes"][0]) == {"text": "Long."}


def test_a_cell_that_cannot_be_a_text_is_named(tmp_path: Path) -> None:
    entities = [{"id": "1", "name": ["Ada"]}]
    message = read_error(write(tmp_path, entities, [{"mention": "Ada", "context": ""}], ".jsonl"))
    assert "text as name in" in message
    assert "entities.jsonl line 1\nfound    an array" in message


STYLES = {
    "semicolons": {"sep": ";"},
    "tabs": {"sep": "\t"},
    "a mark": {"encoding": "utf-8-sig"},
    "UTF-16": {"encoding": "utf-16"},
}


@pytest.mark.parametrize("style", [*STYLES, "header", "upper case", "arrays", "lines", "semicolons in lists", "tsv"])
def test_however_a_table_was_written_it_is_the_same(tmp_path: Path, style: str) -> None:
    wanted = Tables().read(write_tables(tmp_path / "mine"))
    entities, mentions = pd.DataFrame(entity_rows()), pd.DataFrame(mention_rows())
    if style == "header":
        entities = entities.rename(columns={"id": " ID ", "aliases": "Aliases"})
        mentions = mentions.rename(columns={"entity_id": "Entity ID", "context": "CONTEXT"})
    lists = {"arrays": lambda x: str(x.split("|")), "lines": lambda x: x.replace("|", "\r\n")}
    lists["semicolons in lists"] = lambda x: x.replace("|", "; ")
    if style in lists:
        entities["aliases"] = entities["aliases"].map(lists[style])
    suffix = {"upper case": ".CSV", "tsv": ".tsv"}.get(style, ".csv")
    options = {"sep": "\t"} if style == "tsv" else STYLES.get(style, {})
    for name, frame in (("entities", entities), ("mentions", mentions)):
        (tmp_path / "other").mkdir(exist_ok=True)
        frame.to_csv(tmp_path / "other" / f"{name}{suffix}", index=False, **options)
    assert Tables().recognizes(tmp_path / "other")
    found = Tables().read(tmp_path / "other")
    pd.testing.assert_frame_equal(found.entities, wanted.entities)
    pd.testing.assert_frame_equal(found.mentions, wanted.mentions)
    pd.testing.assert_frame_equal(found.texts["brief"], wanted.texts["brief"])


@pytest.mark.parametrize("mark", [",", "/"])
def test_a_doubtful_separator_is_kept_and_named_with_the_remedy(tmp_path: Path, mark: str) -> None:
    entities = [row | {"aliases": row["aliases"].replace("|", mark)} for row in entity_rows()]
    root = write(tmp_path, entities, mention_rows())
    release = Tables().read(root)
    assert release.entities["aliases"][1] == [f"Turing{mark}Professor Turing"]
    note = f"aliases of entities.csv: 8 cells hold '{mark}', such as 'Lovelace{mark}Professor Lovelace', and were kept"
    assert any(told.startswith(note) and f"--list_separator '{mark}'" in told for told in release.notes)
    assert Tables(list_separator=mark).read(root).entities["aliases"][1] == ["Turing", "Professor Turing"]


def test_a_semicolon_of_a_character_reference_separates_nothing(tmp_path: Path) -> None:
    entities = [row | {"aliases": "AT&amp;T"} for row in entity_rows()]
    assert Tables().read(write(tmp_path, entities, mention_rows())).entities["aliases"][0] == ["AT&amp;T"]


@pytest.mark.parametrize("mark", [",", ";", " ", ", ", "/"])
def test_candidates_are_cut_at_what_gives_known_ids(tmp_path: Path, mark: str) -> None:
    mentions = [row | {"candidates": mark.join(["0", "1"])} for row in mention_rows()]
    release = Tables().read(write(tmp_path, entity_rows(), mentions))
    assert release.mentions["candidates"].tolist() == [["0", "1"]] * 28
    assert f"candidates of mentions.csv: '{mark[0]}' was read as the separator" in release.notes


def test_an_encoding_is_named_and_taken(tmp_path: Path) -> None:
    entities = [row | {"name": f"{row['name']} é"} for row in entity_rows()]
    root = write(tmp_path, entities, mention_rows())
    text = (root / "entities.csv").read_text(encoding="utf-8")
    (root / "entities.csv").write_text(text, encoding="cp1252")
    assert "--encoding cp1252" in read_error(root)
    assert Tables(encoding="cp1252").read(root).entities["name"][1] == "Alan Turing é"


@pytest.mark.parametrize(
    ("column", "called"), [("id", "QID"), ("name", "label"), ("mention", "surface"), ("context", "Sentence")]
)
def test_what_others_call_a_column_is_read_and_said(tmp_path: Path, column: str, called: str) -> None:
    def renamed(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{(called if key == column else key): value for key, value in row.items()} for row in rows]

    wanted = Tables().read(write_tables(tmp_path / "mine"))
    release = Tables().read(write(tmp_path, renamed(entity_rows()), renamed(mention_rows())))
    pd.testing.assert_frame_equal(release.entities, wanted.entities)
    pd.testing.assert_frame_equal(release.mentions, wanted.mentions)
    assert any(f"'{called}'" in note and f"is read as '{column}'" in note for note in release.notes)


def test_a_column_of_answers_is_the_gold_where_the_kb_knows_them(tmp_path: Path) -> None:
    mentions = [{("answer" if key == "entity_id" else key): v for key, v in row.items()} for row in mention_rows()]
    release = Tables().read(write(tmp_path, entity_rows(), mentions))
    assert release.mentions["entity_id"].tolist()[:3] == ["0", "1", "2"]
    for numbers in (["17.0", "", "NIL", "nil"], ["NIL", "NIL", "17.0"]):  # as pandas writes integers with gaps
        ids = [row | {"id": 17 + place} for place, row in enumerate(entity_rows())]
        asked = [{"mention": "Ada", "context": f"Ada {place}", "answer": each} for place, each in enumerate(numbers)]
        assert Tables().read(write(tmp_path, ids, asked)).mentions["entity_id"].tolist().count("17") == 1
    release = Tables().read(write(tmp_path, entity_rows(), [row | {"answer": "yes"} for row in mentions]))
    assert release.mentions["entity_id"].isna().all()


def broken(rows: list[dict[str, Any]], *numbers: int) -> list[dict[str, Any]]:
    return [row | {"split": "holdout" if number in numbers else "train"} for number, row in enumerate(rows)]


def test_all_rows_that_cannot_be_read_are_named_at_once(tmp_path: Path) -> None:
    message = read_error(write(tmp_path, entity_rows(), broken(mention_rows(), 3, 5, 20)))
    assert "found    'holdout'; 2 further rows cannot be read: mentions.csv line 7, mentions.csv line 22" in message
    assert "Or leave such rows out: --allow_missing=true." in message


def test_rows_that_cannot_be_read_are_left_out_where_that_is_said_or_they_are_few(tmp_path: Path) -> None:
    root = write(tmp_path / "some", entity_rows(), broken(mention_rows(), 3, 5))
    release = Tables(allow_missing=True).read(root)
    assert (len(release.mentions), release.rows_read) == (26, 28)
    assert release.skipped.counts == {"row that cannot be read": 2}
    note = "2 of 28 rows of mentions cannot be read and were left out; first, mentions.csv line 5: expected train"
    assert any(told.startswith(note) for told in release.notes)
    many = [row | {"context": f"{row['context']} {number}"} for number in range(4) for row in mention_rows()]
    assert len(Tables().read(write(tmp_path / "few", entity_rows(), broken(many, 7))).mentions) == 111


def test_blank_rows_are_left_out_and_counted(tmp_path: Path) -> None:
    root = write_tables(tmp_path / "mine")
    for name in ("entities", "mentions"):
        with (root / f"{name}.csv").open("a") as file:
            file.write(",,,,,,\n\n" if name == "entities" else ",,,,\n , ,,,\n")
    release = Tables().read(root)
    assert (len(release.entities), release.rows_read) == (8, 28)
    assert "blank rows of mentions.csv were left out: 2" in release.notes


def images_of(tmp_path: Path, *cells: str) -> tuple[list[list[str]], list[str], dict[str, str]]:
    mentions = [{"mention": "Ada", "context": f"Ada {n}", "image": cell} for n, cell in enumerate(cells)]
    release = Tables().read(write(tmp_path, entity_rows(), mentions))
    return release.mentions["images"].tolist(), release.notes, release.image_urls


def test_absolute_paths_into_the_folder_are_read_as_relative(tmp_path: Path) -> None:
    cells = [f"{tmp_path}/bilder/a.jpg", f"file://{tmp_path}/bilder/b%20c.jpg#xywh=1,2,3,4", "/elsewhere/c.jpg"]
    images, notes, _ = images_of(tmp_path, *cells)
    assert images == [["bilder/a.jpg"], ["bilder/b c.jpg#xywh=1,2,3,4"], ["/elsewhere/c.jpg"]]
    assert "absolute image paths into the folder of the tables, read as relative: 2" in notes


def test_backslashes_separate_folders_where_no_file_has_them(tmp_path: Path) -> None:
    write_image(tmp_path / "a\\b.jpg")
    images, notes, _ = images_of(tmp_path, "bilder\\c.jpg", "a\\b.jpg")
    assert images == [["bilder/c.jpg"], ["a\\b.jpg"]]
    assert "image paths with backslashes, read as slashes: 1" in notes


def test_urls_are_recorded_and_named_by_their_hash(tmp_path: Path) -> None:
    first, second = "https://example.org/a;b.JPG?x=1,2", "http://example.org/view?id=7"
    images, notes, urls = images_of(tmp_path, f"{first}; {second}", "b.jpg", first)
    assert [urls[path] for path in images[0]] == [first, second]
    assert images[1:] == [["b.jpg"], [images[0][0]]]
    assert images[0][0].endswith(".jpg")
    assert all(path.startswith("fetched/") for path in images[0])
    assert "images named by URL: 2; dim fetch-images gets them" in notes


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_several_golds_stand_in_a_cell_and_those_that_the_kb_has_are_kept(
    tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    mentions = mention_rows()
    for row, answer in zip(mentions, ("2|0", "1|x", "y|3|4"), strict=False):
        row["entity_id"] = answer
    dataset = prepare(write(tmp_path / "mine", entity_rows(), mentions, suffix), tmp_path / "out", audit=False)
    assert dataset.golds_of(dataset.mentions[:4]).tolist() == [[2, 0], [1, -1], [3, 4], [3, -1]]
    assert dataset.mention(dataset.mentions["id"][2]).other_golds == ("4",)
    assert (dataset.meta["num_several_golds"], dataset.meta["num_lacking_golds"]) == (2, 2)
    assert dataset.meta["rows_kept"] == len(mentions)
    shown = " ".join(capsys.readouterr().out.split())
    assert "with several golds 2 each is a right answer" in shown
    assert "with golds that the KB lacks 2 those that it has count" in shown


def test_a_dataset_without_several_golds_has_no_column_and_no_count_of_them(tmp_path: Path) -> None:
    dataset = prepare(write_tables(tmp_path / "mine"), tmp_path / "out", audit=False)
    assert dataset.mentions.columns.tolist() == MENTION_SCHEMA.names
    assert not {"num_several_golds", "num_lacking_golds"} & set(dataset.meta)


def test_a_column_of_several_golds_by_another_name_is_read_as_the_golds(tmp_path: Path) -> None:
    mentions = [row | {"gold": f"{row['entity_id']}|7"} for row in mention_rows()]
    for row in mentions:
        del row["entity_id"]
    release = Tables().read(write(tmp_path / "mine", entity_rows(), mentions))
    assert release.mentions["other_golds"].tolist()[:2] == [["7"], ["7"]]
