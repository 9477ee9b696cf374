"""Any text encoder of Transformers (MiniLM, BGE, E5, GTE, BERT …), frozen or trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import asdict
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dim.display.lines import warn
from dim.encoders.backends import check_backend
from dim.encoders.base import Features, LoadedAnew, Owner, TextEncoder
from dim.encoders.chosen_backend import ByBackend, ChosenBackend
from dim.encoders.device import Backend, EncoderPrecision, check_compiler, deferred, to_device
from dim.encoders.encoder_check import check_texts
from dim.encoders.exported import MOST_SAMPLED, TEXTS, ExportFacts, ToExport
from dim.encoders.lengths import by_length
from dim.encoders.pooling import pool
from dim.encoders.pretrained import KnownByItsFiles
from dim.encoders.prompted import PromptableTextEncoder, PromptedTextEncoder
from dim.encoders.sentence_folder import SentenceFolder, sentence_folder
from dim.encoders.sentence_recipe import Asked, SentenceRecipe
from dim.encoders.text_model import UNBOUNDED, TextModel, Training
from dim.encoders.text_reader import Reading, has_shared_space, is_halved, read_of, reader_of, width_of
from dim.errors import ConfigError

CHUNK = 4096  # texts that are tokenised at once
Pooling = Literal[
    "as_saved",
    "mean",
    "cls",
    "max",
    "mean_sqrt_len_tokens",
    "weightedmean",
    "lasttoken",
    "pooler",
    "projected",
    "tokens",
]


class TransformersTextEncoder(KnownByItsFiles, ByBackend, LoadedAnew, PromptableTextEncoder):
    """Sentence features of a Transformers model, by default as its folder says (sentence-transformers' modules.json).

    Texts are padded on the right, whatever the folder says, so that a text's features hang on it alone. Of models that
    read and write the encoder is used. At first use a text is encoded alone and beside another: an encoder that gives
    it two vectors, or NaN, is refused.

    Args:
        path: A folder with the model, or its id on the Hugging Face hub (downloaded at first use). Of pickled weights
            (`pytorch_model.bin`) tensors alone are read, with `weights_only`.
        pooling: How token vectors become one. `as_saved`: as the folder says, with the Dense heads and the prompts that
            it names; where it says nothing `mean`, of a model with an image tower `projected`. Any other leaves the
            folder's heads and prompts out: `mean`, `max`, `mean_sqrt_len_tokens` or `weightedmean` over the text's
            tokens, `cls` (the first), `lasttoken`, `pooler` (the model's own pooling layer), or `projected` (into the
            space that it shares with images). With `tokens` they stay as they are: a text has as many vectors as
            tokens, for a method that looks at each.
        max_length: Tokens after which a text is cut; `as_saved`: what the folder says; None: the most that the model
            takes.
        normalize: Scale each vector to length 1; `as_saved`: where the folder does.
        precision: Of weights and arithmetic, `int8` by `onnx` and `openvino` alone; the features are float32 always.
        device: `auto`, `cpu`, `cuda`, `cuda:1` …
        revision: A branch, tag or commit on the hub; has no meaning for a folder. A run records the commit.
        train: `frozen`: features are computed once and kept. `full` trains all weights of the model within a run's
            steps, `lora` small matrices beside them (extra `lora`), Dense heads stay as they are; a linker that is
            exported has the trained weights, frozen.
        lora_rank: Of these matrices.
        compile_model: Run through `torch.compile`: seconds to minutes at the start, faster after it. Like the device,
            it may change the last digits of a feature, and is no part of the fingerprint.
        truncate_dim: Keep so many columns, of a model that was trained so (Matryoshka); None: as the folder says.
        query_prompt: Put before the texts of mentions (mention, context, caption); None: the folder's prompt `query`,
            with pooling `as_saved`. An empty one: nothing.
        document_prompt: The same before those of entities (name, text): the folder's `document` or `passage`.
        backend: What computes on a CPU: `torch`; `onnx` (ONNX Runtime, extra `onnx`) or `openvino` (an extra, too),
            mostly faster: the model is exported once, kept, and compared with torch wherever it is opened; `auto`, the
            first of openvino and onnx that is installed and gives the same vectors, else torch. `openvino` has
            precision bf16, too, and both have int8, whose vectors differ: `dim export` measures what that costs.

    Raises:
        ConfigError: The model does not exist, cannot be reached, or does not fit the options, or nothing here can
            compile. Raised at first use.
    """

    WHAT = "a Transformers text encoder"
    backend_as = "text_encoder"

    def __init__(
        self,
        path: str,
        pooling: Pooling = "as_saved",
        max_length: int | Literal["as_saved"] | None = "as_saved",
        normalize: bool | Literal["as_saved"] = "as_saved",
        precision: EncoderPrecision = "fp32",
        device: str = "auto",
        revision: str | None = None,
        compile_model: bool = False,
        train: Training = "frozen",
        lora_rank: int = 8,
        truncate_dim: int | None = None,
        query_prompt: str | None = None,
        document_prompt: str | None = None,
        backend: Backend = "torch",
    ) -> None:
        if lora_rank < 1:
            raise ConfigError("a lora_rank of at least 1", str(lora_rank), "Raise it.")
        if truncate_dim is not None and truncate_dim < 1:
            raise ConfigError("a truncate_dim of at least 1", str(truncate_dim), "Raise it, or leave it out.")
        if train != "frozen" and precision != "fp32":
            found = f"precision: {precision}"
            raise ConfigError("weights in fp32 to be trained", found, "Leave it out; --trainer.precision is for steps.")
        of_torch = ({"train": train} if train != "frozen" else {}) | ({"compile_model": True} if compile_model else {})
        check_backend(backend, precision, device, of_torch)
        self.path, self.precision, self.device, self.revision = path, precision, device, revision
        self.compile_model, self.train, self.lora_rank = compile_model, train, lora_rank
        self.asked = Asked(pooling, max_length, normalize, truncate_dim, query_prompt, document_prompt)
        self.backend = backend

    @property
    def known_options(self) -> Mapping[str, Any]:
        """The commit and the backend, as far as they are known."""
        return {**super().known_options, "backend": self._computing.known_name}

    @cached_property
    def recipe(self) -> SentenceRecipe:
        """How a text becomes a vector; known without loading weights."""
        default = "projected" if has_shared_space(self.source.described("config.json")) else "mean"
        return self.asked.recipe(self._folder if self.asked.needs_folder else None, default, self._most)

    @cached_property
    def _folder(self) -> SentenceFolder | None:
        return sentence_folder(self.source)

    def _most(self) -> int:
        """The most tokens that the model's files name."""
        limits = (
            self.source.described("tokenizer_config.json").get("model_max_length"),
            self.source.described("config.json").get("max_position_embeddings"),
        )
        return min((limit for limit in limits if isinstance(limit, int)), default=UNBOUNDED)

    @property
    def pooling(self) -> tuple[str, ...]:
        """How token vectors become one; several stand end to end."""
        return self.recipe.pooling

    @property
    def width(self) -> int:
        """Columns of a feature row; known without loading weights."""
        size = width_of(self.loaded.config, self.pooling == ("projected",))
        if size is None:
            raise ConfigError(
                f"a text encoder at {self.path}",
                f"a model of type '{self.loaded.config.model_type}', which has no hidden size of its own",
                "Name a sentence encoder.",
            )
        return self.recipe.width(size)

    @property
    def is_trained(self) -> bool:
        """Unless `train` says `frozen`."""
        return self.train != "frozen"

    @property
    def network(self) -> nn.Module:
        """The model."""
        return self.model

    def reading(self, owner: Owner) -> TextEncoder:
        """The encoder with the prompt of mentions, or of entities."""
        return PromptedTextEncoder(self, self.recipe.prompts.get(owner, "")) if self.recipe.prompts else self

    def _named(self, content: str) -> str:
        return self._described(content, f", prompts={dict(self.recipe.prompts)}" if self.recipe.prompts else "")

    def fingerprint_with(self, prompt: str) -> str:
        """The fingerprint of what it gives with a prompt before each text, whatever others it knows."""
        return self._described(self.source.content, f", prompt={prompt!r}" if prompt else "")

    def _described(self, content: str, prompt: str) -> str:
        how = {"frozen": "", "full": ", train=full", "lora": f", train=lora, lora_rank={self.lora_rank}"}[self.train]
        recipe = self.recipe
        pooling = f"pooling={'+'.join(recipe.pooling)}, max_length={recipe.max_length}, normalize={recipe.normalize}"
        half = ", half=encoder" if is_halved(self.source.described("config.json")) else ""
        was_left = self.source.described("tokenizer_config.json").get("padding_side") == "left"
        read = f"{half}{', padding=right' if was_left else ''}"
        return (
            f"TransformersTextEncoder({content}, {pooling}, precision={self.precision}"
            f"{recipe.further}{prompt}{read}{how}{self._computing.described})"
        )

    def num_vectors(self, texts: Sequence[str]) -> NDArray[np.int64] | None:
        """One a token, those that the model adds among them, with pooling `tokens`."""
        return np.array(self.num_tokens(texts), np.int64) if self.pooling == ("tokens",) else None

    def num_tokens(self, texts: Sequence[str]) -> Sequence[int]:
        """How many tokens are read of each text, those that the model adds among them."""
        tokens = [self._cut(texts[start : start + CHUNK]) for start in range(0, len(texts), CHUNK)]
        return [len(ids) for part in tokens for ids in part["input_ids"]]

    def are_cut(self, texts: Sequence[str]) -> Sequence[bool]:
        """Whether a text has more tokens than the model takes."""
        limit = self._limit
        long = [place for place, text in enumerate(texts) if len(text.encode()) + 2 > limit]
        cut = [False] * len(texts)
        for start in range(0, len(long), CHUNK):
            part = long[start : start + CHUNK]
            tokens = self._cut([texts[place] for place in part], limit + 1)["input_ids"]
            for place, ids in zip(part, tokens, strict=True):
                cut[place] = len(ids) > limit
        return cut

    def encode_text(self, texts: Sequence[str]) -> Features:
        """Features [len(texts), width] of one batch, padded to its longest text."""
        return self.submit_text(texts)()

    def submit_text(self, texts: Sequence[str]) -> Callable[[], Features]:
        """What gives the features of `encode_text` when called."""
        with torch.inference_mode():
            return deferred(self.forward_text(texts))

    def forward_text(self, texts: Sequence[str], prompt: str = "") -> Tensor:
        """Features [len(texts), width] of one batch where the model computes, with gradients if it is trained."""
        _ = self._is_checked
        return self._forward(texts, prompt)

    def _forward(self, texts: Sequence[str], prompt: str = "") -> Tensor:
        tokens = self.tokenize([prompt + text for text in texts])
        mask, (kind, *_), export = tokens["attention_mask"], self.pooling, self._computing.exported
        if export is None:
            inputs = {name: values for name, values in tokens.items() if name in self._inputs}
            return self._features(read_of(self._run(**inputs), kind, self.path), mask, prompt)
        if kind == "tokens" or not self.loaded.has_mask:
            return self._features(export(tokens), mask, prompt)
        features = torch.empty(len(texts), self.width)
        for rows, most in by_length(mask, export.call):
            part = {name: values[rows, :most] for name, values in tokens.items()}
            features[rows] = self._features(export(part), part["attention_mask"], prompt)
        return features

    def _features(self, read: Tensor, mask: Tensor, prompt: str = "") -> Tensor:
        """The features of what the network gave of a batch."""
        if prompt and not self.recipe.include_prompt:
            mask = mask.clone()
            mask[:, : self._length_of(prompt)] = 0
        features = self._pool(read, mask).float()
        for head in self._heads:
            features = head.to(features.device)(features)
        features = features[:, : self.recipe.truncate_dim]
        return torch.nn.functional.normalize(features, dim=-1) if self.recipe.normalize else features

    @property
    def pinned_options(self) -> Mapping[str, str]:
        """The commit on the hub, and the backend that `auto` chose."""
        return {**super().pinned_options, **self._computing.pinned_options}

    def write_frozen(self, target: Path) -> dict[str, Any]:
        """As of `TrainableTextEncoder`: what LoRA trained is added to the weights."""
        model: Any = self.model
        if self.train == "lora":
            model = deepcopy(model).merge_and_unload()  # which would take the matrices out of what is trained
        model.save_pretrained(target)
        self.loaded.config.save_pretrained(target)  # of the whole, where the model is the half that reads
        self.loaded.tokenizer.save_pretrained(target)
        asked = self.asked
        if asked.needs_folder and self._folder is not None:
            self._folder.copy_to(target)
        return asdict(asked)

    def copy_model(self, source: Path, target: Path) -> bool:
        """Copies what is read of a folder, modules of sentence-transformers, too; pickled weights as safetensors."""
        is_converted = super().copy_model(source, target)
        self.write_export(target)
        if self.asked.needs_folder and self._folder is not None:
            return self._folder.copy_to(target) or is_converted
        return is_converted

    def tokenize(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """The tokens of one batch, with their mask, on the model's device."""
        padding = True if self.loaded.has_mask else "max_length"  # such a model was trained with texts of full length
        batch = self._cut(texts, padding=padding, return_tensors="np", return_attention_mask=True)
        # A trainer may have moved what it trains.
        device = next(self.model.parameters()).device if self.is_trained else self.loaded.device
        return {name: to_device(values, device) for name, values in batch.items()}

    @cached_property
    def _inputs(self) -> frozenset[str]:
        return self.loaded.inputs

    def _cut(self, texts: Sequence[str], limit: int | None = None, **options: Any) -> Any:
        """The tokens of texts, cut at a number of them, by default the most that the model takes."""
        if self.recipe.lower_case:
            texts = [text.lower() for text in texts]
        return self.loaded.tokenizer(list(texts), truncation=True, max_length=limit or self._limit, **options)

    def _length_of(self, prompt: str) -> int:
        """Tokens of a prompt, with those that stand before a text."""
        ids = self._cut([prompt])["input_ids"][0]
        return len(ids) - (ids[-1] in self.loaded.tokenizer.all_special_ids)

    @cached_property
    def _is_checked(self) -> bool:
        if self._computing.exported is not None:
            check_texts(self._forward, self.width, self.precision, self.path)
        else:
            was_training = self.model.training  # with dropout a text would differ from itself
            self.model.eval()
            try:
                check_texts(self._forward, self.width, self.precision, self.path)
            finally:
                self.model.train(was_training)
        self._say_differences()
        return True

    def _say_differences(self) -> None:
        with suppress(ConfigError):  # a folder that is not used need not be one that can be
            if self.source.is_folder and self._folder is not None:
                found = self.asked.differences(self._folder, self.recipe, self._most)
                if found:
                    _say_once(f"note: {self.path} says otherwise than its options: {'; '.join(found)}")

    @cached_property
    def _run(self) -> Callable[..., Any]:
        reader = reader_of(self.model)
        if not self.compile_model:
            return reader
        check_compiler(self.loaded.device.type)
        run: Callable[..., Any] = torch.compile(reader)
        return run

    @cached_property
    def loaded(self) -> TextModel:
        """Network and tokenizer, each loaded at first use."""
        if self._computing.name != "torch":  # which has the weights in a file of its own
            return TextModel(self.source, self.pooling, "fp32", "cpu", "frozen", self.lora_rank)
        precision = self._computing.torch_precision
        return TextModel(self.source, self.pooling, precision, self.device, self.train, self.lora_rank)

    @cached_property
    def _computing(self) -> ChosenBackend:
        return ChosenBackend(
            self.backend,
            self.precision,
            self.device,
            self.source,
            lambda: f"reads={self._reads}",
            self._to_export,
            lambda read, tokens: self._features(read, tokens["attention_mask"]),
        )

    @property
    def _reads(self) -> str:
        kind = self.pooling[0]
        return kind if kind in ("pooler", "projected") else "hidden"

    def _to_export(self) -> ToExport:
        """The network as torch runs it in fp32, and texts in tokens, the longest as long as it takes."""
        loaded = TextModel(self.source, self.pooling, "fp32", "cpu", "frozen", self.lora_rank)
        limit = min(loaded.most_tokens, self.recipe.max_length or UNBOUNDED)
        options = {"padding": True if loaded.has_mask else "max_length", "return_tensors": "pt", "truncation": True}
        asked = options | {"max_length": min(limit, MOST_SAMPLED), "return_attention_mask": True}
        batches = [dict(loaded.tokenizer(list(texts), **asked)) for texts in TEXTS]
        inputs = [name for name in batches[0] if name in loaded.inputs]
        facts: ExportFacts = {"inputs": inputs, "most_tokens": loaded.most_tokens}
        return Reading(loaded.network, self.pooling[0], self.path), batches, facts

    @property
    def model(self) -> nn.Module:
        """The Transformers model, loaded at first use."""
        return self.loaded.network

    def _pool(self, read: Tensor, mask: Tensor) -> Tensor:
        if self.pooling == ("tokens",):
            return read[mask.bool()]
        return read if self.pooling[0] in ("pooler", "projected") else pool(read, mask, self.pooling)

    @cached_property
    def _heads(self) -> list[nn.Module]:
        return [head.load() for head in self.recipe.heads]

    @cached_property
    def _limit(self) -> int:
        most = self.loaded.most_tokens if self._computing.exported is None else self._computing.exported.most_tokens
        asked = self.asked.max_length
        if isinstance(asked, int) and not 0 < asked <= most:
            raise ConfigError(
                f"max_length between 1 and {most}, the most that the model at {self.path} takes",
                str(asked),
                "Lower it, or leave it out.",
            )
        return min(most, self.recipe.max_length or most)


@cache
def _say_once(line: str) -> None:
    warn(line)
