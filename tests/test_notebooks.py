"""Every notebook runs from top to bottom, in a copy of the folders that it names, and is stored as it ran."""

import json
import re

import nbformat
import pytest
from executed_notebook import NOTEBOOKS, executed

STORED = pytest.mark.parametrize("notebook", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])

#: What only one machine or one moment has: home, temporary and system folders, and escapes of a terminal.
OF_ONE_MACHINE = re.compile(r"(?<![\w.])/(?:home|root|tmp|var|usr|opt|Users|private)/|[A-Z]:\\\\|site-packages|\\u001b")


def complaints(book):
    """What its cells wrote to stderr."""
    return [out.text for cell in book.cells for out in cell.get("outputs", []) if out.get("name") == "stderr"]


@pytest.mark.long
@STORED
def test_every_notebook_runs(notebook, tmp_path):
    book = executed(notebook, tmp_path)
    assert all(cell["outputs"] for cell in book.cells if "report" in cell.source and cell.cell_type == "code")
    assert not complaints(book)


@STORED
def test_a_notebook_is_stored_with_the_outputs_of_one_run(notebook):
    cells = [cell for cell in nbformat.read(notebook, as_version=4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    kinds = [output.output_type for cell in cells for output in cell.outputs]
    assert len(kinds) >= 2
    assert "error" not in kinds
    assert not complaints(nbformat.read(notebook, as_version=4))
    assert not [cell.id for cell in cells if "execution" in cell.metadata]


@STORED
def test_a_stored_notebook_names_no_folder_of_one_machine_and_stays_small(notebook):
    for cell in nbformat.read(notebook, as_version=4).cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            images = {kind: data[kind] for kind in data if kind.startswith("image/")}
            assert all(len(image) < 130_000 for image in images.values())  # 100 kB in base64
            texts = {kind: data[kind] for kind in data if kind not in images} | {"text": output.get("text", "")}
            assert not OF_ONE_MACHINE.findall(json.dumps(texts))


ONE_MACHINE = ["/home/ann/dim/runs", "in '/tmp/a1/b'", "/usr/lib/x.py", "C:\\Users\\ann", "\x1b[1mbold"]


@pytest.mark.parametrize("text", ONE_MACHINE)
def test_a_folder_of_one_machine_is_seen(text):
    assert OF_ONE_MACHINE.search(json.dumps(text))


def test_a_folder_of_the_notebooks_is_none():
    assert not OF_ONE_MACHINE.search(json.dumps("notebooks/work/runs/a/metrics.json, /link/image, win/tie/loss"))


def test_the_notebooks_are_numbered_from_one():
    assert [path.name.split("_")[0] for path in NOTEBOOKS] == [str(n) for n in range(1, len(NOTEBOOKS) + 1)]
