"""Where the machine lacks something, a command ends with a message, and what was there stays."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from lacking import no_privileges, small_files
from safetensors.torch import save_file
from tiny_fit import tiny_options, tiny_world
from torch.utils.data import DataLoader, Dataset

from dim.__main__ import main
from dim.core.files import atomic_path, write_json
from dim.core.shortages import is_memory, shortage
from dim.errors import DataError, DimError, MemoryShortageError, StorageError
from dim.methods.generative.language_model import explained_memory

MUCH = 2**50


class Dies(Dataset[int]):
    """Its worker process is ended by the system, as where memory is full."""

    def __getitem__(self, index: int) -> int:
        os.kill(os.getpid(), signal.SIGKILL)
        return index

    def __len__(self) -> int:
        return 4


def read_by_a_worker() -> None:
    next(iter(DataLoader(Dies(), num_workers=1)))


@pytest.mark.parametrize(
    "take",
    [
        lambda: np.empty(MUCH),
        lambda: torch.empty(MUCH),
        lambda: pa.allocate_buffer(MUCH),
        lambda: bytearray(2**62),
        read_by_a_worker,
    ],
)
def test_too_little_memory_is_told_whoever_asked_for_it(take: Callable[[], object]) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - each library has its own
        take()
    found = shortage(caught.value)
    assert isinstance(found, MemoryShortageError)
    assert "Lower batch_size or num_workers" in found.remedy


def test_a_language_model_says_which_of_its_options_take_less_memory() -> None:
    for take in (lambda: np.empty(MUCH), lambda: torch.empty(MUCH)):
        with pytest.raises(DimError, match=r"the language model[\s\S]*Lower --data.batch_size"), explained_memory():
            take()


WRITES: dict[str, Callable[[Path], object]] = {
    "numpy": lambda path: np.save(path, np.ones(5000)),
    "torch": lambda path: torch.save(torch.ones(5000), path),
    "safetensors": lambda path: save_file({"a": torch.ones(5000)}, path),
    "pandas": lambda path: pd.DataFrame({"a": np.random.default_rng(0).random(5000)}).to_parquet(path),
    "faiss": lambda path: faiss.write_index(_index(), str(path)),
    "text": lambda path: path.write_text("x" * 40_000),
}


def _index() -> faiss.Index:
    index = faiss.IndexFlatIP(50)
    index.add(np.ones((200, 50), np.float32))
    return index


@pytest.mark.parametrize("library", list(WRITES))
def test_a_write_that_ends_in_the_middle_is_told_whichever_library_made_it(library: str, tmp_path: Path) -> None:
    path = tmp_path / "file.npy"
    path.write_text("old")
    with small_files(8192), pytest.raises(StorageError, match=f"(space|room) to write {path}"):  # noqa: SIM117
        with atomic_path(path) as temporary:
            WRITES[library](temporary)
    assert path.read_text() == "old"
    with small_files(8192), pytest.raises(Exception) as caught:  # noqa: PT011
        WRITES[library](tmp_path / "new.npy")
    assert isinstance(shortage(caught.value), StorageError)


def test_what_is_no_shortage_stays_what_it_is() -> None:
    for error in (ValueError("odd"), KeyError("a"), RuntimeError("sizes differ"), FileNotFoundError(2, "none", "a")):
        assert shortage(error) is None
        assert not is_memory(error)
    told = DataError("rows", "none", "Add some.")
    assert shortage(told) is None
    wrapped = RuntimeError("worker failed")
    wrapped.__cause__ = told
    assert shortage(wrapped) is told


def test_too_many_open_files_name_their_limit() -> None:
    found = shortage(OSError(errno.EMFILE, os.strerror(errno.EMFILE)))
    assert found is not None
    assert "ulimit -n" in found.remedy


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_world(tmp_path_factory)


@pytest.fixture(scope="module")
def run(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("short") / "run"
    assert main(["fit", *tiny_options(world, folder)]) == 0
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("size", [20_000, pytest.param(300, marks=pytest.mark.long)])
def test_fit_on_a_full_disk_leaves_the_run_that_it_was_to_replace(
    size: int, world: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(run)
    with small_files(size):
        assert main(["fit", *tiny_options(world, run, "--overwrite", "true", "--seed_everything", "1")]) == 1
    said = capsys.readouterr().err
    assert "error: expected " in said
    assert " to write " in said
    after = contents(run)
    assert {path: after[path] for path in before} == before
    assert main(["fit", *tiny_options(world, run, "--overwrite", "true")]) == 0


@pytest.mark.parametrize("command", [pytest.param("validate", marks=pytest.mark.long), "predict"])
def test_results_are_whole_or_as_they_were_on_a_full_disk_and_where_nothing_may_be_written(
    command: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = [command, "--config", str(run / "config.yaml"), "--data.predict_split", "dev"]
    assert main(args) == 0
    before = contents(run)
    with small_files(300):
        assert main(args) == 1
    assert "error: expected room to write" in capsys.readouterr().err
    assert {path: content for path, content in contents(run).items() if path in before} == before
    folders = [run, *(path for path in run.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    try:
        with no_privileges():
            assert main(args) == 1
    finally:
        for folder in folders:
            folder.chmod(0o755)
    assert "error: expected permission" in capsys.readouterr().err
    assert {path: content for path, content in contents(run).items() if path in before} == before


def test_a_command_out_of_memory_says_what_it_left(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(run), f"--rounds={10**13}"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: expected memory for what is computed\nfound    ")
    assert said.endswith("\nleft     nothing was changed; the same command starts anew\n")


def test_an_output_that_takes_nothing_ends_it_without_a_traceback() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)  # as of `dim … | head`
    for sink, code, said in (
        (os.open("/dev/full", os.O_WRONLY), 1, "error: expected space to write"),
        (write_end, 128 + signal.SIGPIPE, ""),
    ):
        done = subprocess.run([sys.executable, "-m", "dim", "--help"], stdout=sink, stderr=subprocess.PIPE, text=True)
        os.close(sink)
        assert done.returncode == code
        assert done.stderr.startswith(said)
        assert "Traceback" not in done.stderr
        assert "ignored" not in done.stderr


def test_json_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"a": 1})
    with small_files(16), pytest.raises(StorageError):
        write_json(tmp_path / "a.json", {"a": "long" * 100})
    assert (tmp_path / "a.json").read_text() == '{\n  "a": 1\n}\n'
