"""A text encoder with a prompt before each text."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dim.encoders.base import Features, TrainableTextEncoder
from dim.encoders.device import deferred


class PromptableTextEncoder(TrainableTextEncoder):
    """A text encoder that takes a prompt before each text."""

    @abstractmethod
    def fingerprint_with(self, prompt: str) -> str:
        """The fingerprint of what it gives with a prompt before each text, whatever others it knows."""

    @abstractmethod
    def forward_text(self, texts: Sequence[str], prompt: str = "") -> Tensor:
        """As of `TrainableTextEncoder`, with a prompt before each text."""


class PromptedTextEncoder(TrainableTextEncoder):
    """An encoder as it reads the texts of mentions, or those of entities; weights are shared.

    Args:
        encoder: The encoder.
        prompt: What is put before each text.
    """

    def __init__(self, encoder: PromptableTextEncoder, prompt: str) -> None:
        self.encoder, self.prompt = encoder, prompt

    @property
    def width(self) -> int:
        """Of the encoder."""
        return self.encoder.width

    @property
    def fingerprint(self) -> str:
        """The encoder's, with this prompt alone."""
        return self.encoder.fingerprint_with(self.prompt)

    @property
    def is_trained(self) -> bool:
        """Of the encoder."""
        return self.encoder.is_trained

    @property
    def network(self) -> nn.Module:
        """Of the encoder."""
        return self.encoder.network

    def num_tokens(self, texts: Sequence[str]) -> Sequence[int]:
        """As of the encoder, of the texts with their prompt."""
        return self.encoder.num_tokens([self.prompt + text for text in texts])

    def num_vectors(self, texts: Sequence[str]) -> NDArray[np.int64] | None:
        """As of the encoder, of the texts with their prompt."""
        return self.encoder.num_vectors([self.prompt + text for text in texts])

    def are_cut(self, texts: Sequence[str]) -> Sequence[bool] | None:
        """As of the encoder, of the texts with their prompt."""
        return self.encoder.are_cut([self.prompt + text for text in texts])

    def encode_text(self, texts: Sequence[str]) -> Features:
        """Features [len(texts), width] of one batch."""
        return self.submit_text(texts)()

    def submit_text(self, texts: Sequence[str]) -> Callable[[], Features]:
        """What gives the features of `encode_text` when called."""
        with torch.inference_mode():
            return deferred(self.forward_text(texts))

    def forward_text(self, texts: Sequence[str]) -> Tensor:
        """Features [len(texts), width] where the model computes."""
        return self.encoder.forward_text(texts, self.prompt)

    def write_frozen(self, target: Path) -> dict[str, Any]:
        """As of the encoder."""
        return self.encoder.write_frozen(target)
