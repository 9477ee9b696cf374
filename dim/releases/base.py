"""What a converter is: it reads raw files and returns a `Release`, without torch and without network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from dim.data.dataset import Dataset
from dim.data.skipped import Skipped
from dim.data.streamed_texts import StreamedTexts


@dataclass
class Release:
    """What a converter read.

    The tables have the columns of `dim.data.dataset`; `split` may be train, dev or test, and where it is null
    throughout, `dim prepare` draws all three.

    Attributes:
        name: The dataset's name, such as `WikiMEL`.
        source: Where it comes from (a citation, no path).
        licence: Its licence, or `unknown`.
        entities: One row an entity (`ENTITY_SCHEMA`).
        texts: Variant name → table (entity_id, text), or where one comes from that is too large for memory.
        mentions: One row a mention (`MENTION_SCHEMA`), in the order of the files. A column `image_key` may say by what
            name the image of a row stands that names none (`<key>.jpg`, or all in a folder `<key>`), a column
            `lacks_golds` which rows have further golds that the KB lacks.
        image_root: The folder that image paths are relative to, or None where there are no images.
        rows_read: Mention rows in the raw files, before anything was skipped.
        skipped: The mention rows that were left out.
        notes: Sentences that the user should read: what was absent, assumed or put right.
        images_by_key: Whether images are always called by `image_key`, so that one without a file is a missing image.
        image_urls: Image path → the URL that `dim fetch-images` gets it from.
        named_urls: Image path as rows name it → the URL that the release says it is from: where there is no such file,
            the image is one of `image_urls`.
        write_images: Writes the images that stand in the tables themselves into a folder, and returns how many; they
            are its paths. None: no table holds images.
    """

    name: str
    source: str
    licence: str
    entities: pd.DataFrame
    texts: Mapping[str, pd.DataFrame | StreamedTexts]
    mentions: pd.DataFrame
    image_root: Path | None
    rows_read: int
    skipped: Skipped
    notes: list[str] = field(default_factory=list)
    images_by_key: bool = False
    image_urls: dict[str, str] = field(default_factory=dict)
    named_urls: Mapping[str, str] = field(default_factory=dict)
    write_images: Callable[[Path], int] | None = None


@dataclass(frozen=True)
class Asked:
    """What is asked of a release beside its layout, each as of `dim prepare`."""

    name: str | None = None
    images: Path | None = None
    texts: Mapping[str, Path] = field(default_factory=dict)
    max_missing_images: float = 1.0
    nil_labels: Sequence[str] = ()


class Converter(ABC):
    """Reads one published layout."""

    layout: str  #: The name that `dim prepare --layout` takes.
    needs: str  #: The files that make the layout, for the message where none is recognized.
    folders: Sequence[str] = ()  #: The subfolders whose files it reads: when one changes, `fit` prepares anew.
    kind: str = "another layout"  #: What has it, for messages about its `options`.
    options: Sequence[str] = ()  #: Those of `dim prepare` that it alone takes: arguments of its constructor.
    allow_missing = False  #: As of `dim prepare`: whether rows that cannot be read are left out, however many.

    @abstractmethod
    def recognizes(self, root: Path) -> bool:
        """Tells by the file names, or by the first row where names cannot tell, whether `root` holds this layout."""

    @abstractmethod
    def read(self, root: Path) -> Release:
        """Reads the release.

        Raises:
            DataError: A file is missing, unreadable, truncated or of another layout, or an id stands twice.
        """

    def write_kb(self, root: Path, out: Path, asked: Asked, **facts: Any) -> Dataset | None:
        """Writes the dataset folder of a KB that is too large for a `Release`; None: `read` has it, with mentions.

        Args:
            root: The release.
            out: The folder.
            asked: What else is asked.
            **facts: Further keys of `dataset.json`.
        """
        return None

    def entity_id(self, key: str) -> str:
        """The id of the entity that `key` means in a file of entity texts; the key itself unless titles are ids."""
        return key
