"""What stands beside a run's figures."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from dim.core.progress import Bar
from dim.data.dataset import write_dataset
from dim.evaluation.protocols import Candidates, FullKB, Protocol
from dim.features.batch import FeatureTable
from dim.inference.data import LinkingData
from dim.search import scores
from dim.training import beside
from dim.training.beside import FrozenScores, rank_by_frozen_vectors, unit_sum

NUM_ENTITIES, NUM_MENTIONS, WIDTH = 23, 17, 8


def drawn(count: int, seed: int) -> FeatureTable:
    """One vector each; a fifth has none."""
    generator = np.random.default_rng(seed)
    rows = np.where(generator.random(count) < 0.2, -1, np.arange(count))
    return FeatureTable(
        torch.from_numpy(generator.normal(size=(count, WIDTH)).astype(np.float32)), torch.from_numpy(rows)
    )


def linking_data(root: Path, protocol: Protocol, candidates: torch.Tensor | None) -> LinkingData:
    entities = pd.DataFrame({"id": [f"e{i}" for i in range(NUM_ENTITIES)], "name": "x"})
    mentions = pd.DataFrame({"id": [f"m{i}" for i in range(NUM_MENTIONS)], "split": "dev", "mention": "x"})
    mentions["entity_id"] = [f"e{i}" for i in range(NUM_MENTIONS)]
    dataset = write_dataset(root, name="d", entities=entities, texts={}, mentions=mentions)
    return LinkingData(
        dataset=dataset,
        mention_fields={"mention": drawn(NUM_MENTIONS, 0), "context": drawn(NUM_MENTIONS, 1)},
        entity_fields={"name": drawn(NUM_ENTITIES, 2), "text": drawn(NUM_ENTITIES, 3)},
        gold=torch.arange(NUM_MENTIONS),
        candidates=candidates,
        protocol=protocol,
        read_texts=list,
        fingerprints={},
    )


@pytest.mark.parametrize("is_limited", [False, True])
def test_frozen_vectors_rank_the_same_when_the_kb_is_added_up_in_slices(
    is_limited: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = torch.stack([torch.arange(place, place + 6) % NUM_ENTITIES for place in range(NUM_MENTIONS)])
    limits[3, 2:] = -1
    data = linking_data(tmp_path, Candidates() if is_limited else FullKB(), limits if is_limited else None)
    rows = torch.arange(NUM_MENTIONS)
    kb = unit_sum(data.entity_fields, ("name", "text"), torch.arange(NUM_ENTITIES))
    asked = unit_sum(data.mention_fields, ("mention", "context"), rows)
    expected = data.protocol.rank(asked @ kb.T, data.gold, data.candidates)
    assert len(set(expected.ranks.tolist())) >= 5
    found = [rank_by_frozen_vectors(data, rows)]
    for module in (scores, beside):
        monkeypatch.setattr(module, "SLICE", 5)
    monkeypatch.setattr(beside, "MENTIONS_AT_ONCE", 4)
    monkeypatch.setattr(beside, "SCORES_AT_ONCE", 12)  # three entities at once
    counts: list[int] = []
    advance = Bar.advance

    def heard(self: Bar, count: int = 1) -> None:
        advance(self, count)
        counts.append(self.done)

    monkeypatch.setattr(Bar, "advance", heard)
    found.append(rank_by_frozen_vectors(data, rows))
    assert counts == sorted(counts)
    assert counts[-1] == NUM_MENTIONS
    assert is_limited or {1, 2} < set(counts)  # within a batch of four, too
    for ranked in found:
        assert ranked is not None
        np.testing.assert_array_equal(ranked.ranks, expected.ranks)
        np.testing.assert_allclose(ranked.scores, expected.scores, atol=1e-6)


@pytest.fixture
def summed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many owners were added up, call by call."""
    sizes, whole = [], beside.unit_sum

    def noted(tables: dict[str, FeatureTable], names: tuple[str, ...], owners: torch.Tensor) -> torch.Tensor:
        sizes.append(len(owners))
        return whole(tables, names, owners)

    monkeypatch.setattr(beside, "unit_sum", noted)
    return sizes


def test_of_a_large_kb_no_more_than_a_slice_is_added_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, summed: list[int]
) -> None:
    for module in (scores, beside):
        monkeypatch.setattr(module, "SLICE", 5)
    data = linking_data(tmp_path, FullKB(), None)
    found = FrozenScores(torch.ones(2, WIDTH), data, ("name", "text"))
    data.protocol.rank(found, torch.tensor([0, 22]), None)
    assert max(summed) == 5


def test_a_kb_of_one_slice_is_added_up_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, summed: list[int]) -> None:
    monkeypatch.setattr(beside, "EVALUATION_BATCH", 4)
    monkeypatch.setattr(beside, "MENTIONS_AT_ONCE", 8)
    rank_by_frozen_vectors(linking_data(tmp_path, FullKB(), None), torch.arange(NUM_MENTIONS))
    assert sorted(summed) == [1, 4, 4, 4, 4, NUM_ENTITIES]
