"""Entity texts that are too large for memory: they are read once more, and written, a piece at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pandas as pd
import pyarrow as pa

from dim.core.table_writer import TableWriter
from dim.core.tables import conform, hash_of


class StreamedTexts(ABC):
    """The texts of one variant, where they come from."""

    @abstractmethod
    def __len__(self) -> int:
        """How many entities have one."""

    @abstractmethod
    def tables(self) -> Iterator[pa.Table]:
        """The rows (entity_id, text), in pieces that fit in memory."""

    @property
    def empty(self) -> bool:
        """Whether no entity has one, as a table says it."""
        return not len(self)

    def write(self, path: Path, schema: pa.Schema) -> str:
        """Writes them to a Parquet file, as pandas would write the table; returns their `frame_hash`."""
        as_pandas = pa.Table.from_pandas(conform(pd.DataFrame(), schema).astype(object), schema, preserve_index=False)
        with closing(TableWriter(path, as_pandas.schema)) as writer:
            for table in self.tables():
                writer.add(table)
            writer.end()
        return hash_of(writer.hashes())
