"""Waiting questions become batches for one thread that owns the linker.

Written here on FastAPI, and not by LitServe (0.2.19), for three reasons. LitServe's workers are processes, which get
their requests through a manager's queues or ZeroMQ: the KB and the towers would stand in memory once a worker, besides
the process that answers HTTP. Its request queue has no bound, so that at three times the sustainable rate memory and
waiting grow and nobody hears 503 with Retry-After; and it lifts the form parser's limits for the whole process. On
SIGTERM it terminates its workers and gives up after 30 s whatever they held, where here each accepted question is
answered first.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from dim.linker import Linker, Question
from dim.linker.each import Outcome, link_each
from dim.serve.metrics import Metrics
from dim.serve.problems import busy
from dim.serve.settings import Settings

T = TypeVar("T")
LONGEST_RETRY = 60  #: Seconds.


@dataclass(eq=False)
class _Waiting:
    linker: Linker
    question: Question
    top_k: int
    outcome: asyncio.Future[Outcome]


class Batcher:
    """Answers the questions of many requests in batches, in one thread: linkers are not thread-safe.

    Args:
        settings: `batch_size`, `batch_wait_ms`, `queue_size` and `timeout_s` count here.
        metrics: What happens is counted there.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.settings, self.metrics = settings, metrics
        self.accepted = 0
        self.is_stopping = False
        self._waiting: deque[_Waiting] = deque()
        self._something_waits, self._batch_is_full = asyncio.Event(), asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "linker")
        self._worker: asyncio.Task[None] | None = None
        self._rate = 0.0  # questions a second while it works; 0: not known yet

    def start(self) -> None:
        """Begins to answer, in the running event loop."""
        self._worker = asyncio.create_task(self._work())

    def refuse(self) -> None:
        """Accepts nothing more; what was accepted is answered."""
        self.is_stopping = True

    async def stop(self) -> None:
        """Returns when all that was accepted is answered."""
        self.refuse()
        while self.accepted:
            await asyncio.sleep(0.01)
        if self._worker is not None:
            self._worker.cancel()
        self._thread.shutdown()

    @contextmanager
    def place_of_text(self) -> Iterator[None]:
        """Holds a place for a text whose questions are not known yet: a server that stops answers those, too.

        Raises:
            Problem: 503, when the server stops or has too many.
        """
        self.check_room(1)
        self._accept(1)
        try:
            yield
        finally:
            self._accept(-1)

    @contextmanager
    def places(self, count: int, of_text: bool = False) -> Iterator[None]:
        """Holds the places of that many questions, from their acceptance to their answers.

        Args:
            count: Of them.
            of_text: Whether they are of a text that has its place.

        Raises:
            Problem: 503, when the server stops or has too many.
        """
        self.check_room(count, of_text)
        self._accept(count)
        self.metrics.accepted.inc(count)
        try:
            yield
        finally:
            self._accept(-count)

    def check_room(self, count: int, of_text: bool = False) -> None:
        """Raises Problem (503) when that many questions cannot be accepted now; see `places`."""
        if self.is_stopping and not of_text:
            self.metrics.rejected.labels("stopping").inc(count)
            raise busy("a server that runs", "it is stopping", 1)
        if self.accepted + count > self.settings.queue_size:
            self.metrics.rejected.labels("full").inc(count)
            found = f"{self.accepted} wait already" + (f", and {count} came" if count > 1 else "")
            raise busy(f"at most {self.settings.queue_size} questions at once", found, self.retry_after())

    async def answer(self, linker: Linker, questions: Sequence[Question], top_k: int) -> list[Outcome]:
        """The answers to questions that hold their places; for one that cannot be answered its error.

        Cancelled, it takes out what is not computed yet.

        Args:
            linker: Answers them; nothing else may use it.
            questions: Of one request.
            top_k: Answers a question at most.

        Raises:
            Problem: 503, when they waited for `timeout_s`.
        """
        loop = asyncio.get_running_loop()
        waiting = [_Waiting(linker, question, top_k, loop.create_future()) for question in questions]
        self._waiting.extend(waiting)
        self._something_waits.set()
        if len(self._waiting) >= self.settings.batch_size:
            self._batch_is_full.set()

        async def outcomes() -> list[Outcome]:
            return [await each.outcome for each in waiting]

        try:
            return await self.in_time(outcomes())
        finally:
            for each in waiting:
                each.outcome.cancel()
                self.metrics.abandoned.inc(each.outcome.cancelled())

    async def in_time(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of work for questions that hold their places.

        Raises:
            Problem: 503, there is none within `timeout_s`.
        """
        try:
            async with asyncio.timeout(self.settings.timeout_s):
                return await work
        except TimeoutError as error:
            found = f"none after {self.settings.timeout_s:g} s"
            raise busy("an answer in time", found, self.retry_after()) from error

    def retry_after(self) -> int:
        """In how many whole seconds what waits now will have been answered, by the measured rate."""
        seconds = self.accepted / self._rate if self._rate else 1
        return min(max(math.ceil(seconds), 1), LONGEST_RETRY)

    def _accept(self, count: int) -> None:
        self.accepted += count
        self.metrics.waiting.set(self.accepted)

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._something_waits.wait()
            if self.settings.batch_wait_ms and len(self._waiting) < self.settings.batch_size:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._batch_is_full.wait(), self.settings.batch_wait_ms / 1000)
            batch = self._next_batch()
            if not batch:
                continue
            started = time.perf_counter()
            outcomes = await loop.run_in_executor(self._thread, _answered, batch)
            self._count(len(batch), time.perf_counter() - started)
            for waiting, outcome in zip(batch, outcomes, strict=True):
                if not waiting.outcome.done():  # its client left meanwhile
                    waiting.outcome.set_result(outcome)

    def _next_batch(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        while self._waiting and len(batch) < self.settings.batch_size:
            if batch and self._waiting[0].linker is not batch[0].linker:
                break  # they came after a reload
            waiting = self._waiting.popleft()
            if not waiting.outcome.done():
                batch.append(waiting)
        if not self._waiting:
            self._something_waits.clear()
        if len(self._waiting) < self.settings.batch_size:
            self._batch_is_full.clear()
        return batch

    def _count(self, num_questions: int, seconds: float) -> None:
        self.metrics.batch_questions.observe(num_questions)
        self.metrics.batch_seconds.observe(seconds)
        rate = num_questions / max(seconds, 1e-6)
        self._rate = rate if not self._rate else 0.8 * self._rate + 0.2 * rate


def _answered(batch: Sequence[_Waiting]) -> list[Outcome]:
    """What comes of each question: the answers that it asked for, or its error."""
    outcomes = link_each(batch[0].linker, [each.question for each in batch], max(each.top_k for each in batch))
    return [
        outcome if isinstance(outcome, Exception) else outcome[: each.top_k]
        for outcome, each in zip(outcomes, batch, strict=True)
    ]
