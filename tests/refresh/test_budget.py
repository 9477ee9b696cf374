import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from waiting import HANG

from dim.errors import ConfigError
from dim.refresh.budget import Budget, BudgetSpentError, Limits, Prices

Calls = list[tuple[int, int, int]]  # reserved, used, turns of the loop that it takes


async def spend(budget: Budget, calls: Calls, concurrency: int, check: Callable[[], None]) -> int:
    waiting, num_sent = iter(calls), 0

    async def work() -> None:
        nonlocal num_sent
        for reserved, used, turns in waiting:
            try:
                await budget.reserve(reserved, 0)
            except BudgetSpentError:
                return
            num_sent += 1
            for _ in range(turns):
                await asyncio.sleep(0)
            await budget.settle((reserved, 0), (used, 0))
            check()

    await asyncio.gather(*(work() for _ in range(concurrency)))
    return num_sent


call = st.integers(1, 100).flatmap(lambda most: st.tuples(st.just(most), st.integers(0, most), st.integers(0, 5)))


@settings(deadline=None)
@given(st.lists(call, max_size=30), st.integers(0, 500), st.integers(0, 30), st.integers(1, 8))
def test_no_limit_is_ever_passed(calls: Calls, tokens: int, requests: int, concurrency: int) -> None:
    budget = Budget(Limits(requests, tokens, cost=tokens / 1e6), Prices(1.0, 1.0))

    def check() -> None:
        assert budget.tokens_in <= tokens
        assert budget.requests <= requests

    num_sent = asyncio.run(spend(budget, calls, concurrency, check))
    check()
    assert budget.num_in_flight == 0
    assert num_sent == budget.requests


@given(st.lists(call, max_size=20))
@settings(deadline=None)
def test_a_budget_for_all_lets_all_go(calls: Calls) -> None:
    budget = Budget(Limits(len(calls), sum(most for most, _, _ in calls)), Prices())
    assert asyncio.run(spend(budget, calls, 4, lambda: None)) == len(calls)
    assert budget.cost is None


def test_one_call_waits_for_what_another_gives_back() -> None:
    budget = Budget(Limits(tokens=100), Prices())
    calls = [(80, 10, 5), (80, 10, 5), (80, 10, 5)]
    assert asyncio.run(spend(budget, calls, 3, lambda: None)) == 3
    assert asyncio.run(spend(budget, [(80, 10, 0)], 1, lambda: None)) == 0  # 30 + 80 > 100


def test_one_call_waits_for_what_another_that_was_never_sent_gives_back() -> None:
    async def run() -> tuple[int, int]:
        budget = Budget(Limits(tokens=100), Prices())
        reserved = await budget.reserve(80, 0)
        waiting = asyncio.create_task(budget.reserve(60, 0))
        await asyncio.sleep(0)
        await budget.give_back(reserved)
        return await asyncio.wait_for(waiting, HANG)

    assert asyncio.run(run()) == (60, 0)


@pytest.mark.parametrize(
    ("limits", "prices", "message"),
    [
        (Limits(requests=-1), Prices(), "max_requests of at least 0"),
        (Limits(tokens=-1), Prices(), "max_total_tokens of at least 0"),
        (Limits(), Prices(1.0, float("nan")), "price_out of at least 0"),
        (Limits(), Prices(1.0), "both prices"),
        (Limits(cost=1.0), Prices(), "a price for max_cost"),
    ],
)
def test_limits_without_sense_are_named(limits: Limits, prices: Prices, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Budget(limits, prices)
