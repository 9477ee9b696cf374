"""Linkers' folders as a stranger would make them: whole, sealed, and with image paths of the stranger's choosing."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
from PIL import Image

from dim.core.arrow_file import write_arrow
from dim.core.sealed import seal
from dim.linker.entity_table import FILE
from dim.linker.folder import MANIFEST
from dim.methods.contrastive.linker import FORMAT

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
    table = pa.ipc.open_file((place / FILE).read_bytes()).read_all()
    frame: pd.DataFrame = table.to_pandas()
    row = int(frame.index[frame["images"].str.len() > 0][0])
    frame.at[row, "images"] = images(place)
    write_arrow(pa.Table.from_pandas(frame, schema=table.schema, preserve_index=False), place / FILE)
    _seal(place)
    return str(frame.at[row, "id"])


def _seal(place: Path) -> None:
    facts = json.loads((place / MANIFEST).read_text())
    (place / MANIFEST).unlink()
    about = {name: value for name, value in facts.items() if name not in ("content", "format_version", "files", "seal")}
    seal(place, facts["content"], FORMAT, about, MANIFEST)


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
