"""BLIP-2 (arXiv 2301.12597) through Transformers: an image and a question in, an answer out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from dim.encoders.base import Captioner, LoadedAnew
from dim.encoders.device import DTYPES, Precision, resolve_device
from dim.encoders.pretrained import KnownByItsFiles, check_whole, current_transformers, frozen
from dim.errors import ConfigError

QUESTION = "Question: Who are the characters in the picture? Answer:"  #: As DIM asks (arXiv 2407.12019).


class Blip2Captioner(KnownByItsFiles, LoadedAnew, Captioner):
    """Answers of BLIP-2, with an OPT or T5 inside.

    Args:
        path: A folder as `save_pretrained` writes it (safetensors), or an id on the Hugging Face hub.
        question: The prompt; `{mention}` is filled in with the mention's name. An image is asked a question once.
        max_new_tokens: The longest answer.
        num_beams: Beams of the search; 1 takes the likeliest token each time.
        precision: Of weights and arithmetic. Batches and single images agree in fp32; in bf16 and fp16 a close call
            may fall differently.
        device: `auto`, `cpu`, `cuda`, `cuda:1` …
        revision: A branch, tag or commit on the hub; has no meaning for a folder.

    Raises:
        ConfigError: The model does not exist, cannot be reached, or is no BLIP-2. Raised at first use.
    """

    WHAT = "a BLIP-2 model"

    def __init__(
        self,
        path: str = "Salesforce/blip2-opt-2.7b",
        question: str = QUESTION,
        max_new_tokens: int = 20,
        num_beams: int = 1,
        precision: Precision = "fp32",
        device: str = "auto",
        revision: str | None = None,
    ) -> None:
        if max_new_tokens < 1 or num_beams < 1:
            raise ConfigError(
                "max_new_tokens and num_beams of at least 1", f"{max_new_tokens} and {num_beams}", "Raise them."
            )
        self.path, self.question, self.max_new_tokens, self.num_beams = path, question, max_new_tokens, num_beams
        self.precision, self.device, self.revision = precision, device, revision

    @property
    def model(self) -> str:
        """The folder or hub id."""
        return self.path

    @property
    def parameters(self) -> dict[str, Any]:
        """Length, beams and precision."""
        return {"max_new_tokens": self.max_new_tokens, "num_beams": self.num_beams, "precision": self.precision}

    def _named(self, content: str) -> str:
        options = ", ".join(f"{name}={value}" for name, value in self.parameters.items())
        return f"Blip2Captioner({content}, question={self.question!r}, {options})"

    def preprocess(self, image: Image.Image) -> NDArray[np.float32]:
        """Pixels [3, height, width], resized and normalised as the model was trained."""
        pixels: NDArray[np.float32] = self._processor.image_processor(image, return_tensors="pt")["pixel_values"][
            0
        ].numpy()
        return pixels

    def caption(self, images: Sequence[NDArray[np.float32]], questions: Sequence[str]) -> list[str]:
        """One answer for each of `preprocess`' results, without the question and without blanks at its ends."""
        model, device = self.network, self._torch_device
        tokens = self._prompt(questions)
        pixels = torch.from_numpy(np.stack(images)).to(device, DTYPES[self.precision])
        with torch.inference_mode():
            ids = model.generate(
                pixel_values=pixels,
                input_ids=tokens["input_ids"].to(device),
                attention_mask=tokens["attention_mask"].to(device),
                max_new_tokens=self.max_new_tokens,
                num_beams=self.num_beams,
                do_sample=False,
            )
        if not model.language_model.config.is_encoder_decoder:
            ids = ids[:, tokens["input_ids"].shape[1] :]  # a decoder says the prompt once more
        answers: list[str] = self._processor.tokenizer.batch_decode(ids, skip_special_tokens=True)
        return [answer.strip() for answer in answers]

    @cached_property
    def network(self) -> Any:
        """The Transformers model, loaded at first use; its weights are never unpickled."""
        model, report = self.source.load(
            current_transformers().Blip2ForConditionalGeneration,
            dtype=DTYPES[self.precision],
            use_safetensors=True,
            output_loading_info=True,
        )
        check_whole(report["missing_keys"], f"{self.WHAT} at {self.path}", "Choose another checkpoint.")
        if model.config.image_token_id is None:  # a checkpoint of the years before the prompt held image tokens
            model.config.image_token_id = self._image_token
        return frozen(model).to(self._torch_device)

    def _prompt(self, questions: Sequence[str]) -> dict[str, Tensor]:
        """Per row: image tokens, padding, question. The mask hides the padding, so its place does not matter.

        A question is cut where the model's positions end.
        """
        config, tokenizer = self.network.config, self._processor.tokenizer
        positions = getattr(config.text_config, "max_position_embeddings", None)
        room = None if positions is None else positions - config.num_query_tokens - self.max_new_tokens
        if room is not None and room < 1:
            raise ConfigError(
                f"max_new_tokens below {positions - config.num_query_tokens}, the places that the model has",
                str(self.max_new_tokens),
                "Lower it.",
            )
        tokenizer.padding_side = "left"
        text = tokenizer(
            list(questions), padding=True, truncation=room is not None, max_length=room, return_tensors="pt"
        )
        images = torch.full((len(questions), config.num_query_tokens), config.image_token_id)
        return {
            "input_ids": torch.cat([images, text["input_ids"]], dim=1),
            "attention_mask": torch.cat([torch.ones_like(images), text["attention_mask"]], dim=1),
        }

    @property
    def _image_token(self) -> int:
        return int(self._processor.tokenizer.convert_tokens_to_ids("<image>"))

    @cached_property
    def _processor(self) -> Any:
        # Set before the first use, or tokenizers warns on stderr in each image worker that is forked later.
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
        processor = self.source.load(current_transformers().Blip2Processor)
        if processor.tokenizer.pad_token is None:
            raise ConfigError(f"a tokenizer with a padding token at {self.path}", "none", "Add one to its files.")
        return processor

    @cached_property
    def _torch_device(self) -> torch.device:
        return resolve_device(self.device)
