"""What the machine lacks: room on its disks, memory, processes that live. Told as errors with a remedy."""

from __future__ import annotations

import errno
import re
from pathlib import Path

from dim.core.error_numbers import number_of
from dim.core.files import write_error
from dim.errors import DimError, MemoryShortageError, StorageError

LESS = "Lower batch_size or num_workers, or the size of the model, or end what else runs; then run it again."
#: What torch, and the libraries below it, say where there is no memory: they have no class for it but on a GPU.
_NO_MEMORY = re.compile(
    r"can('t|not) allocate memory|can't start new thread|not enough memory|out of memory|bad_alloc|STATUS_ALLOC_FAILED",
    re.IGNORECASE,
)
_WORKER = re.compile(r"DataLoader worker .* (exited unexpectedly|is killed by signal)|Bus error", re.DOTALL)


def shortage(error: BaseException) -> DimError | None:
    """An error, or what it came from, in dim's words where the machine lacks something; None where it does not."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, DimError):
            return seen if seen is not error else None
        if (found := _of(seen)) is not None:
            return found
        seen = seen.__cause__
    return None


def is_memory(error: BaseException) -> bool:
    """Whether an error says that there is not enough memory, of the machine or of its GPU."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    return isinstance(error, RuntimeError) and _NO_MEMORY.search(str(error)) is not None


def _of(error: BaseException) -> DimError | None:
    said = next(iter(str(error).strip().splitlines()), type(error).__name__)
    if is_memory(error):
        return MemoryShortageError("memory for what is computed", said, LESS)
    if isinstance(error, RuntimeError) and _WORKER.search(str(error)):
        return MemoryShortageError("worker processes that live to the end", said, f"The memory may be full. {LESS}")
    number = number_of(error)
    file = (error.filename2 or error.filename) if isinstance(error, OSError) else None
    path = None if file is None else Path(str(file))
    if number in (errno.EMFILE, errno.ENFILE):
        return DimError("files that may be opened", said, "Raise the limit (ulimit -n), or lower num_workers.")
    if number in (errno.EACCES, errno.EPERM):
        return StorageError(
            f"permission for {path or 'a file'}", said, "Change its permissions, or choose another folder."
        )
    return write_error(number, path)
