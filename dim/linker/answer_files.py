"""Answers of a file's questions, in the format that the name of their file says."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dim.core.files import atomic_path, explain_write_errors, put_in_place
from dim.data.csv_rows import ANSWER_COLUMNS
from dim.display.spreadsheet import spreadsheet_writer
from dim.errors import ConfigError
from dim.linker.answer import Answer

LINES, TABLES = (".jsonl", ".ndjson"), (".csv", ".tsv")
FORMATS = (*LINES, *TABLES, ".parquet")
ANSWERS, ERROR = "answers", ANSWER_COLUMNS[-1]
#: Part of an answer → column of a CSV file; a cell has all answers, best first, with `|` between them.
CELLS = dict(zip(("id", "name", "score", "probability"), ANSWER_COLUMNS, strict=False))
CHUNK = 10_000  #: Rows that are in memory together.
ANSWER = {
    "id": pa.string(),
    "name": pa.string(),
    "text": pa.string(),
    "score": pa.float64(),
    "probability": pa.float64(),
    "images": pa.list_(pa.string()),
    "evidence": pa.map_(pa.string(), pa.float64()),
}


def as_written(answer: Answer, evidence: bool) -> dict[str, Any]:
    """An answer as a row has it, with its evidence or without."""
    values = answer.to_dict()
    return values if evidence else {name: value for name, value in values.items() if name != "evidence"}


def check_format(output: Path) -> None:
    """Raises ConfigError where a file's name says no format that answers are written in."""
    if output.suffix.lower() not in FORMATS:
        raise ConfigError(f"an --output of {', '.join(FORMATS)}", str(output), "Name the file by its format.")


def names_images(output: Path) -> bool:
    """Whether answers in a file name the images of entities: cells of a table do not."""
    return output.suffix.lower() not in TABLES


def own_columns(output: Path) -> tuple[str, ...]:
    """The columns that answers take in a file, in the place of those that the questions have of these names."""
    return (*(() if names_images(output) else CELLS.values()), ANSWERS, ERROR)


def write_answers(journal: Path, output: Path) -> None:
    """Writes the answers in a file of JSON lines to `output`, at once; the journal is gone by then.

    JSON lines stay as they are. Parquet has the questions' columns, `answers` (a list of structs) and `error`; CSV has
    the questions' columns, those of `CELLS` and `error`, as cells that no spreadsheet takes for formulas: dim reads
    from them what JSON lines have. Columns of the questions in `own_columns` are replaced.
    """
    suffix = output.suffix.lower()
    if suffix in LINES:
        put_in_place(journal, output)
        return
    with atomic_path(whole(output)) as place:
        _write(journal, place, suffix)
    name_whole(journal, output)


def write_results(results: Iterable[dict[str, Any]], output: Path) -> None:
    """Writes results that are there as a whole, rows with `answers`, to `output`, as `write_answers` does.

    Raises:
        ConfigError: The file's name says no known format.
    """
    check_format(output)
    with TemporaryDirectory() as folder, explain_write_errors(output), atomic_path(output) as place:
        journal = Path(folder) / "results.jsonl"
        with journal.open("w", encoding="utf-8") as lines:
            lines.writelines(map(json_line, results))
        _write(journal, place, output.suffix.lower())


def _write(journal: Path, place: Path, suffix: str) -> None:
    if suffix in LINES:
        shutil.copyfile(journal, place)
    elif suffix == ".parquet":
        _write_parquet(journal, place)
    else:
        _write_csv(journal, place, "\t" if suffix == ".tsv" else ",")


def whole(output: Path) -> Path:
    """Where answers in the format of `output` are until their journal is gone: what has its name needs nothing more."""
    return output.with_name(f"{output.name}.whole")


def name_whole(journal: Path, output: Path) -> None:
    """The last step of `write_answers`, also after a kill."""
    journal.unlink(missing_ok=True)
    put_in_place(whole(output), output)


def json_line(result: dict[str, Any]) -> str:
    """A line of JSON. What JSON lacks becomes text, NaN becomes null."""
    plain = {name: _plain(value) for name, value in result.items()}
    line = json.dumps(plain, ensure_ascii=False)
    try:
        line.encode("utf-8")
    except UnicodeEncodeError:  # a bad line that is given back may hold half a character
        line = json.dumps(plain)
    return line + "\n"


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None if value != value else str(value)
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return f"{len(value):,} bytes" if isinstance(value, bytes) else str(value)


def _rows(journal: Path) -> Iterator[dict[str, Any]]:
    with journal.open(encoding="utf-8", newline="\n") as lines:
        for line in lines:
            yield json.loads(line)


def _columns(journal: Path) -> dict[str, set[str]]:
    """The kinds of values that each column of the questions has."""
    kinds: dict[str, set[str]] = {}
    for row in _rows(journal):
        for name, value in row.items():
            kinds.setdefault(name, set()).add(_kind(value))
    return {name: found - {"null"} for name, found in kinds.items() if name not in (ANSWERS, ERROR)}


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return "texts"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 2**63:
        return "other"
    return {str: "text", bool: "bool", int: "int", float: "float"}.get(type(value), "other")


def _write_csv(journal: Path, place: Path, delimiter: str) -> None:
    columns = [name for name in _columns(journal) if name not in CELLS.values()]
    with place.open("w", encoding="utf-8", newline="") as file:
        write = spreadsheet_writer(file, delimiter)
        write([*columns, *CELLS.values(), ERROR])
        for row in _rows(journal):
            answers = row.get(ANSWERS, [])
            cells = [_cell([answer[part] for answer in answers]) for part in CELLS]
            write([*(_cell(row.get(name)) for name in columns), *cells, row.get(ERROR, "")])


def _cell(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, list) and not any(isinstance(each, list | dict) for each in value):
        texts = [each if isinstance(each, str) else "" if each is None else json.dumps(each) for each in value]
        if not any("|" in text or "\n" in text or text.startswith("[") for text in texts):
            return "|".join(texts) if any(texts) else ""
    return json.dumps(value, ensure_ascii=False)


def _write_parquet(journal: Path, place: Path) -> None:
    types = {name: _type(kinds) for name, kinds in _columns(journal).items()}
    first = next((answer for row in _rows(journal) for answer in row.get(ANSWERS, [])), {"id": None})
    answer = pa.struct([(name, kind) for name, kind in ANSWER.items() if name in first])
    schema = pa.schema([*types.items(), (ANSWERS, pa.list_(answer)), (ERROR, pa.string())])
    rows = _rows(journal)
    with pq.ParquetWriter(place, schema) as writer:
        while chunk := list(islice(rows, CHUNK)):
            columns = [_values([row.get(name) for row in chunk], kind) for name, kind in types.items()]
            columns += [[_answers(row.get(ANSWERS)) for row in chunk], [row.get(ERROR) for row in chunk]]
            arrays = [pa.array(values, kind) for values, kind in zip(columns, schema.types, strict=True)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


def _answers(answers: Any) -> Any:
    """Answers whose evidence is as Arrow takes it."""
    if answers is None:
        return None
    return [each | ({"evidence": list(each["evidence"].items())} if "evidence" in each else {}) for each in answers]


def _type(kinds: set[str]) -> pa.DataType:
    """The type of a column; where its values are of several kinds they become texts of JSON."""
    types = {
        ("bool",): pa.bool_(),
        ("int",): pa.int64(),
        ("float",): pa.float64(),
        ("float", "int"): pa.float64(),
        ("texts",): pa.list_(pa.string()),
    }
    return types.get(tuple(sorted(kinds)), pa.string())


def _values(values: list[Any], kind: pa.DataType) -> list[Any]:
    if kind != pa.string():
        return values
    return [each if each is None or isinstance(each, str) else json.dumps(each, ensure_ascii=False) for each in values]
