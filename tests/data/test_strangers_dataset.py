"""Dataset folders as a stranger would write them: refused in words, before they take memory out of proportion."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dim.data.dataset import Dataset, write_dataset
from dim.errors import DataError
from dim.features import caption_store
from dim.features.caption_store import read_answers, write_answers
from dim.refresh.answers import Answer, AnswerLog
from dim.refresh.plan import entities_of

DEEP = "[" * 100_000
CAPTION = {"images": ["a.png"], "question": "?", "answer": "A cat.", "model": "m", "fingerprint": "f", "block": "b/0"}
ANSWER = Answer("e1", "ok", "A text.", "m", None, "p", "r", {}, 1, 1, True, None, "2026-01-01T00:00:00Z", 0.5, 1)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    made = write_dataset(
        tmp_path / "dataset",
        name="small",
        entities=pd.DataFrame({"id": ["e1", "e2"], "name": ["Ada", "Bo"], "attributes": [None, '{"key": 1}']}),
        texts={"brief": pd.DataFrame({"entity_id": ["e1"], "text": ["A poet."]})},
        mentions=pd.DataFrame({"id": ["m1"], "split": ["test"], "mention": ["Ada"], "context": ["Ada."]}),
        image_urls={"fetched/a.png": "https://example.org/a.png"},
    )
    write_answers(made, "words", pd.DataFrame([CAPTION]), [{"time": "now", "block": "b/0"}])
    return made


@pytest.mark.parametrize(
    "line",
    [
        *(DEEP, "3", "{", '{"entity_id": "e1"}'),
        *(json.dumps(asdict(ANSWER) | {name: [1]}) for name in ("entity_id", "status", "text", "tokens_in", "cost")),
        json.dumps(asdict(ANSWER) | {"parameters": 3}),
        json.dumps(asdict(ANSWER) | {"failures": [None]}),
    ],
    ids=lambda line: line[:30],
)
def test_a_line_that_is_no_answer_counts_as_torn(dataset: Dataset, line: str) -> None:
    log = AnswerLog(dataset.root, "new")
    log.path.parent.mkdir()
    log.path.write_text(f"{json.dumps(asdict(ANSWER))}\n{line}\n\n{json.dumps(asdict(ANSWER) | {'more': 1})}\n")
    assert log.read() == ([ANSWER, ANSWER], 1)


def test_stored_captions_out_of_proportion_or_of_another_form_are_refused(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = dataset.root / "captions" / "words.parquet"
    good = pq.read_table(place)
    assert read_answers(dataset, "words")["date"].tolist() == ["now"]
    for wrong in (good.drop_columns(["answer"]), good.set_column(2, "answer", pa.array([[1]]))):
        pq.write_table(wrong, place)
        with pytest.raises(DataError, match=r"damaged words\.parquet \(ValueError: no column answer of string"):
            read_answers(dataset, "words")
    monkeypatch.setattr(caption_store, "LEAST", 2**18)
    many = pa.concat_tables([good] * 400)
    pq.write_table(many.set_column(2, "answer", pa.array(["ab" * 10**5] * len(many))), place)
    with pytest.raises(DataError, match=r"words\.parquet, whose [\d,]+ bytes become [\d,]+ in memory, more than 1000"):
        read_answers(dataset, "words")


@pytest.mark.parametrize("line", [DEEP, "[]", '{"time": "now"}', '{"time": [], "block": "b"}', "{"])
def test_a_log_of_captions_that_is_none_is_refused(dataset: Dataset, line: str) -> None:
    (dataset.root / "captions" / "words.log.jsonl").write_text(f'{{"time": "now", "block": "b"}}\n{line}\n')
    with pytest.raises(DataError, match=r"a damaged line 2 of words\.log\.jsonl"):
        read_answers(dataset, "words")


@pytest.mark.parametrize(
    "change",
    [
        lambda about: DEEP,
        lambda about: "[]",
        lambda about: json.dumps(about | {"name": ["small"]}),
        lambda about: json.dumps(about | {"hashes": 3}),
        lambda about: json.dumps(about | {"texts": [{}]}),
        lambda about: json.dumps({name: about[name] for name in about if name != "kb_hash"}),
    ],
)
def test_what_is_no_description_of_a_dataset_is_refused(
    dataset: Dataset, change: Callable[[dict[str, Any]], str]
) -> None:
    path = dataset.root / "dataset.json"
    path.write_text(change(json.loads(path.read_text())))
    with pytest.raises(DataError, match=r"damaged dataset\.json"):
        Dataset(dataset.root)


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("entities", "name"),
        ("mentions", "context"),
        ("texts/brief", "text"),
        ("image_urls", "path"),
        ("image_urls", "url"),
    ],
)
def test_tables_with_other_columns_are_refused(dataset: Dataset, table: str, column: str) -> None:
    place = dataset.root / f"{table}.parquet"
    good = pq.read_table(place)
    numbers = good.set_column(good.schema.names.index(column), column, pa.array([7] * len(good)))
    for wrong in (good.drop_columns([column]), numbers):
        pq.write_table(wrong, place)
        opened = Dataset(dataset.root)
        with pytest.raises(DataError, match=f"no column {column} of string"):
            _ = opened.texts("brief"), opened.entities, opened.mentions, opened.image_urls
    wide = good.schema.get_field_index(column)
    pq.write_table(good.set_column(wide, column, good[column].cast(pa.large_string())), place)
    opened = Dataset(dataset.root)
    assert opened.entities["name"].tolist() == ["Ada", "Bo"]
    assert opened.mentions["context"].tolist() == ["Ada."]
    assert opened.image_urls == dataset.image_urls


@pytest.mark.parametrize("column", ["path", "url"])
def test_an_image_without_a_path_or_a_url_is_refused(dataset: Dataset, column: str) -> None:
    row = {"path": ["fetched/a.png"], "url": ["https://example.org/a.png"]} | {column: [None]}
    pq.write_table(pa.table(row), dataset.root / "image_urls.parquet")
    with pytest.raises(DataError, match=r"(?s)expected a path and a URL in each row of .*found    none in one"):
        _ = Dataset(dataset.root).image_urls


@pytest.mark.parametrize("said", [DEEP, "[]", "3", '{"hash": 3}', "{"])
def test_what_a_table_says_of_itself_counts_only_where_it_is_what_dim_writes(dataset: Dataset, said: str) -> None:
    place = dataset.root / "mentions.parquet"
    table = pq.read_table(place)
    pq.write_table(table.replace_schema_metadata({b"dim": said.encode()}), place)
    assert Dataset(dataset.root).meta == dataset.meta


@pytest.mark.parametrize("cell", [DEEP, "[]", "{"])
def test_attributes_that_are_no_object_are_refused(dataset: Dataset, cell: str) -> None:
    place = dataset.root / "entities.parquet"
    table = pq.read_table(place)
    where = table.schema.names.index("attributes")
    pq.write_table(table.set_column(where, "attributes", pa.array([None, cell])), place)
    opened = Dataset(dataset.root)
    with pytest.raises(DataError, match="a JSON object as attributes"):
        list(entities_of(opened))
    with pytest.raises(DataError, match="a JSON object as attributes"):
        opened.entity("e2")


def test_further_golds_are_lists_of_ids_or_refused(dataset: Dataset) -> None:
    place = dataset.root / "mentions.parquet"
    table = pq.read_table(place).set_column(6, "entity_id", pa.array(["e1"]))
    for wrong in (pa.array(["e2"]), pa.array([[1]]), pa.array([[["e2"]]])):
        pq.write_table(table.append_column("other_golds", wrong), place)
        with pytest.raises(DataError, match="no column other_golds of list<"):
            _ = Dataset(dataset.root).mentions
    for found, golds in (([["e2", None, "e1", "e9"]], [[0, 1]]), ([None], [[0]]), ([[]], [[0]])):
        pq.write_table(table.append_column("other_golds", pa.array(found, pa.list_(pa.string()))), place)
        opened = Dataset(dataset.root)
        assert opened.golds_of(opened.mentions).tolist() == golds
    pq.write_table(table.append_column("other_golds", pa.nulls(1)), place)
    assert Dataset(dataset.root).golds_of(Dataset(dataset.root).mentions).tolist() == [[0]]
