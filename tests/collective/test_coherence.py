import numpy as np
import pytest

from dim.collective.coherence import COHERENCE, Coherence
from dim.collective.collective import MOST, Alone, Collective
from dim.errors import CheckpointError
from dim.reranker.entities import EntityFacts

NAMES = ["Ada", "Bob", "Cy", "Dee"]
TEXTS = ["painter in Rome", "sculptor in Rome", "goalkeeper of Oslo", None]
VECTORS = np.array([[1, 0], [0.8, 0.6], [-1, 0], [0, 0]], np.float32)


def coherence(with_vectors: bool = True) -> Coherence:
    facts = EntityFacts(NAMES, [()] * 4, TEXTS)
    return Coherence(facts, (lambda rows: VECTORS[rows]) if with_vectors else None)


def test_features_of_pairs_are_centred_products_and_equality() -> None:
    rows, owners = np.array([0, 2, 1, 0, 3]), np.array([0, 0, 1, 1, 2])
    found = coherence().of(rows, ["Ada Bell", "ADA\nBELL", "x"], owners)
    vectors, words, same, same_name = (found[..., place] for place in range(len(COHERENCE)))
    mean = VECTORS.mean(0)  # zeros count: of the one without a vector
    assert vectors[0, 2] == pytest.approx((VECTORS[0] - mean) @ (VECTORS[1] - mean))
    assert vectors[1, 2] < vectors[0, 2]
    assert words[0, 2] > words[1, 2]
    assert vectors[:, 4].tolist() == words[:, 4].tolist() == [0] * 5  # it has neither vector nor text
    assert same[0, 3] == same_name[0, 3] == 1
    assert vectors[0, 3] == words[0, 3] == 0  # one entity is no pair
    np.testing.assert_allclose(found, found.transpose(1, 0, 2))
    assert not found[owners[:, None] == owners].any()


def test_entities_that_were_removed_are_no_part_of_the_mean() -> None:
    facts = EntityFacts(["gone", *NAMES, "gone"], [()] * 6, ["goalkeeper", *TEXTS, "of Rome"])
    facts.remove(np.array([0, 5]))
    nothing = np.zeros((1, 2), np.float32)
    vectors = np.concatenate([nothing, VECTORS, nothing])
    rows, owners = np.array([0, 2, 1]), np.array([0, 0, 1])
    found = Coherence(facts, lambda rows: vectors[rows]).of(rows + 1, ["Ada", "ADA"], owners)
    np.testing.assert_allclose(found, coherence().of(rows, ["Ada", "ADA"], owners))


def test_without_vectors_the_words_remain() -> None:
    found = coherence(with_vectors=False).of(np.array([0, 1]), ["a", "b"], np.array([0, 1]))
    assert found[0, 1, 0] == 0 != found[0, 1, 1]


def test_probability_moves_to_what_goes_together_and_the_rest_keeps_its_own() -> None:
    text = [
        Alone("Rome's painter", np.array([0, 2, 3]), np.array([0.4, 0.4, 0.2])),
        Alone("sculptor", np.array([1]), np.array([1.0])),
        Alone("nobody", np.empty(0, np.int64), np.empty(0)),
    ]
    learned = Collective(dict.fromkeys(COHERENCE, 0.0) | {"words": 8.0}, top=2)
    first, second, none = learned.together(text, coherence())
    assert first[0] > 0.6 > 0.2 > first[1]
    assert first[2] == 0.2  # beyond the first two
    assert first.sum() == pytest.approx(1)
    assert second.tolist() == [1.0]
    assert not len(none)
    assert learned.together(text[:1], coherence())[0] is text[0].probabilities  # alone


def test_a_long_text_is_answered_in_parts() -> None:
    text = [Alone(f"m{place}", np.array([0, 1, 2]), np.array([0.5, 0.3, 0.2])) for place in range(MOST + 1)]
    found = Collective(dict.fromkeys(COHERENCE, 1.0)).together(text, coherence())
    assert len(found) == MOST + 1
    assert found[-1] is text[-1].probabilities


def test_what_was_learned_comes_back_from_a_rankers_facts() -> None:
    learned = Collective(dict.fromkeys(COHERENCE, 0.5), top=7)
    assert Collective.of_facts({"collective": learned.to_fact()}) == learned
    assert Collective.of_facts({}) is None
    of_all = dict.fromkeys(COHERENCE, 1.0)
    for damaged in (
        {"weights": {"vectors": 1.0}, "top": 5},
        {"weights": dict.fromkeys(COHERENCE, "x"), "top": 5},
        *({"weights": of_all, "top": top} for top in (0, 1, -3, "many", float("inf"), None)),
        3,
    ):
        with pytest.raises(CheckpointError, match="dim collective"):
            Collective.of_facts({"collective": damaged})
