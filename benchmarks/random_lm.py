"""Language models of known shapes with random weights, which are as fast as trained ones."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from transformers import AutoModelForCausalLM, GPT2Config, OPTConfig, PretrainedConfig, PreTrainedTokenizerFast

from benchmarks.made_up_names import END, made_up_tokenizer
from dim.encoders.device import DTYPES, Precision, resolve_device
from dim.methods.generative.language_model import LanguageModel

VOCAB_SIZE = 50_257
NUM_WORDS = 80_000  # that the tokenizer is trained on: names have five tokens
# The tokenizer has seen names alone; these are one token each for one that has read English.
_FRAME = [
    "[Text]",
    "\n[Question]",
    "What",
    " does",
    " mentioned",
    " in",
    " the",
    " text",
    " refer",
    " to",
    "?\n[Answer]",
]
Size = Literal["125m", "opt-6.7b", "tiny"]


@dataclass(frozen=True)
class Setting:
    """A language model's shape, and what it is measured with unless told otherwise."""

    config: PretrainedConfig
    num_examples: int = 4
    batch_size: int = 4  # on a CPU larger ones spend their gain on fresh pages of memory
    precision: Precision = "fp32"


def setting(size: Size) -> Setting:
    """GPT-2's shape (the default of its config), OPT-6.7B's as published, or one for tests.

    Example:
        >>> setting("opt-6.7b").config.num_hidden_layers
        32
    """
    ends: dict[str, Any] = {"bos_token_id": None, "eos_token_id": 0}
    if size == "opt-6.7b":
        shape = {"hidden_size": 4096, "ffn_dim": 16384, "num_hidden_layers": 32, "num_attention_heads": 32}
        config = OPTConfig(vocab_size=50_272, word_embed_proj_dim=4096, max_position_embeddings=2048, **shape, **ends)
        return Setting(config, num_examples=16, batch_size=16, precision="bf16")
    if size == "tiny":
        return Setting(GPT2Config(vocab_size=VOCAB_SIZE, n_embd=32, n_layer=2, n_head=2, **ends))
    return Setting(GPT2Config(vocab_size=VOCAB_SIZE, **ends))


class RandomLanguageModel(LanguageModel):
    """A language model with random weights, made in its precision, and a tokenizer for made-up names.

    Args:
        folder: Where configuration and tokenizer are written.
        shape: The model's configuration.
        precision: Of weights and arithmetic.
        device: Where they are made: `auto`, `cpu`, `cuda` …
        seed: Of the weights.
        rng: Decides what the tokenizer is trained on.
    """

    def __init__(
        self,
        folder: Path,
        shape: PretrainedConfig,
        precision: Precision,
        device: str,
        seed: int,
        rng: np.random.Generator,
    ) -> None:
        super().__init__(str(folder), precision)
        self.made_on, self.seed = device, seed
        shape.save_pretrained(folder)
        tokenizer = made_up_tokenizer(VOCAB_SIZE - len(_FRAME), NUM_WORDS, rng)
        tokenizer.add_tokens(_FRAME)
        PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END).save_pretrained(folder)

    @cached_property
    def model(self) -> Any:
        """The model, frozen and in evaluation mode."""
        torch.manual_seed(self.seed)
        with resolve_device(self.made_on):
            model = AutoModelForCausalLM.from_config(self.config, dtype=DTYPES[self.precision])
        return model.eval().requires_grad_(False)
