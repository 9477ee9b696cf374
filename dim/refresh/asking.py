"""Asks a server about many things at once: within the budget, at the rate allowed, again where that may help."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice

from dim.errors import ConfigError
from dim.refresh.answers import Answer
from dim.refresh.budget import Budget, BudgetSpentError, Tokens
from dim.refresh.client import Endpoint
from dim.refresh.prompt import Prompt
from dim.refresh.rate import Pacer, Retries
from dim.refresh.reply import FAULTS, RETRIED, Reply
from dim.refresh.tokens import TokenCounter
from dim.refresh.window import Flight, Window

#: So many questions in a row without an answer of the server: it is not worth going on.
FAULTS_IN_A_ROW = 10
#: Who counted the tokens of an answer, the surest first (`Answer.tokens_by`).
COUNTED_BY = SERVER, TOKENIZER, BOUND = "server", "tokenizer", "bound"


@dataclass(frozen=True, slots=True)
class Request:
    """One question about an entity, or about an image, that is named by its id or path.

    `hash` covers all that a finished answer depends on; `whole_hash` is that of the prompt before its old text was cut.
    """

    entity_id: str
    prompt: Prompt
    hash: str
    whole_hash: str | None = None


@dataclass
class Asker:
    """Asks, and hands each answer to `on_answer` as it comes.

    What a window holds of requests goes at a time: as many as the server answers in time, at most `concurrency`.

    Attributes:
        endpoint: The model.
        budget: What may be used.
        pacer: When requests may go.
        retries: What is tried again.
        counter: Counts the tokens of prompts.
        prompt_hash: Goes into the record.
        on_answer: Called once for each question that was asked, failures included.
        window: How many may be in flight.
        has_answered: Whether the server is known to answer questions of this kind.
        prefix: Before the name of an option on the command line.
    """

    endpoint: Endpoint
    budget: Budget
    pacer: Pacer
    retries: Retries
    counter: TokenCounter
    prompt_hash: str
    on_answer: Callable[[Answer], None]
    window: Window
    has_answered: bool = False
    prefix: str = "--"
    _stop: str = field(default="", init=False)
    _is_sent_away: bool = field(default=False, init=False)
    _faults_in_a_row: int = field(default=0, init=False)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    async def run(self, requests: Iterable[Request]) -> str:
        """Asks all requests, the first one alone, so that a wrong key costs one request.

        Returns:
            Why it stopped early, in words; empty when all were asked.

        Raises:
            ConfigError: The server does not answer the first one in its tries, or nobody like this, or failed ten times
                in a row.
        """
        waiting = iter(requests)
        await self._work(islice(waiting, 1), is_probe=True)
        tasks = [asyncio.create_task(self._work(waiting)) for _ in range(self.window.most)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return self._stop

    async def _work(self, waiting: Iterator[Request], is_probe: bool = False) -> None:
        while (request := await self._next(waiting)) is not None:
            answer = await self._ask(request)
            if answer is None:
                return
            self.on_answer(answer)
            self.has_answered = self.has_answered or answer.status == "ok"
            # Of a server that answers others, what it rejects is the question's fault, not its own.
            is_fault = answer.status in (RETRIED if self.has_answered else FAULTS)
            self._faults_in_a_row = self._faults_in_a_row + 1 if is_fault else 0
            if is_fault and not self._stop and (is_probe or self._faults_in_a_row >= FAULTS_IN_A_ROW):
                times = f"{answer.tries} tries" if is_probe else f"{FAULTS_IN_A_ROW} questions in a row"
                raise ConfigError(
                    f"an answer of {self.endpoint.url}",
                    f"none in {times}; the last: {answer.status}, {answer.detail}",
                    await self._remedy(answer),
                )

    def advice(self) -> str:
        """The options with which a server as slow as this one should answer in time."""
        num, seconds = self.window.advice()
        return f"{self.prefix}concurrency {num} {self.prefix}timeout_s {seconds}"

    async def _remedy(self, answer: Answer) -> str:
        if answer.status == "timeout":
            return f"Give it more time, or less at once: {self.advice()}."
        if answer.status == "unreachable":
            return "Check that the server runs and that the URL (OPENAI_BASE_URL or base_url) is its own."
        return f"Check the URL (OPENAI_BASE_URL or base_url) and {await self.endpoint.models_in_words()}."

    async def _next(self, waiting: Iterator[Request]) -> Request | None:
        """The next request. To make one may take time, such as an image's decoding, in which answers come in."""
        async with self._turn:
            return await asyncio.to_thread(next, waiting, None)

    async def _ask(self, request: Request) -> Answer | None:
        """The answer to one request after all its tries; None where none may be sent any more."""
        bound = self.counter.bound(request.prompt), self.endpoint.parameters.max_tokens
        failures: list[str] = []
        used_in, used_out, counted_by = 0, 0, SERVER
        reply, seconds = None, 0.0
        while len(failures) <= self.retries.count and not self._stop:
            flight = await self.window.enter()
            try:
                reserved = await self.budget.reserve(*bound)
                if not await self._takes_turn(reserved):
                    break
                start = time.monotonic()
                reply = await self.endpoint.ask(request.prompt)
                seconds = time.monotonic() - start
                self._learn(flight, reply, seconds)
            except BudgetSpentError as stop:
                self._stop = self._stop or str(stop)
                break
            finally:
                await self.window.leave()
            # What nobody counts may cost as much as was set aside.
            said, counted = (reply.tokens_in, reply.tokens_out), self._counted(request, reply)
            used = await self.budget.settle(reserved, said, reply.status == "timeout", counted)
            used_in, used_out = used_in + used[0], used_out + used[1]
            counted_by = max(counted_by, _counted_by(said, counted), key=COUNTED_BY.index)
            if self.endpoint.takes_less(reply):
                continue
            if reply.status not in RETRIED:
                break
            failures.append(reply.status)
            await self._wait_after(request, reply, len(failures))
        if reply is None:
            return None
        if reply.status in RETRIED:
            failures.pop()
        return self._answer(request, reply, failures, (used_in, used_out), counted_by, seconds)

    def _learn(self, flight: Flight, reply: Reply, seconds: float) -> None:
        if reply.status == "timeout":
            self.window.timed_out(flight)
        elif reply.status not in FAULTS:
            self.window.answered(flight, seconds)

    async def _takes_turn(self, reserved: tuple[int, int]) -> bool:
        """Waits for the pacer; False, with nothing used, where the server wants no more requests."""
        has_turn = False
        try:
            await self.pacer.wait()
            has_turn = not self._is_sent_away
        finally:
            if not has_turn:
                await self.budget.give_back(reserved)
        return has_turn

    async def _wait_after(self, request: Request, reply: Reply, num_failures: int) -> None:
        if reply.retry_after is not None and reply.retry_after > self.retries.max_wait_s:
            self._is_sent_away = True
            self._stop = f"the server asks to wait for {reply.retry_after:,.0f} s"
        elif reply.retry_after is not None:
            self.pacer.hold(reply.retry_after)
        elif num_failures <= self.retries.count and not self._stop:
            await self.pacer.pause(self.retries.delay(request.entity_id, num_failures))

    def _counted(self, request: Request, reply: Reply) -> Tokens:
        """Tokens in and out by the tokenizer; None where it does not tell all that the model read or wrote."""
        is_counted = self.counter.is_exact and not request.prompt.image and reply.status not in FAULTS
        if not is_counted:
            return None, None
        return self.counter.count(request.prompt), self.counter.answered(reply.text) if reply.is_all else None

    def _answer(
        self,
        request: Request,
        reply: Reply,
        failures: list[str],
        used: tuple[int, int],
        counted_by: str,
        seconds: float,
    ) -> Answer:
        return Answer(
            entity_id=request.entity_id,
            status=reply.status,
            text=reply.text,
            model=self.endpoint.model,
            served_model=reply.model,
            prompt_hash=self.prompt_hash,
            request_hash=request.hash,
            parameters=self.endpoint.parameters.as_json(),
            tokens_in=used[0],
            tokens_out=used[1],
            tokens_reported=counted_by == SERVER,
            cost=self.budget.prices.cost(used[0], used[1]),
            date=datetime.now(UTC).isoformat(timespec="seconds"),
            seconds=round(seconds, 3),
            tries=len(failures) + 1,
            failures=failures,
            finish_reason=reply.finish_reason,
            detail=reply.detail,
            system_fingerprint=reply.system_fingerprint,
            whole_hash=request.whole_hash,
            tokens_by=counted_by,
            alternatives=reply.alternatives,
        )


def _counted_by(said: Tokens, counted: Tokens) -> str:
    """Who counted all tokens of one try."""
    if None not in said:
        return SERVER
    known = [mine if given is None else given for given, mine in zip(said, counted, strict=True)]
    return BOUND if None in known else TOKENIZER
