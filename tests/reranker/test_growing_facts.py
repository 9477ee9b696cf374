"""Facts that grow with a KB are those of the KB as it is."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dim.core.sealed import sealed_folder
from dim.data.entity import Entity
from dim.errors import DataError
from dim.reranker.columns import Column
from dim.reranker.entities import EntityFacts
from dim.reranker.fact_files import CONTENT, load_facts, save_facts
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

    @property
    def there(self):
        """The rows that have an entity."""
        return np.array([row for row, each in enumerate(self.rows) if each], np.int64)

    def columns(self, start=0):
        """Of the entities that are there."""
        rows = [each for each in self.rows[start:] if each]
        return (
            [each.name for each in rows],
            [each.aliases for each in rows],
            [each.text for each in rows],
            np.array([each.popularity for each in rows], dtype=np.float64),
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
            there = kb.there.tolist()
            gone = sorted({there[place % len(there)] for place in step}) if there else []
            for row in gone:
                kb.rows[row] = None
            grown.facts.remove(np.array(gone, np.int64))
        anew, rows = PairFeatures(EntityFacts(*kb.columns())), kb.there
        assert grown.facts.rows.tolist() == rows.tolist()
        beside, places = np.linspace(1, 0, len(rows)), np.arange(len(rows))
        found, expected = grown.of(asked, rows, beside, beside), anew.of(asked, places, beside, beside)
        assert found.shape == (len(rows), len(FEATURES))
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)
        assert grown.facts.short_names(rows) == anew.facts.short_names(places)
        assert grown.facts.num_bearers("") == anew.facts.num_bearers("")
        for row, place in zip(rows.tolist(), places.tolist(), strict=True):
            np.testing.assert_array_equal(grown.facts.of_surname(row), rows[anew.facts.of_surname(place)])


@pytest.mark.parametrize("text", ["", "Ann Lee"])
def test_words_of_removed_entities_count_for_nothing(text):
    facts = EntityFacts(["Ann Lee", "Bob Lee"], [["Annie"], []], ["Born 1961, a woman.", "A man."])
    assert (facts.num_bearers("annie"), facts.genders.values.tolist()) == (1, [-1, 1])
    facts.remove(np.array([0]))
    assert (facts.num_bearers("annie"), facts.genders.values.tolist()) == (0, [0, 1])
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


def test_what_a_column_was_given_stays_where_it_is_while_it_grows():
    given, column = np.arange(5), Column[np.int64](np.int64)
    column.hold(given)
    column.append(np.array([7, 8]))
    column.lengthen(8)
    places = np.array([6, 0, 5, 4])
    assert column[places].tolist() == [8, 0, 7, 4]
    assert (int(column[6]), int(column[1])) == (8, 1)
    column[places] += 10
    column[2] = 9
    assert column.values.tolist() == [10, 1, 9, 3, 14, 17, 18, 0]
    assert given.tolist() == [10, 1, 9, 3, 14]
    with pytest.raises(IndexError):
        column[8]


def test_facts_on_their_files_are_those_that_were_saved_and_grow_on(tmp_path):
    kb = Kb([Entity("1", "Ann Lee (singer)", ("Annie", "É"), "Born 1961, a woman.", popularity=2.0), Entity("0", "X")])
    first = EntityFacts(*kb.columns())
    first.remove(np.array([1]))
    kb.rows[1] = None
    save_facts(first, tmp_path / "facts")
    loaded = load_facts(tmp_path / "facts", 2, kb.there)
    kb.rows += [Entity("2", "Bob Lee", (), "A man of 1990."), Entity("3", "Cy")]
    for facts in (first, loaded):
        facts.add(*kb.columns(2))
        facts.remove(np.array([0]))
    kb.rows[0] = None
    asked, rows, beside = Asked("Lee", "Bob Lee of 1990 sang"), kb.there, np.linspace(1, 0, 2)
    found, grown = (PairFeatures(facts).of(asked, rows, beside, beside) for facts in (loaded, first))
    anew = PairFeatures(EntityFacts(*kb.columns())).of(asked, np.arange(2), beside, beside)
    np.testing.assert_array_equal(found, grown)
    np.testing.assert_allclose(found, anew, atol=1e-9)
    assert loaded.short_names(rows) == ["bob lee", "cy"]
    assert loaded.num_bearers("é") == 0
    save_facts(loaded, tmp_path / "facts")
    again = load_facts(tmp_path / "facts", 4, kb.there)
    np.testing.assert_array_equal(PairFeatures(again).of(asked, rows, beside, beside), found)
    assert list(again.strings) == list(loaded.strings)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("short_names", np.array([7, 0], np.int32)),
        ("first_words", np.array([-2, 0], np.int32)),
        ("last_words", np.array([0], np.int32)),
        ("bearers", np.zeros(1, np.int64)),
        ("text_words_ids", np.array([99], np.int32)),
        ("text_words_starts", np.array([0, 10**6])),
        ("name_words_sizes", np.array([-1, 2], np.int32)),
        ("popularity", np.array([1, 2])),
        ("strings_numbers", np.array([5, 6, 7], np.int32)),
        ("vocabulary_ends", np.array([3, 1, 9])),
        ("stems_hashes", np.array([3, 1], np.uint64)),
    ],
)
def test_facts_that_do_not_fit_each_other_are_refused(tmp_path, name, wrong):
    save_facts(EntityFacts(["Ann Lee", "Bob"], [["Annie"], []], ["Ann sang.", None]), tmp_path / "facts")
    with sealed_folder(tmp_path / "wrong", CONTENT, 1, {"count": 2}) as place:
        for path in (tmp_path / "facts").glob("*.npy"):
            (place / path.name).write_bytes(path.read_bytes())
        assert (place / f"{name}.npy").exists()
        np.save(place / f"{name}.npy", wrong)
    with pytest.raises(DataError, match=r"entity facts in .*\nfound .*damaged (arrays|popularity)"):
        load_facts(tmp_path / "wrong", 2, np.arange(2))
    with pytest.raises(DataError, match=r"entity facts in .* of 3 rows\nfound .*rows of another number"):
        load_facts(tmp_path / "facts", 3, np.arange(3))
