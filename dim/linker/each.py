"""Many questions of which some may fail: each gets its answers, or its own error."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from dim.errors import DataError
from dim.images.decoders import Decoders
from dim.linker.answer import Answer, Question, QuestionError
from dim.linker.images import ImageReader
from dim.linker.linker import BATCH, Linker

Outcome = list[Answer] | Exception


def link_each(linker: Linker, questions: Sequence[Question | Exception], top_k: int) -> list[Outcome]:
    """The answers to each question, or the error that it raises.

    Args:
        linker: Answers.
        questions: Those of a batch are answered together, as long as none fails. An error stays what it is.
        top_k: Answers a question at most.
    """
    outcomes: list[Outcome] = []
    for start in range(0, len(questions), BATCH):
        part = questions[start : start + BATCH]
        answers = iter(_by_halves(linker, [each for each in part if isinstance(each, Question)], top_k))
        outcomes += [next(answers) if isinstance(each, Question) else each for each in part]
    return outcomes


def read_images(linker: Linker, questions: Sequence[Question], decoders: Decoders) -> list[Question | Exception]:
    """The questions with their images as the linker's encoders take them, or what became of these.

    Another thread may do it than links.

    Args:
        linker: Its encoders say how images are scaled.
        questions: With images by their paths.
        decoders: An image that ends its decoder is an error of its question.
    """
    if not linker.reads_images:
        return list(questions)
    known = linker.question_reader
    reader = ImageReader(known.live, known.wanted, decoders.decode, known.seen_side)

    def readied(question: Question) -> Question | Exception:
        try:
            return replace(question, image=reader.open(question.image))
        except DataError as error:
            return error

    pool = ThreadPoolExecutor(decoders.count)
    try:
        return list(pool.map(readied, questions))
    finally:
        pool.shutdown(cancel_futures=True)  # Ctrl-C does not wait for all of them


def _by_halves(linker: Linker, questions: Sequence[Question], top_k: int) -> list[Outcome]:
    """The answers, or the error, of each; who fails is found by halves."""
    if not questions:
        return []
    try:
        return list(linker.link_batch(questions, top_k))
    except Exception as error:
        if len(questions) == 1:
            return [error.plain if isinstance(error, QuestionError) else error]
        half = len(questions) // 2
        return [outcome for part in (questions[:half], questions[half:]) for outcome in _by_halves(linker, part, top_k)]
