"""The two texts of an entity: a stub that is stale and vague, and one refreshed from the facts, with an LLM's slips."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dim.demo.vocabulary import FACTS, FIELDS, LOOKS, SAID

MISSING_RATE = 0.05  #: Share of the facts that a refreshed text leaves out.
WRONG_RATE = 0.03  #: Share that it states wrongly.
STALE_RATE = 0.5  #: Share of the employers in a stub that are a former one.

_FACT_WORDS = [[words for words, _ in values.values()] for values in FACTS.values()]
_LOOK_WORDS = [list(values.values()) for values in LOOKS.values()]
_OCCUPATIONS_PER_FIELD = len(FACTS["occupation"]) // len(FIELDS)


def brief_texts(names: list[str], facts: NDArray[np.int8], rng: np.random.Generator) -> list[str]:
    """A stub for each entity: a birthplace, a vague field, an employer that may be a former one; no looks.

    Args:
        names: Full names.
        facts: [entities, kinds of fact], values by their position in FACTS.
        rng: Decides what is left out and what is stale.
    """
    years = rng.integers(1940, 2000, len(names)).tolist()
    chances = rng.random((len(names), 3)).tolist()
    former = rng.integers(len(FACTS["employer"]), size=len(names)).tolist()
    towns, employers = list(FACTS["birthplace"]), list(FACTS["employer"])
    texts = []
    for name, codes, year, chance, stale in zip(names, facts.tolist(), years, chances, former, strict=True):
        occupation, town, employer, _ = codes
        origin = f", {towns[town]}" if chance[0] < 0.7 else ""
        post = ""
        if chance[1] < 0.5:
            post = f" Associated with {employers[stale if chance[2] < STALE_RATE else employer]}."
        texts.append(f"{name} (born {year}{origin}). Known in {FIELDS[occupation // _OCCUPATIONS_PER_FIELD]}.{post}")
    return texts


def refreshed_texts(
    names: list[str], facts: NDArray[np.int8], looks: NDArray[np.int8], rng: np.random.Generator
) -> list[str]:
    """A paragraph for each entity, made from its facts and looks; some are left out, some are wrong.

    Args:
        names: Full names.
        facts: [entities, kinds of fact], values by their position in FACTS.
        looks: [entities, kinds of look], values by their position in LOOKS.
        rng: Chooses words and errors.
    """
    told_facts = _with_errors(facts, _FACT_WORDS, rng)
    told_looks = _with_errors(looks, _LOOK_WORDS, rng)
    wordings = rng.integers(12, size=(len(names), len(FACTS) * 2 + len(LOOKS)), dtype=np.int8).tolist()
    texts = []
    for name, fact_codes, look_codes, words in zip(names, told_facts, told_looks, wordings, strict=True):
        choices = iter(words)
        clauses = []
        for frames, values, code in zip(SAID.values(), _FACT_WORDS, fact_codes, strict=True):
            frame, word = next(choices), next(choices)
            if code >= 0:
                clauses.append(frames[frame % len(frames)].format(values[code][word % len(values[code])]))
        seen = [
            values[code][word % len(values[code])]
            for values, code, word in zip(_LOOK_WORDS, look_codes, choices, strict=True)
            if code >= 0
        ]
        place = f", {seen.pop()}" if look_codes[-1] >= 0 else ""
        texts.append(f"{name} {_listed(clauses)}. Pictures show {_listed(seen)}{place}.")
    return texts


def _with_errors(
    codes: NDArray[np.int8], values: list[list[tuple[str, ...]]], rng: np.random.Generator
) -> list[list[int]]:
    """The codes as a text tells them: -1 where it says nothing, another value where it errs."""
    told = codes.copy()
    for kind, choices in enumerate(values):
        wrong = rng.random(len(codes)) < WRONG_RATE
        told[wrong, kind] = rng.integers(len(choices), size=int(wrong.sum()))
    told[rng.random(told.shape) < MISSING_RATE] = -1
    listed: list[list[int]] = told.tolist()
    return listed


def _listed(items: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`; `nothing known` where there is none."""
    if not items:
        return "nothing known"
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)
