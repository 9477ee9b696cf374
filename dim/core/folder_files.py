"""Files of a folder that may come from a stranger, read within bounds: what is refused is refused before it is read.

JSON, YAML    `MOST_BYTES`, `DEEPEST` levels, `MOST_NODES` values (an alias in YAML counts each time), typed
JSON lines    each as JSON; of what length and how many the file is
Parquet       in memory at most `LEAST` bytes, or `TIMES` the file's size where that is more; columns typed where said
.npy          exactly as long as its header says; no pickle
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml
from numpy.typing import NDArray

from dim.core.excerpts import one_line
from dim.core.files import regular
from dim.core.typed import Mismatch, typed
from dim.errors import DataError

MOST_BYTES = {"JSON": 2**28, "YAML": 2**20}
DEEPEST = 64
DEEPEST_CLASSES = 5  #: In one another: a parser takes twice as long for each level.
MOST_NODES = {"JSON": 50_000_000, "YAML": 100_000}
BRACKETS = {"[": 1, "{": 1, "]": -1, "}": -1}
LEAST, TIMES = 2**26, 200
LARGE, ROWS = 2**30, 2**15  #: Bytes of a row group that is read in parts, and the rows of a part.
A_VALUE = 64  #: Bytes that a value takes as a Python object, beside those of its text.


def read_json(path: Path, hint: Any, what: str, remedy: str) -> Any:
    """The JSON of a file, as an annotation has it.

    Args:
        path: The file.
        hint: As of `dim.core.typed.typed`.
        what: Should stand in it, for the message.
        remedy: What to do where it does not.

    Raises:
        DataError: It cannot be read, or holds something else.
    """
    return _read(path, "JSON", lambda text: json.loads(text), hint, what, remedy)


def read_yaml(path: Path, hint: Any, what: str, remedy: str) -> Any:
    """The YAML of a file, as `read_json`."""
    return _read(path, "YAML", _parse_yaml, hint, what, remedy)


def json_value(text: str | bytes, hint: Any) -> Any:
    """The JSON of a text, such as a line or a cell, as an annotation has it. Raises Mismatch."""
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise Mismatch("", f"at most {DEEPEST} levels", "more") from error
    except ValueError as error:
        raise Mismatch("", "JSON", str(error)[:200]) from error
    _check_shape(value, "JSON")
    return typed(value, hint)


def peek_json(path: Path, hint: Any) -> Any:
    """The JSON of a file as `json_value`, for whoever has an answer where there is none. Raises OSError, ValueError."""
    _check_bytes(path, "JSON")
    return json_value(path.read_bytes(), hint)


def read_json_lines(path: Path, hint: Any, what: str, remedy: str) -> list[Any]:
    """The JSON of each line of a file that is not blank, as `read_json`."""
    found = []
    try:
        with regular(path).open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    found += [json_value(line, hint)] if line.strip() else []
                except Mismatch as error:
                    raise _mismatched(error, f"line {number} of {path.name}", what, remedy) from error
    except OSError as error:
        raise DataError(what, f"a damaged {path.name} ({error})", remedy) from error
    return found


def refit(value: Any, hint: Any, name: str, what: str, remedy: str) -> Any:
    """What was read of the file `name`, as an annotation has it; raises DataError as `read_json`."""
    try:
        return typed(value, hint)
    except Mismatch as error:
        raise _mismatched(error, name, what, remedy) from error


def damaged(path: Path, error: Exception, what: str, remedy: str) -> DataError:
    """The error for a file that cannot be read as what it should be, by what a library says of it."""
    return DataError(what, f"a damaged {path.name} ({type(error).__name__}: {one_line(error)})", remedy)


def _mismatched(error: Mismatch, name: str, what: str, remedy: str) -> DataError:
    where = f"{error.where}: {error.found} in the place of {error.expected}"
    return DataError(what, f"a damaged {name} ({where})", remedy)


def _parse_yaml(text: str) -> Any:
    # Before the parser does: it takes long to find that out.
    if max(accumulate(BRACKETS.get(each, 0) for each in text), default=0) > DEEPEST:
        raise RecursionError
    return yaml.safe_load(text)


def _read(path: Path, form: str, parse: Callable[[str], Any], hint: Any, what: str, remedy: str) -> Any:
    try:
        _check_bytes(path, form)
        value = parse(path.read_text(encoding="utf-8"))
        _check_shape(value, form)
        return typed(value, hint)
    except Mismatch as error:
        raise _mismatched(error, path.name, what, remedy) from error
    except RecursionError as error:
        raise DataError(what, f"a damaged {path.name} (more than {DEEPEST} levels)", remedy) from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise damaged(path, error, what, remedy) from error


def _check_bytes(path: Path, form: str) -> None:
    if (size := regular(path).stat().st_size) > MOST_BYTES[form]:
        raise Mismatch("", f"{form} of at most {MOST_BYTES[form]:,} bytes", f"{size:,} bytes")


def is_bounded(value: Any) -> bool:
    """Whether what was read of YAML is of few levels, values (an alias counts each time) and nested classes."""
    try:
        _check_shape(value, "YAML")
    except Mismatch:
        return False
    level, classes = [value], 0
    while level:
        classes += any(isinstance(each, Mapping) and "class_path" in each for each in level)
        inner = (
            each.values() if isinstance(each, Mapping) else each for each in level if isinstance(each, Mapping | list)
        )
        level = [each for part in inner for each in part]
    return classes <= DEEPEST_CLASSES


def _check_shape(value: Any, form: str) -> None:
    level, depth, nodes = [value], 0, 0
    while level:
        depth, nodes = depth + 1, nodes + len(level)
        if depth > DEEPEST or nodes > MOST_NODES[form]:
            raise Mismatch("", f"at most {DEEPEST} levels and {MOST_NODES[form]:,} values", "more")
        below: list[Any] = []
        for each in level:
            if isinstance(each, Mapping):
                below += each.values()
            elif isinstance(each, list):
                below += each
            if len(below) > MOST_NODES[form]:
                raise Mismatch("", f"at most {MOST_NODES[form]:,} values", "more")
        level = below


def read_array(
    path: Path,
    what: str,
    remedy: str,
    kinds: str = "fiub",
    dimensions: int | None = None,
    mapped: Literal["r", "c"] | None = None,
) -> NDArray[Any]:
    """The array of a .npy file.

    Args:
        path: The file.
        what: Should stand in it, for the message.
        remedy: What to do where it does not.
        kinds: Of its type, as NumPy's `dtype.kind`.
        dimensions: How many it has; None: any number.
        mapped: Leave it on the disk, as NumPy's `mmap_mode`; an empty one cannot be.

    Raises:
        DataError: It is no such file, or has another length than its header says.
    """
    try:
        # Mapped first: NumPy then compares what the header asks for with what is there, before it takes any memory.
        shape = _shape(path)
        is_empty = 0 in shape
        array: NDArray[Any] = np.load(path, mmap_mode=None if is_empty else mapped or "r", allow_pickle=False)
        if array.dtype.kind not in kinds or dimensions not in (None, array.ndim):
            raise ValueError(f"{array.dtype} {list(array.shape)}")
        # Each slice of NumPy's own class of mapped arrays takes several times as long.
        return array.view(np.ndarray) if is_empty or mapped else np.array(array)
    except (OSError, ValueError, TypeError, EOFError, OverflowError) as error:
        raise damaged(path, error, what, remedy) from error


def write_arrays(folder: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Writes each array into a .npy file of its name, which `read_array` reads."""
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)


def _shape(path: Path) -> tuple[int, ...]:
    with regular(path).open("rb") as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape: tuple[int, ...] = read(file)[0]
        return shape


def read_parquet(
    path: Path,
    what: str,
    remedy: str,
    columns: Sequence[str] | None = None,
    most: tuple[int, int] | None = None,
    like: pa.Schema | None = None,
    may_have: pa.Schema | None = None,
) -> pa.Table:
    """The table of a Parquet file that takes no more memory than its size lets expect.

    A text that is repeated stands once in the file: how long all of them are is counted before they are written out.

    Args:
        path: The file.
        what: Should stand in it, for the message.
        remedy: What to do where it does not.
        columns: That are read; None: all.
        most: Bytes that it may always take, and times its own size that it may take; None: `LEAST` and `TIMES`.
        like: Columns of which those that are read are there, and hold texts, numbers, or lists of them, as here.
        may_have: Columns that may be absent; those that are there are as here.

    Raises:
        DataError: It is no such file, out of proportion, or has other columns.
    """
    try:
        check_parquet(path, what, remedy, most)
        with pq.ParquetFile(path) as file:
            schema, leaves = file.schema_arrow, [file.schema.column(i) for i in range(len(file.schema))]
        for field in [*(like or ()), *(each for each in may_have or () if each.name in schema.names)]:
            is_read = columns is None or field.name in columns
            if is_read and (field.name not in schema.names or not _is_like(schema.field(field.name).type, field.type)):
                raise ValueError(f"no column {field.name} of {field.type}")
        texts = [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]
        kept, size = [], 0
        with pq.ParquetFile(path, read_dictionary=texts) as file:
            for table in _parts(file, columns):
                size += sum(_bytes_of(chunk) for column in table.columns for chunk in column.chunks)
                _check_size(path, size, what, remedy, most)
                fields = pa.schema([schema.field(name) for name in table.schema.names], schema.metadata)
                # In parts: Arrow cannot hold as one what is written out of a dictionary to more than 2 GB.
                kept += [table.slice(start, ROWS).cast(fields) for start in range(0, len(table), ROWS)]
        wanted = schema if columns is None else pa.schema([schema.field(name) for name in columns], schema.metadata)
        return pa.concat_tables(kept) if kept else wanted.empty_table()
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise damaged(path, error, what, remedy) from error


def _is_like(found: pa.DataType, own: pa.DataType) -> bool:
    if pa.types.is_null(found):
        return True
    is_text = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    is_number = (pa.types.is_integer, pa.types.is_floating)
    is_list = (pa.types.is_list, pa.types.is_large_list)
    for kinds in (is_text, is_number, is_list):
        if any(kind(own) for kind in kinds):
            is_like = any(kind(found) for kind in kinds)
            return is_like and (kinds is not is_list or _is_like(found.value_type, own.value_type))
    return bool(found == own)


def _parts(file: pq.ParquetFile, columns: Sequence[str] | None) -> Iterator[pa.Table]:
    """The row groups; of one that Arrow cannot hold as one dictionary a part after the other, which takes longer."""
    for group in range(file.num_row_groups):
        if file.metadata.row_group(group).total_byte_size < LARGE:
            yield file.read_row_group(group, columns)
        else:
            for batch in file.iter_batches(ROWS, [group], columns):
                yield pa.Table.from_batches([batch])


def check_parquet(path: Path, what: str, remedy: str, most: tuple[int, int] | None = None) -> None:
    """Raises DataError where the metadata of a Parquet file says that it takes too much memory."""
    with pq.ParquetFile(regular(path)) as file:
        found = file.metadata
        chunks = [
            found.row_group(group).column(column)
            for group in range(found.num_row_groups)
            for column in range(found.num_columns)
        ]
    size = sum(max(chunk.total_uncompressed_size, 0) + A_VALUE * max(chunk.num_values, 0) for chunk in chunks)
    _check_size(path, size, what, remedy, most)


def _bytes_of(array: pa.Array) -> int:
    """What an array takes, each text as often as it stands in it."""
    if isinstance(array, pa.DictionaryArray):
        lengths = pc.fill_null(pc.binary_length(array.dictionary), 0).cast(pa.int64())
        return int(pc.sum(lengths.take(array.indices)).as_py() or 0)
    if pa.types.is_list(array.type) or pa.types.is_struct(array.type):
        parts = array.flatten()
        return sum(map(_bytes_of, parts if isinstance(parts, list) else [parts]))
    return int(array.nbytes)


def _check_size(path: Path, size: int, what: str, remedy: str, most: tuple[int, int] | None) -> None:
    least, times = most or (LEAST, TIMES)
    stored = path.stat().st_size
    if size > max(least, times * stored):
        found = f"{path.name}, whose {stored:,} bytes become {size:,} in memory, more than {times} times as many"
        raise DataError(what, found, remedy)
