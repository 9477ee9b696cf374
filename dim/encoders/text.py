"""Any text encoder of Transformers (MiniLM, BGE, E5, GTE, BERT …), frozen or trained."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoTokenizer

from dim.encoders.base import Features, TrainableTextEncoder
from dim.encoders.device import DTYPES, Precision, check_compiler, deferred, resolve_device, to_device
from dim.encoders.positions import usable_positions
from dim.encoders.pretrained import KnownByItsFiles
from dim.errors import ConfigError

POOLER = r".*\bpooler\b.*"  # of modules, which get no gradient where nothing reads them
CHUNK = 4096  # texts that are tokenised at once
_UNBOUNDED = 10**9  # tokenizers without a limit of their own say 1e30


class TransformersTextEncoder(KnownByItsFiles, TrainableTextEncoder):
    """Sentence features of a Transformers model.

    Args:
        path: A folder with the model, or its id on the Hugging Face hub (downloaded at first use). Of pickled weights
            (`pytorch_model.bin`) tensors alone are read, with `weights_only`.
        pooling: How token vectors become one: `mean` over the text's tokens, `cls` (the first token), or `pooler`
            (the model's own pooling layer). The model's card says which one it was trained with. With `tokens` they
            stay as they are: a text has as many vectors as tokens, for a method that looks at each.
        max_length: Tokens after which a text is cut; None: the most that the model takes.
        normalize: Scale each vector to length 1.
        precision: Of weights and arithmetic; the features are float32 always.
        device: `auto`, `cpu`, `cuda`, `cuda:1` …
        revision: A branch, tag or commit on the hub; has no meaning for a folder. A run records the commit.
        train: `frozen`: features are computed once and kept. `full` trains all weights within a run's steps, `lora`
            small matrices beside them (extra `lora`); a linker that is exported has the trained weights, frozen.
        lora_rank: Of these matrices.
        compile_model: Run through `torch.compile`: seconds to minutes at the start, faster after it. Like the device,
            it may change the last digits of a feature, and is no part of the fingerprint.

    Raises:
        ConfigError: The model does not exist, cannot be reached, or does not fit the options, or nothing here can
            compile. Raised at first use.
    """

    WHAT = "a Transformers text encoder"

    def __init__(
        self,
        path: str,
        pooling: Literal["mean", "cls", "pooler", "tokens"] = "mean",
        max_length: int | None = None,
        normalize: bool = False,
        precision: Precision = "fp32",
        device: str = "auto",
        revision: str | None = None,
        compile_model: bool = False,
        train: Literal["frozen", "full", "lora"] = "frozen",
        lora_rank: int = 8,
    ) -> None:
        if train != "frozen" and pooling == "tokens":
            raise ConfigError("a pooling of texts whose encoder is trained", "tokens", "Use pooling: mean, or cls.")
        if lora_rank < 1:
            raise ConfigError("a lora_rank of at least 1", str(lora_rank), "Raise it.")
        if train != "frozen" and precision != "fp32":
            found = f"precision: {precision}"
            raise ConfigError("weights in fp32 to be trained", found, "Leave it out; --trainer.precision is for steps.")
        self.path, self.pooling, self.max_length, self.normalize = path, pooling, max_length, normalize
        self.precision, self.device, self.revision = precision, device, revision
        self.compile_model, self.train, self.lora_rank = compile_model, train, lora_rank

    def __reduce__(self) -> tuple[Any, ...]:
        # Another process loads the weights itself, if it needs them.
        revision = self.source.known_revision
        options = (self.pooling, self.max_length, self.normalize, self.precision, self.device, revision)
        return type(self), (self.path, *options, self.compile_model, self.train, self.lora_rank)

    @property
    def width(self) -> int:
        """The model's hidden size; known without loading weights."""
        size = getattr(self._config, "hidden_size", None)
        if not isinstance(size, int):
            raise ConfigError(
                f"a text encoder at {self.path}",
                f"a model of type '{self._config.model_type}', which has no hidden size of its own",
                "Use OpenClipEncoder for CLIP models, or name a sentence encoder.",
            )
        return size

    @property
    def is_trained(self) -> bool:
        """Unless `train` says `frozen`."""
        return self.train != "frozen"

    @property
    def network(self) -> nn.Module:
        """The model."""
        return self.model

    def _named(self, content: str) -> str:
        how = {"frozen": "", "full": ", train=full", "lora": f", train=lora, lora_rank={self.lora_rank}"}[self.train]
        return (
            f"TransformersTextEncoder({content}, pooling={self.pooling}, max_length={self.max_length}, "
            f"normalize={self.normalize}, precision={self.precision}{how})"
        )

    def num_vectors(self, texts: Sequence[str]) -> NDArray[np.int64] | None:
        """One a token, those that the model adds among them, with pooling `tokens`."""
        if self.pooling != "tokens":
            return None
        tokens = [self._cut(texts[start : start + CHUNK]) for start in range(0, len(texts), CHUNK)]
        return np.array([len(ids) for part in tokens for ids in part["input_ids"]], np.int64)

    def encode_text(self, texts: Sequence[str]) -> Features:
        """Features [len(texts), width] of one batch, padded to its longest text."""
        return self.submit_text(texts)()

    def submit_text(self, texts: Sequence[str]) -> Callable[[], Features]:
        """What gives the features of `encode_text` when called."""
        with torch.inference_mode():
            return deferred(self.forward_text(texts))

    def forward_text(self, texts: Sequence[str]) -> Tensor:
        """Features [len(texts), width] of one batch where the model computes, with gradients if it is trained."""
        tokens = self.tokenize(texts)
        features = self._pool(self._run(**tokens), tokens["attention_mask"]).float()
        return torch.nn.functional.normalize(features, dim=-1) if self.normalize else features

    def write_frozen(self, target: Path) -> dict[str, Any]:
        """As of `TrainableTextEncoder`: what LoRA trained is added to the weights."""
        model: Any = self.model
        if self.train == "lora":
            model = deepcopy(model).merge_and_unload()  # which would take the matrices out of what is trained
        model.save_pretrained(target)
        self._config.save_pretrained(target)  # of the whole, where the model is the half that reads
        self._tokenizer.save_pretrained(target)
        return {"pooling": self.pooling, "max_length": self.max_length, "normalize": self.normalize}

    def tokenize(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """The model's input for one batch, on its device."""
        batch = self._cut(texts, padding=True, return_tensors="np")
        # A trainer may have moved what it trains.
        device = next(self.model.parameters()).device if self.is_trained else self._torch_device
        return {name: to_device(values, device) for name, values in batch.items()}

    def _cut(self, texts: Sequence[str], **options: Any) -> Any:
        """The tokens of texts, cut at the longest that the model takes."""
        return self._tokenizer(list(texts), truncation=True, max_length=self._limit, **options)

    @cached_property
    def _run(self) -> Callable[..., Any]:
        if not self.compile_model:
            return self.model
        check_compiler(self._torch_device.type)
        run: Callable[..., Any] = torch.compile(self.model)
        return run

    @cached_property
    def model(self) -> nn.Module:
        """The Transformers model, loaded at first use."""
        model, report = self.source.load(self._kind, dtype=DTYPES[self.precision], output_loading_info=True)
        missing = [key for key in report["missing_keys"] if "pooler" not in key or self.pooling == "pooler"]
        if missing:
            raise ConfigError(
                f"all weights of the model at {self.path} (pooling={self.pooling})",
                f"none for {', '.join(sorted(missing)[:3])}; they would be random",
                "Choose another pooling, or another checkpoint.",
            )
        if hasattr(model, "set_attention_type"):  # BigBird chooses by the first batch that it sees, for all others
            model.set_attention_type("original_full")
        ready: nn.Module = model.eval().requires_grad_(self.train == "full").to(self._torch_device)
        if self.pooling != "pooler":  # which would get no gradient
            for name, parameter in ready.named_parameters():
                parameter.requires_grad_(parameter.requires_grad and "pooler" not in name)
        return self._with_lora(ready) if self.train == "lora" else ready

    def _with_lora(self, model: nn.Module) -> nn.Module:
        try:
            from peft import LoraConfig, get_peft_model
        except ImportError as error:
            raise ConfigError("the package peft, for train: lora", "none", "pip install 'dim-linker[lora]'") from error
        has_unread = self.pooling != "pooler" and any("pooler" in name for name, _ in model.named_modules())
        without = POOLER if has_unread else None
        config = LoraConfig(r=self.lora_rank, target_modules="all-linear", exclude_modules=without)
        with torch.random.fork_rng(devices=[]):  # the same matrices whatever drew before
            torch.manual_seed(0)
            with_lora: nn.Module = get_peft_model(model, config)
        return with_lora

    @property
    def _kind(self) -> Any:
        """What loads the model: of one that reads and writes, such as T5, the half that reads."""
        if not self._config.is_encoder_decoder:
            return AutoModel
        import transformers  # the Transformers beside salesforce-lavis has no such class yet

        has_half = type(self._config) in transformers.MODEL_FOR_TEXT_ENCODING_MAPPING
        return transformers.AutoModelForTextEncoding if has_half else AutoModel

    def _pool(self, output: Any, mask: Tensor) -> Tensor:
        hidden: Tensor = output.last_hidden_state  # [batch, length, width]
        if self.pooling == "tokens":
            return hidden[mask.bool()]
        if self.pooling == "cls":
            return hidden[:, 0]
        if self.pooling == "mean":
            weights = mask[:, :, None].to(torch.float32)
            return (hidden.float() * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)
        pooled: Tensor | None = getattr(output, "pooler_output", None)
        if pooled is None:
            raise ConfigError(f"a pooling layer in the model at {self.path}", "none", "Set pooling to mean or cls.")
        return pooled

    @cached_property
    def _torch_device(self) -> torch.device:
        return resolve_device(self.device)

    @cached_property
    def _config(self) -> Any:
        return self.source.load(AutoConfig)

    @cached_property
    def _tokenizer(self) -> Any:
        # Set before the first use, or tokenizers warns on stderr in each image worker that is forked later.
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
        tokenizer = self.source.load(AutoTokenizer)
        if tokenizer.pad_token is None:
            raise ConfigError(f"a tokenizer with a padding token at {self.path}", "none", "Name a sentence encoder.")
        return tokenizer

    @cached_property
    def _limit(self) -> int:
        limits = (self._tokenizer.model_max_length, getattr(self._config, "max_position_embeddings", None))
        known = [limit for limit in (*limits, usable_positions(self.model)) if isinstance(limit, int) and limit > 0]
        most = min([*known, _UNBOUNDED])
        if self.max_length is not None and not 0 < self.max_length <= most:
            raise ConfigError(
                f"max_length between 1 and {most}, the most that the model at {self.path} takes",
                str(self.max_length),
                "Lower it, or leave it out.",
            )
        return self.max_length or most
