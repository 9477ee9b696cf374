"""Prompts in a language model, and what is written behind them: from a cache, or by reading them again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from dim.methods.generative.beam_cache import for_beams, has_keys, has_states, reordered, repeated
from dim.methods.generative.language_model import LanguageModel
from dim.methods.generative.ways import Encoded


class Beams:
    """The beams of prompts, each of which writes token after token.

    Args:
        model: The language model; its `way` says whether there is a cache.
        prompts: Of a batch.
        num_beams: Beams a prompt.
        room: Tokens that will be written at most.

    Attributes:
        first: [b, vocabulary], the logits behind each prompt.
    """

    def __init__(self, model: LanguageModel, prompts: Encoded, num_beams: int, room: int) -> None:
        self.model, self.prompts = model, prompts
        self.mask = prompts.mask.repeat_interleave(num_beams, 0)
        output = model.run(prompts.mask, 1, prompts.vectors)
        self.first: Tensor = output.logits[:, -1]
        self._owners = torch.arange(len(prompts.last), device=prompts.last.device).repeat_interleave(num_beams)
        self._past: Any = None
        if model.way.has_cache:
            self._past = for_beams(output[model.cache_name], num_beams, room)
        else:
            self._read = prompts.vectors.repeat_interleave(num_beams, 0)

    def follow(self, tokens: Tensor, rows: Tensor) -> Tensor:
        """The logits [n, vocabulary] behind tokens [n] that continue rows [n] of the call before."""
        vectors = self.model.embed(tokens[:, None])
        self.mask = torch.cat([self.mask[rows], torch.ones_like(tokens[:, None])], 1)
        if not self.model.way.has_cache:
            self._read = torch.cat([self._read[rows], vectors], 1)
            return self._logits(self.model.run(self.mask, 1, self._read))
        before, self._owners = self._owners, self._owners[rows]
        self._past = reordered(self._past, rows, torch.equal(before, self._owners))
        mask = self.mask if has_keys(self._past) else self.mask[:, -1:]
        output = self.model.run(mask, 1, vectors, self._past)
        self._past = output[self.model.cache_name]
        return self._logits(output)

    def _logits(self, output: Any) -> Tensor:
        logits: Tensor = output.logits[:, -1]
        return logits


class Names:
    """The logits of given names behind prompts."""

    def __init__(self, model: LanguageModel, prompts: Encoded) -> None:
        self.model, self.prompts = model, prompts
        self._past: Any = None
        if model.way.has_cache:  # of all of each prompt but its last token, behind which the first logits are
            output = model.run(prompts.mask[:, :-1], 1, prompts.vectors[:, :-1])
            self._past = output[model.cache_name]

    def logits(self, names: Tensor) -> Tensor:
        """Of each name's first token, of its second …, and of what follows it.

        Args:
            names: [b · count, n] int64, `count` names a prompt, filled up on the right with whatever.

        Returns:
            [b · count, n + 1, vocabulary].
        """
        count = len(names) // len(self.prompts.last)
        mask = self.prompts.mask.repeat_interleave(count, 0)
        # Padding on the right is seen by no token that counts.
        mask = torch.cat([mask, torch.ones_like(names)], 1)
        if not self.model.way.has_cache:
            read = torch.cat([self.prompts.vectors.repeat_interleave(count, 0), self.model.embed(names)], 1)
            logits: Tensor = self.model.run(mask, names.shape[1] + 1, read).logits[:, -names.shape[1] - 1 :]
            return logits
        past = repeated(self._past, count)
        tokens = torch.cat([self.prompts.last.repeat_interleave(count)[:, None], names], 1)
        # Some models go on from a state by one token alone, and begin anew where there are more.
        widths = [1] * tokens.shape[1] if has_states(past) else [tokens.shape[1]]
        found, before = [], mask.shape[1] - tokens.shape[1]
        for part in tokens.split(widths, 1):
            before += part.shape[1]
            seen = mask[:, :before] if has_keys(past) else mask[:, before - part.shape[1] : before]
            output = self.model.run(seen, part.shape[1], self.model.embed(part), past)
            past = output[self.model.cache_name]
            found.append(output.logits[:, -part.shape[1] :])
        return torch.cat(found, 1)


def trained_logits(model: LanguageModel, prompts: Encoded, count: int) -> Tensor:
    """The logits [b, count, vocabulary] at the last positions of prompts, for training.

    Where a row of its own is shorter, zeros stand in its first places.
    """
    if model.way.is_batched:
        logits: Tensor = model.run(prompts.mask, count, prompts.vectors, is_last=True).logits[:, -count:]
        return logits
    parts: Sequence[Tensor] = [
        model.run(one.mask, count, one.vectors, is_last=True).logits[:, -count:] for one in prompts.each()
    ]
    missing = [count - part.shape[1] for part in parts]
    return torch.cat([torch.nn.functional.pad(part, (0, 0, n, 0)) for part, n in zip(parts, missing, strict=True)])
