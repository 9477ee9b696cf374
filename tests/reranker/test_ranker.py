"""The ranker learns, is honest about folds, and comes back from its folder as it was."""

import json

import numpy as np
import pytest
import torch
from lacking import small_files

from dim.errors import CheckpointError, ConfigError, DataError, StorageError
from dim.reranker.calibration import Absence, softmax
from dim.reranker.candidates import best_rows_of, unite
from dim.reranker.lists import Lists
from dim.reranker.network import RankerNetwork, scores_of, train
from dim.reranker.nil import describe_lists
from dim.reranker.ranker import Judged, Ranker
from dim.search import scores as sliced
from dim.search.entity_names import EntityNames
from dim.search.lexical import NameIndex
from dim.search.scores import HeldScores
from dim.training.ranker_results import to_ranked

NAMES = ("signal", "noise", "constant")


def made_up(num_lists=400, seed=0, with_gold=1.0):
    """Lists of 2 to 8 candidates; the gold's signal is higher by 2 standard deviations."""
    generator = np.random.default_rng(seed)
    parts = []
    for _ in range(num_lists):
        size = int(generator.integers(2, 9))
        features = generator.normal(size=(size, 3))
        features[:, 2] = 1.0
        gold = int(generator.integers(size))
        has_gold = generator.random() < with_gold
        features[gold, 0] += 2 * has_gold
        parts.append((np.arange(size) + 100, features, 100 + gold if has_gold else -1))
    return Lists.join(parts)


def hits(ranker, lists):
    return np.array([said.order[0] for said in ranker.judge(lists)]) == lists.gold


@pytest.fixture(scope="module")
def ranker():
    lists = made_up(seed=1)
    return Ranker.fit(lists, np.arange(400) % 4, NAMES, hidden=16, seed=3)


def test_it_finds_the_gold_as_often_as_the_best_rule_and_far_above_chance(ranker):
    lists = made_up(num_lists=1000, seed=2)
    rule = lists.table(lists.features[:, 0]).argmax(1) == lists.gold
    chance = (1 / np.diff(lists.starts)).mean()
    assert hits(ranker, lists).mean() > rule.mean() - 0.03
    assert rule.mean() > chance + 0.3


def test_its_probabilities_are_about_right_on_new_lists(ranker):
    lists = made_up(num_lists=2000, seed=4)
    said = np.array([judged.probabilities.max() for judged in ranker.judge(lists)])
    assert abs(said.mean() - hits(ranker, lists).mean()) < 0.04


def test_probabilities_know_of_golds_that_are_no_candidates():
    lists = made_up(num_lists=1200, seed=6, with_gold=0.85)
    folds = np.arange(1200) % 4
    ranker = Ranker.fit(lists, folds, NAMES, hidden=16, seed=3)
    new = made_up(num_lists=3000, seed=7, with_gold=0.85)
    said = np.array([judged.probabilities.max() for judged in ranker.judge(new)])
    assert said.mean() == pytest.approx(hits(ranker, new).mean(), abs=0.03)
    assert ranker.absence is not None
    assert ranker.absence.slope < 0  # the surer a list is, the likelier it holds the gold
    ranker.absence = None
    sure = np.array([judged.probabilities.max() for judged in ranker.judge(new)])
    assert sure.mean() > hits(ranker, new).mean() + 0.05
    # What the KB lacks is no word against the lists.
    is_known = lists.gold >= 0
    assert Ranker.fit(lists, folds, NAMES, hidden=16, seed=3, epochs=1, is_known=is_known).absence is None


def test_lists_that_it_learned_of_are_judged_by_the_networks_that_did_not_see_them(ranker):
    lists, folds = made_up(400, seed=1), np.arange(400) % 4
    scores = scores_of(ranker.network, lists, folds).astype(np.float64)
    ranker.absence = Absence(-1.0, -0.5)
    try:
        judged = ranker.judge(lists, folds)
    finally:
        ranker.absence = None
    for said, start, end in zip(judged, lists.starts, lists.starts[1:], strict=False):
        alone = softmax(scores[start:end], ranker.temperature)
        np.testing.assert_array_equal(said.scores, scores[start:end])
        np.testing.assert_allclose(said.probabilities, alone * (1 - Absence(-1.0, -0.5).of(alone.max())))
        assert (said.nil_probability, said.says_nil) == (None, False)


def test_the_same_seed_gives_the_same_ranker_and_another_gives_another():
    lists, folds = made_up(60), np.arange(60) % 2
    first, again, other = (Ranker.fit(lists, folds, NAMES, hidden=4, seed=seed, epochs=2) for seed in (5, 5, 6))
    for mine, same in zip(first.network.parameters(), again.network.parameters(), strict=True):
        assert torch.equal(mine, same)
    assert not torch.equal(first.network.first, other.network.first)


def test_a_vote_does_not_learn_from_its_own_fold():
    lists, folds = made_up(80), np.arange(80) % 2
    changed = made_up(80)
    own = np.repeat(folds == 0, np.diff(lists.starts))
    changed.features[own, 0] *= -1  # fold 0 says the opposite; vote 0 must not notice, but for the common scale
    outcomes = []
    for part in (lists, changed):
        torch.manual_seed(0)
        network = RankerNetwork(3, hidden=8, votes=2, dropout=0.0)
        network.fit_scale = lambda features: None  # the scale comes from all lists
        train(network, part, folds, epochs=3, seed=0)
        outcomes.append(network.first.detach())
    assert torch.equal(outcomes[0][0], outcomes[1][0])
    assert not torch.equal(outcomes[0][1], outcomes[1][1])


def test_scores_out_of_fold_are_those_of_the_vote_that_did_not_see_the_list(ranker):
    lists, folds = made_up(12, seed=9), np.arange(12) % 4
    table = ranker.network.vote(torch.from_numpy(lists.features)).detach().numpy()
    expected = [table[fold, start:end] for fold, start, end in zip(folds, lists.starts, lists.starts[1:], strict=False)]
    assert np.allclose(scores_of(ranker.network, lists, folds), np.concatenate(expected))


def test_saved_and_loaded_it_judges_alike(ranker, tmp_path):
    lists = Lists.concatenate([made_up(300, seed=7), made_up(60, seed=8, with_gold=0.0)])
    folds, is_nil = np.arange(360) % 4, np.arange(360) >= 300
    probabilities, weights = ranker.fit_nil(lists, folds, is_nil, share=0.1)
    assert weights[is_nil].sum() / weights.sum() == pytest.approx(0.1)
    assert probabilities[is_nil].mean() > probabilities[~is_nil].mean()
    ranker.choose_threshold(probabilities, is_nil, weights, precision=0.3)
    ranker.facts, ranker.absence = {"seed": 3}, Absence(-3.0, -0.5)
    ranker.save(tmp_path / "ranker")
    assert sorted(path.name for path in (tmp_path / "ranker").iterdir()) == ["ranker.json", "ranker.safetensors"]
    again = Ranker.load(tmp_path / "ranker")
    assert (again.names, again.facts, again.nil_threshold) == (NAMES, {"seed": 3}, ranker.nil_threshold)
    for mine, theirs in zip(ranker.judge(lists), again.judge(lists), strict=True):
        assert np.array_equal(mine.probabilities, theirs.probabilities)
        assert (mine.nil_probability, mine.says_nil) == (theirs.nil_probability, theirs.says_nil)
        assert mine.probabilities.sum() < 1
    ranker.absence = None


def test_a_list_is_judged_alike_alone_and_among_others(ranker):
    lists = made_up(20, seed=11)
    together = ranker.judge(lists)
    alone = [ranker.judge(lists.take(np.array([place])))[0] for place in range(20)]
    assert all(np.allclose(a.probabilities, b.probabilities, atol=1e-6) for a, b in zip(together, alone, strict=True))


def test_other_features_than_trained_on_are_refused(ranker):
    lists = made_up(2)
    wrong = Lists(lists.features[:, :2].copy(), lists.rows, lists.starts, lists.gold)
    with pytest.raises(DataError, match="the 3 features of the ranker"):
        ranker.judge(wrong)


def test_no_list_with_its_gold_is_refused():
    with pytest.raises(DataError, match="whose candidates hold the gold"):
        Ranker.fit(made_up(5, with_gold=0.0), np.zeros(5, dtype=np.int64), NAMES)


@pytest.mark.parametrize("damage", ["missing", "truncated", "version", "json"])
def test_a_damaged_folder_is_refused(ranker, tmp_path, damage):
    ranker.save(tmp_path)
    weights, facts = tmp_path / "ranker.safetensors", tmp_path / "ranker.json"
    if damage == "missing":
        weights.unlink()
    elif damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:-5])
    elif damage == "version":
        facts.write_text(json.dumps(json.loads(facts.read_text()) | {"format": 99}))
    else:
        facts.write_text("{")
    with pytest.raises(CheckpointError, match="a ranker"):
        Ranker.load(tmp_path)


@pytest.mark.parametrize("old", ["ranker.safetensors", "ranker.json"])
def test_the_file_of_one_ranker_beside_that_of_another_is_refused(ranker, tmp_path, old):
    other = Ranker.fit(made_up(60), np.arange(60) % 4, NAMES, hidden=16, seed=8, epochs=1)
    other.nil_threshold = 0.4
    other.save(tmp_path / "other")
    ranker.save(tmp_path / "ranker")
    (tmp_path / "ranker" / old).write_bytes((tmp_path / "other" / old).read_bytes())
    with pytest.raises(CheckpointError, match=r"a damaged file ranker.safetensors"):
        Ranker.load(tmp_path / "ranker")


def test_a_threshold_that_was_changed_by_hand_is_told(ranker, tmp_path):
    ranker.save(tmp_path)
    facts = json.loads((tmp_path / "ranker.json").read_text())
    (tmp_path / "ranker.json").write_text(json.dumps(facts | {"nil_threshold": 0.01}))
    with pytest.raises(CheckpointError, match="does not fit its seal"):
        Ranker.load(tmp_path)


def test_a_save_that_fails_leaves_the_ranker_that_was_there_and_a_strangers_file(ranker, tmp_path):
    ranker.facts = {"num_candidates": 7}
    ranker.save(tmp_path / "ranker")
    ranker.facts = {"num_candidates": 8}
    with small_files(100), pytest.raises(StorageError):
        ranker.save(tmp_path / "ranker")
    assert Ranker.load(tmp_path / "ranker").facts == {"num_candidates": 7}
    (tmp_path / "ranker" / "thesis.txt").write_text("three years")
    with pytest.raises(ConfigError, match=r"files that it did not write: thesis\.txt"):
        ranker.save(tmp_path / "ranker")


def test_a_list_of_one_can_be_described():
    lists = Lists.join([(np.array([4]), np.ones((1, 3)), 4)])
    assert np.isfinite(describe_lists(lists, np.array([0.5], dtype=np.float32))).all()


def test_lists_taken_apart_and_joined_are_the_same():
    lists = made_up(10)
    again = Lists.concatenate([lists.take(np.array([place])) for place in range(10)])
    for name in ("features", "rows", "starts", "gold"):
        assert np.array_equal(getattr(lists, name), getattr(again, name))


def test_candidates_without_some_rows_are_the_next_best():
    generator = np.random.default_rng(0)
    vectors = generator.random(50).astype(np.float32)
    strings = [f"person {number} of {number * 37 % 50}" for number in range(50)]
    names = NameIndex(strings)
    out = np.argsort(-vectors)[:3]
    left = np.setdiff1d(np.arange(50), out)
    scores = HeldScores(torch.from_numpy(vectors)[None])
    [dense] = best_rows_of(scores, 5, [out])
    assert set(dense.tolist()) == {int(row) for row in left[np.argsort(-vectors[left])[:5]]}
    found = unite(dense, "person 7 of 9", EntityNames(strings), 5, out)
    by_name = [row for row in names.search(["person 7 of 9"], 50)[0] if row not in out][:5]
    assert set(found.tolist()) == {int(row) for row in [*dense, *by_name]}
    assert sorted(best_rows_of(scores, 100, [out])[0].tolist()) == left.tolist()
    assert unite(dense, "person", EntityNames(strings), 100, out).tolist() == left.tolist()


def test_the_best_rows_are_the_same_over_slices(monkeypatch):
    vectors = np.random.default_rng(0).permutation(50).astype(np.float32).reshape(2, 25)
    without = [np.array([24, 3, 7]), np.arange(25)]
    for out in (None, without):
        left = [np.setdiff1d(np.arange(25), [] if out is None else out[place]) for place in range(2)]
        expected = [rows[np.argsort(-row[rows])][:4] for row, rows in zip(vectors, left, strict=True)]
        for size in (1, 3, 7, 25):
            monkeypatch.setattr(sliced, "SLICE", size)
            found = best_rows_of(HeldScores(torch.from_numpy(vectors)), 4, out)
            assert [rows.tolist() for rows in found] == [rows.tolist() for rows in expected]


def test_an_alias_brings_its_entity():
    names = EntityNames(["Ann Lee", "Bob Ray", "Cy Hall"], [["The Voice"], [], []])
    assert unite([], "the voice", names, k=1).tolist() == [0]


def test_a_list_holds_the_gold_if_it_holds_any_and_its_best_place_is_the_rank():
    features = np.ones((3, 1))
    golds = [np.array([7, 5]), np.array([9, 6]), np.array([-1, -1]), np.array([8, 9])]
    lists = Lists.join([(np.array([5, 6, 7]), features, of) for of in golds])
    assert lists.gold.tolist() == [0, 1, -1, -1]
    shares = np.array([0.2, 0.5, 0.3])
    judged = [Judged(np.array([1, 2, 0]), shares, shares, None, False)] * 4
    np.testing.assert_array_equal(to_ranked(lists, judged, np.stack(golds)).ranks, [2, 1, np.nan, np.nan])
