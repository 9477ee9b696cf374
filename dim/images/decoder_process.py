"""One process that decodes images, seen from the one that asks it: started, asked, ended, and started again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from mmap import ACCESS_READ, mmap
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

from dim.images.decoder import Asked
from dim.images.decoding_cost import Header, NoImageError
from dim.images.reading import UnusableImageError

T = TypeVar("T")
Read = Callable[[tuple[int, int], mmap, int], T]  #: Of an image's size, and what was written of so many bytes.
LOST, TOO_LONG = "its decoder ended", "took too long to decode"  #: Reasons why an image cannot be used.
_PROGRAM = "from dim.images.decoder import serve; serve({handle}, {shared})"
KEPT_BYTES = 2**24  #: Of the file that a process shares; a larger one is cut down when its image is read.
#: One thread and one heap, which keeps some of its memory for the next image: to get it anew takes as long as decoding.
_ALONE = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(2**24),
    "MALLOC_TRIM_THRESHOLD_": str(2**25),
    "PILLOW_BLOCKS_MAX": "2",
}


class EndedError(Exception):
    """Nobody waits for this image any more."""


class CostlyError(Exception):
    """An image has more pixels, or needs more memory, than it may.

    Attributes:
        header: Of the image.
        cost: Bytes that it needs.
    """

    def __init__(self, header: Header, cost: int) -> None:
        self.header, self.cost = header, cost
        super().__init__(f"{header.pixels:,} pixels, {cost:,} bytes")


class Job:
    """The decoding of one image, which another thread may end."""

    def __init__(self) -> None:
        self._lock, self._process, self._is_ended = Lock(), None, False  # type: Lock, DecoderProcess | None, bool

    def check(self) -> None:
        """Raises EndedError where it was ended."""
        with self._lock:
            if self._is_ended:
                raise EndedError

    def end(self) -> None:
        """Ends the process that works at it, at once; where none does yet, none will."""
        with self._lock:
            self._is_ended = True
            if self._process is not None:
                self._process.kill()

    @contextmanager
    def done_by(self, process: DecoderProcess) -> Iterator[None]:
        """Has that process ended by `end` from now on, and not after."""
        with self._lock:
            self._process = process
        try:
            yield
        finally:
            with self._lock:
                self._process = None


class _Shared:
    """A file by which a process gets images and gives them; some of its memory is kept for the next ones."""

    def __init__(self) -> None:
        self.handle = _file_without_a_name()
        self._map: mmap | None = None

    def write(self, data: bytes) -> None:
        """Puts an image's bytes into it."""
        os.pwrite(self.handle, data, 0)

    def read(self, num_bytes: int) -> mmap:
        """What was written into it, so many bytes of it at least.

        Raises:
            UnusableImageError: They are not there.
        """
        there = os.fstat(self.handle).st_size
        if there < num_bytes:
            raise UnusableImageError(LOST)
        if self._map is None or len(self._map) < num_bytes:
            self._unmap()
            self._map = mmap(self.handle, there, access=ACCESS_READ)
        return self._map

    def cut(self) -> None:
        """Gives back the memory that is more than is kept."""
        if os.fstat(self.handle).st_size > KEPT_BYTES:
            self._unmap()
            os.ftruncate(self.handle, 0)

    def close(self) -> None:
        """Ends it."""
        self._unmap()
        os.close(self.handle)

    def _unmap(self) -> None:
        if self._map is not None:
            self._map.close()
            self._map = None


def _file_without_a_name() -> int:
    """An empty file, by its descriptor: in memory, or where a system has none such (macOS), in its temporary folder."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("image")
    descriptor, name = tempfile.mkstemp()
    Path(name).unlink()
    return descriptor


class DecoderProcess:
    """One process, or the place of one."""

    def __init__(self) -> None:
        self.popen: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self.shared = _Shared()

    def ask(self, asked: Asked, data: bytes, read: Read[T], job: Job) -> T:
        """What `read` makes of the answer. The process is started where it does not run, and ended where this fails.

        Raises:
            UnusableImageError: As `Decoders.opened`, as the rest.
        """
        job.check()
        if self.popen is None or self.popen.poll() is not None:
            self.end()
            self._start()
            job.check()  # there was nothing to end until now
        try:
            answer = self._answer(asked, data)
            if "reason" in answer:
                raise (NoImageError if answer["is_none"] else UnusableImageError)(answer["reason"])
            if "error" in answer:
                raise OSError(answer["error"])
            if "cost" in answer:
                raise CostlyError(Header(**answer["header"]), answer["cost"])
            (width, height), num_bytes = answer["size"], answer["num_bytes"]
            return read((width, height), self.shared.read(num_bytes), num_bytes)
        finally:
            self.shared.cut()

    def _answer(self, asked: Asked, data: bytes) -> dict[str, Any]:
        assert self._connection is not None
        try:
            self.shared.write(data)
            self._connection.send_bytes(asked.line())
            answer: dict[str, Any] = json.loads(self._connection.recv_bytes())
            return answer
        except (EOFError, ConnectionError) as error:
            raise UnusableImageError(TOO_LONG if self.end() == -signal.SIGALRM else LOST) from error
        except BaseException:  # what it would still say belongs to no other image
            self.end()
            raise

    def _start(self) -> None:
        self._connection, theirs = Pipe()
        with theirs:
            handles = theirs.fileno(), self.shared.handle
            self.popen = subprocess.Popen(
                [sys.executable, "-P", "-c", _PROGRAM.format(handle=handles[0], shared=handles[1])],
                pass_fds=handles,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=same_imports() | _ALONE,
            )

    def kill(self) -> None:
        """Has it end; whoever waits for it hears so."""
        if (popen := self.popen) is not None:  # another thread may take it away
            popen.kill()

    def end(self) -> int | None:
        """Ends it, if it runs; its exit status."""
        if self.popen is None:
            return None
        self.kill()
        status = self.popen.wait()
        if self._connection is not None:
            self._connection.close()
        self.popen, self._connection = None, None
        return status

    def close(self) -> None:
        """Ends it for good."""
        self.end()
        self.shared.close()


def same_imports() -> dict[str, str]:
    """The environment in which a new Python finds the packages that this one finds."""
    places = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
    return {**os.environ, "PYTHONPATH": places}
