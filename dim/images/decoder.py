"""What a process does that decodes images for another one, which it may cost no more than itself.

Whatever an image does to the library that reads it, an answer comes or the process ends: it has a time for each image
(after it, SIGALRM) and the memory that the image's header tells (`dim.images.decoding_cost`). It is asked by a
connection, and ends with it; images go and come by a file in memory that both processes have open, which costs less
than half of what a pipe does. torch is not imported here: such a process starts in a tenth of a second.

A request is a line of JSON, see `Asked`. So is the answer: `{"reason": …}` where the image cannot be used, and
`{"cost": …}` where its header tells that it takes more than it may.
"""

from __future__ import annotations

import json
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, Any

from PIL import Image

from dim.images.decoding_cost import NoImageError, decoding_bytes, header_bytes, read_header
from dim.images.reading import UnusableImageError, decode_image, find_image, load_image, readable
from dim.images.regions import split_region

PIXEL = "RGBX"  #: As an image is handed over: as Pillow holds RGB.
PART_BYTES = 2**18  #: Of an image that are written together: they stay in the processor's cache.


@dataclass(frozen=True)
class Asked:
    """What is asked of a decoder.

    Attributes:
        file: Where the image stands, or a region of it; None: its bytes are in the shared file.
        root: The folder that the file may not leave.
        num_bytes: Of the image in the shared file.
        side: As `draft_side` of `dim.images.reading.load_image`; None: none.
        is_shown: Whether a JPEG of at most `side` pixels a side is wanted, in the place of the pixels.
        has_icons: Whether an icon file is an image: the pictures in it may be larger than it says.
        pixels: That the image may have; None: any.
        memory: Bytes that the work may take by the image's header; None: any. It never gets more than this tells.
        seconds: That the work may take.
    """

    file: str | None = None
    root: str = "/"
    num_bytes: int = 0
    side: int | None = None
    is_shown: bool = False
    has_icons: bool = True
    pixels: int | None = None
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
            signal.setitimer(signal.ITIMER_REAL, asked.seconds)
            answer = _answer(asked, shared)
            signal.setitimer(signal.ITIMER_REAL, 0)
            connection.send_bytes(json.dumps(answer).encode())


def _make_ready() -> None:
    readable()  # imports Pillow's readers, which is no image's work
    with suppress(ImportError):  # Pillow before 11.3
        from PIL import AvifImagePlugin

        AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # the stacks of a thread a core are more than an image may take


def _answer(asked: Asked, shared: int) -> dict[str, Any]:
    try:
        file, box = split_region(asked.file) if asked.file is not None else ("", None)
        source = find_image(Path(file), Path(asked.root)) if file else os.pread(shared, asked.num_bytes, 0)
        num_bytes = len(source) if isinstance(source, bytes) else source.stat().st_size
        with _limited(header_bytes(source)):
            header = read_header(source, asked.has_icons)
        cost = decoding_bytes(header, num_bytes, asked.side if box is None else None)
        if header.pixels > (asked.pixels or header.pixels) or cost > (asked.memory or cost):
            return {"cost": cost, "header": asdict(header)}
        with _limited(cost):
            image = _image(asked, source)
            with open(shared, "wb", buffering=0, closefd=False) as written:
                num_bytes = (_write_jpeg if asked.is_shown else _write_pixels)(image, asked.side, written)
        return {"size": image.size, "num_bytes": num_bytes}
    except UnusableImageError as error:
        return {"reason": error.reason, "is_none": isinstance(error, NoImageError)}
    except MemoryError:  # more than its header tells
        return {"reason": "too large", "is_none": False}
    except OSError as error:
        return {"error": f"{type(error).__name__}: {error.strerror or error}"}


def _image(asked: Asked, source: bytes | Path) -> Image.Image:
    if isinstance(source, bytes):
        return decode_image(source, asked.side)
    return load_image(Path(str(asked.file)), Path(asked.root), asked.side)


def _write_pixels(image: Image.Image, _: int | None, file: IO[bytes]) -> int:
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


@contextmanager
def _limited(memory: int) -> Iterator[None]:
    """Gives this process so many bytes beyond what it has, where the system tells how much that is."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    if (held := _address_space()) is not None:
        resource.setrlimit(resource.RLIMIT_AS, (held + memory, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def _address_space() -> int | None:
    """Bytes of this process's address space; None where the system does not tell."""
    told = Path("/proc/self/statm")
    return int(told.read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE") if told.exists() else None
