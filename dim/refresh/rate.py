"""When the next request may be sent: a rate limit, a server's wish to wait, and the back-off after failures."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from dim.core.retry_after import backoff
from dim.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Clock:
    """What waiting goes by.

    Attributes:
        time: Seconds since a moment that stays the same.
        sleep: Returns so many seconds later.
    """

    time: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


class Pacer:
    """Spaces requests evenly, and holds all of them while a server asks to wait.

    Args:
        requests_per_minute: None: no limit.
        clock: Whose seconds count.
    """

    def __init__(self, requests_per_minute: float | None = None, clock: Clock | None = None) -> None:
        if requests_per_minute is not None and not requests_per_minute > 0:
            raise ConfigError("requests_per_minute above 0", str(requests_per_minute), "Raise it, or leave it out.")
        self._interval = 60 / requests_per_minute if requests_per_minute else 0.0
        self._next = self._held_until = 0.0
        self.clock = clock or Clock()

    async def wait(self) -> None:
        """Returns when a request may be sent; first come, first served."""
        while True:
            now = self.clock.time()
            turn = max(now, self._next, self._held_until)
            self._next = turn + self._interval
            await self.clock.sleep(turn - now)
            if self.clock.time() >= self._held_until:  # a hold that came meanwhile voids the turn
                return

    async def pause(self, seconds: float) -> None:
        """Returns so much later; the turns of others go on."""
        await self.clock.sleep(seconds)

    def hold(self, seconds: float) -> None:
        """Lets no request go for so long."""
        self._held_until = max(self._held_until, self.clock.time() + seconds)


@dataclass(frozen=True, slots=True)
class Retries:
    """How failures that may pass are tried again.

    Attributes:
        count: Tries after the first one.
        backoff_s: Seconds before the second try; doubled for each further one, up to a minute, times a jitter.
        max_wait_s: The longest Retry-After that is waited for; a longer one stops the run.
        seed: Of the jitter.
    """

    count: int = 5
    backoff_s: float = 1.0
    max_wait_s: float = 600.0
    seed: int = 0

    def delay(self, entity_id: str, num_failures: int) -> float:
        """Seconds to wait after so many failures; between half and all of the doubled time, fixed by the seed.

        Example:
            >>> 2.0 <= Retries(backoff_s=1.0).delay("Q42", num_failures=3) <= 4.0
            True
        """
        full = backoff(self.backoff_s, num_failures)
        return full * random.Random(f"{self.seed} {entity_id} {num_failures}").uniform(0.5, 1.0)
