"""What the demo's small language model learns: newly drawn questions about the entities of a demo world.

They are drawn from the KB alone; no mention is read.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dim.demo.mentions import UNTOLD, sentences, today
from dim.demo.vocabulary import FACTS, LASTING_LOOKS, LOOKS
from dim.errors import DataError

NAME_RATE = 0.15  #: Share of the questions that ask for a full name.
LOOKS_RATE = 0.5  #: Share of the questions with looks, where looks tell nothing.
LOOK_RATE = 0.4  #: Share of the other looks that are told beside the coat.
TOLD_FACTS = 3  #: Of four, as a mention's sentence tells.

_LOOK_WORDS = [list(values.values()) for values in LOOKS.values()]


@dataclass(frozen=True, slots=True)
class Question:
    """A question about a mention, with its answer.

    Attributes:
        kind: The cell that a mention of this kind has: `name`, `context`, `image` or `both`.
        looks: What an image would show, in words of the entity texts; empty where there is none.
        mention: The name as it stands in the context.
        context: The sentence.
        name: The answer, an entity's full name.
    """

    kind: str
    looks: str
    mention: str
    context: str
    name: str


def draw_questions(entities: pd.DataFrame, count: int, rng: np.random.Generator) -> list[Question]:
    """Questions about the entities of a demo world, in random order; well-known entities are asked for more often.

    Which entity is asked for is drawn in proportion to `1 + ln(1 + popularity)`. What its namesakes leave open decides
    what is told: facts in the sentence, looks before it, or both, drawn anew as for mentions. No entity of the world
    is left out, whichever split its mentions are in: this is the knowledge that the frozen model shall have.

    Args:
        entities: The KB of a demo world, its `attributes` as JSON texts.
        count: How many.
        rng: Decides everything that is drawn.

    Raises:
        DataError: The entities do not have the facts and the looks of a demo world.
    """
    facts, looks = _codes(entities)
    names = entities["name"].tolist()
    kinds = _kinds(names, facts, looks)
    weights = 1 + np.log1p(entities["popularity"].to_numpy(dtype=float))
    drawn = rng.choice(len(names), size=count, p=weights / weights.sum())
    kind = np.where(rng.random(count) < NAME_RATE, "name", kinds[drawn])
    optional = rng.random((2, count)) < LOOKS_RATE
    silent = (kind == "image") | ((kind == "name") & optional[0])
    told = facts[drawn]
    told[(np.argsort(rng.random(told.shape), axis=1) >= TOLD_FACTS) | silent[:, None]] = UNTOLD
    mentions = [
        names[i] if full else _surname(names[i])
        for i, full in zip(drawn.tolist(), (kind == "name").tolist(), strict=True)
    ]
    shown = _in_words(today(looks[drawn], rng), rng)
    seen = ((kind == "image") | (kind == "both") | optional[1]).tolist()
    return [
        Question(asked, words if visible else "", mention, sentence, names[i])
        for asked, words, visible, mention, (sentence, _), i in zip(
            kind.tolist(), shown, seen, mentions, sentences(mentions, told, rng), drawn.tolist(), strict=True
        )
    ]


def _codes(entities: pd.DataFrame) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    """[entities, kinds of fact] and [entities, kinds of look], values by their position in FACTS and LOOKS."""
    positions = [
        {kind: {value: code for code, value in enumerate(values)} for kind, values in table.items()}
        for table in (FACTS, LOOKS)
    ]
    rows = []
    for name, text in zip(entities["name"], entities["attributes"], strict=True):
        try:
            _surname(name)
            known = json.loads(text)
            rows.append(
                [
                    codes[known[part][kind]]
                    for part, table in zip(("facts", "looks"), positions, strict=True)
                    for kind, codes in table.items()
                ]
            )
        except (ValueError, TypeError, LookupError) as error:
            raise DataError(
                "a demo world, whose entities have facts and looks",
                f"the entity {name!r}, which is none of a demo world ({error!r})",
                "Make one: dim demo-world FOLDER",
            ) from error
    codes = np.array(rows, dtype=np.int8).reshape(len(rows), len(FACTS) + len(LOOKS))
    return codes[:, : len(FACTS)], codes[:, len(FACTS) :]


def _kinds(names: list[str], facts: NDArray[np.int8], looks: NDArray[np.int8]) -> NDArray[np.str_]:
    """What tells each entity from its namesakes: `context`, `image`, or neither alone: `both`."""
    lasting = [kind in LASTING_LOOKS for kind in LOOKS]
    by_facts, by_looks = (
        [(_surname(name), *row) for name, row in zip(names, codes.tolist(), strict=True)]
        for codes in (facts, looks[:, lasting])
    )
    same_facts, same_looks = Counter(by_facts), Counter(by_looks)
    return np.array(
        [
            "context" if same_facts[told] == 1 else "image" if same_looks[seen] == 1 else "both"
            for told, seen in zip(by_facts, by_looks, strict=True)
        ]
    )


def _surname(name: str) -> str:
    return name.split(" ", 1)[1]


def _in_words(looks: NDArray[np.int8], rng: np.random.Generator) -> list[str]:
    """The coat and some other looks of each row, as entity texts say them."""
    told = rng.random(looks.shape) < LOOK_RATE
    told[:, list(LOOKS).index("coat")] = True
    words = rng.integers(2, size=looks.shape).tolist()
    return [
        ", ".join(
            choices[code][word % len(choices[code])]
            for choices, code, word, visible in zip(_LOOK_WORDS, codes, row, shown, strict=True)
            if visible
        )
        for codes, row, shown in zip(looks.tolist(), words, told.tolist(), strict=True)
    ]
