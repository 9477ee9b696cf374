import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from waiting import HANG

from dim.core.files import WORKPLACE, atomic_path, content_hash, explain_write_errors, growing, write_json
from dim.errors import DimError, MissingExtraError, StorageError


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


def test_what_a_killed_writer_left_goes_with_the_next_save_in_the_folder_and_a_living_one_s_stays(tmp_path):
    program = "import os, sys; from pathlib import Path; from dim.core.files import atomic_path\n"
    program += "with atomic_path(Path(sys.argv[1])) as place: place.write_text('half'); os.kill(os.getpid(), 9)"
    for name in ("one.json", "two.json"):
        assert subprocess.run([sys.executable, "-c", program, str(tmp_path / name)]).returncode == -9
    assert len(list(tmp_path.iterdir())) == 1  # the second has removed what the first left
    with atomic_path(tmp_path / "one.json") as temporary:
        temporary.write_text("{}")
        write_json(tmp_path / "other.json", {})
        write_json(tmp_path / "one.json", {"while": "it is written"})
        assert temporary.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.json", "other.json"]
    assert (tmp_path / "one.json").read_text() == "{}"


def test_what_is_written_is_on_the_disk_before_it_has_its_name_and_the_name_before_the_old_goes(tmp_path, monkeypatch):
    folder, synced = tmp_path / "deep" / "folder", []

    def fsync(descriptor):
        synced.append((Path(f"/proc/self/fd/{descriptor}").readlink().name, whole.exists(), left()))

    def left():
        return [path.read_text() for path in tmp_path.glob("deep/.folder.dim-new-*/folder/whole")]

    whole = folder / "whole"
    monkeypatch.setattr(os, "fsync", fsync)
    for turn in ("old", "new"):
        with atomic_path(folder) as temporary:
            temporary.mkdir()
            (temporary / "whole").write_text(turn)
    assert synced == [
        (tmp_path.name, False, []),
        *[("whole", False, ["old"]), ("folder", False, ["old"]), ("deep", True, [])],
        *[("whole", True, ["new"]), ("folder", True, ["new"]), ("deep", True, ["old"])],
    ]


def test_a_line_is_on_the_disk_when_it_was_added_and_a_torn_one_swallows_none(tmp_path, monkeypatch):
    path, synced = tmp_path / "lines", []
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, bytes(data)[:3]))  # near a full disk
    monkeypatch.setattr(os, "fsync", lambda _: synced.append(path.read_bytes()))
    with growing(path) as add:
        add(b"first\n")
        add(b"second\nthird\n")
    assert synced == [b"", b"first\n", b"first\nsecond\nthird\n"]  # the first time its name
    path.write_bytes(b"first\nsec")
    with growing(path) as add:
        add(b"third\n")
    assert path.read_bytes() == b"first\nsec\nthird\n"


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


def test_ctrl_c_just_when_a_workplace_was_made_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = Path.mkdir

    def interrupted(self: Path, *args: Any, **options: Any) -> None:
        make(self, *args, **options)
        if WORKPLACE in self.name:
            raise KeyboardInterrupt

    monkeypatch.setattr(Path, "mkdir", interrupted)
    with pytest.raises(KeyboardInterrupt), atomic_path(tmp_path / "new"):
        pass
    assert not list(tmp_path.iterdir())
