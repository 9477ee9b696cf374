"""What a ranker is told of names: those that the language model writes compete, each has its likelihood."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dim.core.arrays import Rows
from dim.methods.generative.answers import Answers
from dim.methods.generative.choices import NextTokens
from dim.methods.generative.decoding import Decoder, Written
from dim.methods.generative.language_model import LanguageModel
from dim.methods.generative.ways import Encoded


@dataclass(frozen=True)
class Likelihoods:
    """The likelihoods of names behind some prompts (`dim.inference.scored.Scored`).

    Attributes:
        model: Which writes and judges.
        decoder: How.
        batches: Places of the prompts, and the prompts of each batch.
        choices: What may be written; None: nothing.
        ranked: The KB rows that bear the names which are written behind a prompt, by its place; negative ones stand for
            no entity.
        tokens: Of the names of KB rows [c].
        names_at_once: In one forward pass.
        without: For each prompt the rows that are out of the question; None: none is.
    """

    model: LanguageModel
    decoder: Decoder
    batches: Sequence[tuple[Sequence[int], Encoded]]
    choices: NextTokens | None
    ranked: Callable[[int, Sequence[Written]], Answers]
    tokens: Callable[[Rows], list[list[int]]]
    names_at_once: int
    without: Sequence[Rows] | None = None

    @cached_property
    def written(self) -> list[dict[int, float]]:
        """For each prompt the entities of the names that are written, best first, each with its best name's score."""
        found: list[dict[int, float]] = [{} for places, _ in self.batches for _ in places]
        if self.choices is None:
            return found
        for places, encoded in self.batches:
            for place, names in zip(places, self.decoder.write(self.model, encoded, self.choices), strict=True):
                answers = self.ranked(place, names)
                found[place] = dict(zip(answers.rows.tolist(), answers.scores.tolist(), strict=True))
        return found

    def nearest(self, count: int) -> list[Rows]:
        """The entities of the names that are written, at most one name a beam."""
        out = self.without or [np.empty(0, np.int64)] * len(self.written)
        each = zip(self.written, out, strict=True)
        found = [[row for row in of if row >= 0 and row not in without] for of, without in each]
        return [np.array(rows[:count], np.int64) for rows in found]

    def at(self, rows: Sequence[Rows]) -> list[NDArray[np.float32]]:
        """The log-likelihood of each entity's name, over its tokens as the method has it, or of a likelier written one.

        That may be an alias.
        """
        found = [np.empty(0, np.float32)] * len(rows)
        for places, encoded in self.batches:
            names = [self.tokens(rows[place]) for place in places]
            if not any(names):
                continue
            scores = self.decoder.score(self.model, encoded, names, self.names_at_once)
            for place, of_place in zip(places, scores, strict=True):
                written = [self.written[place].get(row, -np.inf) for row in rows[place].tolist()]
                found[place] = np.maximum(of_place, written).astype(np.float32)
        return found
