"""Processes that decode images: what an image does to one of them costs that image, and nothing else."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from queue import SimpleQueue
from threading import Lock
from types import TracebackType
from typing import Any, TypeVar

from PIL import Image

from dim.features.decoder import PIXEL, Asked
from dim.features.decoding_cost import Header
from dim.features.images import UnusableImageError

T = TypeVar("T")
LOST, TOO_LONG = "its decoder ended", "took too long to decode"  #: Reasons why an image cannot be used.
_PROGRAM = "from dim.features.decoder import serve; serve({handle}, {shared})"
KEPT_BYTES = 2**24  #: Of the file that a process shares; a larger one is cut down when its image is read.
PART_BYTES = 2**18  #: Of an image that are read together: they stay in the processor's cache.
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


class Job:
    """The decoding of one image, which another thread may end."""

    def __init__(self) -> None:
        self._lock, self._process, self._is_ended = Lock(), None, False  # type: Lock, _Process | None, bool

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
    def done_by(self, process: _Process) -> Iterator[None]:
        """Has that process ended by `end` from now on, and not after."""
        with self._lock:
            self._process = process
        try:
            yield
        finally:
            with self._lock:
                self._process = None


class Decoders:
    """A few processes, each started when it is first needed, and again when it has ended.

    Threads may share them; one that asks waits until one of them is free.

    Args:
        count: How many images are decoded at once.
        seconds: That an image may take.
    """

    def __init__(self, count: int, seconds: float) -> None:
        self.count, self.seconds = count, seconds
        self._free: SimpleQueue[_Process] = SimpleQueue()
        self._all = [_Process() for _ in range(count)]
        for process in self._all:
            self._free.put(process)

    def __enter__(self) -> Decoders:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Ends them; an image that one of them works at is lost."""
        for process in self._all:
            process.kill()
        for _ in self._all:
            self._free.get().close()

    @property
    def running(self) -> list[int]:
        """The ids of the processes that there are now."""
        return [process.popen.pid for process in self._all if process.popen is not None]

    @property
    def num_free(self) -> int:
        """How many images could be decoded at once besides those that are."""
        return self._free.qsize()

    def header(
        self, image: bytes | Path, root: Path = Path("/"), has_icons: bool = True, job: Job | None = None
    ) -> Header:
        """What the first bytes of an image say of it.

        Args:
            image: Its bytes, or its file.
            root: The folder that the file may not leave.
            has_icons: As `dim.features.decoding_cost.read_header` takes it.
            job: By which the work may be ended.

        Raises:
            UnusableImageError: It cannot be used, or its decoder ended over it.
            EndedError: The job was ended.
            OSError: The disk failed.
        """
        asked = Asked("header", has_icons=has_icons)
        return self._asked(asked, image, root, job, lambda answer, _: Header(**answer))

    def decode(
        self,
        image: bytes | str | Path,
        draft_side: int | None = None,
        root: Path = Path("/"),
        memory: int | None = None,
        job: Job | None = None,
    ) -> Image.Image:
        """The image, as `dim.features.images.decode_image` or `load_image` give it.

        Args:
            image: Its bytes, or its file, or a region of it.
            draft_side: As these take it.
            root: The folder that the file may not leave.
            memory: Bytes that it may take.
            job: By which the work may be ended.

        Raises:
            UnusableImageError: As `header`, as the rest.
            EndedError: Likewise.
            OSError: Likewise.
        """
        return self._asked(Asked("decode", side=draft_side, memory=memory), image, root, job, _pixels)

    def show(self, image: Path, root: Path, side: int, memory: int | None = None, job: Job | None = None) -> bytes:
        """The image of a file as a JPEG of at most that many pixels a side; as `decode`."""
        return self._asked(Asked("show", side=side, memory=memory), image, root, job, _bytes)

    def _asked(
        self,
        asked: Asked,
        image: bytes | str | Path,
        root: Path,
        job: Job | None,
        read: Callable[[dict[str, Any], int], T],
    ) -> T:
        """What `read` makes of a process's answer, and of what it wrote into the file that it shares."""
        data, file = (image, None) if isinstance(image, bytes) else (b"", str(image))
        asked = replace(asked, file=file, num_bytes=len(data), seconds=self.seconds, root=str(root))
        process, job = self._free.get(), job or Job()
        try:
            with job.done_by(process):
                return process.ask(asked, data, read, job)
        finally:
            self._free.put(process)


class _Process:
    """One process, or the place of one."""

    def __init__(self) -> None:
        self.popen: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._shared = os.memfd_create("image")

    def ask(self, asked: Asked, data: bytes, read: Callable[[dict[str, Any], int], T], job: Job) -> T:
        """What `read` makes of the answer. The process is started where it does not run, and ended where this fails.

        Raises:
            UnusableImageError: As `Decoders.decode`.
            EndedError: Likewise.
            OSError: Likewise.
        """
        job.check()
        if self.popen is None or self.popen.poll() is not None:
            self.end()
            self._start()
            job.check()  # there was nothing to end until now
        assert self._connection is not None
        try:
            os.pwrite(self._shared, data, 0)
            self._connection.send_bytes(asked.line())
            answer = json.loads(self._connection.recv_bytes())
        except (EOFError, ConnectionError) as error:
            raise UnusableImageError(TOO_LONG if self.end() == -signal.SIGALRM else LOST) from error
        except BaseException:  # what it would still say belongs to no other image
            self.end()
            raise
        if "reason" in answer:
            raise UnusableImageError(answer["reason"])
        if "error" in answer:
            raise OSError(answer["error"])
        try:
            return read(answer, self._shared)
        finally:
            if os.fstat(self._shared).st_size > KEPT_BYTES:
                os.ftruncate(self._shared, 0)

    def _start(self) -> None:
        self._connection, theirs = Pipe()
        with theirs:
            handles = theirs.fileno(), self._shared
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
        os.close(self._shared)


def same_imports() -> dict[str, str]:
    """The environment in which a new Python finds the packages that this one finds."""
    places = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
    return {**os.environ, "PYTHONPATH": places}


def _pixels(answer: dict[str, Any], shared: int) -> Image.Image:
    width, height = answer["size"]
    image = Image.new("RGB", (width, height), None)
    step = max(PART_BYTES // (4 * width), 1)
    read = memoryview(bytearray(4 * width * min(step, height)))
    for top in range(0, height, step):
        num_rows = min(step, height - top)
        part = read[: 4 * width * num_rows]
        if os.preadv(shared, [part], 4 * width * top) < len(part):
            raise UnusableImageError(LOST)
        image.paste(Image.frombytes("RGB", (width, num_rows), part, "raw", PIXEL), (0, top))
    return image


def _bytes(answer: dict[str, Any], shared: int) -> bytes:
    return os.pread(shared, answer["num_bytes"], 0)
