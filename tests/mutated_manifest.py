"""Manifests of linkers as a stranger would write them: the seal keeps no secret, so it is always right."""

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from dim.core.sealed import _seal
from dim.errors import DimError
from dim.linker.folder import MANIFEST


def reseal(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Changes a manifest as a stranger would: its seal, which keeps no secret, is right."""
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest.pop("seal", None)
    change(manifest)
    (folder / MANIFEST).write_text(json.dumps({**manifest, "seal": _seal(manifest)}))


VALUES = st.sampled_from([None, True, -1, 10**30, 0.5, "", "text", [], [1], {}, {"a": 1}, {"class_path": "DIM"}, "\0"])


def paths_in(value: Any, prefix: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a manifest."""
    if prefix:
        yield prefix
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        yield from paths_in(item, (*prefix, name))


def check_mutations(folder: Path, use: Callable[[Path], None], count: int) -> None:
    """Tries a linker's folder with each of many changes of its manifest: it can be used, or raises a DimError."""
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest.pop("seal")
    places = [path for path in paths_in(manifest) if path[0] != "files" or len(path) < 3]

    @settings(max_examples=count, database=None)
    @given(st.sampled_from(places), st.just("gone") | VALUES.map(lambda value: ("value", value)))
    def check(path: tuple[Any, ...], change: Any) -> None:
        wrong = json.loads(json.dumps(manifest))
        owner = wrong
        for name in path[:-1]:
            owner = owner[name]
        if change == "gone":
            del owner[path[-1]]
        else:
            owner[path[-1]] = change[1]
        (folder / MANIFEST).write_text(json.dumps({**wrong, "seal": _seal(wrong)}))
        with suppress(DimError):  # and nothing else
            use(folder)

    check()
