"""Precision, recall and F1 of linked mentions as GERBIL counts them, whose tables entity linkers are compared in.

GERBIL (Röder, Usbeck and Ngonga Ngomo, "GERBIL: Benchmarking Named Entity Recognition and Linking Consistently",
Semantic Web 9, 2018, section 4; github.com/dice-group/gerbil, `EvaluatorFactory`, experiment D2KB, and
`ConfidenceBasedFMeasureCalculator`): the mentions are given, and each is to get its entity. An entity outside of the
knowledge base is an emerging entity (EE), and two of them match whatever they are called. Micro figures sum the counts
over documents; macro figures average the documents' own, where one with nothing to find and nothing found counts 1.

    all      every mention
    InKB     golds in the KB against answers in the KB
    EE       golds outside against answers outside
    GSInKB   mentions whose gold is in the KB, whatever was answered

GERBIL also leaves out answers below a threshold of confidence, the one that gives the best micro F1 on the very data
that is measured. That is not done here: all answers count.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Linked(NamedTuple):
    """A mention with what it should have got and what it got.

    Attributes:
        golds: The entities that it means, by any of their names; empty: an emerging entity.
        answer: The entity that it got; None: that the KB has none.
        is_answered: Whether it got anything at all.
    """

    golds: Collection[str]
    answer: str | None
    is_answered: bool = True

    @property
    def is_right(self) -> bool:
        """Whether answer and gold match."""
        return self.is_answered and (self.answer in self.golds if self.golds else self.answer is None)


class Counts(NamedTuple):
    """True positives, false positives and false negatives."""

    right: int
    wrong: int
    missed: int


@dataclass(frozen=True)
class Figures:
    """Precision, recall and F1, from 0 to 1."""

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class Measured:
    """What is told of a class of mentions.

    Attributes:
        counts: Over all documents.
        micro: Of these.
        macro: The mean over documents.
    """

    counts: Counts
    micro: Figures
    macro: Figures


_Class = Callable[[Linked], tuple[bool, bool]]  #: Whether a mention's gold counts, and whether its answer does.
CLASSES: dict[str, _Class] = {
    "all": lambda each: (True, each.is_answered),
    "InKB": lambda each: (bool(each.golds), each.is_answered and each.answer is not None),
    "EE": lambda each: (not each.golds, each.is_answered and each.answer is None),
    "GSInKB": lambda each: (bool(each.golds), bool(each.golds) and each.is_answered),
}


def measured(documents: Sequence[Sequence[Linked]]) -> dict[str, Measured]:
    """The figures of each class; one in which there is nothing to find and nothing found is left out.

    Args:
        documents: The mentions of each.

    Example:
        >>> found = measured([[Linked({"Q1"}, "Q1"), Linked({"Q2"}, "Q1")], [Linked((), None)]])
        >>> found["InKB"].counts, found["InKB"].micro.f1, found["InKB"].macro.f1, found["EE"].micro.f1
        (Counts(right=1, wrong=1, missed=1), 0.5, 0.75, 1.0)
    """
    found = {}
    for name, counts_in in CLASSES.items():
        each = [counts_of(document, counts_in) for document in documents]
        total = Counts(*(sum(column) for column in zip(*each, strict=True))) if each else Counts(0, 0, 0)
        if any(total):
            found[name] = Measured(total, figures_of(total), _mean([figures_of(counts) for counts in each]))
    return found


def counts_of(document: Sequence[Linked], counts_in: _Class) -> Counts:
    """What is right, wrong and missed in a document, of the golds and answers of a class."""
    right = wrong = missed = 0
    for each in document:
        has_gold, has_answer = counts_in(each)
        is_right = has_gold and has_answer and each.is_right
        right += is_right
        wrong += has_answer and not is_right
        missed += has_gold and not is_right
    return Counts(right, wrong, missed)


def figures_of(counts: Counts) -> Figures:
    """Precision, recall and F1; 1 where there was nothing to find and nothing found."""
    if not counts.right:
        value = 0.0 if counts.wrong or counts.missed else 1.0
        return Figures(value, value, value)
    precision = counts.right / (counts.right + counts.wrong)
    recall = counts.right / (counts.right + counts.missed)
    return Figures(precision, recall, 2 * precision * recall / (precision + recall))


def _mean(figures: Sequence[Figures]) -> Figures:
    """The mean of each; the F1 is that of the documents, not that of the means."""
    columns = zip(*((each.precision, each.recall, each.f1) for each in figures), strict=True)
    return Figures(*(sum(column) / len(figures) for column in columns))
