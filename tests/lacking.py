"""What a process may lack, taken from this one for a while: the right to write, files of any size."""

import ctypes
import resource
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_privileges() -> Iterator[None]:
    """As root: without the power to write where permissions forbid it. Linux; needs nobody else's files."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    caps = (ctypes.c_uint32 * 6)()
    assert libc.capget(header, caps) == 0
    effective = caps[0], caps[3]
    caps[0] = caps[3] = 0
    assert libc.capset(header, caps) == 0
    try:
        yield
    finally:
        caps[0], caps[3] = effective
        assert libc.capset(header, caps) == 0


@contextmanager
def small_files(size: int) -> Iterator[None]:
    """No file grows beyond so many bytes: a write then fails in the middle, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
