"""Names from a language model: written by beam search, or scored as they stand."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

from dim.methods.generative.beam_cache import for_beams
from dim.methods.generative.language_model import LanguageModel, explained_memory

NEVER = -1e6  #: Transformers gives beams that stand for nothing -1e9, which it also divides by the length.


@dataclass(frozen=True)
class Encoded:
    """Prompts laid out for a language model, padded on the left.

    Attributes:
        vectors: [b, length, width], the input vectors.
        mask: [b, length] int64, 1 where there is one.
        last: [b] int64, the last token: every prompt ends with text.
    """

    vectors: Tensor
    mask: Tensor
    last: Tensor


@dataclass(frozen=True)
class Written:
    """A name that was written.

    Attributes:
        tokens: Without the end token.
        score: Log-likelihood of tokens and end token, over their number to the power of `length_penalty`.
    """

    tokens: tuple[int, ...]
    score: float


@dataclass(frozen=True)
class Decoder:
    """Beam search through Transformers' own `generate`, and the likelihood of given names.

    A prompt is encoded once; its beams, or the names to be scored, share what was computed.

    Args:
        num_beams: Beams, and names a prompt at most.
        max_new_tokens: The longest name, its end token included.
        length_penalty: The power of the length that log-likelihoods are divided by: 1 compares means a token.
        early_stopping: When the search ends, as `generate` has it: False as released, `never` for the search that is
            sure to return the best names of those whose beginnings stayed in the beams.
    """

    num_beams: int = 5
    max_new_tokens: int = 32
    length_penalty: float = 1.0
    early_stopping: bool | Literal["never"] = False

    def write(self, model: LanguageModel, prompts: Encoded, mask: LogitsProcessor | None) -> list[list[Written]]:
        """The names of each prompt, the best first.

        Args:
            model: The language model.
            prompts: The prompts of a batch.
            mask: Which tokens may follow (`NameMask` with `prompt_length=1`); None: any.
        """
        end = model.end_token
        config = GenerationConfig(
            num_beams=self.num_beams,
            num_return_sequences=self.num_beams,
            max_new_tokens=self.max_new_tokens,
            length_penalty=self.length_penalty,
            early_stopping=self.early_stopping if self.num_beams > 1 else False,
            do_sample=False,
            eos_token_id=end,
            pad_token_id=end,
            return_dict_in_generate=True,
            output_scores=self.num_beams > 1,
            output_logits=self.num_beams == 1,  # its scores would be those of the allowed tokens alone
        )
        # Room for the last token of the prompt, too: generate starts with it.
        past = for_beams(self._encode(model, prompts), self.num_beams, self.max_new_tokens + 1)
        with explained_memory():
            found: Any = model.model.generate(  # type: ignore[operator]
                input_ids=prompts.last[:, None],
                attention_mask=prompts.mask,
                generation_config=config,
                logits_processor=LogitsProcessorList([] if mask is None else [mask]),
                **{model.cache_name: past},
            )
        scores = self._greedy_scores(found, end) if self.num_beams == 1 else found.sequences_scores
        names: list[list[Written]] = []
        sequences = found.sequences[:, 1:].view(len(prompts.last), -1, found.sequences.shape[1] - 1).tolist()
        for of_prompt, beside in zip(sequences, scores.view(len(sequences), -1).tolist(), strict=True):
            ended = [
                Written(tuple(tokens[: tokens.index(end)]), score)
                for tokens, score in zip(of_prompt, beside, strict=True)
                if end in tokens and score > NEVER
            ]
            names.append(ended)
        return names

    def score(
        self, model: LanguageModel, prompts: Encoded, names: Sequence[Sequence[Sequence[int]]], batch_size: int
    ) -> list[list[float]]:
        """The score of each given name, as `write` scores those that it writes.

        Args:
            model: The language model.
            prompts: The prompts of a batch.
            names: For each prompt the tokens of its names, without end token.
            batch_size: Names, of all prompts together, in one forward pass.
        """
        past = self._encode(model, prompts)
        scores: list[list[float]] = [[] for _ in names]
        share = max(1, batch_size // len(names))
        for start in range(0, max(map(len, names)), share):
            part = [list(of_prompt[start : start + share]) for of_prompt in names]
            count = max(map(len, part))
            filled = [tokens for of_prompt in part for tokens in [*of_prompt, *([()] * (count - len(of_prompt)))]]
            found = self._score_all(model, prompts, past, filled, count).view(len(names), count).tolist()
            for place, of_prompt in enumerate(part):
                scores[place] += found[place][: len(of_prompt)]
        return scores

    def _score_all(
        self, model: LanguageModel, prompts: Encoded, past: Any, names: list[Sequence[int]], count: int
    ) -> Tensor:
        """Scores [len(names)] of `count` names a prompt."""
        device = prompts.last.device
        lengths = torch.tensor([len(tokens) + 1 for tokens in names], device=device)
        wanted = torch.full((len(names), int(lengths.max())), model.end_token, device=device)
        for place, tokens in enumerate(names):
            wanted[place, : len(tokens)] = torch.tensor(tokens, dtype=torch.long)
        last = prompts.last.repeat_interleave(count)[:, None]
        mask = prompts.mask.repeat_interleave(count, 0)
        # Padding on the right is seen by no token that counts.
        mask = torch.cat([mask, torch.ones_like(wanted[:, 1:])], dim=1)
        shared = copy.deepcopy(past)
        shared.batch_repeat_interleave(count)
        output = model.run(mask, wanted.shape[1], past=shared, input_ids=torch.cat([last, wanted[:, :-1]], dim=1))
        likelihoods = output.logits.float().log_softmax(-1).gather(2, wanted[:, :, None])[:, :, 0]  # [n, length]
        counts = torch.arange(wanted.shape[1], device=device) < lengths[:, None]
        scores: Tensor = (likelihoods * counts).sum(1) / lengths**self.length_penalty
        return scores

    def _encode(self, model: LanguageModel, prompts: Encoded) -> Any:
        """The cache of all of each prompt but its last token."""
        return model.run(prompts.mask[:, :-1], 1, inputs_embeds=prompts.vectors[:, :-1])[model.cache_name]

    def _greedy_scores(self, found: Any, end: int) -> Tensor:
        """What `generate` gives as sequences_scores where there are beams."""
        chosen = found.sequences[:, 1:]
        steps = torch.stack([scores.float().log_softmax(-1) for scores in found.logits], dim=1)
        likelihoods = steps.gather(2, chosen[:, :, None])[:, :, 0]
        ended = ((chosen == end).cumsum(1) - (chosen == end).long()) > 0  # after the first end token
        lengths = (~ended).sum(1)
        scores: Tensor = likelihoods.masked_fill(ended, 0).sum(1) / lengths**self.length_penalty
        return scores
