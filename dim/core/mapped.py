"""Arrays that stay on the disk, and what of them stands in memory."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray


def dropped(array: NDArray[Any]) -> NDArray[Any]:
    """A mapped array whose pages count to this process no more: they come back where they are read again.

    Who has read all of a file once, to check it, would have it in memory from then on. Any other array is returned as
    it is.
    """
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)
    return array
