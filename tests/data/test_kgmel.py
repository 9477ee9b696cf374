import json
from pathlib import Path

import pytest
from fake_kgmel import BLANK, caption, write_kgmel
from releases import PEOPLE, edit_json, qid, write_json

from dim.errors import DataError
from dim.releases.found_images import look_up_images
from dim.releases.kgmel import NO_SPLIT, UNEQUAL, KgMel
from dim.releases.prepare import open_dataset, prepare


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_kgmel(tmp_path / "KGMEL")


def data_of(root: Path) -> Path:
    return root / "data" / "dataset"


@pytest.mark.parametrize("place", ["", "data", "data/dataset", "data/dataset/WikiDiverse.json"])
def test_the_repository_its_folders_and_the_file_are_one_release(root: Path, place: str) -> None:
    assert KgMel().recognizes(root / place)
    release = KgMel().read(root / place)
    assert release.name == "WikiDiverse-KGMEL"
    assert release.mentions["mention"].tolist()[:2] == ["Lovelace", "Turing"]


def test_a_caption_in_two_splits_stays_in_both_and_is_said(root: Path) -> None:
    release = KgMel().read(root)
    assert release.mentions["split"].value_counts().to_dict() == {"train": 20, "dev": 6, "test": 4}
    assert release.rows_read == 30
    assert "captions that stand in two splits, as released: 1 (id 9)" in release.notes


def test_mentions_have_their_gold_and_no_image_where_the_release_says_blank(root: Path) -> None:
    release = KgMel().read(root)
    mention = release.mentions.iloc[0]
    assert (mention["entity_id"], mention["images"]) == ("Q100", ["dataset/image/WikiDiverse/mention_0.jpg"])
    assert json.loads(mention["attributes"]) == {"key": 0, "image_url": "https://example.org/0.jpg"}
    assert release.mentions[release.mentions["context"] == caption(BLANK)["sentence"]]["images"].tolist() == [[], []]
    assert any("placeholder" in note for note in release.notes)
    assert look_up_images(release, None).problems.as_json()["no such file"]["count"] == 8  # of entities
    assert release.entities["images"].tolist()[0] == ["KB/image/Q100_0.jpg"]


def test_names_come_from_the_labels_alone_where_they_are_there(root: Path) -> None:
    # Titles are those of golds: as names or aliases they would tell golds from the other entities.
    entities = KgMel().read(root).entities
    assert entities["id"].tolist() == [*map(qid, range(8)), "Q200"]
    assert entities["name"].tolist() == [*PEOPLE, "Ada"]
    assert entities["aliases"].tolist() == [[]] * 9


def test_triples_are_attributes_and_a_text(root: Path) -> None:
    release = KgMel().read(root)
    attributes = [json.loads(value) if value else None for value in release.entities["attributes"]]
    assert attributes[0] == {"instance of": ["human"], "occupation": ["Ada"]}
    assert attributes[7] is None
    texts = {name: dict(zip(table["entity_id"], table["text"], strict=True)) for name, table in release.texts.items()}
    assert texts["triples"]["Q100"] == "instance of: human. occupation: Ada."
    assert texts["brief"]["Q102"] == "scientist 2"
    assert "Q107" not in texts["brief"]
    assert "lines of Triples-WikiDiverse.tsv that are no triple (left out): 1, first line 10" in release.notes


def test_without_a_kb_folder_the_golds_are_the_kb_and_have_their_titles(tmp_path: Path) -> None:
    root = write_kgmel(tmp_path / "KGMEL", kb=False)
    path = data_of(root) / "WikiDiverse.json"
    rows = [caption(number) for number in range(14)]
    rows[4]["entity"][0] = "Countess of Lovelace"
    write_json(path, rows)
    release = KgMel().read(root)
    assert release.entities["id"].tolist() == [*map(qid, range(8))]
    assert release.entities["name"].tolist()[0] == "Ada Lovelace (scientist)"
    assert release.entities["aliases"].tolist()[0] == ["Countess of Lovelace"]
    assert release.texts == {}
    assert any("every entity is a gold" in note for note in release.notes)
    assert any("no texts" in note for note in release.notes)


def test_rows_that_cannot_be_used_are_counted(root: Path) -> None:
    rows = [caption(number) for number in range(16)]
    rows[1]["answer"] = rows[1]["answer"][:1]
    write_json(data_of(root) / "WikiDiverse.json", rows)
    skipped = KgMel().read(root).skipped
    assert skipped.counts == {UNEQUAL: 1, NO_SPLIT: 2}
    assert skipped.examples[NO_SPLIT] == ["WikiDiverse.json row 15", "WikiDiverse.json row 16"]


def test_a_row_of_another_shape_is_an_error_with_its_place(root: Path) -> None:
    write_json(data_of(root) / "WikiDiverse.json", [caption(0), caption(1) | {"mention": 3}])
    with pytest.raises(DataError, match=r"(?s)id, sentence, mention, entity, answer.*a number as 'mention' in row 2"):
        KgMel().read(root)


def test_splits_that_lack_the_dataset_are_an_error(root: Path) -> None:
    write_json(data_of(root) / "mapping" / "ids_split_mappings.json", {"WikiMEL": {}})
    with pytest.raises(DataError, match=r"(?s)splits of WikiDiverse.*WikiMEL"):
        KgMel().read(root)


def test_of_several_datasets_the_file_is_named(root: Path) -> None:
    write_json(data_of(root) / "WikiMEL.json", [])
    with pytest.raises(DataError, match=r"(?s)WikiDiverse\.json and WikiMEL\.json.*Name the file"):
        KgMel().read(root)
    assert len(KgMel().read(data_of(root) / "WikiDiverse.json").mentions) == 30


def test_a_changed_mapping_file_prepares_anew(root: Path, tmp_path: Path) -> None:
    first = open_dataset(root, tmp_path / "cache")
    splits = {"train": list(range(10)), "val": [10, 11], "test": [12, 13]}
    edit_json(data_of(root) / "mapping" / "ids_split_mappings.json", WikiDiverse=splits)
    second = open_dataset(root, tmp_path / "cache")
    assert (len(first.mentions), len(second.mentions)) == (30, 28)
    assert second.root != first.root


def test_it_is_prepared_and_audited(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = prepare(root, tmp_path / "out")
    assert dataset.meta["layout"] == "kgmel"
    assert dataset.variants == ["brief", "triples"]
    shown = capsys.readouterr().out
    assert "captions that stand in two splits" in shown
    assert "leak" in shown
