"""Who lives in the demo world: families, their facts and looks, as arrays of codes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dim.data.dataset import SPLITS
from dim.demo.vocabulary import FACTS, GIVEN_NAMES, LOOKS, surnames

FAMILY_SIZE = 9
GOLDS = 4  # of nine: more than half of the KB is never named
STRANGER = FAMILY_SIZE  #: The member of each family whom the KB lacks.
GRIDS = {"context": (9, 1), "image": (1, 9), "both": (3, 3)}
KINDS = tuple(GRIDS)
UNNAMED = len(SPLITS)  #: The split code of a family that no mention names.

Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Population:
    """Families of nine entities and one stranger each.

    Attributes:
        surnames: One a family, all different.
        kinds: [families], index into KINDS.
        splits: [families], index into SPLITS, or UNNAMED.
        given: [families, 10], index into GIVEN_NAMES; different within a family.
        facts: [families, 10, kinds of fact], values by their position in FACTS.
        looks: [families, 10, kinds of look], values by their position in LOOKS.
        num_entities: Entities are the first nine members of each family; the last family may have fewer.
    """

    surnames: list[str]
    kinds: Codes
    splits: Codes
    given: NDArray[np.int8]
    facts: NDArray[np.int8]
    looks: NDArray[np.int8]
    num_entities: int

    def name(self, family: int, member: int) -> str:
        """The full name of a person."""
        return f"{GIVEN_NAMES[self.given[family, member]]} {self.surnames[family]}"


def populate(num_entities: int, num_named: int, rng: np.random.Generator) -> Population:
    """Makes the families; mentions name entities of `num_named` families, fewer where there are fewer."""
    num_families = -(-num_entities // FAMILY_SIZE)
    # A family cut short by the size of the KB would have other chances: nobody names it.
    num_named = min(num_named, num_entities // FAMILY_SIZE)
    pool = surnames(num_families)
    kinds = np.arange(num_families) % len(KINDS)
    grids = np.array(list(GRIDS.values()))[kinds]  # [families, (rows, columns)]
    member = np.arange(FAMILY_SIZE)
    rows = np.column_stack([member // grids[:, 1:], np.full(num_families, STRANGER)])
    columns = np.column_stack([member % grids[:, 1:], np.full(num_families, STRANGER)])
    return Population(
        surnames=[pool[i] for i in rng.permutation(len(pool))[:num_families]],
        kinds=kinds,
        splits=_splits(kinds, num_named),
        given=_different(num_families, len(GIVEN_NAMES), rng),
        facts=np.stack([_of(rows, _different(num_families, len(values), rng)) for values in FACTS.values()], axis=-1),
        looks=np.stack([_of(columns, _looks(kind, num_families, rng)) for kind in LOOKS], axis=-1),
        num_entities=num_entities,
    )


def _splits(kinds: Codes, num_named: int) -> Codes:
    """Whole families to splits, each kind alike: dev and test a fifth each, the rest train and a tenth of it tune."""
    splits = np.full(len(kinds), UNNAMED)
    for kind in range(len(KINDS)):
        families = np.flatnonzero(kinds[:num_named] == kind)
        held_out = max(1, round(len(families) / 5))
        tune = max(1, round((len(families) - 2 * held_out) / 10))
        order = [SPLITS.index("train")] + [SPLITS.index("dev")] * held_out + [SPLITS.index("test")] * held_out
        order += [SPLITS.index("tune")] * tune
        order += [SPLITS.index("train")] * (len(families) - len(order))
        splits[families] = order[: len(families)]
    return splits


def _looks(kind: str, num_families: int, rng: np.random.Generator) -> NDArray[np.int8]:
    """A value for each column of each family. Coats differ within a family; other looks may recur."""
    if kind == "coat":
        return _different(num_families, len(LOOKS[kind]), rng)
    return rng.integers(len(LOOKS[kind]), size=(num_families, FAMILY_SIZE + 1), dtype=np.int8)


def _different(num_families: int, num_values: int, rng: np.random.Generator) -> NDArray[np.int8]:
    """Ten different values for each family."""
    order = np.argsort(rng.random((num_families, num_values), dtype=np.float32), axis=1)
    return order[:, : FAMILY_SIZE + 1].astype(np.int8)


def _of(places: Codes, values: NDArray[np.int8]) -> NDArray[np.int8]:
    taken: NDArray[np.int8] = np.take_along_axis(values, places, axis=1)
    return taken
