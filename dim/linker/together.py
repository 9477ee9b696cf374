"""The mentions of one text answered together, as `dim collective` learned it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from dim.collective.coherence import Coherence
from dim.collective.collective import Alone, Collective
from dim.data.dataset import NIL
from dim.linker.answer import Answer, Question
from dim.linker.answers import Answers
from dim.linker.knowledge import Knowledge


@dataclass(frozen=True)
class Together:
    """Answers the mentions of a text together.

    Attributes:
        knowledge: The KB.
        learned: What coherence weighs.
        coherence: Of the KB's entities.
    """

    knowledge: Knowledge
    learned: Collective
    coherence: Coherence

    def count(self, top_k: int) -> int:
        """Answers that are needed of each mention alone, for so many together."""
        return max(top_k, self.learned.top + 1)  # one may be NIL

    def answers(self, questions: Sequence[Question], alone: Sequence[Sequence[Answer]], top_k: int) -> list[Answers]:
        """The answers to the mentions of one text, best first.

        Args:
            questions: What was asked of each mention.
            alone: `count` answers to each, or all that there are.
            top_k: Answers a mention at most.
        """
        known = [[answer for answer in answers if answer.id != NIL] for answers in alone]
        told = [self._alone(question.mention, answers) for question, answers in zip(questions, known, strict=True)]
        found = []
        for answers, own, likely in zip(alone, known, self.learned.together(told, self.coherence), strict=True):
            nil = [answer for answer in answers if answer.id == NIL]
            order = np.argsort(-likely, kind="stable").tolist()
            changed = [replace(own[place], probability=float(likely[place])) for place in order]
            found.append(Answers([*nil, *changed][:top_k]))
        return found

    def _alone(self, mention: str, answers: Sequence[Answer]) -> Alone:
        rows = np.array([self.knowledge.row(answer.id) for answer in answers], np.int64)
        return Alone(mention, rows, np.array([answer.probability or 0.0 for answer in answers], np.float64))
