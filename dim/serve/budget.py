"""Memory that tasks of an event loop share: who does not get what it needs waits for its turn."""

from __future__ import annotations

import asyncio
from collections import deque


class Budget:
    """So many bytes at once, and no more."""

    def __init__(self, total: int) -> None:
        self.total = self.free = total
        self._turns: deque[asyncio.Future[None]] = deque()

    async def take(self, num_bytes: int) -> None:
        """Returns when there are so many, which are the caller's now; at most `total`. Cancelled, it takes none."""
        while self.free < num_bytes:
            turn = asyncio.get_running_loop().create_future()
            self._turns.append(turn)
            await turn
        self.free -= num_bytes

    def give_back(self, num_bytes: int) -> None:
        """Gives back what was taken."""
        self.free += num_bytes
        while self._turns:  # all look again: one may fit where the first does not
            turn = self._turns.popleft()
            if not turn.done():
                turn.set_result(None)
