"""Images that clients upload, and those of entities that they see."""

from __future__ import annotations

import asyncio
import io
import re
import warnings
from collections import deque
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import lru_cache
from pathlib import Path

from PIL import Image

from dim.features.images import FORMATS, UnusableImageError, decode_image, load_image, num_decoders
from dim.serve.problems import Problem, busy
from dim.serve.settings import Settings

SHOWN_SIDE = 512  #: Pixels, at most, of an entity's image as it is sent.
# The pictures in an icon file may be larger than it says.
UPLOADED = [name for name in FORMATS if name != "ICO"]


class Images:
    """Opens images in a few threads, as many pixels at once as the settings allow.

    Args:
        settings: `max_pixels` and `max_waiting_pixels` count here.
        draft_side: As `dim.features.images.decode_image` takes it.
    """

    def __init__(self, settings: Settings, draft_side: int | None) -> None:
        self.settings, self.draft_side = settings, draft_side
        self._free = settings.max_waiting_pixels
        self._turns: deque[asyncio.Future[None]] = deque()
        self._threads = ThreadPoolExecutor(num_decoders(), "images")

    def stop(self) -> None:
        """Ends the threads."""
        self._threads.shutdown()

    @asynccontextmanager
    async def opened(self, data: bytes) -> AsyncIterator[Image.Image]:
        """An uploaded image, open for as long as it is needed.

        Raises:
            Problem: 413, too many pixels; 422, it cannot be used; 503, its turn did not come in time.
        """
        pixels = num_pixels(data, self.settings.max_pixels)
        await self._take(pixels)
        try:
            loop = asyncio.get_running_loop()
            yield await loop.run_in_executor(self._threads, _decoded, data, self.draft_side)
        finally:
            self._free += pixels
            while self._turns:  # all look again: one may fit where the first does not
                turn = self._turns.popleft()
                if not turn.done():
                    turn.set_result(None)

    async def _take(self, pixels: int) -> None:
        try:
            async with asyncio.timeout(self.settings.timeout_s):
                while self._free < pixels:
                    turn = asyncio.get_running_loop().create_future()
                    self._turns.append(turn)
                    await turn
        except TimeoutError as error:
            found = f"not this one in {self.settings.timeout_s:g} s"
            raise busy(f"images of {self.settings.max_waiting_pixels:,} pixels at once", found) from error
        self._free -= pixels

    async def shown(self, path: str) -> bytes:
        """An image of the KB as a JPEG of at most 512 pixels a side.

        Raises:
            Problem: 404, it cannot be read.
        """
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, _shown, path)
        except (UnusableImageError, OSError) as error:
            reason = error.reason if isinstance(error, UnusableImageError) else type(error).__name__
            raise Problem(
                404, "an image that can be read", reason, "Look whether the KB's images stand where they stood."
            ) from error


def num_pixels(data: bytes, most: int) -> int:
    """The pixels of an image by its header, without decoding it.

    Raises:
        Problem: 413, they are too many; 422, the bytes are no image.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, of many pixels: counted here
            with Image.open(io.BytesIO(data), formats=_readable()) as image:
                width, height = image.size
    except Image.DecompressionBombError as error:
        counted = re.search(r"\((\d+) pixels", str(error))
        raise _too_many(f"{int(counted[1]):,}" if counted else "far more", most) from error
    except Exception as error:  # Pillow's readers raise many kinds on bytes that are no image
        raise _unusable(f"{len(data):,} bytes that are none") from error
    if width * height > most:
        raise _too_many(f"{width * height:,}", most)
    return width * height


def _readable() -> list[str]:
    Image.init()
    return [name for name in UPLOADED if name in Image.OPEN]


def _decoded(data: bytes, draft_side: int | None) -> Image.Image:
    try:
        return decode_image(data, draft_side)
    except UnusableImageError as error:
        raise _unusable(error.reason) from error


@lru_cache(maxsize=256)
def _shown(path: str) -> bytes:
    image = load_image(Path(path), Path(Path(path).absolute().anchor), SHOWN_SIDE)
    image.thumbnail((SHOWN_SIDE, SHOWN_SIDE))
    shown = io.BytesIO()
    image.save(shown, "JPEG", quality=85)
    return shown.getvalue()


def _too_many(found: str, most: int) -> Problem:
    return Problem(413, f"an image of at most {most:,} pixels", found, "Send a smaller one.")


def _unusable(found: str) -> Problem:
    return Problem(422, "an image (JPEG, PNG, WebP, GIF …)", found, "Send another image, or none.")
