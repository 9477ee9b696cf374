"""What may be written next: any token, or what continues a name of a tree, for all beams at once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from dim.errors import ConfigError
from dim.methods.generative.name_graph import NameGraph


class Offered(NamedTuple):
    """What may follow on each of n rows.

    Attributes:
        tokens: [n, w] int64.
        likelihoods: [n, w] float32, the tokens' log-likelihoods among all of the vocabulary; -inf where there is none.
        places: [n, w, p] int64, where each token leads.
    """

    tokens: Tensor
    likelihoods: Tensor
    places: Tensor


class NextTokens(Protocol):
    """What may be written. A row stands at places [p], as many as the kind of choices needs to tell what it wrote."""

    def begin(self, count: int, device: torch.device) -> Tensor:
        """The places [count, p] int64 of rows that have written nothing."""

    def after(self, places: Tensor, logits: Tensor) -> Offered:
        """What may follow on rows at places [n, p] whose next token has logits [n, vocabulary]."""


class AnyToken:
    """Any token of the vocabulary.

    Args:
        barred: [n] int64, tokens that are never written; such as the model has no logits for are passed over.
    """

    def __init__(self, barred: Tensor | None = None) -> None:
        self.barred = barred

    def begin(self, count: int, device: torch.device) -> Tensor:
        """No place is needed: [count, 0]."""
        return torch.empty(count, 0, dtype=torch.int64, device=device)

    def after(self, places: Tensor, logits: Tensor) -> Offered:
        """All tokens."""
        likelihoods = logits.float().log_softmax(-1)
        if self.barred is not None:
            barred = self.barred[self.barred < logits.shape[1]].to(logits.device)
            likelihoods = likelihoods.index_fill(1, barred, -torch.inf)
        tokens = torch.arange(logits.shape[1], device=logits.device).expand_as(logits)
        return Offered(tokens, likelihoods, places[:, None].expand(-1, logits.shape[1], -1))


class OfNames:
    """What continues a name, or ends it: the likelihoods of these tokens alone are gathered.

    A row's places are its nodes, one a tree.

    Args:
        graphs: One tree, or two that stand for one: the names of a KB, and those that came later.
        num_tokens: One more than the largest token of any name or the end.
    """

    def __init__(self, graphs: Sequence[NameGraph], num_tokens: int) -> None:
        self.graphs, self.num_tokens = graphs, num_tokens

    @classmethod
    def few(cls, names: Collection[Sequence[int]], end: int, device: torch.device) -> OfNames:
        """A few names, by their tokens without an end token."""
        num_tokens = 1 + max(end, *(token for name in names for token in name))
        return cls([NameGraph.of(names, end).to(device)], num_tokens)

    def begin(self, count: int, device: torch.device) -> Tensor:
        """The roots [count, trees]."""
        return torch.zeros(count, len(self.graphs), dtype=torch.int64, device=device)

    def after(self, places: Tensor, logits: Tensor) -> Offered:
        """The children of nodes.

        Raises:
            ConfigError: The model has no logits for some tokens of the names.
        """
        if logits.shape[1] < self.num_tokens:
            raise ConfigError(
                f"scores for {self.num_tokens:,} tokens, as the names need",
                f"a language model with {logits.shape[1]:,}",
                "Build the tree with the tokenizer of this model, or give the model embeddings for added tokens.",
            )
        tokens, nodes = self._children(places)
        is_none = tokens < 0
        tokens = tokens.clamp_min(0)
        likelihoods = logits.gather(1, tokens).float() - logits.float().logsumexp(1, keepdim=True)
        return Offered(tokens, likelihoods.masked_fill(is_none, -torch.inf), nodes)

    def _children(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens [n, w], -1 where there is none, and nodes [n, w, trees]."""
        found = [graph.children(places[:, tree]) for tree, graph in enumerate(self.graphs)]
        if len(found) == 1:
            return found[0][0], found[0][1][:, :, None]
        (first_tokens, first_nodes), (second_tokens, second_nodes) = found
        absent, missing = (graph.nothing for graph in self.graphs)
        nodes = torch.cat([first_nodes, torch.full_like(second_nodes, absent)], 1)
        others = torch.cat([torch.full_like(first_nodes, missing), second_nodes], 1)
        tokens, order = torch.cat([first_tokens, second_tokens], 1).sort(dim=1, stable=True)
        nodes, others = nodes.gather(1, order), others.gather(1, order)
        # Of a token that both have the first tree's stands first, and gets the second's node.
        is_same = (tokens[:, 1:] == tokens[:, :-1]) & (tokens[:, 1:] >= 0)
        others[:, :-1] = torch.where(is_same, others[:, 1:], others[:, :-1])
        tokens[:, 1:] = tokens[:, 1:].masked_fill(is_same, -1)
        return tokens, torch.stack([nodes, others], 2)
