"""A Transformers text encoder as it is loaded: its network, its tokenizer, and what is trained of it."""

from __future__ import annotations

import os
import warnings
from functools import cached_property
from typing import Any, Literal

import torch
from torch import nn
from transformers import AutoConfig, AutoModel, AutoTokenizer

from dim.encoders.device import DTYPES, Precision, resolve_device
from dim.encoders.positions import usable_positions
from dim.encoders.pretrained import Pretrained, check_whole
from dim.encoders.text_reader import accepted, reader_of, text_part
from dim.errors import ConfigError

POOLER = r".*\bpooler\b.*"  # of modules, which get no gradient where nothing reads them
UNBOUNDED = 10**9  # tokenizers without a limit of their own say 1e30
Training = Literal["frozen", "full", "lora"]


class TextModel:
    """What `TransformersTextEncoder` loads; each part at first use.

    Args:
        source: The folder, or the id on the hub.
        pooling: How token vectors become one; the pooling layer is loaded for `pooler` alone.
        precision: Of weights and arithmetic.
        device: Where it computes.
        train: What of it a run trains.
        lora_rank: Of the matrices that LoRA trains.

    Raises:
        ConfigError: By each attribute: it does not exist, or does not fit the options.
    """

    def __init__(
        self,
        source: Pretrained,
        pooling: tuple[str, ...],
        precision: Precision,
        device: str,
        train: Training,
        lora_rank: int,
    ) -> None:
        self.source, self.pooling, self.precision = source, pooling, precision
        self._device, self.train, self.lora_rank = device, train, lora_rank

    @cached_property
    def device(self) -> torch.device:
        """Where it computes."""
        return resolve_device(self._device)

    @cached_property
    def config(self) -> Any:
        """What its config.json says."""
        return self.source.load(AutoConfig)

    @cached_property
    def tokenizer(self) -> Any:
        """It, padding on the right."""
        # Set before the first use, or tokenizers warns on stderr in each image worker that is forked later.
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
        tokenizer = self.source.load(AutoTokenizer)
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token  # of decoders: behind a text, and masked
        if tokenizer.pad_token is None:
            raise ConfigError(
                f"a tokenizer with a padding token at {self.source.path}", "none", "Name a sentence encoder."
            )
        tokenizer.padding_side = "right"  # absolute positions would count from the longest text of a batch
        return tokenizer

    @property
    def has_mask(self) -> bool:
        """Whether the model is told where a text ends. SigLIP is not: it reads texts padded to their full length."""
        text = getattr(self.config, "text_config", None)
        is_pooled_at_the_end = getattr(text, "projection_size", None) is not None  # of SigLIP alone
        return not is_pooled_at_the_end and "attention_mask" in self.tokenizer.model_input_names

    @cached_property
    def most_tokens(self) -> int:
        """The most tokens of a text that it takes."""
        limits = (self.tokenizer.model_max_length, getattr(self.config, "max_position_embeddings", None))
        positions = usable_positions(text_part(self.network))
        known = [limit for limit in (*limits, positions) if isinstance(limit, int) and limit > 0]
        return min([*known, UNBOUNDED])

    @cached_property
    def network(self) -> nn.Module:
        """The Transformers model, loaded at first use."""
        model, report = self.source.load(self._kind, dtype=DTYPES[self.precision], output_loading_info=True)
        uses_pooler = self.pooling == ("pooler",)
        missing = [key for key in report["missing_keys"] if "pooler" not in key or uses_pooler]
        of = f"the model at {self.source.path} (pooling={'+'.join(self.pooling)})"
        check_whole(missing, of, "Choose another pooling, or another checkpoint.")
        if hasattr(model, "set_attention_type"):  # BigBird chooses by the first batch that it sees, for all others
            model.set_attention_type("original_full")
        ready: nn.Module = model.eval().requires_grad_(False).to(self.device)
        text_part(ready).requires_grad_(self.train == "full")
        if not uses_pooler:  # which would get no gradient
            for name, parameter in ready.named_parameters():
                parameter.requires_grad_(parameter.requires_grad and "pooler" not in name)
        return self._with_lora(ready) if self.train == "lora" else ready

    def _with_lora(self, model: nn.Module) -> nn.Module:
        try:
            from peft import LoraConfig, get_peft_model
        except ImportError as error:
            raise ConfigError("the package peft, for train: lora", "none", "pip install 'dim-linker[lora]'") from error
        has_unread = self.pooling != ("pooler",) and any("pooler" in name for name, _ in model.named_modules())
        without = POOLER if has_unread else None
        config = LoraConfig(r=self.lora_rank, target_modules="all-linear", exclude_modules=without)
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):  # the same matrices whatever drew before
            # peft 0.21 reads a property that Transformers has renamed.
            warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
            torch.manual_seed(0)
            with_lora: nn.Module = get_peft_model(model, config)
        return with_lora.eval()  # as the model in it is: the wrapper comes in training mode

    @property
    def inputs(self) -> frozenset[str]:
        """What the network is given of a batch."""
        names = accepted(reader_of(self.network))
        return names if self.has_mask else names - {"attention_mask"}

    @property
    def _kind(self) -> Any:
        """What loads the model: of one that reads and writes, such as T5, the half that reads, where it is a class."""
        if not self.config.is_encoder_decoder:
            return AutoModel
        import transformers  # the Transformers beside salesforce-lavis has no such class yet

        has_half = type(self.config) in transformers.MODEL_FOR_TEXT_ENCODING_MAPPING
        return transformers.AutoModelForTextEncoding if has_half else AutoModel
