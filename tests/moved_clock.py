"""A clock that stands still while anybody works and jumps to the end of the shortest sleep, for tests of waiting."""

import asyncio
import heapq
import math
from collections.abc import Callable

from dim.refresh.rate import Clock


class MovedClock:
    """Time that only passes in sleep, so that no test waits, and a slow machine sees what a fast one does.

    Args:
        limit: How far it may go; who sleeps for longer waits until that rises. Asked again and again.

    Attributes:
        now: Seconds since the start.
        clock: What `Pacer` takes.
    """

    def __init__(self, limit: Callable[[], float] = lambda: math.inf) -> None:
        self.now = 0.0
        self.clock = Clock(lambda: self.now, self._sleep)
        self._sleepers: list[tuple[float, int]] = []
        self._count = 0
        self._limit = limit

    async def _sleep(self, seconds: float) -> None:
        self._count += 1
        mine = (self.now + seconds, self._count)
        heapq.heappush(self._sleepers, mine)
        try:
            await asyncio.sleep(0)
            while self._sleepers[0] != mine or mine[0] > self._limit():
                await asyncio.sleep(0.001)
            self.now = max(self.now, mine[0])
        finally:
            self._sleepers.remove(mine)
            heapq.heapify(self._sleepers)
