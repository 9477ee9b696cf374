"""The ranker's network and its training: a few hidden units over standardised features, a softmax over the list."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from dim.reranker.lists import Lists

LEAST_STEPS = 300  #: Few lists need more rounds.
LEARNING_RATE, WEIGHT_DECAY = 4e-3, 1e-2  #: Of AdamW; the rate rises to this from 0 and falls to 0.


class RankerNetwork(nn.Module):
    """Scores each candidate from its features: the mean of several small networks.

    Args:
        num_features: Columns of the features.
        hidden: Hidden units of each network.
        votes: Networks; each is trained without one fold, on which it is calibrated.
        dropout: Of the hidden units, in training.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, num_features: int, hidden: int = 64, votes: int = 5, dropout: float = 0.2) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(num_features))
        self.register_buffer("scale", torch.ones(num_features))
        bound, bound_of_hidden = num_features**-0.5, hidden**-0.5
        self.first = nn.Parameter(torch.empty(votes, num_features, hidden).uniform_(-bound, bound))
        self.first_bias = nn.Parameter(torch.zeros(votes, 1, hidden))
        self.second = nn.Parameter(torch.empty(votes, hidden, 1).uniform_(-bound_of_hidden, bound_of_hidden))
        self.dropout = nn.Dropout(dropout)

    def fit_scale(self, features: Tensor) -> None:
        """Takes mean and deviation of features [n, num_features]; a constant column counts nothing."""
        deviation, mean = torch.std_mean(features, 0, correction=0)
        self.mean.copy_(mean)
        self.scale.copy_(torch.where(deviation > 1e-6, 1 / deviation.clamp_min(1e-6), 0.0))

    def vote(self, features: Tensor) -> Tensor:
        """Scores [votes, n] of features [n, num_features]."""
        inputs = ((features - self.mean) * self.scale).clamp(-5, 5)
        hidden = torch.relu(inputs @ self.first + self.first_bias)  # [votes, n, hidden]
        scores: Tensor = (self.dropout(hidden) @ self.second).squeeze(2)
        return scores

    def forward(self, features: Tensor) -> Tensor:
        """Scores [n] of features [n, num_features]."""
        return self.vote(features).mean(0)


def train(network: RankerNetwork, lists: Lists, folds: NDArray[np.int64], *, epochs: int, seed: int) -> None:
    """Trains by the cross-entropy of the softmax over each list against its gold; a vote sees all folds but its own.

    Args:
        network: What is trained.
        lists: Lists that hold their gold.
        folds: [n], between 0 and the network's votes - 1; with one vote -1: it sees all.
        epochs: Rounds through the lists; more where that makes fewer than `LEAST_STEPS` steps.
        seed: Of order and dropout.
    """
    features, starts = torch.from_numpy(lists.features), torch.from_numpy(lists.starts)
    gold, fold = torch.from_numpy(lists.gold), torch.from_numpy(folds)
    votes = torch.arange(len(network.first))

    def loss_of(chosen: Tensor) -> Tensor:
        rows, mask = pad(starts, chosen)
        scores = network.vote(features[rows[mask]])
        table = scores.new_full((len(scores), *mask.shape), -torch.inf)
        table[:, mask] = scores
        losses = cross_entropy(table.flatten(0, 1), gold[chosen].repeat(len(votes)), reduction="none")
        sees = fold[chosen] != votes[:, None]
        # A vote's own step: the mean over the lists that it sees, so that their number does not count.
        return ((losses.view_as(sees) * sees).sum(1) / sees.sum(1).clamp_min(1)).sum()

    network.fit_scale(features)
    descend(network, loss_of, len(lists), epochs, batch_size=256, seed=seed)


def descend(
    network: RankerNetwork,
    loss_of: Callable[[Tensor], Tensor],
    num_rows: int,
    epochs: int,
    *,
    batch_size: int,
    seed: int,
) -> None:
    """Trains a network by AdamW, its rate rising from 0 and falling to 0, and leaves it ready to be used.

    Args:
        network: What is trained.
        loss_of: The loss of some of the rows [b].
        num_rows: How many there are.
        epochs: Rounds through them; more where that makes fewer than `LEAST_STEPS` steps.
        batch_size: Rows a step.
        seed: Of order and dropout.
    """
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    epochs = enough_epochs(num_rows, batch_size, epochs)
    steps = epochs * -(-num_rows // batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps, pct_start=0.1)
    torch.manual_seed(seed)
    network.train()
    for _ in range(epochs):
        for chosen in torch.randperm(num_rows).split(batch_size):
            optimizer.zero_grad()
            loss_of(chosen).backward()
            optimizer.step()
            schedule.step()
    network.eval()


def enough_epochs(num_rows: int, batch_size: int, epochs: int) -> int:
    """The epochs, or as many as make `LEAST_STEPS` steps.

    Example:
        >>> enough_epochs(100_000, 256, 12), enough_epochs(300, 256, 12)
        (12, 150)
    """
    return max(epochs, -(-LEAST_STEPS // -(-num_rows // batch_size)))


def scores_of(network: RankerNetwork, lists: Lists, folds: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
    """Scores [num_pairs] of lists by all votes, or by the one that did not see each list's fold.

    Args:
        network: Trained.
        lists: What is scored.
        folds: [n], each list's vote; None: the mean of all.
    """
    parts = []
    features = torch.from_numpy(lists.features)
    vote = None if folds is None else torch.from_numpy(np.repeat(folds, np.diff(lists.starts)))
    with torch.inference_mode():
        for start in range(0, len(features), 65_536):
            part = features[start : start + 65_536]
            if vote is None:
                parts.append(network(part))
            else:
                parts.append(network.vote(part).gather(0, vote[None, start : start + 65_536])[0])
    return torch.cat(parts).numpy() if parts else np.empty(0, dtype=np.float32)


def pad(starts: Tensor, lists: Tensor) -> tuple[Tensor, Tensor]:
    """Rows [b, longest] of the pairs of some lists [b], and a mask of those that are there.

    Example:
        >>> pad(torch.tensor([0, 1, 3]), torch.tensor([0, 1]))[1].tolist()
        [[True, False], [True, True]]
    """
    first, sizes = starts[lists], starts[lists + 1] - starts[lists]
    steps = torch.arange(int(sizes.max()))
    mask = steps < sizes[:, None]
    return torch.where(mask, first[:, None] + steps, 0), mask
