"""The mentions of the demo world: who is named, in which cell, and what the sentence and the picture tell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dim.demo.population import FAMILY_SIZE, GOLDS, KINDS, STRANGER, UNNAMED, Codes, Population
from dim.demo.vocabulary import FACTS, LASTING_LOOKS, LOOKS, OPENINGS, PREDICATES, SAID

MENTIONS_PER_GOLD = 3
MENTIONS_PER_FAMILY = GOLDS * MENTIONS_PER_GOLD + 1  # and one of the stranger
NAME_RATE = 0.22  #: Share of a gold's mentions that give the full name.
OUTSPOKEN_RATE = 0.7  #: Share of the facts that a sentence states in the words of the entity's text.
PASSING_RATE = 0.25  #: Share of hats, objects and places that are another today.

UNTOLD = -1
_HINTS = [[hint for _, hint in values.values()] for values in FACTS.values()]
_WORDS = [[words for words, _ in values.values()] for values in FACTS.values()]


@dataclass(frozen=True)
class Plan:
    """What each mention tells, as codes.

    Attributes:
        family: [mentions], the family of the person meant.
        member: [mentions], which of its ten members.
        cell: [mentions], `name`, `context`, `image`, `both` or `nil`.
        full: [mentions], whether the mention is the full name.
        facts: [mentions, kinds of fact], UNTOLD where the sentence does not tell.
        looks: [mentions, kinds of look], what the picture shows.
    """

    family: Codes
    member: Codes
    cell: NDArray[np.object_]
    full: NDArray[np.bool_]
    facts: NDArray[np.int8]
    looks: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.family)


def plan_mentions(population: Population, rng: np.random.Generator) -> Plan:
    """Three mentions of each of four golds and one of the stranger, for every named family, in random order."""
    named = np.flatnonzero(population.splits != UNNAMED)
    golds = np.argsort(rng.random((len(named), FAMILY_SIZE)), axis=1)[:, :GOLDS]
    members = np.column_stack([np.repeat(golds, MENTIONS_PER_GOLD, axis=1), np.full(len(named), STRANGER)])
    order = rng.permutation(members.size)
    family = np.repeat(named, MENTIONS_PER_FAMILY)[order]
    member = members.ravel()[order]
    cell = np.array(KINDS, dtype=object)[population.kinds[family]]
    stranger = member == STRANGER
    by_name = rng.random(len(family)) < NAME_RATE
    cell[by_name] = "name"
    cell[stranger] = "nil"
    half = rng.random(len(family)) < 0.5
    told = population.facts[family, member].copy()
    # Three of the four facts; none where the sentence is neutral.
    untold = np.argsort(rng.random(told.shape), axis=1) >= 3
    untold[(cell == "image") | ((cell == "name") & half)] = True
    told[untold] = UNTOLD
    return Plan(
        family=family,
        member=member,
        cell=cell,
        full=(cell == "name") | (stranger & half),
        facts=told,
        looks=today(population.looks[family, member], rng),
    )


def today(looks: NDArray[np.int8], rng: np.random.Generator) -> NDArray[np.int8]:
    """Looks [n, kinds of look] of a day: hats, objects and places are now and then others than in the KB."""
    shown = looks.copy()
    for kind, (name, values) in enumerate(LOOKS.items()):
        if name not in LASTING_LOOKS:
            other = rng.random(len(looks)) < PASSING_RATE
            shown[other, kind] = rng.integers(len(values), size=int(other.sum()))
    return shown


def documents(population: Population, plan: Plan, size: int, rng: np.random.Generator) -> list[str | None]:
    """The text of each mention: up to `size` of one split and of different families, whose employer is the same.

    A stranger has none, and whoever is left alone.
    """
    employers = population.facts[plan.family, plan.member, list(FACTS).index("employer")]
    keys, which = np.unique(np.column_stack([population.splits[plan.family], employers]), axis=0, return_inverse=True)
    found: list[list[int]] = []
    for key in range(len(keys)):
        started: list[list[int]] = []
        for mention in rng.permutation(np.flatnonzero((which == key) & (plan.member != STRANGER))).tolist():
            families = (text for text in started if plan.family[mention] not in plan.family[text])
            if (text := next(families, None)) is None:
                started.append(text := [])
            text.append(mention)
            if len(text) == size:
                started.remove(text)
                found.append(text)
        found += [text for text in started if len(text) > 1]
    names: list[str | None] = [None] * len(plan)
    for number, text in enumerate(found):
        for mention in text:
            names[mention] = f"d{number}"
    return names


def sentences(names: list[str], facts: NDArray[np.int8], rng: np.random.Generator) -> list[tuple[str, int]]:
    """A sentence for each mention, and where in it the name begins.

    Args:
        names: The mentions as they shall stand in the sentence.
        facts: [mentions, kinds of fact], UNTOLD where the sentence does not tell.
        rng: Chooses the words.
    """
    said = list(SAID.values())
    outspoken = (rng.random(facts.shape) < OUTSPOKEN_RATE).tolist()
    words = rng.integers(2, size=(*facts.shape, 2), dtype=np.int8).tolist()
    frames = np.column_stack([rng.integers(len(options), size=len(names)) for options in (OPENINGS, PREDICATES)])
    result = []
    for i, (name, codes, frame) in enumerate(zip(names, facts.tolist(), frames.tolist(), strict=True)):
        clauses = []
        for kind, code in enumerate(codes):
            if code == UNTOLD:
                continue
            first, second = words[i][kind]
            if outspoken[i][kind]:
                clauses.append(said[kind][first].format(_WORDS[kind][code][second % len(_WORDS[kind][code])]))
            else:
                clauses.append(_HINTS[kind][code])
        opening = OPENINGS[frame[0]]
        relative = f", who {' and '.join(clauses)}," if clauses else ""
        result.append((f"{opening}{name}{relative} {PREDICATES[frame[1]]}.", len(opening)))
    return result
