"""Facts that grow with a KB are those of the KB as it is."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dim.data.entity import Entity
from dim.reranker.columns import Column
from dim.reranker.entities import EntityFacts
from dim.reranker.features import FEATURES, Asked, PairFeatures

WORDS = [
    "ann",
    "Lee",
    "lee",
    "Ünal",
    "Unal",
    "O'Hara's",
    "king",
    "woman",
    "male",
    "1961",
    "-355.",
    "2003",
    "St.",
    "王",
    "…",
]
PHRASES = st.lists(st.sampled_from(WORDS), max_size=4).map(" ".join)
NAMES = st.one_of(PHRASES, st.builds("{} ({})".format, PHRASES, PHRASES))
ENTITIES = st.builds(
    Entity,
    id=st.just("any"),
    name=NAMES.filter(str.strip),
    aliases=st.lists(NAMES, max_size=2).map(tuple),
    text=st.none() | PHRASES,
    popularity=st.none() | st.floats(0, 1e6),
)
#: Entities that come, or places among those that are there.
STEPS = st.lists(st.lists(ENTITIES, min_size=1, max_size=4) | st.lists(st.integers(0, 50), max_size=3), max_size=6)


@dataclass
class Kb:
    """Rows; None where an entity was removed."""

    rows: list[Entity | None]

    def columns(self, start=0):
        rows = self.rows[start:]
        return (
            [each.name if each else "" for each in rows],
            [each.aliases if each else () for each in rows],
            [each.text if each else None for each in rows],
            np.array([each.popularity if each else None for each in rows], dtype=np.float64),
        )


@settings(max_examples=60, deadline=None)
@given(first=st.lists(ENTITIES, max_size=5), steps=STEPS, mention=NAMES, context=PHRASES)
def test_facts_that_grew_are_those_of_the_kb_as_it_is(first, steps, mention, context):
    kb = Kb(list(first))
    grown = PairFeatures(EntityFacts(*kb.columns()))
    asked = Asked(mention, f"{context} {mention} Lee said", has_image=True)
    for step in steps:
        if step and isinstance(step[0], Entity):
            start = len(kb.rows)
            kb.rows += step
            grown.facts.add(*kb.columns(start))
        else:
            there = [row for row, entity in enumerate(kb.rows) if entity]
            gone = sorted({there[place % len(there)] for place in step}) if there else []
            for row in gone:
                kb.rows[row] = None
            grown.facts.remove(np.array(gone, np.int64))
        anew = PairFeatures(EntityFacts(*kb.columns()))
        rows = np.arange(len(kb.rows))
        beside = np.linspace(1, 0, len(rows))
        found, expected = (each.of(asked, rows, beside, beside) for each in (grown, anew))
        assert found.shape == (len(rows), len(FEATURES))
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)
        assert grown.facts.short_names(rows) == anew.facts.short_names(rows)
        for row in rows.tolist():
            np.testing.assert_array_equal(grown.facts.of_surname(row), anew.facts.of_surname(row))


@pytest.mark.parametrize("text", ["", "Ann Lee"])
def test_words_of_removed_entities_count_for_nothing(text):
    facts = EntityFacts(["Ann Lee", "Bob Lee"], [["Annie"], []], ["Born 1961, a woman.", "A man."])
    assert (facts.num_bearers("annie"), facts.genders.tolist()) == (1, [-1, 1])
    facts.remove(np.array([0]))
    assert (facts.num_bearers("annie"), facts.genders.tolist()) == (0, [0, 1])
    assert facts.word_weights[facts.vocabulary.find(["ann", "1961"])].tolist() == [0, 0]
    assert facts.surname_bearers(np.array([1])).tolist() == [1]
    facts.add([text or "Cy"], [()], [text])
    assert facts.size == 3


def test_a_column_grows_in_place_as_long_as_it_has_room():
    column = Column[np.int64](np.int64)
    column.append(np.arange(80))
    column.append(np.array([1]))
    held = column.values
    column.append(np.arange(9))
    assert np.shares_memory(held, column.values)
    assert column.values.tolist() == [*range(80), 1, *range(9)]
    column.append(np.arange(9))
    assert not np.shares_memory(held, column.values)
    assert column.values[90:].tolist() == list(range(9))
