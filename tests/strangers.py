"""Linkers' folders as a stranger would make them: whole, sealed, and with image paths of the stranger's choosing."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from dim.core.sealed import seal
from dim.linker.entity_table import FILE
from dim.linker.folder import MANIFEST
from dim.methods.contrastive.folder import CONTENT, FORMAT

PRIVATE = b"nobody else may read this"


def make_home(folder: Path) -> Path:
    """A user's folder, with a text, a picture, and a text that bears a picture's name."""
    folder.mkdir()
    (folder / "diary.txt").write_bytes(PRIVATE)
    (folder / "diary.png").write_bytes(PRIVATE)
    Image.new("RGB", (40, 30), "red").save(folder / "photo.png")
    return folder


def naming(saved: Path, target: Path, images: Callable[[Path], list[str]]) -> str:
    """Makes a copy of a linker's folder whose first entity with images names these; the entity's id."""
    place = shutil.copytree(saved, target)
    table = pq.read_table(place / FILE)
    frame: pd.DataFrame = table.to_pandas()
    row = int(frame.index[frame["images"].str.len() > 0][0])
    frame.at[row, "images"] = images(place)
    pq.write_table(pa.Table.from_pandas(frame, schema=table.schema, preserve_index=False), place / FILE)
    facts = json.loads((place / MANIFEST).read_text())
    (place / MANIFEST).unlink()
    about = {name: value for name, value in facts.items() if name not in ("content", "format_version", "files", "seal")}
    seal(place, CONTENT, FORMAT, about, MANIFEST)
    return str(frame.at[row, "id"])


def leading_out(how: str, home: Path) -> Callable[[Path], list[str]]:
    """The paths that a folder beside `home` names to lead to the files in it."""
    files = sorted(home.iterdir())

    def named(place: Path) -> list[str]:
        if how == "absolute":
            return [str(file) for file in files]
        return [f"images/../../{home.name}/{file.name}" for file in files]

    return named


def holds(folder: Path, content: bytes) -> bool:
    """Whether a file somewhere in a folder has this content."""
    return any(content in path.read_bytes() for path in folder.rglob("*") if path.is_file())
