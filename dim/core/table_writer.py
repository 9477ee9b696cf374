"""A Parquet file that is written a piece at a time: its bytes and its hashes do not depend on the pieces."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from dim.core.tables import ColumnHash

ROWS = 1 << 15  #: A row group: whatever pieces they came in.
_HASHED = 4096  #: Rows that are Python objects at once.


class TableWriter:
    """Writes a Parquet file in row groups of one size, and hashes its columns as `column_hashes` does."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._writer, self._schema = pq.ParquetWriter(path, schema), schema
        self._waiting: list[pa.Table] = []
        self._hashes = {name: ColumnHash() for name in schema.names}
        self.num_rows = 0  #: So far.

    def add(self, table: pa.Table) -> None:
        """Takes in rows."""
        self.num_rows += len(table)
        self._waiting.append(table.select(self._schema.names).cast(self._schema))
        while sum(map(len, self._waiting)) >= ROWS:
            self._write()

    def end(self) -> None:
        """Writes what is left."""
        if any(map(len, self._waiting)):
            self._write()
        self._writer.close()

    def hashes(self) -> dict[str, str]:
        """Column → the hash of what was written."""
        return {name: each.hexdigest() for name, each in self._hashes.items()}

    def close(self) -> None:
        """Closes the file, finished or not."""
        self._writer.close()

    def _write(self) -> None:
        """Writes one row group, of all that waits where that is less."""
        whole = pa.concat_tables(self._waiting)
        table, rest = whole.slice(0, ROWS).combine_chunks(), whole.slice(ROWS)  # pages end where chunks do
        self._waiting = [rest] if len(rest) else []
        for batch in table.to_batches(max_chunksize=_HASHED):
            for name, column in zip(batch.schema.names, batch.columns, strict=True):
                self._hashes[name].update(column.to_pylist())
        self._writer.write_table(table, row_group_size=ROWS)
