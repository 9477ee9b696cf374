"""Captions in a dataset folder: the mentions' column `caption`, and a record of who said what when.

mentions.parquet          the column `caption`
captions/<name>.parquet   images, question, answer, model, prompt_hash, fingerprint, parameters, block
captions/<name>.log.jsonl when each block of answers was finished: kept apart, so that the table of an
                          interrupted run equals that of an undisturbed one byte by byte
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypedDict

import pandas as pd
import pyarrow as pa

from dim.core.files import atomic_path, json_text, write_json
from dim.core.folder_files import read_json, read_json_lines, read_parquet
from dim.core.tables import conform, frame_hash, write_frame
from dim.data.dataset import CAPTIONS, LEAST, TIMES, Dataset, mention_table
from dim.features.captions import has_text

ANSWER_SCHEMA = pa.schema(
    [
        ("images", pa.list_(pa.string())),  # the first usable one was shown
        ("question", pa.string()),
        ("answer", pa.string()),
        ("model", pa.string()),
        ("prompt_hash", pa.string()),  # of the question before a name was filled in
        ("fingerprint", pa.string()),
        ("parameters", pa.string()),  # a JSON object
        ("block", pa.string()),  # the work that it belonged to, as in the log
    ]
)

AGAIN = "Remove it, and run: dim caption DATA"


class LogLine(TypedDict):
    """When a block of answers was finished."""

    time: str
    block: str


def write_captions(dataset: Dataset, captions: Sequence[str | None], overwrite: bool) -> Dataset:
    """Puts captions into the mentions' table, and opens the dataset anew.

    Mentions that have a caption keep it unless `overwrite`; None changes nothing. The table says its hash itself, so
    that a kill before `dataset.json` follows leaves nothing half.
    """
    mentions, schema = mention_table(dataset.mentions)
    column = [
        said if said is not None and (overwrite or not has_text(old)) else old
        for old, said in zip(mentions["caption"].tolist(), captions, strict=True)
    ]
    mentions["caption"] = pd.Series(column, dtype=object)
    mentions["caption"] = mentions["caption"].where(mentions["caption"].notna(), None)
    about = dataset.meta | {"hashes": dataset.meta["hashes"] | {"mentions": frame_hash(mentions)}}
    path = dataset.root / "dataset.json"
    if any(has_text(said) for said in captions):
        # Both are written before either gets its name: a full disk leaves both as they were.
        with (
            atomic_path(path) as new_about,
            atomic_path(dataset.root / "mentions.parquet") as new_mentions,
        ):
            write_frame(new_mentions, mentions, schema)
            new_about.write_text(json_text(about), encoding="utf-8")
    elif read_json(path, dict[str, Any], f"the dataset.json of {dataset.root}", "Run dim prepare again.") != about:
        # An earlier call was killed before it wrote this.
        write_json(path, about)
    return Dataset(dataset.root)


def write_answers(dataset: Dataset, name: str, answers: pd.DataFrame, log: Iterable[dict[str, Any]]) -> Path:
    """Adds answers to `captions/<name>.parquet` and returns its path; an answer of the same origin is replaced.

    Args:
        dataset: The dataset.
        name: Of the record.
        answers: Columns of `ANSWER_SCHEMA`.
        log: A line a block: `time` and `block`.
    """
    path = dataset.root / CAPTIONS / f"{name}.parquet"
    table = conform(answers, ANSWER_SCHEMA)
    if path.exists():
        new = {_origin(row) for row in table.to_dict("records")}
        old = _read(path)
        table = pd.concat([old[[_origin(row) not in new for row in old.to_dict("records")]], table], ignore_index=True)
    lines = dict.fromkeys(json.dumps(line) for line in [*_log_lines(path), *log])  # a line is told once
    with atomic_path(path) as new_table, atomic_path(_log(path)) as new_log:
        table.to_parquet(new_table, index=False, schema=ANSWER_SCHEMA)
        new_log.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def read_answers(dataset: Dataset, name: str) -> pd.DataFrame:
    """The record of that name: columns of `ANSWER_SCHEMA` and `date`, when the row's block was finished.

    Raises:
        DataError: There is no such record, or it cannot be read.
    """
    path = dataset.root / CAPTIONS / f"{name}.parquet"
    table = _read(path)
    dates = {line["block"]: line["time"] for line in _log_lines(path)}
    table["date"] = pd.Series([dates.get(block) for block in table["block"].tolist()], dtype=object)
    return table


def _log(path: Path) -> Path:
    return path.with_suffix(".log.jsonl")


def _log_lines(path: Path) -> list[dict[str, Any]]:
    log = _log(path)
    return read_json_lines(log, LogLine, f"the log of captions at {log}", AGAIN) if log.exists() else []


def _read(path: Path) -> pd.DataFrame:
    what = f"a record of captions at {path}"
    table: pd.DataFrame = read_parquet(path, what, AGAIN, None, (LEAST, TIMES), ANSWER_SCHEMA).to_pandas()
    return table


def _origin(row: dict[Any, Any]) -> tuple[Any, ...]:
    return (*(row["images"] if row["images"] is not None else ()), row["question"], row["fingerprint"])
