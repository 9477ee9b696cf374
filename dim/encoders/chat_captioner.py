"""Any image-text-to-text model of Transformers, by its chat template: an image and a question in, an answer out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from dim.core.excerpts import first_line
from dim.display.lines import warn
from dim.encoders.base import Captioner, LoadedAnew
from dim.encoders.device import DTYPES, Precision, resolve_device
from dim.encoders.encoder_check import pictures, remedy_for, tried
from dim.encoders.pretrained import KnownByItsFiles, check_whole, current_transformers, frozen
from dim.encoders.special_tokens import as_plain_text, special_tokens
from dim.errors import ConfigError
from dim.images.scaled import scaled_down

QUESTION = "Who are the characters in the picture?"
_TEMPLATE = "chat_template.jinja"
#: In the absence of the former the default; it is neither hashed nor copied.
_UNCOVERED = "additional_chat_templates/default.jinja"
#: Pixels; models refuse a single one, where three channels are not told from one, or what is 200 times as long as wide.
_LEAST_SIDE, _MOST_OBLONG = 16, 50
_TRIED = ("Who?", "Who are the people in this picture, and what do they hold in their hands?")
_NUM_TRIED = 3  # tokens: that of the prompt, and those that come after the cache is filled
#: The most by which the odds of a token may differ, alone and beside another; a half has three digits.
_MOST: dict[Precision, float] = {"fp32": 1e-3, "bf16": 0.1, "fp16": 0.02}
#: What a folder's generation_config may say of sampling and of several answers, and of a length or a time of its own.
_UNUSED = (
    *("temperature", "top_k", "top_p", "min_p", "top_h", "typical_p", "epsilon_cutoff", "eta_cutoff"),
    *("num_return_sequences", "early_stopping", "length_penalty", "max_length", "min_length", "max_time"),
)


class TransformersCaptioner(KnownByItsFiles, LoadedAnew, Captioner):
    """Answers of a vision-language model that has a chat template: Qwen-VL, Gemma 3, LLaVA, InternVL and others.

    Each image is one message of a user, the question behind it; the likeliest token is taken each time. At first use
    the model is asked of two images, alone and together: one whose answers hang on their neighbours in a batch is asked
    one image at a time.

    Args:
        path: A folder as `save_pretrained` writes it (safetensors), or an id on the Hugging Face hub.
        question: `{mention}` is filled in with the mention's name. An image is asked a question once.
        max_new_tokens: The longest answer.
        max_pixels: Larger images are scaled down to so many, before the model's own processor scales them.
        precision: Of weights and arithmetic. Batches and single images agree in fp32; in bf16 and fp16 a close call
            may fall differently.
        device: `auto`, `cpu`, `cuda`, `cuda:1` …
        revision: A branch, tag or commit on the hub; has no meaning for a folder.

    Raises:
        ConfigError: The model does not exist, cannot be reached, answers no question about an image, or has no chat
            template. Raised at first use.
        DataError: It brings code of its own.
    """

    WHAT = "an image-text-to-text model"

    def __init__(
        self,
        path: str,
        question: str = QUESTION,
        max_new_tokens: int = 64,
        max_pixels: int = 512 * 512,
        precision: Precision = "fp32",
        device: str = "auto",
        revision: str | None = None,
    ) -> None:
        if max_new_tokens < 1 or max_pixels < 1:
            raise ConfigError(
                "max_new_tokens and max_pixels of at least 1", f"{max_new_tokens} and {max_pixels}", "Raise them."
            )
        self.path, self.question, self.max_new_tokens, self.max_pixels = path, question, max_new_tokens, max_pixels
        self.precision, self.device, self.revision = precision, device, revision

    @property
    def model(self) -> str:
        """The folder or hub id."""
        return self.path

    @property
    def parameters(self) -> dict[str, Any]:
        """Length, pixels and precision."""
        return {"max_new_tokens": self.max_new_tokens, "max_pixels": self.max_pixels, "precision": self.precision}

    def _named(self, content: str) -> str:
        options = ", ".join(f"{name}={value}" for name, value in self.parameters.items())
        return f"TransformersCaptioner({content}, question={self.question!r}, {options})"

    def preprocess(self, image: Image.Image) -> NDArray[np.uint8]:
        """The image [height, width, 3], of at most `max_pixels`; of a line or a dot that no model reads, stretched."""
        return scaled_down(image, self.max_pixels, _LEAST_SIDE, _MOST_OBLONG)

    def caption(self, images: Sequence[NDArray[np.uint8]], questions: Sequence[str]) -> list[str]:
        """One answer for each of `preprocess`' results, without the question and without blanks at its ends."""
        size = max(1, len(images)) if self._takes_batches else 1
        asked = list(zip(map(Image.fromarray, images), questions, strict=True))
        parts = [asked[first : first + size] for first in range(0, len(asked), size)]
        return [answer for part in parts for answer in self._answers(part)]

    def _answers(self, asked: Sequence[tuple[Image.Image, str]]) -> list[str]:
        ids = self._generate(asked, max_new_tokens=self.max_new_tokens).sequences
        answers: list[str] = self._processor.tokenizer.batch_decode(ids, skip_special_tokens=True)
        return [answer.strip() for answer in answers]

    def _generate(self, asked: Sequence[tuple[Image.Image, str]], **options: Any) -> Any:
        """What `generate` gives, the prompt taken off its `sequences`."""
        inputs = self._inputs(asked)
        with torch.inference_mode():
            made = self.network.generate(
                **inputs, **options, do_sample=False, num_beams=1, return_dict_in_generate=True
            )
        prompt = inputs["input_ids"]
        if torch.equal(made.sequences[:, : prompt.shape[1]], prompt):  # a decoder says it once more, others do not
            made.sequences = made.sequences[:, prompt.shape[1] :]
        return made

    def _inputs(self, asked: Sequence[tuple[Image.Image, str]]) -> Any:
        messages = [
            {
                "role": "user",
                "content": [
                    {"type": "image", "image": image},
                    {"type": "text", "text": as_plain_text(said, self._special_tokens)},
                ],
            }
            for image, said in asked
        ]
        inputs = self._processor.apply_chat_template(
            [[message] for message in messages],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs={"padding": True},
        )
        return inputs.to(self._torch_device, DTYPES[self.precision])

    @cached_property
    def _special_tokens(self) -> list[str]:
        return special_tokens(self._processor)

    @cached_property
    def _takes_batches(self) -> bool:
        """Whether an answer is the same alone and beside another one. Tried once.

        Raises:
            ConfigError: It gives no answer, or one that hangs on the image or on the question alone.
        """
        _ = self.network
        first, other = pictures()
        short, long = _TRIED
        what = f"{self.WHAT} at {self.path} that answers in {self.precision}"
        pairs = [(first, short), (other, long), (other, short)]
        alone = [tried(partial(self._odds, [pair]), what, remedy_for(self.precision))[0] for pair in pairs]
        for kind, one in (("images", alone[0]), ("questions", alone[1])):
            if torch.equal(one, alone[2]):
                remedy = "Name a model whose chat template puts in both."
                raise ConfigError(f"{what} to image and question", f"the same for two {kind}", remedy)
        try:
            together = self._odds(pairs[:2])
            apart = float(np.max([_apart(*odds) for odds in zip(alone, together, strict=False)]))
            found = f"odds of a token differ by {apart:.2g}" if not apart <= _MOST[self.precision] else None
        except Exception as error:  # each family of models raises its own kinds
            found = f"{type(error).__name__}: {first_line(error)}"
        if found is not None:
            warn(f"note: {self.path} is asked one image at a time: its answers hang on their neighbours ({found})")
        return found is None

    def _odds(self, asked: Sequence[tuple[Image.Image, str]]) -> Tensor:
        """Probabilities [len(asked), _NUM_TRIED, vocabulary] of an answer's first tokens."""
        made = self._generate(asked, max_new_tokens=_NUM_TRIED, min_new_tokens=_NUM_TRIED, output_logits=True)
        return torch.stack(made.logits, 1).float().softmax(-1)

    @cached_property
    def network(self) -> Any:
        """The Transformers model, loaded at first use; its weights are never unpickled.

        Raises:
            ConfigError: It answers no questions about images, or weights are missing.
        """
        library, pad = current_transformers(), self._processor.tokenizer.pad_token_id
        model, report = self.source.load(
            library.AutoModelForImageTextToText,
            dtype=DTYPES[self.precision],
            use_safetensors=True,
            output_loading_info=True,
        )
        check_whole(report["missing_keys"], f"{self.WHAT} at {self.path}", "Choose another checkpoint.")
        for name in _UNUSED:
            setattr(model.generation_config, name, None)
        model.generation_config.pad_token_id = pad  # it says so on stderr where it has to choose one
        return frozen(model).to(self._torch_device)

    @cached_property
    def _processor(self) -> Any:
        """Images and texts to inputs, padded on the left, where an answer does not begin."""
        # Set before the first use, or tokenizers warns on stderr in each image worker that is forked later.
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
        library = current_transformers()
        config = self.source.load(library.AutoConfig)
        if type(config) not in library.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
            found = f"a model of type '{config.model_type}', which answers no questions about images"
            raise ConfigError(f"{self.WHAT} at {self.path}", found, "Name one such as Qwen-VL, Gemma 3 or LLaVA.")
        processor = self.source.load(library.AutoProcessor)
        if not hasattr(processor, "image_processor") or not hasattr(processor, "tokenizer"):
            remedy = "Get the model again, with preprocessor_config.json or processor_config.json and its tokenizer."
            raise ConfigError(f"a processor of images and texts at {self.path}", type(processor).__name__, remedy)
        if processor.chat_template is None or (
            self.source.find(_TEMPLATE) is None and self.source.find(_UNCOVERED) is not None
        ):
            raise ConfigError(
                f"a chat template of images and texts at {self.path} ({_TEMPLATE})",
                "none",
                "Name a model that is made for instructions; for BLIP-2 use Blip2Captioner.",
            )
        tokenizer = processor.tokenizer
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token  # before a question, and masked
        if tokenizer.pad_token is None:
            remedy = "Set pad_token in its files."
            raise ConfigError(f"a tokenizer with a padding token, or one of its end, at {self.path}", "none", remedy)
        tokenizer.padding_side = "left"
        return processor

    @cached_property
    def _torch_device(self) -> torch.device:
        return resolve_device(self.device)


def _apart(alone: Tensor, together: Tensor) -> float:
    """The most by which the odds [steps, vocabulary] of a token differ, as long as the same tokens came before.

    Half the sum of absolute differences: from 0 to 1. NaN where one has NaN.
    """
    apart = [0.5 * float((one - other).abs().sum()) for one, other in zip(alone, together, strict=True)]
    agree = (alone.argmax(-1) == together.argmax(-1)).int().cumprod(0).sum()
    return float(np.max(apart[: int(agree) + 1]))
