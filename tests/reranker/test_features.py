"""What the features say of small, readable cases."""

import numpy as np
import pytest

from dim.reranker.entities import EntityFacts
from dim.reranker.features import FEATURES, Asked, PairFeatures, lead, rank
from dim.reranker.words import WordLists, find_years, neighbours, split_name, split_words

NAMES = ["Wayne Gretzky", "Janet Jones", "Fred (footballer)", "Fred (singer)", "John Smith"]
TEXTS = [
    "Sex: male. Birth: 1961, Brantford. Occupation: ice hockey player. Spouse: Janet Jones.",
    "Sex: female. Birth: 1961. Occupation: actor. Spouse: Wayne Gretzky.",
    "Sex: male. Birth: 1979. Occupation: footballer.",
    "Sex: male. Birth: 1949. Death: 1990. Occupation: singer.",
    None,
]


@pytest.fixture(scope="module")
def pairs():
    popularity = np.array([9.0, np.nan, np.nan, np.nan, np.nan])
    return PairFeatures(EntityFacts(NAMES, [["The Great One"], [], [], [], []], TEXTS, popularity))


def told(pairs, mention, context="", vectors=None, names=None, **more):
    rows = np.arange(len(NAMES))
    zeros = np.zeros(len(NAMES))
    found = pairs.of(
        Asked(mention, context, **more),
        rows,
        zeros if vectors is None else np.array(vectors),
        zeros if names is None else np.array(names),
    )
    assert found.shape == (len(NAMES), len(FEATURES))
    assert np.isfinite(found).all()
    return {name: found[:, column] for column, name in enumerate(FEATURES)}


def test_an_alias_and_a_name_without_its_parentheses_match_exactly(pairs):
    assert told(pairs, "the great one")["exact"].tolist() == [1, 0, 0, 0, 0]
    fred = told(pairs, "Fred")
    assert fred["exact_short"].tolist() == [0, 0, 1, 1, 0]
    assert fred["namesakes"] == pytest.approx(np.log1p([1, 1, 2, 2, 1]))


def test_words_in_parentheses_tell_namesakes_apart(pairs):
    hint = told(pairs, "Fred", "Fred, a footballer of Brazil")["hint"]
    assert hint[2] > 0
    assert hint[3] == 0


def test_initials_and_surnames_are_partial_matches(pairs):
    found = told(pairs, "J. Smith")
    assert found["mention_covered"][4] == 1
    assert found["subset"][4] == 0
    assert found["same_last"].tolist() == [0, 0, 0, 0, 1]
    assert told(pairs, "W.G.")["initials"].tolist() == [1, 0, 0, 0, 0]


def test_the_neighbours_of_a_mention_speak_for_and_against(pairs):
    assert told(pairs, "Gretzky", "Janet & Wayne Gretzky in 2013")["before"].tolist() == [1, -1, -1, -1, -1]
    assert told(pairs, "Gretzky", "we saw Gretzky")["before"].tolist() == [0] * 5


@pytest.mark.parametrize("blank", ["  ", "\n", "\t", " \u3000", "\r\n"])
def test_the_blanks_of_a_name_do_not_tell(pairs, blank):
    spaced = [name.replace(" ", blank) for name in NAMES]
    aliases = [[f"The{blank}Great One"], [], [], [], []]
    kb = PairFeatures(EntityFacts(spaced, aliases, TEXTS, pairs.facts.popularity.values))
    context = "Sir {} met Wayne Gretzky and Fred"
    for mention in ("Janet Jones", "The Great One", "Fred"):
        expected = told(pairs, mention, context.format(mention))
        own = f" {mention.replace(' ', blank)}\n"
        for facts, around in ((pairs, context), (kb, context.replace("Wayne ", f"Wayne{blank}"))):
            found = told(facts, own, around.format(own.strip()))
            assert {name: values.tolist() for name, values in found.items()} == {
                name: values.tolist() for name, values in expected.items()
            }


def test_words_shared_with_the_text_leave_the_mention_out(pairs):
    shared = told(pairs, "Janet", "Janet with her husband Gretzky")["words"]
    assert shared[1] > 0
    assert told(pairs, "Wayne Gretzky", "Wayne Gretzky")["words"].tolist() == [0] * 5


def test_a_year_before_the_birth_and_after_the_death_is_told(pairs):
    found = told(pairs, "Fred", "Fred in 1960")
    assert found["too_early"].tolist() == [1, 1, 1, 0, 0]
    assert found["age"][3] == pytest.approx(0.11)
    assert told(pairs, "Fred", "Fred in 2000")["too_late"][3] == pytest.approx(0.10)


def test_words_for_women_contradict_a_text_that_says_male(pairs):
    assert told(pairs, "Janet", "Janet and her dog")["gender"].tolist() == [-1, 1, -1, -1, 0]


def test_missing_popularity_text_and_image_are_states_of_their_own(pairs):
    found = told(pairs, "Fred", has_image=True)
    assert found["popularity"] == pytest.approx([np.log1p(9), 0, 0, 0, 0])
    assert found["popularity_missing"].tolist() == [0, 1, 1, 1, 1]
    assert found["text_missing"].tolist() == [0, 0, 0, 0, 1]
    assert found["has_image"].tolist() == [1] * 5


@pytest.mark.parametrize("mention", ["", "   ", "...", "你好", "محمد", "x" * 10_000, "(", "a\x00b"])
def test_any_string_has_finite_features(pairs, mention):
    told(pairs, mention, mention * 3)


def test_one_mention_leaves_no_trace_in_the_next(pairs):
    context = "Fred, a footballer with Wayne Gretzky and Janet"
    first = told(pairs, "Fred", context)
    told(pairs, "Gretzky", "Wayne Gretzky, ice hockey player of Brantford")
    second = told(pairs, "Fred", context)
    assert all((first[name] == second[name]).all() for name in FEATURES)


def test_lead_and_rank_of_a_single_candidate():
    assert lead(np.array([3.0])).tolist() == [0.0]
    assert rank(np.array([3.0])).tolist() == [1.0]


def test_words_are_folded_and_names_lose_their_parentheses():
    assert split_words("Óscar's Straße") == ["oscar", "strasse"]
    assert split_name("(What's the Story)") == ("(What's the Story)", "")
    assert find_years("in 12345 and 1999, at 3000") == [1999]
    assert neighbours("Amy Diamond sings", "Amy") == (set(), {"diamond"})


def test_word_lists_of_rows_keep_their_owner():
    ids, owner = WordLists([[5, 6], [], [7]]).of(np.array([2, 1, 0, 2]))
    assert ids.tolist() == [7, 5, 6, 7]
    assert owner.tolist() == [0, 2, 2, 3]
