"""A table that says which URI is which entity of a KB."""

from __future__ import annotations

from pathlib import Path

from dim.data.entity_uris import URI
from dim.data.given_values import shown
from dim.data.table_files import read_table, text_cell
from dim.errors import DataError

COLUMNS = ("uri", "entity_id")


def read_uris(path: Path) -> dict[str, str]:
    """A table with the columns `uri` and `entity_id`, of the formats of `dim.data.table_files`.

    Raises:
        DataError: It has no such columns, or a URI stands there for two entities.
    """
    table = read_table(path, known=COLUMNS)
    if missing := [name for name in COLUMNS if name not in table.columns]:
        found = ", ".join(table.columns)
        raise DataError(f"the columns {' and '.join(COLUMNS)} in {path}", found, f"Add {' and '.join(missing)}.")
    read: dict[str, str] = {}
    for row in table.rows:
        uri, entity_id = (text_cell(row.get(name)) for name in COLUMNS)
        if uri and not URI.fullmatch(uri):
            raise DataError(
                f"URIs in the column uri of {path}",
                shown(uri),
                "Correct it; escape what no URI has: a blank as %20, a % as %25.",
            )
        if uri and entity_id and read.setdefault(uri, entity_id) != entity_id:
            raise DataError(f"one entity for {uri} in {path}", f"{read[uri]} and {entity_id}", "Take one of them out.")
    return read
