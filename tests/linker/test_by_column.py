"""What is scored by column is scored once to find who is best."""

import numpy as np
import torch
from torch import Tensor

from dim.linker.by_column import ByColumn
from dim.search import scores as sliced
from dim.search.scores import HeldScores


class Counted(HeldScores):
    """Scores that count the entities that they were asked for."""

    asked = 0

    def of(self, entities: slice) -> Tensor:
        self.asked += entities.stop - entities.start
        return super().of(entities)

    def at(self, entities: Tensor) -> Tensor:
        self.asked += entities.numel()
        return super().at(entities)


def test_the_nearest_come_of_one_pass_best_first_and_equal_ones_by_row(monkeypatch) -> None:
    monkeypatch.setattr(sliced, "SLICE", 2)
    scores = Counted(torch.tensor([[0.5, 0.9, 0.5, 0.1, 0.5]]))
    scored = ByColumn(scores, np.array([2, 3, 5, 7, 11]))
    assert [rows.tolist() for rows in scored.nearest(3)] == [[3, 2, 5]]
    assert scores.asked == 5
    assert [rows.tolist() for rows in scored.nearest(9)] == [[3, 2, 5, 11, 7]]
    assert [found.tolist() for found in scored.at([np.array([11, 7])])] == [[0.5, np.float32(0.1)]]
