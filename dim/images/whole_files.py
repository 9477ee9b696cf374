"""Pillow, told to refuse files that are cut off: whatever else a program has told it, all of it stays as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from PIL import ImageFile


class _WholeFiles:
    def __init__(self) -> None:
        self._lock, self._num_inside, self._before = Lock(), 0, False

    @contextmanager
    def alone(self) -> Iterator[None]:
        """In it a file that is cut off is an error, in every thread; the last one to leave puts back what was said."""
        with self._lock:
            if not self._num_inside:
                self._before, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
            self._num_inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._num_inside -= 1
                if not self._num_inside:
                    ImageFile.LOAD_TRUNCATED_IMAGES = self._before


WHOLE_FILES = _WholeFiles()
