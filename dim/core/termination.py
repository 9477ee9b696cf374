"""SIGTERM ends a command as Ctrl-C does: what came is put to use, and one line says how to go on."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Termination:
    """What SIGTERM does to a process.

    Attributes:
        came: Whether it came since the last `taken` began.
    """

    def __init__(self) -> None:
        self.came = False

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Within it SIGTERM interrupts; where nobody else takes it already."""
        self.came, self._process = False, os.getpid()
        in_main = threading.current_thread() is threading.main_thread()
        if not in_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
            yield
            return
        signal.signal(signal.SIGTERM, self._take)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def _take(self, number: int, _: object) -> None:
        """Raises KeyboardInterrupt, or has a loop of coroutines that runs end its tasks, as Ctrl-C would."""
        if os.getpid() != self._process:  # a fork of it, which nobody asked to put anything to use
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        if self.came:  # `timeout` sends it twice
            return
        self.came = True
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in the background of a shell script
            raise KeyboardInterrupt
        signal.raise_signal(signal.SIGINT)


#: Of this process.
TERMINATION = Termination()
