"""What all routes share: the linker behind its batcher, and the way from a question to its answers."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from starlette.requests import Request

import dim
from dim.errors import DimError
from dim.linker import Answer, Linker, Question
from dim.linker.each import Outcome
from dim.serve.about import about, image_url
from dim.serve.batcher import Batcher
from dim.serve.images import Images
from dim.serve.metrics import Metrics
from dim.serve.problems import Problem, error_parts
from dim.serve.schema import AnswerOut, Candidates, ErrorParts, Failed, Linked
from dim.serve.settings import Settings

T = TypeVar("T")


class ClientLeftError(Exception):
    """There is nobody to answer."""


class Served:
    """A linker that is served.

    Args:
        linker: Nothing else may use it meanwhile.
        settings: The limits.
    """

    def __init__(self, linker: Linker, settings: Settings) -> None:
        self.linker, self.settings = linker, settings
        self.metrics = Metrics(dim.__version__)
        self.metrics.entities.set(len(linker))
        self.batcher = Batcher(linker, settings, self.metrics)
        self.images = Images(settings, linker)
        self.about = about(linker, settings)

    async def stop(self) -> None:
        """Returns when all that was accepted is answered."""
        await self.batcher.stop()
        self.images.stop()

    def check_top_k(self, top_k: int) -> None:
        """Raises Problem (422) where more answers are wanted than allowed."""
        if top_k > self.settings.max_top_k:
            raise Problem(422, f"top_k of at most {self.settings.max_top_k}", str(top_k), "Lower it.")

    def check_count(self, count: int, what: str) -> None:
        """Raises Problem (422) where a request has too many questions."""
        if count > self.settings.max_batch:
            found = f"{count:,}"
            raise Problem(
                422, f"at most {self.settings.max_batch} {what} in a request", found, "Send several requests."
            )

    async def answer(self, request: Request, questions: Sequence[Question], top_k: int) -> list[Outcome]:
        """What comes of questions, as long as their client is there."""
        with self.batcher.places(len(questions)):
            return await while_there(request, self.batcher.answer(questions, top_k))

    async def answer_with_image(
        self, request: Request, asked: tuple[str, str, Candidates], image: bytes, top_k: int
    ) -> Outcome:
        """What comes of a question (mention, context, candidates) with an uploaded image."""
        mention, context, candidates = asked

        async def answered() -> list[Outcome]:
            try:
                async with asyncio.timeout(self.settings.timeout_s):
                    ready = await self.images.ready(image)
                    return await self.batcher.answer([Question(mention, context, ready, candidates)], top_k)
            except TimeoutError as error:
                raise self.batcher.too_late() from error

        with self.batcher.places(1):
            return (await while_there(request, answered()))[0]


async def while_there(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of work, which is cancelled when the client leaves.

    Raises:
        ClientLeftError: It did.
    """
    task, left = asyncio.create_task(work), asyncio.create_task(_left(request))
    try:
        await asyncio.wait({task, left}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientLeftError
        return task.result()
    finally:
        for each in (task, left):
            each.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await each


def answers_of(outcome: Outcome) -> list[AnswerOut]:
    """The answers as JSON. Raises what stands there in their place."""
    if isinstance(outcome, Exception):
        raise outcome
    return [answer_out(answer) for answer in outcome]


def result_of(outcome: Outcome) -> Linked | Failed:
    """The answers, or the error, of one question of many. Raises what is not the question's fault."""
    if isinstance(outcome, DimError):
        return Failed(error=ErrorParts(**error_parts(outcome.expected, outcome.found, outcome.remedy)))
    return Linked(answers=answers_of(outcome))


def answer_out(answer: Answer) -> AnswerOut:
    """An answer as JSON; its images are paths on this server."""
    return AnswerOut(
        id=answer.id,
        name=answer.name,
        text=answer.text,
        score=answer.score,
        probability=answer.probability,
        evidence=dict(answer.evidence),
        images=[image_url(answer.id, place) for place in range(len(answer.images))],
    )


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
