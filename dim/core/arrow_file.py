"""Tables in Arrow files: written without compression, so that whoever opens one maps it and copies nothing.

A file of a stranger is read within bounds. Its messages are read one after another, its footer is not: nothing is found
by a place that the file names, and a batch whose buffers are compressed is refused by what its metadata say.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from dim.core.files import regular
from dim.core.folder_files import damaged

BEGIN = b"ARROW1\0\0"
ROWS = 2**16  #: Of a batch.
#: Fields of flatbuffers, by their number in Arrow's `Message.fbs`.
HEADER, COMPRESSION = 2, 3


def write_arrow(table: pa.Table, path: Path) -> None:
    """Writes a table; pandas reads it by `read_feather`."""
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        for start in range(0, len(table), ROWS):
            writer.write_table(table.slice(start, ROWS).combine_chunks())


def map_arrow(path: Path, schema: pa.Schema, what: str, remedy: str) -> pa.Table:
    """The table of a file that `write_arrow` wrote. It stays on the disk, and lives on where the file is replaced.

    Args:
        path: The file.
        schema: Of the table.
        what: Should stand in it, for the message.
        remedy: What to do where it does not.

    Raises:
        DataError: It is no such file, of another schema, compressed, or says what cannot be.
    """
    try:
        batches = list(_batches(path, schema))
    except (OSError, ValueError, struct.error, pa.ArrowException) as error:
        raise damaged(path, error, what, remedy) from error
    return pa.Table.from_batches(batches, schema)


def _batches(path: Path, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    with pa.memory_map(str(regular(path))) as file:
        if file.read(len(BEGIN)) != BEGIN:
            raise ValueError("no Arrow file")
        messages = iter(pa.ipc.MessageReader.open_stream(file))
        found = pa.ipc.read_schema(next(messages, None) or pa.py_buffer(b""))
        if not found.equals(schema):
            raise ValueError(f"the columns {', '.join(found.names[:20])[:100]} of other types")
        for message in messages:
            if message.type != "record batch":
                raise ValueError(f"a {message.type} in the place of a record batch")
            if _is_compressed(message.metadata.to_pybytes()):
                raise ValueError("compressed buffers")
            batch = pa.ipc.read_record_batch(message, schema)
            batch.validate(full=True)  # Arrow takes any places of texts, and bytes that are no characters
            yield batch


def _is_compressed(metadata: bytes) -> bool:
    """Whether the metadata of a record batch, which Arrow has found to be a flatbuffer, name a compression."""
    (message,) = struct.unpack_from("<I", metadata)
    place = _field(metadata, message, HEADER)
    if place is None:
        return False
    (header,) = struct.unpack_from("<I", metadata, place)
    return _field(metadata, place + header, COMPRESSION) is not None


def _field(metadata: bytes, table: int, number: int) -> int | None:
    """Where a field of a flatbuffer's table stands; None where it is left out."""
    (back,) = struct.unpack_from("<i", metadata, table)
    (size,) = struct.unpack_from("<H", metadata, table - back)
    slot = 4 + 2 * number
    (offset,) = struct.unpack_from("<H", metadata, table - back + slot) if slot < size else (0,)
    return table + offset if offset else None
