"""Images that clients upload, and those of entities that they see: decoded elsewhere, and never too many at once."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from dim.features.live import ReadyImage
from dim.images.decoder import Asked
from dim.images.decoder_process import CostlyError, Job
from dim.images.decoders import Decoders
from dim.images.decoding_cost import FIXED_BYTES, NoImageError
from dim.images.reading import MAX_PIXELS, UnusableImageError, find_image, num_decoders
from dim.images.regions import split_region
from dim.linker.images import ImageReader
from dim.serve.budget import Budget
from dim.serve.problems import Problem, busy
from dim.serve.settings import Settings

T = TypeVar("T")
SHOWN_SIDE = 512  #: Pixels, at most, of an entity's image as it is sent.
QUICK_BYTES = 100_000_000  #: For pixels: a JPEG of seven million has enough of it.
NUM_SHOWN = 256  #: Entities' images that are kept as they are sent.


@dataclass(frozen=True)
class _File:
    """An image's file as it stands: one that was replaced is another."""

    path: str
    changed_ns: int
    num_bytes: int


class Images:
    """Opens images in processes that may be ended, as many bytes of memory at once as the settings allow.

    Args:
        settings: `max_pixels`, `max_decoding_bytes` and `timeout_s` count here.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.budget = Budget(settings.max_decoding_bytes)
        self.decoders = Decoders(num_decoders(), settings.timeout_s)
        self._threads = ThreadPoolExecutor(self.decoders.count, "images")  # each waits for a process
        self._showing: dict[str, asyncio.Task[bytes]] = {}
        self._shown: OrderedDict[_File, bytes] = OrderedDict()

    def stop(self) -> None:
        """Ends the processes and the threads."""
        self.decoders.close()
        self._threads.shutdown()

    async def ready(self, data: bytes, reader: ImageReader) -> ReadyImage:
        """An uploaded image as a linker's encoders take it. Cancelled, it ends the process that decodes it.

        Args:
            data: The bytes of its file.
            reader: Of the linker; scaling is done here, too: the linker's thread only computes.

        Raises:
            Problem: 413, too many pixels; 422, it cannot be used.
        """
        most, live = self.settings.max_pixels, reader.live

        def work(memory: int, job: Job) -> ReadyImage:
            asked = Asked(side=live.draft_side, has_icons=False, pixels=most, memory=memory)
            return reader.ready(self.decoders.opened(data, asked, job))

        try:
            return await self._as_needed(len(data), work, most)
        except CostlyError as error:
            found = f"{error.header.pixels:,}"
            raise Problem(413, f"an image of at most {most:,} pixels", found, "Send a smaller one.") from error
        except UnusableImageError as error:
            none = f"{len(data):,} bytes that are none" if data else "an empty file"
            found = none if isinstance(error, NoImageError) else error.reason
            remedy = "Send another image, or none."
            raise Problem(422, "an image (JPEG, PNG, WebP, GIF …)", found, remedy) from error

    async def shown(self, image: str, root: Path) -> bytes:
        """An image of the KB as a JPEG of at most 512 pixels a side. Asked for by many at once, it is decoded once.

        Args:
            image: Its file, or a region of it.
            root: The folder that the file may not leave.

        Raises:
            Problem: 404, it cannot be read; 503, its turn did not come in time.
        """
        task = self._showing.get(image)
        if task is None:
            task = self._showing[image] = asyncio.create_task(self._show(image, root))
            task.add_done_callback(lambda _: self._showing.pop(image, None))
        return await asyncio.shield(task)

    async def _show(self, image: str, root: Path) -> bytes:
        try:
            async with asyncio.timeout(self.settings.timeout_s):
                file = await asyncio.to_thread(_file, image, root)
                if file not in self._shown:
                    self._shown[file] = await self._jpeg(file, image, root)
        except TimeoutError as error:
            raise busy("an image in time", f"none after {self.settings.timeout_s:g} s") from error
        except (UnusableImageError, OSError) as error:
            reason = error.reason if isinstance(error, UnusableImageError) else type(error).__name__
            remedy = "Look whether the KB's images stand where they stood."
            raise Problem(404, "an image that can be read", reason, remedy) from error
        self._shown.move_to_end(file)
        while len(self._shown) > NUM_SHOWN:
            self._shown.popitem(last=False)
        return self._shown[file]

    async def _jpeg(self, file: _File, image: str, root: Path) -> bytes:
        def work(memory: int, job: Job) -> bytes:
            asked = Asked(root=str(root), side=SHOWN_SIDE, pixels=MAX_PIXELS, memory=memory)
            return self.decoders.jpeg(image, asked, job)

        try:
            return await self._as_needed(file.num_bytes, work, MAX_PIXELS)
        except CostlyError as error:
            raise UnusableImageError("too large") from error

    async def _as_needed(self, num_bytes: int, work: Callable[[int, Job], T], most: int) -> T:
        """What work gives, in as much memory as most images need, or else in as much as this one needs.

        Raises:
            CostlyError: It has too many pixels.
            UnusableImageError: As the work, or as `_done`.
        """
        try:
            return await self._done(min(quick_bytes(num_bytes), self.budget.total), work)
        except CostlyError as error:
            if error.header.pixels > most:
                raise
            return await self._done(error.cost, work)

    async def _done(self, cost: int, work: Callable[[int, Job], T]) -> T:
        """What work gives in a thread, when there is so much memory; the memory is given back when it is free again.

        Cancelled, the work is ended.

        Raises:
            UnusableImageError: As the work; or it takes more memory than there will ever be.
        """
        if cost > self.budget.total:
            raise UnusableImageError("too large")
        await self.budget.take(cost)
        loop, job = asyncio.get_running_loop(), Job()
        future: Future[T] = self._threads.submit(work, cost, job)
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self.budget.give_back, cost))
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            job.end()
            raise


def _file(image: str, root: Path) -> _File:
    found = find_image(Path(split_region(image)[0]), root)
    status = found.stat()
    return _File(image, status.st_mtime_ns, status.st_size)


def quick_bytes(num_bytes: int) -> int:
    """The memory with which an image is tried first, before anything is known of it but the bytes of its file."""
    return FIXED_BYTES + 2 * num_bytes + QUICK_BYTES
