"""Every notebook runs from top to bottom, in a copy of the folders that it names."""

import os
import shutil
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from waiting import HANG

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


#: The first two in make test, the others, which fit more, in make test-all.
EACH = [pytest.param(path, marks=[pytest.mark.long] * (number >= 2)) for number, path in enumerate(NOTEBOOKS)]


@pytest.mark.parametrize("notebook", EACH, ids=[path.stem for path in NOTEBOOKS])
def test_every_notebook_runs(notebook, tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    shutil.copytree(ROOT / "lightning_configs", tmp_path / "lightning_configs")
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    book = nbformat.read(notebook, as_version=4)
    client = NotebookClient(
        book, timeout=2 * HANG, kernel_name="python3", resources={"metadata": {"path": str(tmp_path / "notebooks")}}
    )
    client.execute()
    assert all(cell["outputs"] for cell in book.cells if "report" in cell.source and cell.cell_type == "code")


def test_the_notebooks_are_numbered_from_one():
    assert [path.name.split("_")[0] for path in NOTEBOOKS] == [str(n) for n in range(1, len(NOTEBOOKS) + 1)]
