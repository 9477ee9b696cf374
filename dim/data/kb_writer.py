"""A dataset folder of a KB that is too large for memory: entities and texts come a piece at a time, mentions never."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from dim.core.table_writer import TableWriter
from dim.core.tables import column_hashes, conform, hash_of
from dim.data.dataset import ENTITY_SCHEMA, MENTION_SCHEMA, TEXT_SCHEMA, write_document


class KbWriter:
    """Writes the tables of a KB without mentions. Made by `kb_writer`."""

    def __init__(self, entities: TableWriter, texts: Mapping[str, TableWriter]) -> None:
        self._entities, self._texts = entities, texts

    def add(self, entities: pa.Table, texts: Mapping[str, pa.Array]) -> None:
        """Takes in entities (columns of `ENTITY_SCHEMA`), and the text of each by variant; empty ones are none."""
        self._entities.add(entities)
        for variant, rows in self._texts.items():
            table = pa.table([entities["id"], texts[variant]], schema=TEXT_SCHEMA)
            rows.add(table.filter(pc.greater(pc.binary_length(table["text"]), 0)))

    @property
    def num_entities(self) -> int:
        """So far."""
        return self._entities.num_rows

    def num_texts(self) -> dict[str, int]:
        """Of each variant, so far."""
        return {variant: rows.num_rows for variant, rows in self._texts.items()}

    def finish(self, folder: Path, about: Mapping[str, str], facts: Mapping[str, Any]) -> None:
        """Ends the tables, and writes what makes a dataset of them; a text that no entity has is left out."""
        for rows in (self._entities, *self._texts.values()):
            rows.end()
        mentions = conform(pd.DataFrame(), MENTION_SCHEMA, empty_lists=("images",))
        mentions.to_parquet(folder / "mentions.parquet", index=False, schema=MENTION_SCHEMA)
        for variant in [variant for variant, rows in self._texts.items() if not rows.num_rows]:
            (folder / "texts" / f"{variant}.parquet").unlink()
        write_document(
            folder,
            self._entities.hashes(),
            column_hashes(mentions),
            {variant: hash_of(rows.hashes()) for variant, rows in self._texts.items() if rows.num_rows},
            about,
            {"num_entities": self.num_entities, "num_mentions": {}, **facts},
        )


@contextmanager
def kb_writer(folder: Path, variants: tuple[str, ...]) -> Iterator[KbWriter]:
    """A writer of the tables of a KB in `folder`, which is made."""
    (folder / "texts").mkdir(parents=True)
    with ExitStack() as stack:
        entities = TableWriter(folder / "entities.parquet", ENTITY_SCHEMA)
        stack.callback(entities.close)
        texts = {variant: TableWriter(folder / "texts" / f"{variant}.parquet", TEXT_SCHEMA) for variant in variants}
        for rows in texts.values():
            stack.callback(rows.close)
        yield KbWriter(entities, texts)
