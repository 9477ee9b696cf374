import json
import shutil

import pandas as pd
import pytest

from dim.core import tables
from dim.core.tables import column_hashes, frame_hash
from dim.data.dataset import MENTION_SCHEMA, Dataset, add_texts, write_dataset
from dim.data.entity import Entity
from dim.errors import DataError
from dim.linker.knowledge import Knowledge


@pytest.fixture
def dataset(tmp_path):
    return write_dataset(
        tmp_path / "d",
        name="d",
        entities=pd.DataFrame(
            {"id": ["a", "b"], "name": ["A", "B"], "images": [["a.jpg"], []], "popularity": [1.5, None]}
        ),
        texts={"brief": pd.DataFrame({"entity_id": ["b"], "text": ["of b"]})},
        mentions=pd.DataFrame(
            {
                "id": ["m0", "m1"],
                "split": ["train", "dev"],
                "mention": ["A", "X"],
                "context": ["A is here", ""],
                "start": [0, None],
                "end": [1, None],
                "entity_id": ["a", None],
                "candidates": [["a", "b"], None],
                "attributes": ['{"topic": "x"}', None],
            }
        ),
    )


def test_a_dataset_folder_comes_back_as_it_was_written(dataset):
    mention, nil = dataset.mention("m0"), dataset.mention("m1")
    assert (mention.mention, mention.start, mention.end, mention.entity_id) == ("A", 0, 1, "a")
    assert (mention.candidates, mention.attributes, mention.images) == (("a", "b"), {"topic": "x"}, ())
    assert (nil.entity_id, nil.start, nil.candidates, nil.attributes) == (None, None, None, {})
    assert dataset.entity("a").images == ("a.jpg",)
    assert (dataset.entity("a").popularity, dataset.entity("b").popularity) == (1.5, None)
    assert dataset.texts("brief").tolist() == [None, "of b"]
    assert dataset.gold_rows(dataset.mentions).tolist() == [0, -1]
    assert dataset.meta["num_mentions"] == {"train": 1, "dev": 1}


def test_the_tables_are_readable_with_pandas_alone(dataset):
    mentions = pd.read_parquet(dataset.root / "mentions.parquet")
    assert mentions.columns.tolist() == MENTION_SCHEMA.names
    assert mentions["mention"].tolist() == ["A", "X"]


def test_hashes_follow_the_content_and_the_kb_hash_only_the_kb(dataset, tmp_path):
    def again(**changes):
        tables = {"entities": dataset.entities, "mentions": dataset.mentions, "texts": {}} | changes
        return write_dataset(tmp_path / "again", name="d", **tables)

    texts = {
        "brief": dataset.texts("brief")
        .rename_axis("row")
        .reset_index(drop=True)
        .to_frame()
        .assign(entity_id=["a", "b"])
        .dropna()
    }
    same = again(texts=texts)
    assert (same.hash, same.kb_hash) == (dataset.hash, dataset.kb_hash)
    assert again(texts={}).kb_hash == dataset.kb_hash != again(entities=dataset.entities.iloc[:1]).kb_hash
    assert again(texts={}).hash == dataset.hash != again(mentions=dataset.mentions.iloc[:1]).hash
    captioned = dataset.mentions.assign(caption="a man")
    assert again(mentions=captioned).hash == dataset.hash
    assert again(mentions=captioned).meta["hashes"]["mentions"] != dataset.meta["hashes"]["mentions"]


def test_a_text_is_added_and_changes_nothing_else(dataset):
    before = (dataset.root / "texts" / "brief.parquet").read_bytes()
    new = pd.DataFrame({"entity_id": ["b"], "text": ["A writer."]})
    after = add_texts(dataset.root, "refreshed-tiny", new, model="tiny")
    assert after.variants == ["brief", "refreshed-tiny"]
    assert after.texts("refreshed-tiny").tolist() == [None, "A writer."]
    assert after.meta["text_facts"]["refreshed-tiny"] == {"model": "tiny"}
    assert (after.hash, after.text_hash("brief")) == (dataset.hash, dataset.text_hash("brief"))
    assert after.text_hash("refreshed-tiny") != after.text_hash("brief")
    assert (dataset.root / "texts" / "brief.parquet").read_bytes() == before
    with pytest.raises(DataError, match="a text variant of letters"):
        add_texts(dataset.root, "../brief", new)


def test_an_entity_without_a_name_is_one_of_a_dataset_and_none_that_is_added_to_a_linker(tmp_path):
    entities = pd.DataFrame({"id": ["a", "b"], "name": [None, ""], "attributes": ['{"born": 1815}', None]})
    mentions = pd.DataFrame(columns=MENTION_SCHEMA.names)
    dataset = write_dataset(tmp_path / "nameless", name="d", entities=entities, texts={}, mentions=mentions)
    found = [dataset.entity("a"), dataset.entity("b")]
    assert found == [Entity("a", "", attributes={"born": 1815}), Entity("b", "")]
    for entity in found:
        with pytest.raises(DataError, match="an entity with an id and a name"):
            Knowledge({}, 0).add([entity])


def test_unknown_ids_are_key_errors(dataset):
    with pytest.raises(KeyError):
        dataset.entity("zz")
    with pytest.raises(KeyError):
        dataset.mention("zz")


def test_a_split_without_rows_and_a_missing_text_name_what_there_is(dataset):
    with pytest.raises(DataError, match=r"split 'test' of d[\s\S]*train \(1\)"):
        dataset.split("test")
    with pytest.raises(
        DataError, match=r"an entity text 'refreshed'[\s\S]*the variants brief[\s\S]*--data.entity_text"
    ):
        dataset.texts("refreshed")


def test_what_is_no_dataset_folder_is_refused(tmp_path, dataset):
    with pytest.raises(DataError, match=r"a dataset folder at[\s\S]*dim prepare"):
        Dataset(tmp_path)
    (dataset.root / "entities.parquet").write_bytes(b"PAR1 but not really")
    with pytest.raises(DataError, match="a readable"):
        _ = Dataset(dataset.root).entities
    path = dataset.root / "dataset.json"
    path.write_text(path.read_text().replace('"format_version": 2', '"format_version": 99'))
    with pytest.raises(DataError, match=r"format 2[\s\S]*format 99"):
        Dataset(dataset.root)


@pytest.mark.parametrize("num_rows", [0, 1, 5, 6, 7])
def test_the_hash_of_a_column_does_not_depend_on_its_chunks(num_rows, monkeypatch):
    def hashed(column, chunk=8192):
        monkeypatch.setattr(tables, "_HASHED", chunk)
        return column_hashes(pd.DataFrame({"column": column}))["column"]

    values = [None, "é", [], ["a", "b"], 1.5, "\ud83d", float("nan")][:num_rows]
    column = pd.Series(values, dtype=object, index=range(10, 10 + num_rows))
    assert len({hashed(column, chunk) for chunk in (1, 2, 3, 7, 100)}) == 1
    assert hashed(pd.Series(["a, b"])) != hashed(pd.Series(["a", "b"]))


def test_a_text_that_is_written_says_itself_what_it_is(dataset, tmp_path, monkeypatch):
    """The power fails before dataset.json follows."""
    root = tmp_path / "copy"
    shutil.copytree(dataset.root, root)
    table = pd.DataFrame({"entity_id": dataset.entities["id"], "text": "new"})
    whole = add_texts(root, "new", table, made_by="dim refresh").meta
    before = Dataset(dataset.root).meta
    (root / "dataset.json").write_text(json.dumps(before))
    assert Dataset(root).meta == whole
    assert whole["hashes"]["texts/new"] == Dataset(root).text_hash("new") == frame_hash(table)
    assert whole["text_facts"]["new"] == {"made_by": "dim refresh"}
    table.to_parquet(root / "texts" / "new.parquet", index=False)  # as an older version, or a user, writes it
    assert "new" not in Dataset(root).meta["texts"]


def test_a_text_that_a_user_puts_there_or_changes_is_known_by_what_it_says(dataset):
    table = pd.DataFrame({"entity_id": ["a", "b"], "text": ["mine", None]})
    assert dataset.text_hash("brief") == dataset.meta["hashes"]["texts/brief"]
    add_texts(dataset.root, "added", table)
    assert Dataset(dataset.root).text_hash("added") == frame_hash(table)
    for variant in ("mine", "brief", "added"):
        hashes = []
        for text in ("mine", "mine", "another"):
            table.assign(text=[text, None]).to_parquet(dataset.root / "texts" / f"{variant}.parquet", index=False)
            hashes.append(Dataset(dataset.root).text_hash(variant))
        assert hashes[0] == hashes[1] == frame_hash(table) != hashes[2]
