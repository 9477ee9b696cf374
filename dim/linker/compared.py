"""Two linkers asked the same mentions, one at a time and in batches: how often each is right, and how long it takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

from rich.table import Table

from dim.core.progress import tracked
from dim.linker.answer import Question
from dim.linker.asked_mentions import AskedMentions, with_ready_images
from dim.linker.linker import Linker

BATCH = 64  #: Mentions that are asked at once: as many texts as an encoder is given at once.


def _alone(linker: Linker, questions: Sequence[Question]) -> list[str]:
    return [first for question in questions for first in _together(linker, [question])]


def _together(linker: Linker, questions: Sequence[Question]) -> list[str]:
    """Of each question the id of the first answer; empty where there is none."""
    return [answers[0].id if answers else "" for answers in linker.link_batch(questions, 1)]


WAYS: dict[str, Callable[[Linker, Sequence[Question]], list[str]]] = {"one by one": _alone, "in batches": _together}


@dataclass(frozen=True)
class Compared:
    """How two linkers answer the same mentions, asked in one way.

    Attributes:
        way: Of `WAYS`.
        top1: Of each linker, the share of mentions whose first answer is right.
        same: The share of the same first answers.
        seconds: Of each linker, a mention, by the clock.
    """

    way: str
    top1: tuple[float, float]
    same: float
    seconds: tuple[float, float]

    @property
    def lost(self) -> float:
        """Points of Top-1 that the second lacks to the first; negative where it has more."""
        return 100 * (self.top1[0] - self.top1[1])


def compared(one: Linker, other: Linker, mentions: AskedMentions) -> list[Compared]:
    """Asks both in turns, whose images are made ready before; each of `WAYS`, in their order."""
    firsts: dict[tuple[str, int], list[str]] = {(way, place): [] for way in WAYS for place in (0, 1)}
    seconds = dict.fromkeys(firsts, 0.0)
    questions = mentions.questions
    for linker in (one, other):  # weights load at the first question
        _together(linker, with_ready_images(questions[:1], one.image_reader))
    parts = [questions[start : start + BATCH] for start in range(0, len(questions), BATCH)]
    for part in tracked(parts, "asking both", len(parts)):
        ready = with_ready_images(part, one.image_reader)
        for (way, place), found in firsts.items():
            begun = perf_counter()
            found += WAYS[way]((one, other)[place], ready)
            seconds[way, place] += perf_counter() - begun
    return [
        Compared(
            way,
            (_top1(firsts[way, 0], mentions.golds), _top1(firsts[way, 1], mentions.golds)),
            sum(a == b for a, b in zip(firsts[way, 0], firsts[way, 1], strict=True)) / len(questions),
            (seconds[way, 0] / len(questions), seconds[way, 1] / len(questions)),
        )
        for way in WAYS
    ]


def _top1(firsts: Sequence[str], golds: Sequence[tuple[str, ...]]) -> float:
    return sum(first in right for first, right in zip(firsts, golds, strict=True)) / len(golds)


def comparison_table(rows: Sequence[Compared], title: str) -> Table:
    """What is shown of a run's linker and one in int8.

    Args:
        rows: At least one.
        title: Says what was asked.
    """
    table = Table(title=title, caption="same: first answers; ms: of a whole answer, a mention, by the clock")
    for column in ("asked", "Top-1 run", "int8", "lost", "same", "ms run", "int8"):
        table.add_column(column, justify="left" if column == "asked" else "right")
    for row in rows:
        shares = f"{100 * row.top1[0]:.1f}", f"{100 * row.top1[1]:.1f}", f"{row.lost:.1f}", f"{row.same:.1%}"
        table.add_row(row.way, *shares, *(f"{1000 * each:.1f}" for each in row.seconds))
    return table
