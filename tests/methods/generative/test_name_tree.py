import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dim.errors import ConfigError, DataError
from dim.evaluation.protocols import NIL_ROW
from dim.methods.generative.name_tokens import CHUNK
from dim.methods.generative.name_tree import NameTree

END = 3
LETTERS = "\0\1\2\4\5"  # the tokens are the letters' numbers; 0 is one, and END is none
PAIRS = st.lists(st.tuples(st.text(LETTERS, min_size=1, max_size=5), st.integers(0, 5) | st.just(NIL_ROW)), max_size=30)


def spell(texts: list[str]) -> list[list[int]]:
    return [list(map(ord, text)) for text in texts]


def build(pairs: list[tuple[str, int]], vocab_size: int = 10, max_tokens: int = 32) -> NameTree:
    names, rows = [name for name, _ in pairs], np.array([row for _, row in pairs], dtype=np.int64)
    return NameTree.build(names, rows, spell, END, vocab_size, max_tokens)


class Oracle:
    """The same answers from a dict of prefixes and a dict of names."""

    def __init__(self, pairs: list[tuple[str, int]]) -> None:
        self.next, self.rows = defaultdict(set), defaultdict(set)
        for name, row in pairs:
            tokens = tuple(map(ord, name))
            self.rows[tokens].add(row)
            for depth, token in enumerate([*tokens, END]):
                self.next[tokens[:depth]].add(token)


class Walk:
    """What may follow on a prefix, down the tree from its root; each place is asked once."""

    def __init__(self, tree: NameTree) -> None:
        self.choices = tree.choices(torch.device("cpu"))
        self.logits = torch.zeros(1, tree.vocab_size)
        self.known: dict[tuple[int, ...], dict[int, torch.Tensor]] = {}

    def after(self, prefix: tuple[int, ...]) -> dict[int, torch.Tensor]:
        """Token → the place that it leads to; empty behind a prefix that cannot be written."""
        if prefix not in self.known:
            self.known[prefix] = self._after(prefix)
        return self.known[prefix]

    def _after(self, prefix: tuple[int, ...]) -> dict[int, torch.Tensor]:
        if not prefix:
            places = self.choices.begin(1, torch.device("cpu"))
        elif prefix[-1] in (before := self.after(prefix[:-1])):
            places = before[prefix[-1]][None]
        else:
            return {}
        offered = self.choices.after(places, self.logits)
        is_there = offered.likelihoods[0].isfinite()
        next_ones = dict(zip(offered.tokens[0, is_there].tolist(), offered.places[0, is_there], strict=True))
        assert len(next_ones) == is_there.sum()  # each token once
        return next_ones

    def written(self, prefix: tuple[int, ...] = ()) -> set[tuple[int, ...]]:
        """All that can be written from a prefix on, by asking what is allowed alone."""
        found = set()
        for token in self.after(prefix):
            found |= {prefix} if token == END else self.written((*prefix, token))
        return found


def written_by(tree: NameTree) -> set[tuple[int, ...]]:
    return Walk(tree).written()


def assert_equals_oracle(tree: NameTree, oracle: Oracle, num_probes: int = 1000) -> None:
    probes = set(oracle.next) | {(*prefix, token) for prefix in oracle.next for token in (1, END, 9)}
    walk = Walk(tree)
    for prefix in sorted(probes, key=len)[:: -(-len(probes) // num_probes)]:
        assert set(walk.after(prefix)) == oracle.next.get(prefix, set())
        assert tree.rows_of(prefix).tolist() == sorted(oracle.rows.get(prefix, set()))
    assert len(tree) == len(oracle.rows)
    assert tree.num_pairs == sum(map(len, oracle.rows.values()))


@settings(deadline=None)
@given(PAIRS.filter(bool))
def test_the_tree_writes_exactly_its_names(pairs):
    assert written_by(build(pairs)) == {tuple(map(ord, name)) for name, _ in pairs}


@settings(deadline=None)
@given(PAIRS.filter(bool))
def test_tokens_and_rows_are_those_of_a_dict(pairs):
    assert_equals_oracle(build(pairs), Oracle(pairs))


@settings(deadline=None)
@given(PAIRS.filter(bool))
def test_names_are_listed_in_order_each_once(pairs):
    listed = list(build(pairs))
    oracle = Oracle(pairs)
    assert [tuple(tokens) for tokens, _ in listed] == sorted(oracle.rows)
    assert all(rows == sorted(oracle.rows[tuple(tokens)]) for tokens, rows in listed)


@settings(deadline=None, max_examples=15)
@given(PAIRS.filter(bool), PAIRS, PAIRS)
def test_names_added_later_are_as_good_as_those_from_the_start(first, second, third):
    tree = build(first)
    shared = tree.with_names([name for name, _ in second], np.array([row for _, row in second]), spell)
    shared = shared.with_names([name for name, _ in third], np.array([row for _, row in third]), spell)
    everything = first + second + third
    assert_equals_oracle(shared, Oracle(everything))
    assert shared.hash == build(everything).hash
    assert_equals_oracle(tree, Oracle(first))  # the first tree is as it was


def test_added_names_share_the_arrays_of_the_first():
    tree = build(many_pairs(500))
    more = tree.with_names(["\5\5\5\5\5\5\5"], np.array([7]), spell)
    assert more._parts[0] is tree._parts[0]
    assert 0 < more.nbytes - tree.nbytes < 100


@settings(deadline=None, max_examples=15)
@given(PAIRS.filter(bool), PAIRS)
def test_a_saved_tree_comes_back_the_same(tmp_path_factory, pairs, added):
    folder = tmp_path_factory.mktemp("tree") / "names"
    tree = build(pairs).with_names([name for name, _ in added], np.array([row for _, row in added]), spell)
    tree.save(folder, {"kb_hash": "0123", "source": "names"})
    loaded = NameTree.load(folder)
    assert_equals_oracle(loaded, Oracle(pairs + added))
    assert loaded.hash == tree.hash
    assert loaded.facts == {"kb_hash": "0123", "source": "names"}
    assert (loaded.end_token, loaded.vocab_size, loaded.max_tokens) == (END, 10, 32)


def many_pairs(num_pairs: int) -> list[tuple[str, int]]:
    rng = np.random.default_rng(0)
    letters = [[LETTERS[i] for i in rng.integers(0, 5, size)] for size in rng.integers(1, 9, num_pairs)]
    return [("".join(name), i // 2) for i, name in enumerate(letters)]


@pytest.mark.parametrize("vocab_size", [10, 100_000])
def test_many_names_in_a_small_or_a_large_vocabulary_are_right(vocab_size):
    pairs = many_pairs(6000)
    tree = build(pairs, vocab_size)
    assert tree._parts[0].tokens.itemsize == (2 if vocab_size == 10 else 4)
    assert_equals_oracle(tree, Oracle(pairs), num_probes=300)


def test_sequences_of_more_than_255_tokens_are_kept():
    pairs = [("\1" * 300, 0), ("\1" * 299, 1), ("\1" * 299 + "\2", 2)]
    tree = build(pairs, max_tokens=400)
    assert sorted(Walk(tree).after((1,) * 299)) == [1, 2, END]
    assert tree.rows_of([1] * 299).tolist() == [1]
    assert tree.rows_of([1] * 300).tolist() == [0]


def test_names_that_cannot_be_written_are_counted_and_shown():
    names = ["\1\2", "", "\1\3", "\1\1\1\1", "\1\1\1", "\3\3\3\3\3", *[""] * 7]
    tree = NameTree.build(names, np.arange(len(names)), spell, END, 10, max_tokens=4)
    assert tree.left_out == {
        "no tokens": {"count": 8, "first": [""] * 5},
        "the end token inside": {"count": 2, "first": ["\1\3", "\3\3\3\3\3"]},
        "more than 3 tokens": {"count": 1, "first": ["\1\1\1\1"]},
    }
    assert written_by(tree) == {(1, 2), (1, 1, 1)}
    added = tree.with_names(["\2\3", "\4", ""], np.array([1, 2, 3]), spell)
    assert added.left_out["the end token inside"] == {"count": 3, "first": ["\1\3", "\3\3\3\3\3", "\2\3"]}
    assert added.left_out["no tokens"] == {"count": 9, "first": [""] * 5}
    assert tree.left_out["no tokens"]["count"] == 8
    assert written_by(added) == {(1, 2), (1, 1, 1), (4,)}


def test_many_names_are_tokenised_in_chunks_of_their_own(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # as on a terminal
    names = [f"{i:05d}" for i in range(CHUNK + 5)]
    calls = []

    def digits(texts: list[str]) -> list[list[int]]:
        calls.append(len(texts))
        return [[int(digit) for digit in text] for text in texts]

    tree = NameTree.build(names, np.arange(len(names)), digits, 10, 11)
    assert calls == [CHUNK, 5]
    assert tree.rows_of([0, 9, 9, 9, 9]).tolist() == [9999]
    assert tree.rows_of([1, 0, 0, 0, 4]).tolist() == [10004]
    assert "tokenise names" in capsys.readouterr().err


def test_a_kb_without_names_is_refused():
    with pytest.raises(DataError, match=r"at least one name(.|\n)*0 names in the KB\n"):
        build([])
    with pytest.raises(DataError, match=r"2 names in the KB, all left out: 1 with no tokens: \[''\]; 1 with the end"):
        build([("", 0), ("\1\3", 1)])


def test_rows_and_tokens_that_cannot_be_are_refused():
    with pytest.raises(DataError, match="2 names, 1 rows"):
        NameTree.build(["\1", "\2"], np.array([0]), spell, END, 10)
    with pytest.raises(DataError, match="numbers from -1 to 4"):
        build([("\1", -1), ("\2", 4)])
    with pytest.raises(DataError, match="numbers from 0 to 2,147,483,648"):
        build([("\1", 0), ("\2", 1 << 31)])
    with pytest.raises(ConfigError, match=r"tokens from 0 to 9\n(.|\n)*numbers from 1 to 10"):
        build([("\1", 0), ("\n", 1)])


def test_a_folder_that_is_no_tree_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match="a tree of names in "):
        NameTree.load(tmp_path)


@pytest.mark.parametrize("name", ["tokens", "lengths", "marks", "rows", "several_starts", "several_rows"])
@pytest.mark.parametrize("damage", ["missing", "cut", "empty", "changed", "pickle"])
def test_a_damaged_tree_is_refused(tmp_path: Path, name: str, damage: str):
    folder = tmp_path / "names"
    build([*many_pairs(200), ("\1", 3), ("\1", 4)]).save(folder)
    path = folder / f"{name}.npy"
    whole = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "pickle":
        np.save(path, np.array([object()]), allow_pickle=True)
    else:
        path.write_bytes({"cut": whole[:-3], "empty": b"", "changed": whole[:-1] + bytes([whole[-1] ^ 1])}[damage])
    with pytest.raises(DataError, match="build the tree again"):
        NameTree.load(folder)


@pytest.mark.parametrize("changes", [{"format": 99}, {"end_token": 4}, {"hash": "0"}])
def test_a_tree_with_another_description_is_refused(tmp_path: Path, changes: dict):
    folder = tmp_path / "names"
    build([("\1", 3)]).save(folder)
    path = folder / "tree.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(DataError, match="format 99" if "format" in changes else "its hash is not"):
        NameTree.load(folder)


def test_a_tree_replaces_an_older_one(tmp_path: Path):
    build([("\1", 3)]).save(tmp_path / "names")
    build([("\2", 3)]).save(tmp_path / "names")
    assert written_by(NameTree.load(tmp_path / "names")) == {(2,)}
