"""How many requests may be in flight: fewer while they time out, more again while they do not."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass

#: What an answer may take of the time-out before fewer go at once: some answers take far longer than others.
EARLY = 0.5
#: A server that answers one request after the other takes n times as long with n in flight; from this share of it on it
#: is held for one, and more in flight would only wait.
QUEUED = 0.75
#: Answers in time, but not early, after which one more in flight is tried; twice as many after each time-out.
FIRST_TRY = 4


@dataclass(frozen=True, slots=True)
class Flight:
    """One request in flight: how many were with it when it went, and how often the window had shrunk."""

    num_in_flight: int
    num_shrunk: int


class Window:
    """Lets requests go while there is room, and learns from each how much room there is (as TCP does).

    A request that its client gave up may still be worked on, so that every further time-out makes the next likelier.
    The first request goes alone; how long its answer takes says with how many to begin.

    Args:
        most: Never more.
        timeout_s: The longest time for one try, in seconds.

    Attributes:
        size: How many may be in flight.
        alone_s: The mean time of an answer to a request that was alone in flight; None before the first.
    """

    def __init__(self, most: int, timeout_s: float) -> None:
        self.most, self.timeout_s = most, timeout_s
        self.size = 1.0
        self.alone_s: float | None = None
        self._in_flight = self._num_alone = self._num_shrunk = self._in_time = 0
        self._num_for_more = FIRST_TRY
        self._changed = asyncio.Condition()

    async def enter(self) -> Flight:
        """Returns when a request may go."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._in_flight < int(self.size))
            self._in_flight += 1
            return Flight(self._in_flight, self._num_shrunk)

    async def leave(self) -> None:
        """Makes room after a request, however it ended."""
        async with self._changed:
            self._in_flight -= 1
            self._changed.notify_all()

    def answered(self, flight: Flight, seconds: float) -> None:
        """Learns from an answer that took so long."""
        is_first, usual = self.alone_s is None, seconds
        if flight.num_in_flight == 1:
            self._num_alone += 1
            before = self.alone_s or 0.0
            usual = self.alone_s = before + (seconds - before) / self._num_alone
        if is_first and not self._num_shrunk:
            self.size = float(min(self.most, max(1, int(EARLY * self.timeout_s / max(seconds, 1e-3)))))
        elif usual * (1 + 1 / flight.num_in_flight) <= EARLY * self.timeout_s:  # early with one more, too
            self.size = min(self.most, self.size + 1 / self.size)
        elif not self._is_queued(flight, seconds):
            self._in_time += 1
            if self._in_time >= self._num_for_more:
                self._in_time, self.size = 0, min(self.most, self.size + 1)

    def timed_out(self, flight: Flight) -> None:
        """Learns from a time-out: half as many from now on; those that were in flight with it tell nothing new."""
        if flight.num_shrunk < self._num_shrunk:
            return
        self._num_shrunk += 1
        self._in_time, self._num_for_more = 0, 2 * self._num_for_more
        self.size = float(max(1, int(self.size / 2)))

    def advice(self) -> tuple[int, int]:
        """How many in flight, and with how many seconds, would do: all answered in half of the time, one by one."""
        alone = self.alone_s if self.alone_s is not None else 2 * self.timeout_s
        num = min(self.most, max(1, int(EARLY * self.timeout_s / max(alone, 1e-3))))
        is_enough = num == self.most and num * alone <= EARLY * self.timeout_s
        # What should have been enough was not: some answers take far longer than others.
        return num, math.ceil(2 * self.timeout_s if is_enough else max(self.timeout_s, num * alone / EARLY))

    def _is_queued(self, flight: Flight, seconds: float) -> bool:
        num = flight.num_in_flight
        return num > 1 and self.alone_s is not None and seconds >= QUEUED * num * self.alone_s
