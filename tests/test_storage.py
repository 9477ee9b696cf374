import errno
import os
import subprocess
import sys

import pytest
from waiting import HANG

from dim.errors import DimError, MissingExtraError, StorageError
from dim.storage import atomic_path, content_hash, explain_write_errors, write_json


def test_an_error_while_writing_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"old": True})

    def fail() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == '{\n  "old": true\n}\n'
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_folder_replaces_a_folder_whole(tmp_path):
    for name in ("first", "second"):
        with atomic_path(tmp_path / "d") as temporary:
            temporary.mkdir()
            (temporary / name).touch()
    assert [p.name for p in (tmp_path / "d").iterdir()] == ["second"]
    assert [p.name for p in tmp_path.iterdir()] == ["d"]


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, r"space to write [\s\S]*a full disk[\s\S]*run the same command again"),
        (errno.EACCES, "permission to write"),
    ],
)
def test_write_errors_name_the_remedy(tmp_path, number, message):
    with pytest.raises(StorageError, match=message), explain_write_errors(tmp_path / "sub" / "x"):
        raise OSError(number, os.strerror(number))


def test_other_errors_pass(tmp_path):
    with pytest.raises(OSError, match="Input/output"), explain_write_errors(tmp_path):
        raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_errors_survive_pickling_between_processes():
    import pickle

    for error in (DimError("a", "b", "c"), MissingExtraError("faiss", "search")):
        copy = pickle.loads(pickle.dumps(error))
        assert (type(copy), str(copy)) == (type(error), str(error))


def test_a_hash_depends_on_the_boundaries_of_its_parts():
    assert content_hash("ab", "c") != content_hash("a", "bc")
    assert content_hash("a") == content_hash(b"a")


def test_a_folder_is_never_missing_while_it_is_replaced(tmp_path):
    folder = tmp_path / "folder"
    reader = subprocess.Popen(
        [sys.executable, "-c", WATCH, str(folder / "whole")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    for turn in range(200):
        with atomic_path(folder) as temporary:
            temporary.mkdir()
            (temporary / "whole").write_text(str(turn))
        if turn == 0:
            assert reader.stdout.readline() == "there\n"
    assert reader.communicate("\n", timeout=HANG)[0] == "0 misses\n"
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


WATCH = """
import os, select, sys
path, seen, misses = sys.argv[1], False, 0
while not select.select([sys.stdin], [], [], 0)[0]:
    there = os.path.exists(path)
    if there and not seen:
        print("there", flush=True)
    seen = seen or there
    misses += seen and not there
print(misses, "misses")
"""
