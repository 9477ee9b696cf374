"""Files whose names are written in another Unicode form on disk than in a table."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from dim.core.text_form import one_form


def path_on_disk(path: Path) -> Path:
    """The path under which a file or folder really stands; the path itself where there is none.

    Tables hold names in one form (NFC); archives made on macOS unpack them decomposed, others mix both.
    """
    if str(path).isascii() or _stands(path):
        return path
    found = Path(path.anchor)
    for part in path.relative_to(path.anchor).parts:
        place = found / part
        if not part.isascii() and not _stands(place):
            name = _other_forms(found).get(one_form(part))
            if name is None:
                return path
            place = found / name
        found = place
    return found


def _stands(path: Path) -> bool:
    try:
        path.stat()
    except (OSError, ValueError):
        return False
    return True


def _other_forms(folder: Path) -> dict[str, str]:
    """The names of a folder that are not ASCII, by their one form."""
    try:
        return _listed(str(folder.absolute()), folder.stat().st_mtime_ns)
    except OSError:
        return {}


@lru_cache(maxsize=64)
def _listed(folder: str, _changed: int) -> dict[str, str]:
    names = [path.name for path in Path(folder).iterdir()]
    return {one_form(name): name for name in names if not name.isascii()}
