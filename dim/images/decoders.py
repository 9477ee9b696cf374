"""Processes that decode images: what an image does to one of them costs that image, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from mmap import mmap
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType

from PIL import Image

from dim.images.decoder import PIXEL, Asked
from dim.images.decoder_process import DecoderProcess, Job, Read, T


class Decoders:
    """A few processes, each started when it is first needed, and again when it has ended.

    Threads may share them; one that asks waits until one of them is free.

    Args:
        count: How many images are decoded at once.
        seconds: That an image may take.
    """

    def __init__(self, count: int, seconds: float) -> None:
        self.count, self.seconds = count, seconds
        self._free: SimpleQueue[DecoderProcess] = SimpleQueue()
        self._all = [DecoderProcess() for _ in range(count)]
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

    def decode(self, image: bytes | str | Path, draft_side: int | None = None) -> Image.Image:
        """An image, as `dim.images.reading.decode_image` or `load_image` give it.

        Args:
            image: Its bytes, or its file, or a region of it.
            draft_side: As these take it.

        Raises:
            UnusableImageError: It cannot be used, or its decoder ended over it.
            OSError: The disk failed.
        """
        return self.opened(image, Asked(side=draft_side))

    def opened(self, image: bytes | str | Path, asked: Asked, job: Job | None = None) -> Image.Image:
        """As `decode`, of what is asked in full; where a job is given, it may be ended by it.

        Raises:
            UnusableImageError: As `decode`.
            CostlyError: It takes more than is asked.
            EndedError: The job was ended.
            OSError: As `decode`.
        """
        return self._asked(asked, image, job, _pixels)

    def jpeg(self, image: str | Path, asked: Asked, job: Job | None = None) -> bytes:
        """The image as a JPEG of at most `asked.side` pixels a side; as `opened`."""
        return self._asked(replace(asked, is_shown=True), image, job, _bytes)

    def _asked(self, asked: Asked, image: bytes | str | Path, job: Job | None, read: Read[T]) -> T:
        """What `read` makes of a process's answer, and of what it wrote into the file that it shares."""
        data, file = (image, None) if isinstance(image, bytes) else (b"", str(Path(image).absolute()))
        asked = replace(asked, file=file, num_bytes=len(data), seconds=self.seconds)
        process, job = self._free.get(), job or Job()
        try:
            with job.done_by(process):
                return process.ask(asked, data, read, job)
        finally:
            self._free.put(process)


def _pixels(size: tuple[int, int], written: mmap, _: int) -> Image.Image:
    with memoryview(written) as pixels:
        return Image.frombytes("RGB", size, pixels, "raw", PIXEL)


def _bytes(_: tuple[int, int], written: mmap, num_bytes: int) -> bytes:
    return written[:num_bytes]
