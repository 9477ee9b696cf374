"""A budget that is never passed: what a call may cost is set aside before it is sent."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from dim.errors import ConfigError

Tokens = tuple[int | None, int | None]  #: In and out; None: not known.


@dataclass(frozen=True, slots=True)
class Prices:
    """Money for a million tokens, in the user's currency; None: not known."""

    tokens_in: float | None = None
    tokens_out: float | None = None

    def cost(self, tokens_in: int, tokens_out: int) -> float | None:
        """What tokens cost, or None where no price is known.

        Example:
            >>> Prices(0.5, 2.0).cost(1_000_000, 500_000)
            1.5
        """
        if self.tokens_in is None or self.tokens_out is None:
            return None
        return (tokens_in * self.tokens_in + tokens_out * self.tokens_out) / 1e6


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that one run may use: requests (each try counts), tokens in and out together, money."""

    requests: int | None = None
    tokens: int | None = None
    cost: float | None = None


class BudgetSpentError(Exception):
    """The next call could pass a limit, and no call in flight can give anything back."""


class Budget:
    """Keeps count of what was used and of what calls in flight may still use.

    What a server does not report counts as much as was set aside for it. Where one reports more than was set aside, so
    much more is from then on.

    Attributes:
        requests: That were sent.
        num_timed_out: Of these.
        tokens_in: Of prompts, used.
        tokens_out: Of answers, used.
        num_counted: Requests whose tokens a tokenizer counted in the server's place.
        counted: Of the tokens in and out, those of such counts.
        num_charged: Requests some of whose tokens nobody counted.
        charged_in: Of `tokens_in`, those of such requests.
        charged_out: Of `tokens_out`, likewise.

    Raises:
        ConfigError: A limit or a price is negative, or there is a limit of money and no price.
    """

    def __init__(self, limits: Limits, prices: Prices) -> None:
        named = {"max_requests": limits.requests, "max_total_tokens": limits.tokens, "max_cost": limits.cost}
        for name, value in (named | {"price_in": prices.tokens_in, "price_out": prices.tokens_out}).items():
            if value is not None and not value >= 0:
                raise ConfigError(f"{name} of at least 0", str(value), "Raise it, or leave it out.")
        if (prices.tokens_in is None) != (prices.tokens_out is None):
            raise ConfigError("both prices", "one of price_in and price_out", "Name the other one too.")
        if limits.cost is not None and prices.tokens_in is None:
            raise ConfigError(
                "a price for max_cost", "none", "Name price_in and price_out, money for a million tokens."
            )
        self.limits, self.prices = limits, prices
        self.requests = self.num_timed_out = self.tokens_in = self.tokens_out = 0
        self.num_charged = self.charged_in = self.charged_out = self.num_counted = self.counted = 0
        self._more_in = self._more_out = 0
        self._reserved_in = self._reserved_out = self.num_in_flight = 0
        self._settled = asyncio.Condition()

    @property
    def cost(self) -> float | None:
        """The money used so far; None where no price is known."""
        return self.prices.cost(self.tokens_in, self.tokens_out)

    async def reserve(self, tokens_in: int, tokens_out: int) -> tuple[int, int]:
        """Sets aside one request and its tokens, and returns these; waits where calls in flight may make room.

        Raises:
            BudgetSpentError: There is no room, and none will come.
        """
        async with self._settled:
            while reason := self._missing(tokens_in + self._more_in, tokens_out + self._more_out):
                if self.num_in_flight == 0 or self._requests_spent():
                    raise BudgetSpentError(reason)
                await self._settled.wait()
            reserved = tokens_in + self._more_in, tokens_out + self._more_out
            self.requests += 1
            self.num_in_flight += 1
            self._reserved_in += reserved[0]
            self._reserved_out += reserved[1]
            return reserved

    async def settle(
        self,
        reserved: tuple[int, int],
        reported: Tokens,
        has_timed_out: bool = False,
        counted: Tokens = (None, None),
    ) -> tuple[int, int]:
        """Puts what a call used in the place of what was set aside for it, and returns it.

        Args:
            reserved: What `reserve` returned.
            reported: Tokens in and out by the server; None where it did not say.
            has_timed_out: Whether the call was given up.
            counted: The same by a tokenizer, which counts where the server did not say; never more than was set aside.
        """
        own = [None if mine is None else min(mine, most) for mine, most in zip(counted, reserved, strict=True)]
        known = [mine if said is None else said for mine, said in zip(own, reported, strict=True)]
        used = tuple(aside if said is None else said for aside, said in zip(reserved, known, strict=True))
        async with self._settled:
            self.num_in_flight -= 1
            self.num_timed_out += has_timed_out
            self._reserved_in -= reserved[0]
            self._reserved_out -= reserved[1]
            self.tokens_in += used[0]
            self.tokens_out += used[1]
            by_tokenizer = [tokens for tokens, said in zip(known, reported, strict=True) if said is None and tokens]
            self.num_counted += bool(by_tokenizer)
            self.counted += sum(by_tokenizer)
            self.num_charged += None in known
            self.charged_in += used[0] if known[0] is None else 0
            self.charged_out += used[1] if known[1] is None else 0
            self._more_in += max(0, used[0] - reserved[0])
            self._more_out += max(0, used[1] - reserved[1])
            self._settled.notify_all()
        return used[0], used[1]

    def renew(self) -> None:
        """Makes it ready for another event loop; what was used stays used, and no call is in flight any more."""
        self._reserved_in = self._reserved_out = self.num_in_flight = 0
        self._settled = asyncio.Condition()

    def told(self) -> str:
        """What was sent and used, in words, what servers reported apart from what they did not."""
        timed_out = f" ({self.num_timed_out:,} timed out)" if self.num_timed_out else ""
        cost = "" if self.cost is None else f", cost {self.cost:,.4f}"
        counted = (
            f"; of these {self.counted:,} by the tokenizer, for {self.num_counted:,} request(s) that the server did "
            "not count"
            if self.num_counted
            else ""
        )
        charged = (
            f"; of these {self.charged_in:,} in, {self.charged_out:,} out are no server's count, but the most that "
            f"{self.num_charged:,} request(s) without one may have used"
            if self.num_charged
            else ""
        )
        cut = f"; {self.num_in_flight} cut off in flight, which may cost too" if self.num_in_flight else ""
        tokens = f"{self.tokens_in:,} tokens in, {self.tokens_out:,} out"
        return f"{self.requests:,} requests{timed_out}, {tokens}{cost}{counted}{charged}{cut}"

    async def give_back(self, reserved: tuple[int, int]) -> None:
        """Undoes a reservation whose call was never sent."""
        async with self._settled:
            self.requests -= 1
            self.num_in_flight -= 1
            self._reserved_in -= reserved[0]
            self._reserved_out -= reserved[1]
            self._settled.notify_all()

    def _requests_spent(self) -> bool:
        return self.limits.requests is not None and self.requests >= self.limits.requests

    def _missing(self, tokens_in: int, tokens_out: int) -> str:
        """Which limit the next call could pass, in words; empty: none."""
        all_in = self.tokens_in + self._reserved_in + tokens_in
        all_out = self.tokens_out + self._reserved_out + tokens_out
        cost = self.prices.cost(all_in, all_out)
        if self._requests_spent():
            return f"max_requests {self.limits.requests:,} ({self.requests:,} sent)"
        if self.limits.tokens is not None and all_in + all_out > self.limits.tokens:
            used, more = self.tokens_in + self.tokens_out, tokens_in + tokens_out
            return f"max_total_tokens {self.limits.tokens:,} ({used:,} used, the next call may take {more:,})"
        if self.limits.cost is not None and cost is not None and cost > self.limits.cost:
            next_cost = self.prices.cost(tokens_in, tokens_out)
            return f"max_cost {self.limits.cost:g} ({self.cost:.6g} used, the next call may cost {next_cost:.6g})"
        return ""
