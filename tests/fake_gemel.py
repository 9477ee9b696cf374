"""Layout 5, small: GEMEL's JSON lines, beside files that nobody may open."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from releases import ROWS, row


def gemel_row(number: int, **changes: Any) -> dict[str, Any]:
    """Row `number` of `releases.row`, as the WikiMEL of GEMEL has it."""
    base = row(number)
    return {
        "text": base["sentence"],
        "mention": base["mentions"],
        "target": base["entities"],
        "golden": base["entities"],
        "img_name": base["imgPath"],
    } | changes


def write_lines(path: Path, rows: list[Any], end: str = "\n", start: str = "") -> None:
    """Writes JSON lines with the line ends named."""
    text = start + "".join(json.dumps(item, ensure_ascii=False) + end for item in rows)
    path.write_bytes(text.encode())


def write_gemel(root: Path) -> Path:
    """20 train, 4 dev and 4 test rows; the pickle and the HDF5 file are neither."""
    root.mkdir(parents=True)
    for split, numbers in ROWS.items():
        write_lines(root / f"{split}.json", [gemel_row(number) for number in numbers])
    (root / "prefix_tree_opt.pkl").write_bytes(b"not a pickle")
    (root / "clip_vit_large_patch14_1024.hdf5").write_bytes(b"not HDF5")
    return root
