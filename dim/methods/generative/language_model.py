"""A frozen causal language model of Transformers: tokens and vectors in, likelihoods out."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from dim.core.excerpts import first_line
from dim.core.shortages import is_memory
from dim.encoders.device import DTYPES, Precision
from dim.encoders.model_files import copy_files, load_pickled, transformers_files
from dim.encoders.pretrained import Pretrained, check_whole, frozen
from dim.errors import ConfigError
from dim.methods.generative.model_kinds import check_gguf, check_kind, known_positions
from dim.methods.generative.tokenizer import Tokenized
from dim.methods.generative.ways import WAYS, Way

WHAT = "a causal language model of Transformers"
UNBOUNDED = 10**9  # tokenizers without a limit of their own say 1e30


@dataclass
class LanguageModel(Tokenized):
    """Any causal language model that takes input vectors: OPT, LLaMA, Qwen, GPT-2 and others.

    Weights load at the first use, frozen.

    Args:
        path: A folder as `save_pretrained` writes it, or an id on the Hugging Face hub.
        precision: Of weights and arithmetic. In fp32 batches and single prompts agree; in bf16 and fp16 a close call
            may fall differently.
        quantization: Load the weights in 8 or 4 bits by bitsandbytes (extra `quantized`, a GPU).
        device_map: How Accelerate (extra `quantized`) spreads the layers over several devices, such as `auto`; None:
            the whole model stands where the trainer computes.
        revision: A branch, tag or commit on the hub; has no meaning for a folder.
    """

    path: str
    precision: Precision = "fp32"
    quantization: Literal["none", "8bit", "4bit"] = "none"
    device_map: str | None = None
    revision: str | None = None

    def __post_init__(self) -> None:
        # The self-check settles both.
        self.way: Way = WAYS[0]  #: How prompts go through it.
        self.scale = 1.0  #: Of tokens' vectors, where the model scales them only if it looks them up itself.

    def __getstate__(self) -> dict[str, Any]:
        # Another process loads the weights itself; what was settled about the model holds there, too.
        options = {name: self.__dict__[name] for name in self.__dataclass_fields__}
        return options | {
            "revision": self.source.known_revision,
            "way": self.way,
            "scale": self.scale,
            "_rules": self.rules,
        }

    @cached_property
    def source(self) -> Pretrained:
        """The folder, or the id on the hub at one commit."""
        check_gguf(Path(self.path), WHAT)
        return Pretrained(self.path, self.revision, WHAT)

    @cached_property
    def fingerprint(self) -> str:
        """Names the content of the folder (of a hub id: its commit) and each option that changes the output."""
        return f"{self.source.content}, precision={self.precision}, quantization={self.quantization}"

    @property
    def pinned_options(self) -> Mapping[str, str]:
        """The commit as `revision`, of an id on the hub."""
        return self.source.pinned_options

    def pin(self, options: Mapping[str, str]) -> None:
        """Has a commit (`revision`) loaded; called before anything is."""
        self.revision = self.source.revision = options["revision"]

    def copy_model(self, source: Path, target: Path) -> bool:
        """Copies what Transformers reads of a folder; pickled weights as safetensors."""
        return copy_files(source, transformers_files(source), target, load_pickled)

    @cached_property
    def config(self) -> Any:
        """The model's configuration; known without weights."""
        return self._load(AutoConfig)

    @cached_property
    def model(self) -> nn.Module:
        """The model, frozen and in evaluation mode.

        Raises:
            ConfigError: Transformers has no causal language model of this kind.
        """
        check_kind(self.config, self.path, WHAT)
        options: dict[str, Any] = {"dtype": DTYPES[self.precision]}
        if self.device_map is not None:
            _check_package("accelerate", "a device_map")
            options["device_map"] = self.device_map
        if self.quantization != "none":
            options["quantization_config"] = self._quantized()
        model, report = self._load(AutoModelForCausalLM, output_loading_info=True, **options)
        remedy = "Use a checkpoint of a causal language model."
        check_whole(report["missing_keys"], f"the language model at {self.path}", remedy)
        ready: nn.Module = frozen(model)
        return ready

    def to(self, device: torch.device) -> None:
        """Moves the weights, unless a device map placed them."""
        if self.device_map is None and self.quantization == "none":
            self.model.to(device)

    @property
    def width(self) -> int:
        """Columns of an input vector."""
        return self._embedding.weight.shape[1]

    @property
    def num_embeddings(self) -> int:
        """Tokens that have an input vector."""
        return self._embedding.weight.shape[0]

    @property
    def device(self) -> torch.device:
        """Where input vectors are looked up."""
        return self._embedding.weight.device

    @property
    def num_parameters(self) -> int:
        """How many weights the model has."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    @property
    def context(self) -> int:
        """The most positions of prompt and answer together."""
        limits = known_positions(self.config.get_text_config(decoder=True))
        return min([*limits, int(min(self.tokenizer.model_max_length, UNBOUNDED))])

    def embed(self, tokens: Tensor) -> Tensor:
        """The input vectors [..., width] of tokens [...], in the model's precision."""
        vectors: Tensor = self._embedding(tokens)
        return vectors if self.scale == 1 else vectors * self.scale

    @property
    def scale_of_ids(self) -> float:
        """By what the module that looks tokens up multiplies their vectors, as far as it says so; 1: by nothing."""
        owners = (
            module for module in self.model.modules() if any(child is self._embedding for child in module.children())
        )
        found = [getattr(owner, name, None) for owner in owners for name in ("embedding_multiplier", "embed_scale")]
        return next((float(value) for value in found if isinstance(value, int | float)), 1.0)

    def run(self, mask: Tensor, num_logits: int, vectors: Tensor, past: Any = None, is_last: bool = False) -> Any:
        """One forward pass over left-padded input vectors, as `way` has it.

        Args:
            mask: [b, past + n] int64, 1 where there is a vector; the last n columns are this input's.
            num_logits: For how many of the last positions the logits are wanted, at least.
            vectors: [b, n, width].
            past: The cache of what stands before; it is extended in place.
            is_last: Whether nothing will follow, so that there need be no cache.

        Returns:
            Transformers' output; `.logits` [b, num_logits or more, vocabulary].
        """
        inputs: dict[str, Any] = {"attention_mask": mask}
        if self.way.is_batched:  # alone, a model's own count is right, wherever it begins
            inputs["position_ids"] = (mask.cumsum(1) - 1).clamp_min(0)[:, -vectors.shape[1] :]
        inputs["logits_to_keep"] = num_logits
        # Said each time: a folder may say that there is no cache.
        inputs["use_cache"] = self.way.has_cache and not is_last
        inputs = {name: value for name, value in inputs.items() if self.takes(name)}
        if past is not None:
            inputs[self.cache_name] = past
        with explained_memory():
            # A copy: some models change what they are given (CTRL).
            return self.model(inputs_embeds=vectors.clone(), return_dict=True, **inputs)

    @property
    def cache_name(self) -> str:
        """What Transformers calls the cache, in arguments and output: `cache`, before 5.2x `past_key_values`."""
        return "cache" if self.takes("cache") else "past_key_values"

    @property
    def _embedding(self) -> nn.Embedding:
        embedding: nn.Embedding = self.model.get_input_embeddings()  # type: ignore[operator]
        return embedding

    def takes(self, argument: str) -> bool:
        """Whether a forward pass has such an argument."""
        return argument in inspect.signature(self.model.forward).parameters

    def _quantized(self) -> Any:
        from transformers import BitsAndBytesConfig

        _check_package("bitsandbytes", f"quantization {self.quantization}")
        eight = self.quantization == "8bit"
        return BitsAndBytesConfig(
            load_in_8bit=eight, load_in_4bit=not eight, bnb_4bit_compute_dtype=DTYPES[self.precision]
        )

    def _open_tokenizer(self) -> tuple[Any, Mapping[str, Any]]:
        return self._load(AutoTokenizer), self.source.described("tokenizer_config.json")

    def _load(self, kind: Any, **options: Any) -> Any:
        return self.source.load(kind, **options)


@contextmanager
def explained_memory() -> Iterator[None]:
    """Turns `out of memory` into an error that names what makes it smaller.

    Raises:
        ConfigError: Memory ran out inside.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_memory(error):
            raise
        raise ConfigError(
            "enough memory for the language model and its prompts",
            first_line(error),
            "Lower --data.batch_size (training), --model.batch_size or --model.num_beams (writing names), "
            "--model.score_batch_size (scoring those of candidates), or the number of examples; or load the model in "
            "bf16 or quantized (--model.language_model.precision, .quantization).",
        ) from error


def _check_package(name: str, what: str) -> None:
    if find_spec(name) is None:
        raise ConfigError(f"the package {name} for {what}", "none", "Install it: pip install 'dim-linker[quantized]'")
