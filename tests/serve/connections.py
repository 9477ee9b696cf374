"""Many open connections that ask nothing, for tests of servers."""

import contextlib
import resource
import select
import socket
import time
from collections import Counter
from collections.abc import Iterator
from types import TracebackType

from waiting import HANG


@contextlib.contextmanager
def raised_limit(wanted: int) -> Iterator[int]:
    """How many files may be open meanwhile: as many as wanted, or as the system gives."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    raised = max(soft, wanted if hard == resource.RLIM_INFINITY else min(wanted, hard))
    resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
    try:
        yield raised
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Crowd:
    """Connections to a port of this machine, opened as fast as it takes them."""

    def __init__(self, port: int, count: int) -> None:
        self.open: dict[int, socket.socket] = {}
        for _ in range(count):
            connection = socket.create_connection(("127.0.0.1", port), timeout=HANG)
            connection.setblocking(False)
            self.open[connection.fileno()] = connection

    def __enter__(self) -> "Crowd":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        for connection in self.open.values():
            connection.close()

    def statuses(self, seconds: float) -> Counter[int]:
        """How often each status was answered to those that ask nothing; 0: none within the time."""
        found: Counter[int] = Counter()
        waiting = select.poll()
        for number in self.open:
            waiting.register(number, select.POLLIN)
        end = time.monotonic() + seconds
        num_left = len(self.open)
        while num_left and time.monotonic() < end:
            for number, _ in waiting.poll(100):
                answer = self.open[number].recv(4096)
                found[int(answer.split()[1]) if answer else -1] += 1
                waiting.unregister(number)
                num_left -= 1
        found[0] += num_left
        return +found
