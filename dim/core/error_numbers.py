"""The system's number of an error, also where a library tells it by words alone."""

from __future__ import annotations

import errno
import os
import re

#: How libraries of Rust and of Arrow name it.
_NAMED = re.compile(r"\(os error (\d+)\)|\[Errno (\d+)\]")
#: How NumPy and torch say that a file took only a part of what was written; they do not say why.
_TORN = re.compile(
    r"\d+ requested and \d+ written|PytorchStreamWriter failed|inline_container\.cc.*(unexpected pos|failed writing)",
    re.DOTALL,
)
_WORDS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


def number_of(error: BaseException) -> int | None:
    """As of `errno`; None where nothing of the system is to blame.

    Example:
        >>> number_of(RuntimeError("write error: No space left on device")) == errno.ENOSPC
        True
    """
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    said = str(error)
    if named := _NAMED.search(said):
        return int(named[1] or named[2])
    if _TORN.search(said):
        return errno.ENOSPC
    return next((number for number in _WORDS if os.strerror(number) in said), None)
