"""One writer a folder, whichever process it is in."""

import io
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path

import pytest
from waiting import wait_until

from dim.core.locks import folder_lock, lock_file
from dim.errors import ConfigError

HOLDING = """
import sys
from dim.core.locks import folder_lock
with folder_lock(sys.argv[1], "dim fit"):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock of a folder until its input ends."""
    command = [sys.executable, "-c", HOLDING, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        if process.poll() is None:
            process.communicate()


def test_a_second_process_is_refused_and_told_who_writes(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "run")
    with holder(tmp_path / "run") as process:
        for name in ("run", "link"):
            said = rf"nobody else writing .*{name}\nfound    dim fit \(process {process.pid} on .+, since \d{{4}}-"
            with pytest.raises(ConfigError, match=said), folder_lock(tmp_path / name, "dim test"):
                pass
        with folder_lock(tmp_path / "other", "dim test"):
            pass
    with folder_lock(tmp_path / "run", "dim test"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["link"]


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    with holder(tmp_path / "run") as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert lock_file(tmp_path / "run").exists()
        with folder_lock(tmp_path / "run", "dim test"):
            pass
    assert not list(tmp_path.iterdir())


def test_a_child_does_not_keep_the_lock_of_its_killed_parent(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    parent = os.fork()
    if not parent:
        with folder_lock(tmp_path / "run", "dim embed"):
            child = os.fork()
            if not child:
                os.write(writing, f"{os.getpid()}\n".encode())
                signal.pause()
            signal.pause()
    child = int(os.read(reading, 20))
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    try:
        with folder_lock(tmp_path / "run", "dim test"):
            pass
    finally:
        os.kill(child, signal.SIGKILL)


def test_who_waits_says_so_and_goes_on(tmp_path: Path) -> None:
    # Not capsys: what a thread writes while this one reads may be lost there.
    with holder(tmp_path / "cache") as process, redirect_stderr(io.StringIO()) as said:
        entered = threading.Event()

        def second() -> None:
            with folder_lock(tmp_path / "cache", "dim embed", wait=True):
                entered.set()

        waiting = threading.Thread(target=second)
        waiting.start()
        wait_until(lambda: said.getvalue().endswith("\n"))
        expected = rf"waiting: .*cache is being written by dim fit \(process {process.pid} on "
        assert re.search(expected, said.getvalue())
        assert not entered.is_set()
        process.communicate()
        waiting.join()
        assert entered.is_set()


def test_it_may_be_taken_again_by_its_holder_but_not_by_another_thread(tmp_path: Path) -> None:
    refused = []

    def other() -> None:
        try:
            with folder_lock(tmp_path / "run", "dim rank"):
                pass
        except ConfigError as error:
            refused.append(error)

    with folder_lock(tmp_path / "run", "dim fit"):
        with folder_lock(tmp_path / "run", "dim validate"):
            pass
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    other()
    assert len(refused) == 1


def test_threads_take_turns(tmp_path: Path) -> None:
    inside: list[int] = []
    most: list[int] = []

    def work() -> None:
        with folder_lock(tmp_path / "locks/one", "a test", wait=True):
            inside.append(1)
            most.append(len(inside))
            os.sched_yield()
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 8


def test_a_folder_is_not_replaced_while_something_in_it_is_written(tmp_path: Path) -> None:
    with holder(tmp_path / "dataset" / "answers" / "new.jsonl") as process:
        with (
            pytest.raises(
                ConfigError, match=rf"nobody else writing in .*dataset\nfound    dim fit \(process {process.pid}"
            ),
            folder_lock(tmp_path / "dataset", "dim prepare", whole=True),
        ):
            pass
        with folder_lock(tmp_path / "dataset", "dim caption"):
            pass
    with folder_lock(tmp_path / "dataset", "dim prepare", whole=True):
        pass


def test_the_lock_stays_the_same_while_the_folder_is_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "linker"
    folder.mkdir()
    with holder(folder):
        folder.rename(tmp_path / "old")
        folder.mkdir()
        with pytest.raises(ConfigError, match="nobody else writing"), folder_lock(folder, "dim index"):
            pass
        assert not list(folder.iterdir())
