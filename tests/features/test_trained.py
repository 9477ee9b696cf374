"""Texts whose encoder is trained: in pieces, with or without their graph, the gradient is that of one padded batch."""

from itertools import combinations, pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_text import write_bert
from torch import Tensor

from dim.encoders.lengths import pieces
from dim.encoders.text import TransformersTextEncoder
from dim.features import trained
from dim.features.trained import TrainedTable

TEXTS = ["ada", "hugo moreau of the hill", "b", "the river, the hill and ada's house", "moreau", "he", "on the hill"]
ROWS = torch.tensor([0, 1, 2, 3, 4, 5, 6, -1, 3, 0])
OWNERS = torch.tensor([9, 7, 3, 8, 1, 2, 6, 5, 4, 0])


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trained, "PIECE", 24)
    monkeypatch.setattr(trained, "CALL", 2)


def encoder_of(bert: Path, dropout: float) -> TransformersTextEncoder:
    encoder = TransformersTextEncoder(str(bert), train="full")
    for module in encoder.network.train().modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = dropout
    return encoder


def loss_of(vectors: Tensor) -> Tensor:
    return (vectors @ vectors.T).softmax(1).square().sum()


def step(bert: Path, graph_bytes: float, dropout: float) -> tuple[Tensor, dict[str, Tensor], int, Tensor]:
    """Vectors, gradients, calls of the network, and the random state after it."""
    encoder, calls = encoder_of(bert, dropout), []
    encoder.network.register_forward_hook(lambda *_: calls.append(1))
    encoder.encode_text(["ada"])  # which is checked, as a run's encoder is before
    calls.clear()
    torch.manual_seed(3)
    vectors = TrainedTable(encoder, TEXTS, ROWS, graph_bytes).take(OWNERS).vectors[:, 0]
    loss_of(vectors).backward()
    gradients = {name: p.grad for name, p in encoder.network.named_parameters() if p.grad is not None}
    return vectors.detach(), gradients, len(calls), torch.get_rng_state()


@pytest.mark.parametrize("graph_bytes", [1e9, 0])
def test_gradients_of_pieces_are_those_of_one_padded_batch(bert: Path, graph_bytes: float) -> None:
    vectors, gradients, _, _ = step(bert, graph_bytes, dropout=0)
    encoder = encoder_of(bert, 0)
    plain = torch.cat([encoder.forward_text(TEXTS), torch.zeros(1, 16)])[ROWS[OWNERS]]
    loss_of(plain).backward()
    torch.testing.assert_close(vectors, plain.detach(), atol=1e-5, rtol=1e-5)
    assert {n for n, p in encoder.network.named_parameters() if p.grad is not None} == set(gradients)
    for name, p in encoder.network.named_parameters():
        if p.grad is not None:
            torch.testing.assert_close(gradients[name], p.grad, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("graph_bytes", [1e9, 0])
def test_of_each_token_the_vectors_and_gradients_are_those_of_one_padded_batch(bert: Path, graph_bytes: float) -> None:
    found: list[tuple[Tensor, dict[str, Tensor]]] = []
    for plain in (True, False):
        encoder = TransformersTextEncoder(str(bert), train="full", pooling="tokens")
        for module in encoder.network.train().modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0
        counts = encoder.num_vectors(TEXTS)
        assert counts is not None
        if plain:
            texts = [*encoder.forward_text(TEXTS).split(counts.tolist()), torch.zeros(0, 16)]
            vectors = torch.nn.utils.rnn.pad_sequence([texts[row] for row in ROWS[OWNERS].tolist()], batch_first=True)
        else:
            table = TrainedTable(encoder, TEXTS, ROWS, graph_bytes)
            vectors, mask = table.take(OWNERS)
            assert mask.sum(1).tolist() == [0 if row < 0 else counts[row] for row in ROWS[OWNERS].tolist()]
            assert (table.most, table.has_several) == (max(counts), True)
        loss_of(vectors.flatten(0, 1)).backward()
        gradients = {name: p.grad for name, p in encoder.network.named_parameters() if p.grad is not None}
        found.append((vectors.detach(), gradients))
    torch.testing.assert_close(found[0][0], found[1][0], atol=1e-5, rtol=1e-5)
    assert found[0][1].keys() == found[1][1].keys()
    for name, gradient in found[0][1].items():
        torch.testing.assert_close(found[1][1][name], gradient, atol=1e-5, rtol=1e-4)


def test_what_is_encoded_again_has_the_dropout_that_it_had(bert: Path) -> None:
    kept, again = step(bert, 1e9, dropout=0.3), step(bert, 0, dropout=0.3)
    assert torch.equal(kept[0], again[0])
    for name, gradient in kept[1].items():
        torch.testing.assert_close(again[1][name], gradient, atol=1e-6, rtol=1e-6)
    assert torch.equal(kept[3], again[3])  # what is drawn next is the same, too
    assert kept[2] > 3
    assert again[2] == 2 * kept[2] - 1  # all but the first piece, once more
    assert not torch.allclose(kept[0], step(bert, 1e9, dropout=0)[0], atol=1e-3)


def test_the_graph_is_kept_until_its_memory_is_full(bert: Path) -> None:
    calls = [step(bert, graph_bytes, dropout=0.1)[2] for graph_bytes in (0, 30_000, 60_000, 1e9)]
    assert calls == sorted(calls, reverse=True)
    assert len(set(calls)) == 4


def test_an_evaluation_encodes_each_text_once(bert: Path) -> None:
    encoder = encoder_of(bert, 0)
    asked: list[str] = []
    forward = encoder.forward_text
    encoder.forward_text = lambda texts: asked.extend(texts) or forward(texts)  # type: ignore[method-assign]
    with torch.no_grad():
        TrainedTable(encoder, TEXTS, ROWS, 0).take(OWNERS)
    assert sorted(asked) == sorted(TEXTS)


def test_under_autocast_it_stays_near_the_gradient_of_float32(bert: Path) -> None:
    exact = step(bert, 1e9, dropout=0)
    with torch.autocast("cpu", torch.bfloat16):
        kept, again = step(bert, 1e9, dropout=0.2), step(bert, 0, dropout=0.2)
        rounded = step(bert, 0, dropout=0)
    assert torch.equal(kept[0], again[0])
    for name, gradient in kept[1].items():
        torch.testing.assert_close(again[1][name], gradient, atol=1e-6, rtol=1e-6)
    whole = [torch.cat([gradient.flatten() for gradient in each[1].values()]) for each in (exact, rounded)]
    assert torch.cosine_similarity(*whole, dim=0) > 0.995
    assert not torch.equal(*whole)


LENGTHS = st.lists(st.integers(1, 40), max_size=30)


@given(LENGTHS, st.integers(1, 60), st.integers(0, 50))
def test_pieces_hold_each_text_once_by_length_and_within_their_size(lengths: list[int], most: int, call: int) -> None:
    found = pieces(torch.tensor(lengths, dtype=torch.long), most, call)
    assert sorted(place for piece in found for place in piece.tolist()) == list(range(len(lengths)))
    in_order = [lengths[place] for piece in found for place in piece.tolist()]
    assert in_order == sorted(lengths)
    assert all(len(piece) == 1 or len(piece) * lengths[int(piece[-1])] <= most for piece in found)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=9), st.integers(0, 50))
def test_no_other_pieces_cost_less(lengths: list[int], call: int) -> None:
    found = pieces(torch.tensor(lengths), 1000, call)
    known = sorted(lengths)
    splits = [combinations(range(1, len(known)), cuts) for cuts in range(len(known))]
    every = [[0, *cuts, len(known)] for each in splits for cuts in each]
    costs = [sum((b - a) * known[b - 1] + call for a, b in pairwise(cuts)) for cuts in every]
    assert sum(len(piece) * lengths[int(piece[-1])] + call for piece in found) == min(costs)
