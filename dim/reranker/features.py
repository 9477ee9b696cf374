"""The evidence for and against a candidate: one row of numbers a pair of mention and entity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dim.core.arrays import Doubles, Rows
from dim.reranker.columns import Column
from dim.reranker.entities import NO_WORD, EntityFacts
from dim.reranker.words import STEM, WordLists, find_years, fold_name, neighbours, split_words

#: Feature → what it says.
VECTOR_FEATURES = {
    "vectors": "cosine of the mention's and the entity's vectors, or what else the method scores by",
    "vectors_lead": "that, less the best other candidate's",
    "vectors_rank": "its rank among the candidates, as 1 / rank",
}
NAME_FEATURES = {
    "name": "cosine of the character n-grams of mention and name",
    "name_lead": "that, less the best other candidate's",
    "name_rank": "its rank among the candidates, as 1 / rank",
    "exact": "the mention is the name or an alias",
    "exact_short": "the mention is the name without what stands in parentheses",
    "starts": "the name starts with the mention",
    "subset": "all words of the mention are in the name",
    "mention_covered": "share of the mention's words that are in the name, or start a word of it as initials",
    "name_covered": "share of the name's words that are in the mention",
    "same_first": "both start with the same word",
    "same_last": "both end with the same word (surname)",
    "last_is_first": "the mention's last word is the name's first",
    "initials": "the mention is the initials of the name",
    "rest_in_context": "share of the name's words outside the mention that stand in the context",
    "rest_weight": "their rarity, summed, as logarithm",
    "before": "the word before the mention in the context is in the name (1), is not though capital (-1), or none (0)",
    "after": "as before, for the word after it",
    "full_in_context": "the whole name stands in the context",
    "hint": "rarity of the words in the name's parentheses that stand in the context, as logarithm",
    "has_hint": "the name has words in parentheses",
    "namesakes": "how many entities bear the name without parentheses, as logarithm",
    "surname_bearers": "how many entities share the name's last word, as logarithm",
    "subset_rivals": "how many candidates have all words of the mention, as logarithm",
    "rivals_in_context": "whether another candidate's whole name stands in the context",
}
TEXT_FEATURES = {
    "words": "rarity of the words that context and entity text share, the mention's left out, summed, as logarithm",
    "words_lead": "that, less the best other candidate's",
    "words_best": "rarity of the rarest shared word",
    "words_share": "share of the context's rarity that is shared",
    "stems": "as words, for the first letters of words",
    "stems_lead": "as words_lead",
    "age": "years from the entity's first year to the context's last, in centuries; 0 where either is missing",
    "age_known": "whether both have a year",
    "too_early": "the context's last year is before the entity's first",
    "too_late": "the context's first year is after the entity's last, by years, in centuries",
    "years_known": "whether the entity has a last year and the context a year",
    "gender": "the context's words for men or women agree with the text's (1), contradict it (-1), or say nothing (0)",
    "text_size": "words of the text, as logarithm",
    "text_missing": "the entity has no text",
}
OTHER_FEATURES = {
    "popularity": "of the entity, from outside the mentions, as logarithm; 0 where it is missing",
    "popularity_missing": "whether it is missing",
    "has_image": "the mention has an image",
    "has_caption": "its image has a caption",
    "mention_words": "words of the mention",
    "context_words": "words of the context, as logarithm",
    "bearers": "how many entities bear the mention as name or alias, as logarithm",
}
FEATURES = {**VECTOR_FEATURES, **NAME_FEATURES, **TEXT_FEATURES, **OTHER_FEATURES}

MALE = frozenset(
    {
        *("he", "his", "him", "himself", "man", "mr", "sir", "king", "prince", "lord", "actor"),
        *("father", "son", "brother", "husband", "boy"),
    }
)
FEMALE = frozenset(
    {
        *("she", "her", "hers", "herself", "woman", "mrs", "ms", "miss", "lady", "queen", "princess", "actress"),
        *("mother", "daughter", "sister", "wife", "girl"),
    }
)


@dataclass(frozen=True)
class Asked:
    """What is asked about a mention.

    Attributes:
        mention: The name as it stands in the context.
        context: The sentence around it; may be empty.
        has_image: Whether there is an image.
        has_caption: Whether the image has a caption.
    """

    mention: str
    context: str = ""
    has_image: bool = False
    has_caption: bool = False


class PairFeatures:
    """Turns a mention and its candidates into numbers."""

    def __init__(self, facts: EntityFacts) -> None:
        self.facts = facts
        self._word_marks, self._stem_marks = Column[np.float64](np.float64), Column[np.float64](np.float64)

    def of(self, asked: Asked, rows: Rows, vectors: NDArray[Any], names: NDArray[Any]) -> Doubles:
        """The features [c, num_features] of a mention's candidates.

        Args:
            asked: The mention.
            rows: [c] KB rows.
            vectors: [c], scores by vector.
            names: [c], cosines of character n-grams of mention and name.
        """
        if not len(rows):
            return np.empty((0, len(FEATURES)))
        vectors, names = vectors.astype(np.float64), names.astype(np.float64)
        columns = [vectors, lead(vectors), 1 / rank(vectors)]
        columns += self._names(asked, rows, names)
        columns += self._texts(asked, rows)
        columns += self._others(asked, rows)
        return np.stack(columns, axis=1)

    def _names(self, asked: Asked, rows: Rows, names: Doubles) -> list[Doubles]:
        facts = self.facts
        mention, context = fold_name(asked.mention), fold_name(asked.context)
        words = split_words(asked.mention)
        known = set(facts.vocabulary.find(words))
        context_words = set(facts.vocabulary.find(split_words(asked.context))) - known
        name_sizes = facts.name_words.sizes[rows].clip(min=1)
        ids, owner = facts.name_words.of(rows)
        name_ids = facts.name_words.parted(rows, ids.tolist())
        name_words = facts.name_words.parted(rows, facts.vocabulary.words(ids.tolist()))
        in_mention = self._marked(known, ids)
        covered_names = np.bincount(owner, in_mention, len(rows)) / name_sizes
        shared = [len(known.intersection(found)) for found in name_ids]
        covered = np.array(shared) / max(len(set(words)), 1)
        covered_initials = np.array([share_covered(words, found) for found in name_words])
        in_context = self._marked(context_words, ids)
        rest = (name_sizes - covered_names * name_sizes).clip(min=1)
        rest_weight = np.bincount(owner, in_context * facts.word_weights[ids], len(rows))
        beside = [sides(found - set(words), name_words) for found in neighbours(asked.context, asked.mention)]
        short_names = facts.short_names(rows)
        full = np.array([len(s) > len(mention) and s in context for s in short_names])
        hints, hint_owner = facts.hint_words.of(rows)
        hint = np.bincount(hint_owner, self._marked(context_words, hints) * facts.word_weights[hints], len(rows))
        subset = covered >= 1
        first, last = (self._word(word) for word in (words[:1], words[-1:]))
        letters = mention.replace(".", "").replace(" ", "")
        return [
            names,
            lead(names),
            1 / rank(names),
            facts.bears(mention, rows).astype(np.float64),
            np.array([mention == name for name in short_names], dtype=np.float64),
            np.array([name.startswith(mention) for name in short_names], dtype=np.float64),
            subset.astype(np.float64),
            covered_initials,
            covered_names,
            (facts.first_words[rows] == first).astype(np.float64),
            (facts.last_words[rows] == last).astype(np.float64),
            (facts.first_words[rows] == last).astype(np.float64),
            np.array([letters == "".join(word[0] for word in found) for found in name_words], np.float64),
            np.bincount(owner, in_context, len(rows)) / rest,
            np.log1p(rest_weight),
            *beside,
            full.astype(np.float64),
            np.log1p(hint),
            (facts.hint_words.sizes[rows] > 0).astype(np.float64),
            np.log1p(facts.namesakes(rows)),
            np.log1p(facts.surname_bearers(rows)),
            np.full(len(rows), np.log1p(subset.sum())),
            ((full.sum() - full) > 0).astype(np.float64),
        ]

    def _word(self, words: Sequence[str]) -> int:
        """The number of the only word; `NO_WORD` where there is none, and another where no entity has it."""
        found = self.facts.vocabulary.find(words)
        return found[0] if found else NO_WORD - len(words)

    def _texts(self, asked: Asked, rows: Rows) -> list[Doubles]:
        facts = self.facts
        mention, context = set(split_words(asked.mention)), split_words(asked.context)
        others = {word for word in context if word not in mention}
        shared = self._shared(set(facts.vocabulary.find(others)), facts.text_words, facts.word_weights, rows)
        stems = set(facts.stems.find(word[:STEM] for word in others))
        stem_sum, _, _ = self._shared(stems, facts.text_stems, facts.stem_weights, rows)
        years = find_years(asked.context)
        first, last = facts.first_years[rows], facts.last_years[rows]
        earliest, latest = (min(years), max(years)) if years else (np.nan, np.nan)
        age, late = (latest - first) / 100, (earliest - last) / 100
        said = set(context)
        gender = float(bool(said & MALE)) - float(bool(said & FEMALE))
        return [
            np.log1p(shared[0]),
            lead(np.log1p(shared[0])),
            shared[1],
            shared[2],
            np.log1p(stem_sum),
            lead(np.log1p(stem_sum)),
            np.nan_to_num(age).clip(-3, 3),
            np.isfinite(age).astype(np.float64),
            (age < 0).astype(np.float64),
            np.nan_to_num(late).clip(0, 3),
            np.isfinite(late).astype(np.float64),
            gender * facts.genders[rows],
            np.log1p(facts.text_words.sizes[rows]),
            (facts.text_words.sizes[rows] == 0).astype(np.float64),
        ]

    def _others(self, asked: Asked, rows: Rows) -> list[Doubles]:
        facts = self.facts
        popularity = facts.popularity[rows]
        alike = (
            asked.has_image,
            asked.has_caption,
            len(split_words(asked.mention)),
            np.log1p(len(asked.context.split())),
            np.log1p(facts.num_bearers(fold_name(asked.mention))),
        )
        return [
            np.nan_to_num(np.log1p(popularity.clip(min=0))),
            np.isnan(popularity).astype(np.float64),
            *(np.full(len(rows), float(value)) for value in alike),
        ]

    def _marked(self, known: set[int], ids: Rows) -> Doubles:
        self._word_marks.lengthen(len(self.facts.vocabulary))
        return marked(self._word_marks.values, list(known), 1, ids)

    def _shared(
        self, known: set[int], lists: WordLists, weights: Doubles, rows: Rows
    ) -> tuple[Doubles, Doubles, Doubles]:
        ids, owner = lists.of(rows)
        chosen = list(known)
        marks = self._word_marks if lists is self.facts.text_words else self._stem_marks
        marks.lengthen(len(weights))
        found = marked(marks.values, chosen, weights[chosen], ids)
        total: Doubles = np.bincount(owner, found, len(rows)).astype(np.float64)
        best: Doubles = np.zeros(len(rows))
        np.maximum.at(best, owner, found)
        return total, best, total / max(float(weights[chosen].sum()), 1e-9)


def marked(marks: Doubles, chosen: list[int], weights: Doubles | float, ids: Rows) -> Doubles:
    """The weights of numbers, 0 for those that are not chosen; `marks` are zeros, before and after."""
    marks[chosen] = weights
    found: Doubles = marks[ids]
    marks[chosen] = 0
    return found


def sides(found: set[str], names: Sequence[Sequence[str]]) -> Doubles:
    """Whether each of some names [c] has one of the words that were found (1) or not (-1); 0 where none was found."""
    if not found:
        return np.zeros(len(names))
    return np.array([-1.0 if found.isdisjoint(words) else 1.0 for words in names])


def lead(values: Doubles) -> Doubles:
    """How far each value [c] is above the best of the others; 0 where it stands alone.

    Example:
        >>> lead(np.array([0.9, 0.5, 0.8])).round(1).tolist()
        [0.1, -0.4, -0.1]
    """
    if len(values) < 2:
        return np.zeros(len(values))
    second, first = np.partition(values, len(values) - 2)[-2:]
    others = np.full(len(values), first)
    others[values.argmax()] = second
    found: Doubles = values - others
    return found


def rank(values: Doubles) -> Doubles:
    """The rank of each value [c], 1 for the highest; equal values share the worst.

    Example:
        >>> rank(np.array([0.9, 0.5, 0.9])).tolist()
        [2.0, 3.0, 2.0]
    """
    ordered = np.sort(values)
    found: Doubles = (len(values) - np.searchsorted(ordered, values, side="left")).astype(np.float64)
    return found


def share_covered(words: Sequence[str], name: Sequence[str]) -> float:
    """The share of a mention's words that are words of the name, or start one as an initial.

    Example:
        >>> share_covered(["j", "smith"], ["john", "smith"])
        1.0
    """
    if not words:
        return 0.0
    whole = set(name)
    starts = {word[0] for word in name}
    return sum(word in whole or (len(word) == 1 and word in starts) for word in words) / len(words)
