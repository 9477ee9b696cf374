"""Many questions of which some may fail: each gets its answers, or its own error."""

from __future__ import annotations

from collections.abc import Sequence

from dim.linker.answer import Answer, Question, QuestionError
from dim.linker.linker import Linker

Outcome = list[Answer] | Exception


def link_each(
    linker: Linker, questions: Sequence[Question], top_k: int, caught: type[Exception] = Exception
) -> list[Outcome]:
    """The answers to each question, or the error that it raises; that is found by halves.

    Args:
        linker: Answers.
        questions: In one batch, as long as none fails.
        top_k: Answers a question at most.
        caught: Errors of a question; others are raised.
    """
    try:
        return list(linker.link_batch(questions, top_k))
    except caught as error:
        if len(questions) == 1:
            return [error.plain if isinstance(error, QuestionError) else error]
        half = len(questions) // 2
        parts = (questions[:half], questions[half:])
        return [outcome for part in parts for outcome in link_each(linker, part, top_k, caught)]
