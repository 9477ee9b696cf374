"""A judge that reads mention and candidate in one text: a sequence classifier of Transformers."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from dim.core.progress import shown
from dim.encoders.device import DTYPES, Precision, resolve_device
from dim.encoders.lengths import pieces
from dim.encoders.pretrained import check_whole
from dim.errors import ConfigError, DataError
from dim.judge.contract import Candidate, Case, Verdict
from dim.judge.model_judge import ModelJudge

PIECE, CALL = 2048, 40  #: Tokens that go through the network together at most, and how long a call takes, in tokens.
REACH = 300  #: Characters of a context on each side of the mention that are read.
SHORTEST = 16  #: Tokens of a pair, at least.


class CrossEncoderJudge(ModelJudge):
    """Any sequence classifier of Transformers with one output, or two of which the second says that a pair fits.

    `dim rank --cross_encoder` trains one of any text encoder on a run's own mentions; one that somebody else trained is
    taken as it is. What it says of the pairs of a case counts as the softmax over them.

    Args:
        path: A folder as `save_pretrained` writes it (safetensors), or an id on the Hugging Face hub.
        max_length: Tokens of mention, context, name and text together; the longer of both sides loses its end.
        precision: Of weights and arithmetic.
        device: `auto`, `cpu`, `cuda`, `cuda:1` …
        revision: A branch, tag or commit on the hub; has no meaning for a folder.

    Raises:
        ConfigError: There is no such model, or it is no sequence classifier of that kind. Raised at first use.
    """

    WHAT = "a cross-encoder"
    is_costly: ClassVar[bool] = False

    def __init__(
        self,
        path: str,
        max_length: int = 192,
        precision: Precision = "fp32",
        device: str = "auto",
        revision: str | None = None,
    ) -> None:
        if max_length < SHORTEST:
            raise ConfigError(f"max_length of at least {SHORTEST}", str(max_length), "Raise it.")
        self.path, self.max_length, self.precision = str(path), max_length, precision
        self.device, self.revision = device, revision

    def _named(self, content: str) -> str:
        return f"CrossEncoderJudge({content}, max_length={self.max_length}, precision={self.precision})"

    def options(self) -> dict[str, Any]:
        """Path, length and precision."""
        named = {"path": self.path, "max_length": self.max_length, "precision": self.precision}
        return named | dict(self.pinned_options)

    def decide(self, cases: Sequence[Case], record: Path | None = None) -> list[Verdict]:
        """A verdict on each case. It never abstains, and nothing is recorded: it says the same again.

        Raises:
            ConfigError: It cannot be loaded.
            DataError: It says NaN or infinity.
        """
        pairs = [pair_of(case, candidate) for case in cases for candidate in case.candidates]
        with torch.inference_mode():
            scores = self.scores(pairs, "judge").double().cpu().numpy()
        if not np.isfinite(scores).all():
            raise DataError(f"finite scores of {self.WHAT} at {self.path}", "NaN or infinity", "Use precision fp32.")
        found, start = [], 0
        for case in cases:
            own = scores[start : start + len(case.candidates)]
            start += len(own)
            found.append(Verdict(own - np.logaddexp.reduce(own)))
        return found

    def scores(self, pairs: Sequence[tuple[str, str]], told: str | None = None) -> Tensor:
        """The scores [n] float32 of pairs of a mention's text and a candidate's; higher is better.

        Args:
            pairs: They.
            told: What progress is shown as; None: none is.
        """
        if not pairs:
            return torch.empty(0)
        ids = self.tokenized(pairs)
        with shown(told or "", len(pairs), silent=told is None) as advance:
            return self.scored(ids, advance)

    def tokenized(self, pairs: Sequence[tuple[str, str]]) -> dict[str, list[list[int]]]:
        """The tokens of pairs, not padded."""
        left, right = zip(*pairs, strict=True)
        most = min(self.max_length, self.most_tokens)
        found = self.tokenizer(list(left), list(right), truncation="longest_first", max_length=most)
        return {name: found[name] for name in self.tokenizer.model_input_names if name in found}

    def scored(self, ids: Mapping[str, Sequence[list[int]]], advance: Callable[[int], None] = lambda _: None) -> Tensor:
        """The scores [n] of pairs, of one at least, as `tokenized` gives them: in batches of like length.

        Args:
            ids: The pairs.
            advance: Is told how many more are done.
        """
        order, parts = pieces(torch.tensor([len(each) for each in ids["input_ids"]]), PIECE, CALL), []
        for piece in order:
            parts.append(self._score_of({name: [of[i] for i in piece.tolist()] for name, of in ids.items()}))
            advance(len(piece))
        return torch.cat(parts)[torch.cat(order).argsort().to(parts[0].device)]

    def _score_of(self, ids: dict[str, list[list[int]]]) -> Tensor:
        inputs = self.tokenizer.pad(ids, return_tensors="pt").to(self.torch_device)
        logits = self.network(**inputs).logits.float()
        scores: Tensor = logits[:, 0] if logits.shape[1] == 1 else logits[:, 1] - logits[:, 0]
        return scores

    @cached_property
    def tokenizer(self) -> Any:
        """It, padding on the right."""
        from transformers import AutoTokenizer

        os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
        tokenizer = self.source.load(AutoTokenizer)
        if tokenizer.pad_token is None:
            raise ConfigError(f"a tokenizer with a padding token at {self.path}", "none", "Set pad_token in its files.")
        tokenizer.padding_side = "right"
        return tokenizer

    @cached_property
    def most_tokens(self) -> int:
        """The most tokens that it takes."""
        from dim.encoders.positions import usable_positions

        limits = (self.tokenizer.model_max_length, usable_positions(self.network))
        return min([limit for limit in limits if isinstance(limit, int) and limit > 0], default=self.max_length)

    @cached_property
    def network(self) -> Any:
        """The classifier, loaded at first use.

        Raises:
            ConfigError: It has no head, or one of more outputs.
        """
        from transformers import AutoModelForSequenceClassification

        model, report = self.source.load(
            AutoModelForSequenceClassification, dtype=DTYPES[self.precision], output_loading_info=True
        )
        remedy = f"Train it first: dim rank --run RUN --cross_encoder {self.path} makes a judge of any text encoder."
        check_whole(report["missing_keys"], f"the sequence classifier at {self.path}", remedy)
        if model.config.num_labels > 2:
            found = f"one of {model.config.num_labels} outputs"
            raise ConfigError(f"a classifier of pairs with one output or two at {self.path}", found, remedy)
        return model.eval().requires_grad_(False).to(self.torch_device)

    @cached_property
    def torch_device(self) -> torch.device:
        """Where it computes."""
        return resolve_device(self.device)


def pair_of(case: Case, candidate: Candidate) -> tuple[str, str]:
    """What is read of a mention and of a candidate: `mention . context`, and `name . text`.

    Example:
        >>> pair_of(Case("m", "Ada", "Ada wrote it.", ()), Candidate("Q1", "Ada Lovelace", "a mathematician"))
        ('Ada . Ada wrote it.', 'Ada Lovelace . a mathematician')
    """
    left = " . ".join(part for part in (case.mention, case.context_within(REACH)) if part.strip())
    right = " . ".join(part for part in (candidate.name, candidate.text or "") if part.strip())
    return left, right
