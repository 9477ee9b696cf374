from pathlib import Path

import pandas as pd
import pytest
from audit_worlds import draw, entity_table, mention_table, write_world

from dim.audit import audit_dataset
from dim.audit.subsets import check_subset_target, clean, hard, write_subset
from dim.data.dataset import Dataset, add_texts, write_dataset
from dim.errors import ConfigError, DataError


def flawed(root: Path) -> Dataset:
    """One row of each flaw; the other rows stay."""
    folder, mentions = draw(root / "images"), mention_table()

    def copy(source: str, target: str, *columns: str) -> None:
        for column in columns:
            mentions.at[target, column] = mentions.at[source, column]

    row = ("mention", "context", "images", "entity_id")
    copy("train-0", "dev-0", *row)
    copy("train-1", "dev-1", "context")
    copy("train-2", "dev-2", "images")
    (folder / "m" / "dev3.png").write_bytes((folder / "kb" / "11.png").read_bytes())
    copy("dev-4", "dev-5", *row)
    copy("test-4", "test-5", *row[:3])
    copy("train-4", "train-5", *row)
    (folder / "m" / "train6.png").write_bytes((folder / "kb" / "5.png").read_bytes())
    mentions.loc[["train-3", "train-7"], "split"] = "tune"
    copy("train-6", "train-7", "context")
    copy("dev-7", "test-7", "context")
    dataset = write_world(root, mentions, source="made here", licence="CC0-1.0", rows_kept=24, notes=["a note"])
    return add_texts(dataset.root, "other", pd.DataFrame({"entity_id": ["E03", "E01"], "text": ["x", None]}))


def test_the_clean_rows_are_those_without_a_flaw(tmp_path: Path) -> None:
    dataset = flawed(tmp_path)
    audit = audit_dataset(dataset)
    subset = clean(audit)
    written = write_subset(dataset, audit, subset, tmp_path / "clean")
    gone = set(dataset.mentions["id"]) - set(written.mentions["id"])
    assert gone == {"dev-0", "dev-1", "dev-2", "dev-3", "dev-5", "train-5", "train-7"}
    assert written.meta["derived_from"] == {
        "dataset": "world",
        "hash": dataset.hash,
        "kb_hash": dataset.kb_hash,
        "subset": "clean",
        "audit_version": 1,
        "image_distance": 4,
        "images_compared": True,
        "removed": {
            "dev": {
                "stands in train": 1,
                "caption in train": 1,
                "image in train": 1,
                "image of the gold": 1,
                "repeats a row": 1,
            },
            "train": {"repeats a row": 1},
            "tune": {"caption in train": 1},
        },
    }
    # What it was cleaned of is gone.
    again = audit_dataset(written)
    assert not clean(again).removed
    assert {f.verdict for f in again.findings if f.split == "dev" and "stand in train" in f.name} == {"ok"}


def test_a_subset_keeps_the_kb_the_texts_and_where_all_comes_from(tmp_path: Path) -> None:
    dataset = flawed(tmp_path)
    audit = audit_dataset(dataset)
    written = write_subset(dataset, audit, clean(audit), tmp_path / "elsewhere" / "clean")
    assert written.kb_hash == dataset.kb_hash
    assert written.hash != dataset.hash
    assert written.name == "world-clean"
    for name in ("entities", "texts/brief", "texts/other"):
        assert written.meta["hashes"][name] == dataset.meta["hashes"][name]
    assert written.image_root == (tmp_path / "images").resolve()
    assert (written.meta["source"], written.meta["licence"]) == ("made here", "CC0-1.0")
    assert written.meta["notes"] == ["a note"]
    assert "rows_kept" not in written.meta
    row = dataset.mention("dev-4")
    assert written.mention("dev-4") == row


def test_the_hard_rows_need_more_than_the_name(tmp_path: Path) -> None:
    folder, entities, mentions = draw(tmp_path / "images"), entity_table(), mention_table()
    entities.loc[15:19, "name"] = ["Ada Eaton-Eins", "Bea Eaton-Zwei", "Cid Drei", "Dan Vier", "Eva Fuenf"]
    mentions.loc[["dev-0", "dev-2", "dev-3"], "mention"] = ["Ada Crowe", "Dan Crowe", "Dan Crowe"]
    mentions.loc["dev-1", "entity_id"] = None
    (folder / "m" / "dev2.png").write_bytes((folder / "kb" / "10.png").read_bytes())
    mentions.loc[["dev-4", "dev-5", "dev-6", "dev-7"], "mention"] = "Somebody"
    dataset = write_world(tmp_path, mentions, entities)
    audit = audit_dataset(dataset)
    ranks = audit.rows.set_index("id")["floor_rank"]
    assert ranks["dev-0"] == 1
    subset = hard(dataset, audit)
    written = write_subset(dataset, audit, subset, tmp_path / "hard")
    right = set(ranks.index[(ranks <= 1) & ranks.index.str.startswith("test")])
    assert set(written.mentions["id"]) == {
        *(f"train-{n}" for n in range(8)),
        "dev-3",
        *({f"test-{n}" for n in range(8)} - right),
    }
    assert subset.removed["dev"] == {
        "no answer in the KB": 1,
        "the name alone answers it": 1,
        "no other entity of that surname": 4,
        "image of the gold": 1,
    }
    assert (audit_dataset(written).find("string floor (Top-1)", "dev").count) == 0


def test_a_subset_without_a_row_to_evaluate_on_is_refused(tmp_path: Path) -> None:
    mentions = mention_table()
    mentions["mention"] = mentions["entity_id"].map(entity_table().set_index("id")["name"])
    dataset = write_world(tmp_path, mentions)
    audit = audit_dataset(dataset)
    with pytest.raises(DataError, match=r"none left; removed: dev: the name alone answers it 8; test: the name"):
        write_subset(dataset, audit, hard(dataset, audit), tmp_path / "hard")
    assert not (tmp_path / "hard").exists()


@pytest.mark.parametrize(
    ("place", "found"),
    [
        ("data", "the folder itself"),
        ("link", "the folder itself"),
        ("data/clean", "a place inside"),
        (".", "a folder that holds"),
        ("other", "a dataset: dataset.json, entities.parquet"),
        ("files", "other files"),
        ("file", "a file"),
    ],
)
def test_nothing_is_written_over(tmp_path: Path, place: str, found: str) -> None:
    dataset = write_world(tmp_path)
    write_world(tmp_path / "second").root.rename(tmp_path / "other")
    (tmp_path / "link").symlink_to(dataset.root)
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ConfigError, match=found):
        check_subset_target(tmp_path / place, dataset, "clean")


def test_an_empty_folder_and_an_earlier_subset_of_the_same_kind_are_written_to(tmp_path: Path) -> None:
    dataset = flawed(tmp_path)
    audit = audit_dataset(dataset)
    target = tmp_path / "clean"
    target.mkdir()
    first = write_subset(dataset, audit, clean(audit), target)
    assert write_subset(dataset, audit, clean(audit), target).hash == first.hash
    with pytest.raises(ConfigError, match="a dataset: dataset"):
        check_subset_target(target, dataset, "hard")


def test_a_namesake_that_is_right_too_makes_no_row_hard(tmp_path: Path) -> None:
    names = ["Ana Smith", "A. Smith", "Bo Reed", "Bo Reed"]
    entities = pd.DataFrame({"id": ["Q1", "Q2", "Q3", "Q4"], "name": names})
    rows = {"id": ["a", "b"], "split": ["test", "test"], "mention": ["xyz", "abc"], "context": ["xyz slept", "abc ran"]}
    mentions = pd.DataFrame(rows | {"entity_id": ["Q1", "Q2"], "other_golds": [["Q2"], ["Q3"]]})
    dataset = write_dataset(tmp_path / "d", name="d", entities=entities, texts={}, mentions=mentions)
    audit = audit_dataset(dataset)
    assert hard(dataset, audit).removed["test"]["no other entity of that surname"] == 1
    assert audit.find("entities whose name another entity bears").figures["rows_with_such_a_gold"] == 1
