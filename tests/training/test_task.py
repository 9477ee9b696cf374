import math

import pytest
import torch

from dim.features.batch import FeatureTable
from dim.methods.contrastive.module import DIM
from dim.training.datamodule import EpochBatches


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_the_rate_warms_up_to_one_and_follows_its_schedule(schedule):
    task = DIM(warmup_steps=4, schedule=schedule)
    rates = [task.rate_at(step, 14) for step in range(14)]
    assert rates[:4] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert rates[4] == 1.0
    halfway = {"constant": 1.0, "linear": 0.5, "cosine": 0.5 * (1 + math.cos(math.pi / 2))}
    assert rates[9] == pytest.approx(halfway[schedule])


def test_every_row_comes_once_an_epoch_in_an_order_of_seed_and_epoch():
    rows = torch.arange(100, 137)
    batches = EpochBatches(rows, 8, seed=3)
    first = list(batches)
    assert len(first) == len(batches) == 5
    assert torch.cat(first).sort().values.tolist() == rows.tolist()
    batches.set_epoch(1)
    second = list(batches)
    assert not torch.equal(torch.cat(first), torch.cat(second))
    again = EpochBatches(rows, 8, seed=3)
    again.set_epoch(1)
    assert all(torch.equal(a, b) for a, b in zip(second, again, strict=True))


def test_a_last_batch_of_one_row_is_left_out_because_it_has_no_negative():
    batches = EpochBatches(torch.arange(17), 8, seed=0)
    assert [len(batch) for batch in batches] == [8, 8]
    assert len(batches) == 2


def test_missing_rows_of_a_table_are_zeros_with_a_mask():
    table = FeatureTable(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([1, -1, 0]))
    vectors, mask = table.take(torch.tensor([0, 1, 2]))
    assert vectors.tolist() == [[[3.0, 4.0]], [[0.0, 0.0]], [[1.0, 2.0]]]
    assert mask.tolist() == [[True], [False], [True]]
