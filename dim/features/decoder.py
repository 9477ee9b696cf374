"""What a process does that decodes images for another one, which it may cost no more than itself.

Whatever an image does to the library that reads it, an answer comes or the process ends: it has a time for each image
(after it, SIGALRM) and the memory that the image's header tells (`dim.features.decoding_cost`). It is asked by a
connection, and ends with it; images go and come by a file in memory that both processes have open, which costs less
than half of what a pipe does. torch is not imported here: such a process starts in a tenth of a second.

A request is a line of JSON, see `Asked`. So is the answer: `{"reason": …}` where the image cannot be used.
"""

from __future__ import annotations

import io
import json
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, Any, Literal

from PIL import Image

from dim.data.regions import split_region
from dim.features.decoding_cost import read_header
from dim.features.images import UnusableImageError, decode_image, find_image, load_image, readable

PIXEL = "RGBX"  #: As an image is handed over: as Pillow holds RGB.
PART_BYTES = 2**20  #: Of an image that are written together.


@dataclass(frozen=True)
class Asked:
    """What is asked of a decoder.

    Attributes:
        work: `header`: what its first bytes say; `decode`: the image as RGB; `show`: as a JPEG of at most `side` pixels
            a side.
        file: Where it stands, or a region of it; None: its bytes are in the shared file.
        root: The folder that the file may not leave.
        side: As `draft_side` of `dim.features.images.load_image`; None: none.
        has_icons: As `read_header` takes it.
        num_bytes: Of the image in the shared file.
        memory: Bytes that the work may take; None: any.
        seconds: That it may take.
    """

    work: Literal["header", "decode", "show"]
    file: str | None = None
    root: str = "/"
    side: int | None = None
    has_icons: bool = True
    num_bytes: int = 0
    memory: int | None = None
    seconds: float = 0

    def line(self) -> bytes:
        """The request as it is sent."""
        return json.dumps(asdict(self)).encode()


def serve(handle: int, shared: int) -> None:
    """Answers what comes by a connection until its other end is closed.

    Args:
        handle: Of the connection.
        shared: Of the file by which images go and come.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # Ctrl-C and stops are for the process that asks: it ends this one
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    _make_ready()
    connection = Connection(handle)
    with suppress(EOFError, ConnectionError):
        while True:
            asked = Asked(**json.loads(connection.recv_bytes()))
            data = None if asked.file is not None else os.pread(shared, asked.num_bytes, 0)
            with _limited(asked):
                answer = _answer(asked, data, shared)
            data = None
            connection.send_bytes(json.dumps(answer).encode())


def _make_ready() -> None:
    readable()  # imports Pillow's readers, which is no image's work
    with suppress(ImportError):  # Pillow before 11.3
        from PIL import AvifImagePlugin

        AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # the stacks of a thread a core are more than an image may take


def _answer(asked: Asked, data: bytes | None, shared: int) -> dict[str, Any]:
    try:
        if asked.work == "header":
            source = io.BytesIO(data) if data is not None else find_image(*_place(asked, whole=True))
            return asdict(read_header(source, asked.has_icons))
        image = decode_image(data, asked.side) if data is not None else load_image(*_place(asked), asked.side)
        with open(shared, "wb", buffering=0, closefd=False) as file:
            written = _write_jpeg(image, asked.side, file) if asked.work == "show" else _write_pixels(image, file)
        return {"size": image.size, "num_bytes": written}
    except UnusableImageError as error:
        return {"reason": error.reason}
    except MemoryError:  # more than its header tells
        return {"reason": "too large"}
    except OSError as error:
        return {"error": f"{type(error).__name__}: {error.strerror or error}"}


def _write_pixels(image: Image.Image, file: IO[bytes]) -> int:
    file.seek(0)
    step = max(PART_BYTES // (4 * image.width), 1)
    for top in range(0, image.height, step):
        part = image.crop((0, top, image.width, min(top + step, image.height)))
        file.write(part.tobytes("raw", PIXEL))
    return file.tell()


def _write_jpeg(image: Image.Image, side: int | None, file: IO[bytes]) -> int:
    if side is not None:
        image.thumbnail((side, side))
    file.seek(0)
    image.save(file, "JPEG", quality=85)
    return file.tell()


def _place(asked: Asked, whole: bool = False) -> tuple[Path, Path]:
    file = str(asked.file)
    return Path(split_region(file)[0] if whole else file), Path(asked.root)


@contextmanager
def _limited(asked: Asked) -> Iterator[None]:
    """Ends this process when its work takes too long; gives it as much memory as it may take, beyond what it has."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    signal.setitimer(signal.ITIMER_REAL, asked.seconds)
    if asked.memory is not None and (held := _address_space()) is not None:
        resource.setrlimit(resource.RLIMIT_AS, (held + asked.memory, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
        signal.setitimer(signal.ITIMER_REAL, 0)


def _address_space() -> int | None:
    """Bytes of this process's address space; None where the system does not tell."""
    told = Path("/proc/self/statm")
    return int(told.read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE") if told.exists() else None
