"""What a converter is: it reads raw files and returns a `Release`, without torch and without network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from dim.data.skipped import Skipped


@dataclass
class Release:
    """What a converter read. The tables have the columns of `dim.data.dataset`; `split` may be train, dev or test.

    Attributes:
        name: The dataset's name, such as `WikiMEL`.
        source: Where it comes from (a citation, no path).
        licence: Its licence, or `unknown`.
        entities: One row an entity (`ENTITY_SCHEMA`).
        texts: Variant name → table (entity_id, text).
        mentions: One row a mention (`MENTION_SCHEMA`), in the order of the files.
        image_root: The folder that image paths are relative to, or None where there are no images.
        rows_read: Mention rows in the raw files, before anything was skipped.
        skipped: The mention rows that were left out.
        notes: Sentences that the user should read: what was absent, assumed or put right.
    """

    name: str
    source: str
    licence: str
    entities: pd.DataFrame
    texts: dict[str, pd.DataFrame]
    mentions: pd.DataFrame
    image_root: Path | None
    rows_read: int
    skipped: Skipped
    notes: list[str] = field(default_factory=list)


class Converter(ABC):
    """Reads one published layout."""

    layout: str  #: The name that `dim prepare --layout` takes.
    needs: str  #: The files that make the layout, for the message where none is recognized.

    @abstractmethod
    def recognizes(self, root: Path) -> bool:
        """Tells by the file names, or by the first row where names cannot tell, whether `root` holds this layout."""

    @abstractmethod
    def read(self, root: Path) -> Release:
        """Reads the release.

        Raises:
            DataError: A file is missing, unreadable, truncated or of another layout, or an id stands twice.
        """

    def folders(self, root: Path) -> tuple[Path, ...]:
        """The folders whose files make the release, the first that of `root`: when one changes, it is prepared anew."""
        return (root.parent if root.is_file() else root,)

    def entity_id(self, key: str) -> str:
        """The id of the entity that `key` means in a file of entity texts; the key itself unless titles are ids."""
        return key
