"""Requests whose mentions share images: many questions, and a text with what it names."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

from starlette.requests import Request

from dim.errors import ConfigError, DataError
from dim.features.live import ReadyImage
from dim.linker import Document, Linker, Question
from dim.linker.annotate import Marked
from dim.linker.documents import marked
from dim.linker.each import Outcome
from dim.linker.together import Together
from dim.serve.problems import Problem
from dim.serve.reader import while_there
from dim.serve.schema import AnnotatedMention, AnnotatedText, AskedMany, AskedOfMany, AskedText
from dim.serve.served import Edition, Served

LONGEST_TEXT = 200_000  #: Characters of a text whose mentions are to be found.
MOST_ANSWERS = 6_400  #: To a text: as many as the default limits of a batch allow, and a tenth of a second's writing.

Ready = ReadyImage | Problem


async def answer_many(served: Served, request: Request, asked: AskedMany) -> list[Outcome]:
    """What comes of each question; one whose image cannot be used has its own error."""
    linker = served.edition.linker

    async def answered() -> list[Outcome]:
        images = await _ready(served, linker, asked)
        questions = [_question(each, images, len(asked.images)) for each in asked.questions]
        sound = [question for question in questions if isinstance(question, Question)]
        outcomes = iter(await served.batcher.answer(linker, sound, asked.top_k))
        return [next(outcomes) if isinstance(each, Question) else each for each in questions]

    with served.batcher.places(len(asked.questions)):
        return await while_there(request, served.batcher.in_time(answered()))


async def _ready(served: Served, linker: Linker, asked: AskedMany) -> dict[int, Ready]:
    """The images that questions refer to, each decoded once."""

    async def ready(image: bytes) -> Ready:
        try:
            return await served.images.ready(image, linker.question_reader)
        except Problem as problem:
            return problem

    used = sorted({each.image for each in asked.questions if each.image is not None and each.image < len(asked.images)})
    images = await asyncio.gather(*(ready(asked.images[place]) for place in used))
    return dict(zip(used, images, strict=True))


def _question(asked: AskedOfMany, images: dict[int, Ready], num_images: int) -> Question | Exception:
    image = None if asked.image is None else images.get(asked.image)
    if isinstance(image, Problem):
        return image
    if asked.image is not None and image is None:
        return DataError(f"the place of one of {num_images} images", str(asked.image), "Count from 0.")
    try:
        return Question(asked.mention, asked.context, image, asked.candidates)
    except DataError as error:
        return error


async def annotated(served: Served, request: Request, asked: AskedText, image: bytes | None) -> AnnotatedText:
    """The answers to the mentions of a text, which are found where none are marked.

    Args:
        served: Answers.
        request: Whose client may leave.
        asked: The text.
        image: The bytes of a file that belongs to every mention.

    Raises:
        Problem: 413 or 422, the image or the text cannot be used, or nothing was learned to answer mentions together;
            503.
    """
    edition = served.edition
    together = _together(edition.linker) if asked.collective else None
    count = asked.top_k if together is None else together.count(asked.top_k)
    if asked.spans is None and len(asked.text) > LONGEST_TEXT:
        found, remedy = f"{len(asked.text):,}", "Send it in parts, or mark its mentions."
        raise Problem(422, f"a text of at most {LONGEST_TEXT:,} characters", found, remedy)

    async def read() -> list[Marked]:
        ready = None if image is None else await served.images.ready(image, edition.linker.question_reader)
        return await _marked(served, edition, asked, ready)

    batcher, outcomes = served.batcher, list[Outcome]()
    with batcher.place_of_text():
        mentions = await while_there(request, batcher.in_time(read()))
        _check_answers(served, len(mentions), count)
        questions = [question for *_, question in mentions]
        most = served.settings.max_batch  # at once, as of any request, so that others have their turn
        for start in range(0, len(questions), most):
            part = questions[start : start + most]
            with batcher.places(len(part), of_text=True):
                outcomes += await while_there(request, batcher.answer(edition.linker, part, count))
        if together is not None:
            outcomes = await while_there(request, _beside(served, together, questions, outcomes, asked.top_k))
    annotations = [
        AnnotatedMention(start=start, end=end, mention=asked.text[start:end], answers=served.answers_of(outcome))
        for (start, end, _), outcome in zip(mentions, outcomes, strict=True)
    ]
    return AnnotatedText(text=asked.text, annotations=annotations)


async def _beside(
    served: Served, together: Together, questions: Sequence[Question], outcomes: Sequence[Outcome], top_k: int
) -> list[Outcome]:
    """The answers to the mentions together, unless one of them has none."""
    alone = [each for each in outcomes if not isinstance(each, Exception)]
    if len(alone) < len(outcomes):
        return list(outcomes)
    work = partial(together.answers, questions, alone, top_k)
    return list(await asyncio.get_running_loop().run_in_executor(served.finding, work))


def _together(linker: Linker) -> Together:
    try:
        return linker.together()
    except ConfigError as error:
        raise Problem(422, error.expected, error.found, "Leave collective out.") from error


def _check_answers(served: Served, num_mentions: int, top_k: int) -> None:
    """Raises Problem (422) where a short text has so many answers that others would wait while they are written."""
    most = max(MOST_ANSWERS, served.settings.max_batch * served.settings.max_top_k)
    if num_mentions * top_k > most:
        found, remedy = f"{num_mentions:,} mentions with {top_k:,} each", "Lower top_k, or send the text in parts."
        raise Problem(422, f"at most {most:,} answers to a text", found, remedy)


async def _marked(served: Served, edition: Edition, asked: AskedText, image: ReadyImage | None) -> list[Marked]:
    spans = None if asked.spans is None else [(span.start, span.end) for span in asked.spans]
    work = partial(marked, Document(asked.text, spans, image), edition.finder, edition.linker.context_sentences)
    if spans is not None:
        return work()
    found = await asyncio.get_running_loop().run_in_executor(served.finding, work)
    if len(found) > served.settings.max_mentions:
        expected = f"at most {served.settings.max_mentions} mentions in a text"
        raise Problem(422, expected, f"{len(found):,}", "Send it in parts, or mark those that count.")
    return found
