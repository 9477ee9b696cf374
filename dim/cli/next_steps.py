"""What is done with a linker's folder after it was written."""

from __future__ import annotations

from pathlib import Path
from shlex import join

from dim.display.terminal import Console, Text
from dim.linker import Linker


def say_next(written: str, linker: Linker, folder: Path, image_root: str | None) -> None:
    """Prints how the linker is asked, and served with its pictures.

    Args:
        written: What was written, as the first line says it.
        linker: Of the folder.
        folder: Where it stands.
        image_root: Where the images of its KB stand that are not in it; None: it has them, or there are none.
    """
    console = Console()
    console.print(Text(f"written: {written}; next, ask it, or serve it:"), soft_wrap=True)
    name = next(iter(linker)).name
    more = [] if image_root is None else ["--image_root", image_root]
    for words in (
        ["link", "--model", str(folder), "--mention", name, "--context", f"{name} …"],
        ["serve", "--model", str(folder), *more],
    ):
        console.print(Text(f"  {join(['python', '-m', 'dim', *words])}"), soft_wrap=True)
