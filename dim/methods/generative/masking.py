"""Constrained decoding: each beam may only write what continues a name of the tree."""

from __future__ import annotations

import time

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import LogitsProcessor

from dim.errors import ConfigError
from dim.methods.generative.name_tree import NameTree, Node

Prefix = tuple[int, ...]
Known = dict[Prefix, tuple[Node | None, NDArray[np.int64]]]


class LineMask(LogitsProcessor):  # type: ignore[misc]  # the library is untyped
    """Sets the scores of some tokens to -inf: those that hold a line's end, but for the one that ends a name.

    Written with characters before it (`)` and a line's end as one token), or twice, a line's end would end no name.

    Args:
        barred: [n] int64, those tokens; such as the model has no scores for are passed over.
    """

    def __init__(self, barred: NDArray[np.int64]) -> None:
        self.barred = torch.from_numpy(barred)

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """The scores [n, width] of what may follow."""
        barred = self.barred[self.barred < scores.shape[-1]].to(scores.device)
        return scores.index_fill(1, barred, -torch.inf)  # type: ignore[return-value]


class NameMask(LogitsProcessor):  # type: ignore[misc]  # the library is untyped
    """Sets the scores of all tokens that continue no name to -inf, for all beams of a batch at once.

    What a prefix may be followed by is remembered until the next step, so that each step walks one token down the
    tree, whatever the beams were reordered to. A beam that has written the end token, or that no name continues, may
    write the end token alone: no row is -inf throughout, and the score that such a beam has already decides.

    Args:
        tree: The names.
        prompt_length: Columns of `input_ids` before the answer; 0 where the model was given `inputs_embeds`.

    Attributes:
        seconds: Wall-clock time inside the mask, since it was made.
    """

    def __init__(self, tree: NameTree, prompt_length: int = 0) -> None:
        self.tree, self.prompt_length = tree, prompt_length
        self.seconds = 0.0
        self._end = np.array([tree.end_token])
        self._known: Known = {}

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """The scores of the tokens that may follow, -inf elsewhere.

        Args:
            input_ids: [n, prompt_length + t] int64, what each beam has written.
            scores: [n, at least the tree's largest token + 1] float; wider than the tokenizer's vocabulary is fine.

        Raises:
            ConfigError: The model has no scores for some tokens of the names.
        """
        start = time.perf_counter()
        width = scores.shape[-1]
        if width < self.tree.num_tokens:
            raise ConfigError(
                f"scores for {self.tree.num_tokens:,} tokens, as the names need",
                f"a language model with {width:,}",
                "Build the tree with the tokenizer of this model, or give the model embeddings for added tokens.",
            )
        prefixes = [tuple(prefix) for prefix in input_ids[:, self.prompt_length :].tolist()]
        known: Known = {}
        for prefix in prefixes:
            if prefix not in known:
                known[prefix] = self._look_up(prefix)
        self._known = known
        allowed = [known[prefix][1] for prefix in prefixes]
        places = np.concatenate([tokens + row * width for row, tokens in enumerate(allowed)])
        index = torch.from_numpy(places).to(scores.device)
        masked = scores.new_full((scores.numel(),), -torch.inf)
        masked[index] = scores.reshape(-1)[index]
        self.seconds += time.perf_counter() - start
        return masked.view_as(scores)  # type: ignore[return-value]

    def _look_up(self, prefix: Prefix) -> tuple[Node | None, NDArray[np.int64]]:
        """The node of a prefix and what may follow."""
        node: Node | None
        if prefix and prefix[:-1] in self._known:
            before = self._known[prefix[:-1]][0]
            node = None if before is None else self.tree.step(before, prefix[-1])
        else:
            node = self.tree.find(prefix)
        # The end token is in no name: whatever follows it is no prefix of one.
        return node, self._end if node is None else self.tree.allowed_at(node)
