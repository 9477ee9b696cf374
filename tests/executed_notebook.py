"""Executes the notebooks: for the tests, and (`make notebooks`) to store them with their outputs."""

import os
import shutil
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from waiting import HANG

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def executed(notebook: Path, folder: Path) -> nbformat.NotebookNode:
    """The notebook with its outputs, run in a folder that gets a copy of what it reads; raises where a cell fails."""
    (folder / "notebooks").mkdir()
    shutil.copytree(ROOT / "lightning_configs", folder / "lightning_configs")
    book = nbformat.read(notebook, as_version=4)
    metadata = book.metadata.copy()
    NotebookClient(
        book,
        timeout=2 * HANG,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(folder / "notebooks")}},
    ).execute(env=os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"})
    book.metadata = metadata  # the kernel adds the versions of this machine's Python
    return book


def main(notebooks: list[Path]) -> None:
    """Stores each with the outputs of a run of its own."""
    for notebook in notebooks:
        print(notebook.name, flush=True)
        with tempfile.TemporaryDirectory() as folder:
            book = executed(notebook, Path(folder))
        nbformat.write(book, notebook)


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]] or NOTEBOOKS)
