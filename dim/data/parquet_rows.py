"""The rows of a Parquet table, and the images that stand in its cells, as Hugging Face datasets have them.

Such a cell is `{bytes, path}`, or bytes in a column of images, or a list of these. In a row it is the name of a file:
the hash of its bytes, with the ending that they tell. `write_packed_images` writes the files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dim.core.files import atomic_path, make_folder, regular
from dim.core.folder_files import check_parquet
from dim.data.dataset import LEAST, TIMES
from dim.data.files import explain_read_errors
from dim.errors import DataError
from dim.images.endings import image_ending

MOST_ROWS = 1 << 13  #: That are read at once,
MOST_AT_ONCE = 1 << 30  #: and the bytes that they may take, were each of them as large as all that is stored.


def iter_parquet(path: Path, image_columns: Collection[str] = ()) -> Iterator[tuple[str, dict[str, Any]]]:
    """The place (`row 3`) and the cells of each row.

    Args:
        path: The file.
        image_columns: In which bytes are an image.

    Raises:
        DataError: It is no Parquet file, or takes too much memory; the message has no cell.
    """
    number = 0
    for batch, images in _batches(path, image_columns):
        columns = {name: batch.column(name) for name in batch.schema.names}
        cells = {name: _named(column) if name in images else _values(path, column) for name, column in columns.items()}
        for place in range(batch.num_rows):
            number += 1
            yield f"row {number}", {name: values[place] for name, values in cells.items()}


def holds_images(path: Path, image_columns: Collection[str] = ()) -> bool:
    """Whether a table is Parquet with a column of images; arguments are as of `iter_parquet`."""
    if path.suffix.lower() != ".parquet":
        return False
    with pq.ParquetFile(path) as file:
        return any(_holds_images(field, image_columns) for field in file.schema_arrow)


def write_packed_images(path: Path, folder: Path, image_columns: Collection[str] = ()) -> int:
    """Writes the images in the cells of a table into a folder, each once, under the names that the rows have.

    Those that stand there already stay, so a killed run goes on.

    Returns:
        How many images the cells hold; equal ones count each time.
    """
    make_folder(folder)
    count = 0
    for batch, images in _batches(path, image_columns, only_images=True):
        for data in (data for name in images for cell in batch.column(name) for data in _bytes_in(cell.as_py())):
            count += 1
            file = folder / image_name(data)
            if not file.exists():
                with atomic_path(file) as new:
                    new.write_bytes(data)
    return count


def image_name(data: bytes) -> str:
    r"""The name of an image file, by its bytes.

    Example:
        >>> image_name(b"GIF89a")
        '610f5ae4d76e332636a17bd357fd6ce9.gif'
    """
    return hashlib.sha256(data).hexdigest()[:32] + image_ending(data)


def _batches(
    path: Path, image_columns: Collection[str], only_images: bool = False
) -> Iterator[tuple[pa.RecordBatch, list[str]]]:
    """The rows in parts, and the names of the columns that hold images."""
    with explain_read_errors(path):
        regular(path)
        try:
            check_parquet(path, f"a Parquet file in proportion at {path}", "Write the file again.", (LEAST, TIMES))
            with pq.ParquetFile(path, buffer_size=1 << 20) as file:
                schema = file.schema_arrow
                images = [field.name for field in schema if _holds_images(field, image_columns)]
                if only_images and not images:
                    return
                wanted = images if only_images else None
                for group in range(file.num_row_groups):
                    stored = max(1, file.metadata.row_group(group).total_byte_size)
                    rows = min(MOST_ROWS, max(1, MOST_AT_ONCE // stored)) if images else MOST_ROWS
                    for batch in file.iter_batches(rows, [group], wanted):
                        yield batch, images
        except pa.ArrowException as error:
            # What Arrow says of a damaged page may hold a part of it.
            raise DataError(f"a Parquet file at {path}", type(error).__name__, "Write the file again.") from error


def _holds_images(field: pa.Field, image_columns: Collection[str]) -> bool:
    kind = field.type
    while pa.types.is_list(kind) or pa.types.is_large_list(kind):
        kind = kind.value_type
    if pa.types.is_struct(kind):
        names = [kind.field(place).name for place in range(kind.num_fields)]
        return "bytes" in names and _is_binary(kind.field("bytes").type)
    return field.name.strip().casefold() in image_columns and _is_binary(kind)


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _named(column: pa.Array) -> list[Any]:
    """Each cell with the name of an image in the place of its bytes, or the path where there are no bytes."""
    return [_name(cell.as_py()) for cell in column]


def _name(value: Any) -> Any:
    if isinstance(value, list):
        return [name for each in value if (name := _name(each)) is not None]
    if isinstance(value, dict):
        return image_name(value["bytes"]) if value["bytes"] else value.get("path")
    return image_name(value) if value else None


def _bytes_in(value: Any) -> Iterator[bytes]:
    for each in value if isinstance(value, list) else [value]:
        data = each.get("bytes") if isinstance(each, dict) else each
        if data:
            yield data


def _values(path: Path, column: pa.Array) -> list[Any]:
    try:
        values: list[Any] = column.to_pylist()
    except UnicodeDecodeError as error:
        raise DataError(f"texts in UTF-8 in {path}", "bytes that are none", "Write the file again.") from error
    return values
