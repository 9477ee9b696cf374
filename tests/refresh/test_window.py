"""How many requests are let go, by servers whose time passes at once."""

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from itertools import islice
from typing import Any

import pytest

from dim.refresh.window import Window


class MovedLoop(asyncio.SelectorEventLoop):
    """A loop whose time passes only where all wait for it, and then at once."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        selector: Any = self._selector  # type: ignore[attr-defined]
        select = selector.select

        def jump(timeout: float | None = None) -> Any:
            self._now += timeout or 0.0
            return select(0)

        selector.select = jump

    def time(self) -> float:
        return self._now


class Tally:
    """What a server did: requests, seconds of work, the most in flight at a time, and when the last answer came."""

    def __init__(self) -> None:
        self.requests = self.in_flight = self.most_in_flight = 0
        self.worked = self.ended = 0.0


def ask_all(
    seconds: Callable[[], float], timeout_s: float, num: int = 64, one_by_one: bool = True, stops: bool = True
) -> Tally:
    """Asks `num` questions, each again until it is answered, of a server that takes `seconds()` for one."""

    async def run() -> Tally:
        now, window, tally, turn = asyncio.get_running_loop().time, Window(8, timeout_s), Tally(), asyncio.Lock()
        left: set[asyncio.Task[None]] = set()

        async def work() -> None:
            async with turn if one_by_one else nullcontext():
                start = now()
                try:
                    await asyncio.sleep(seconds())
                finally:
                    tally.worked += now() - start

        async def is_answered() -> bool:
            flight = await window.enter()
            tally.requests += 1
            assert tally.requests <= 50 * num, "a window that never shrinks would ask for ever"
            tally.in_flight += 1
            tally.most_in_flight = max(tally.most_in_flight, tally.in_flight)
            start, answer = now(), asyncio.create_task(work())
            left.add(answer)
            done, _ = await asyncio.wait({answer}, timeout=timeout_s)
            if done:
                window.answered(flight, now() - start)
                tally.ended = now()
            else:
                window.timed_out(flight)
                if stops:
                    answer.cancel()
            tally.in_flight -= 1
            await window.leave()
            return bool(done)

        async def ask(questions: Iterator[int]) -> None:
            for _ in questions:
                while not await is_answered():
                    pass

        questions = iter(range(num))
        await ask(islice(questions, 1))  # the first goes alone
        await asyncio.gather(*(ask(questions) for _ in range(8)))
        await asyncio.gather(*left, return_exceptions=True)
        return tally

    with asyncio.Runner(loop_factory=MovedLoop) as runner:
        return runner.run(run())


@pytest.mark.parametrize("stops", [True, False])
@pytest.mark.parametrize(("seconds", "timeout_s"), [(8.0, 60.0), (8.5, 60.0), (1.0, 60.0), (25.0, 60.0)])
def test_a_server_that_answers_one_by_one_is_never_asked_in_vain(seconds: float, timeout_s: float, stops: bool) -> None:
    tally = ask_all(lambda: seconds, timeout_s, stops=stops)
    assert tally.requests == 64
    assert tally.ended == pytest.approx(64 * seconds)  # it is never idle


@pytest.mark.parametrize("stops", [True, False])
def test_answers_that_nearly_take_the_time_out_are_asked_for_alone(stops: bool) -> None:
    rng = random.Random(0)
    tally = ask_all(lambda: rng.uniform(17, 29), 30, stops=stops)
    assert tally.requests <= 1.1 * 64
    assert tally.worked <= (1.1 if stops else 1.2) * 64 * 23


@pytest.mark.parametrize("seed", range(5))
def test_room_is_left_for_answers_that_take_far_longer_than_others(seed: int) -> None:
    rng = random.Random(seed)
    tally = ask_all(lambda: rng.uniform(25, 80), 120)
    assert tally.requests <= 1.1 * 64
    assert tally.ended <= 1.1 * tally.worked


def test_a_slow_server_that_answers_all_at_once_is_asked_as_much_as_is_allowed() -> None:
    tally = ask_all(lambda: 40.0, 60, one_by_one=False)
    assert (tally.requests, tally.most_in_flight) == (64, 8)
    assert tally.ended <= 64 * 40 / 3


def test_a_window_that_shrank_grows_again() -> None:
    slow = iter([50.0] * 12)
    tally = ask_all(lambda: next(slow, 2.0), 60, num=100)
    assert tally.requests <= 106
    assert tally.most_in_flight == 8


def test_time_outs_of_one_moment_shrink_it_once() -> None:
    async def run() -> tuple[float, float]:
        window = Window(8, 60)
        first = await window.enter()
        window.answered(first, 1)
        await window.leave()
        flights = [await window.enter() for _ in range(8)]
        for flight in flights:
            window.timed_out(flight)
        return window.size, window.advice()[0]

    assert asyncio.run(run()) == (4, 8)


@pytest.mark.parametrize(("alone", "advice"), [(None, (1, 240)), (8.5, (3, 60)), (40, (1, 80)), (0.001, (8, 120))])
def test_advice_fits_twice_what_one_by_one_takes(alone: float | None, advice: tuple[int, int]) -> None:
    window = Window(8, 60)
    window.alone_s = alone
    assert window.advice() == advice
