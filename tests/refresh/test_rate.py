import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from moved_clock import MovedClock

from dim.core.retry_after import LONGEST_BACKOFF_S, retry_after
from dim.errors import ConfigError
from dim.refresh.rate import Clock, Pacer, Retries


@pytest.fixture
def moved() -> MovedClock:
    return MovedClock()


def times_of(pacer: Pacer, num: int, hold: tuple[int, float] | None = None) -> list[float]:
    """When so many calls may go that come at once; after the first `hold[0]` of them all are held for `hold[1]` s."""
    times: list[float] = []

    async def go() -> None:
        await pacer.wait()
        times.append(pacer.clock.time())
        if hold is not None and len(times) == hold[0]:
            pacer.hold(hold[1])

    async def go_all() -> None:
        await asyncio.gather(*(go() for _ in range(num)))

    asyncio.run(go_all())
    return times


def test_a_call_waits_one_interval_for_each_that_came_before(moved: MovedClock) -> None:
    assert times_of(Pacer(1200, moved.clock), 6) == pytest.approx([0, 0.05, 0.1, 0.15, 0.2, 0.25])


def test_calls_that_come_late_find_their_turn_at_once(moved: MovedClock) -> None:
    pacer = Pacer(60, moved.clock)
    assert times_of(pacer, 2) == pytest.approx([0, 1])
    moved.now = 10
    assert times_of(pacer, 2) == pytest.approx([10, 11])


def test_without_a_limit_nobody_waits(moved: MovedClock) -> None:
    assert times_of(Pacer(clock=moved.clock), 3) == [0, 0, 0]


def test_the_first_to_come_goes_first(moved: MovedClock) -> None:
    pacer = Pacer(3000, moved.clock)
    order: list[int] = []

    async def go(number: int) -> None:
        await pacer.wait()
        order.append(number)

    async def go_all() -> None:
        await asyncio.gather(*map(go, range(8)))

    asyncio.run(go_all())
    assert order == list(range(8))


def test_a_hold_voids_the_turns_that_were_given(moved: MovedClock) -> None:
    times = times_of(Pacer(3000, moved.clock), 5, hold=(2, 0.2))
    assert times == pytest.approx([0, 0.02, 0.22, 0.24, 0.26])


def test_a_hold_stops_all_calls_and_the_longer_wish_counts(moved: MovedClock) -> None:
    pacer = Pacer(clock=moved.clock)
    pacer.hold(0.2)
    pacer.hold(0.1)
    assert times_of(pacer, 3) == pytest.approx([0.2, 0.2, 0.2])


def test_by_default_seconds_are_those_of_this_machine() -> None:
    start = Clock().time()
    asyncio.run(Pacer().pause(0.05))
    assert Clock().time() - start >= 0.05  # how much later depends on the machine


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
    now = datetime(2026, 1, 1, tzinfo=UTC)
    date = format_datetime(now + timedelta(seconds=30), usegmt=True)
    assert retry_after({"retry-after": date}, now) == 30
    assert retry_after({"retry-after": date}) == 0  # by the machine's own date, which is later
    assert retry_after({"retry-after": "7"}, now) == 7


@pytest.mark.parametrize("value", ["soon", "", "-1", "inf", "nan"])
def test_a_retry_after_without_sense_is_none(value: str) -> None:
    assert retry_after({"retry-after": value}) is None
