import asyncio
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from dim.errors import ConfigError
from dim.kb.rate import LONGEST_BACKOFF_S, Pacer, Retries, retry_after


async def times_of(pacer: Pacer, num: int) -> list[float]:
    times: list[float] = []

    async def go() -> None:
        await pacer.wait()
        times.append(time.monotonic())

    await asyncio.gather(*(go() for _ in range(num)))
    return times


def test_a_call_waits_one_interval_for_each_that_came_before() -> None:
    start = time.monotonic()
    times = asyncio.run(times_of(Pacer(3000), 6))
    assert all(moment - start >= 0.0199 * place for place, moment in enumerate(times))


def test_the_first_to_come_goes_first() -> None:
    pacer = Pacer(3000)
    order: list[int] = []

    async def go(number: int) -> None:
        await pacer.wait()
        order.append(number)

    async def go_all() -> None:
        await asyncio.gather(*map(go, range(8)))

    asyncio.run(go_all())
    assert order == list(range(8))


def test_a_hold_voids_the_turns_that_were_given() -> None:
    pacer = Pacer(3000)
    times: list[float] = []

    async def go() -> None:
        await pacer.wait()
        times.append(time.monotonic())
        if len(times) == 2:
            pacer.hold(0.2)

    async def go_all() -> None:
        await asyncio.gather(*(go() for _ in range(5)))

    asyncio.run(go_all())
    assert times[2] - times[1] >= 0.199
    assert times[4] - times[1] >= 0.2 + 2 * 0.02 - 0.001


def test_a_hold_stops_all_calls() -> None:
    pacer = Pacer()
    start = time.monotonic()
    pacer.hold(0.2)
    pacer.hold(0.1)  # the longer wish counts
    assert min(asyncio.run(times_of(pacer, 3))) - start >= 0.2


def test_a_rate_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="requests_per_minute above 0"):
        Pacer(0)


def test_the_back_off_doubles_with_a_jitter_that_the_seed_fixes() -> None:
    retries = Retries(backoff_s=2.0, seed=1)
    for failures in range(1, 5):
        assert 2.0 ** (failures - 1) <= retries.delay("Q1", failures) <= 2.0**failures
    assert retries.delay("Q1", 50) <= LONGEST_BACKOFF_S
    assert retries.delay("Q1", 3) == Retries(backoff_s=2.0, seed=1).delay("Q1", 3)
    assert len({retries.delay(f"Q{n}", 3) for n in range(10)} | {Retries(2, 2.0, seed=2).delay("Q1", 3)}) == 11


def test_retry_after_may_be_a_date() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    seconds = retry_after({"retry-after": date})
    assert seconds is not None
    assert 28 <= seconds <= 30
    assert retry_after({"retry-after": format_datetime(datetime(2020, 1, 1, tzinfo=UTC), usegmt=True)}) == 0


@pytest.mark.parametrize("value", ["soon", "", "-1", "inf", "nan"])
def test_a_retry_after_without_sense_is_none(value: str) -> None:
    assert retry_after({"retry-after": value}) is None
