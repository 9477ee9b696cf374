"""BLIP-2 through salesforce-lavis: captions of `blip2_opt`, and the features of `blip2_feature_extractor`.

Importing this module does not import LAVIS.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn.functional import normalize

from dim.encoders.base import Captioner, Encoder, Features, ImageEncoder, LoadedAnew, TextEncoder
from dim.encoders.blip2 import QUESTION
from dim.encoders.lavis_model import LavisModel

_MAX_TOKENS = 512  #: Positions of the Q-Former's BERT.


class Blip2LavisCaptioner(LoadedAnew, Captioner):
    """Answers of `blip2_opt` in salesforce-lavis.

    LAVIS takes one question a call, so images with the same question make a batch; where the question names the
    mention, most batches are of one image.

    Args:
        path: A local folder (dim/encoders/lavis_model.py says what it holds); None: LAVIS downloads.
        model_type: LAVIS's name for what it downloads.
        question: The prompt; `{mention}` is filled in with the mention's name. An image is asked a question once.
        max_new_tokens: The longest answer.
        num_beams: Beams of the search; 1 takes the likeliest token each time.
        device: `auto`, `cpu` (fp32), `cuda` (fp16, as LAVIS does) …

    Raises:
        ConfigError: LAVIS is not installed, or the model cannot be loaded. Raised at first use.
    """

    def __init__(
        self,
        path: str | None = None,
        model_type: str = "pretrain_opt2.7b",
        question: str = QUESTION,
        max_new_tokens: int = 20,
        num_beams: int = 1,
        device: str = "auto",
    ) -> None:
        self.path, self.model_type, self.question = path, model_type, question
        self.max_new_tokens, self.num_beams, self.device = max_new_tokens, num_beams, device
        self.lavis = LavisModel("blip2_opt", model_type, path, device)

    @property
    def model(self) -> str:
        """The folder, or LAVIS's name and type."""
        return self.path or f"blip2_opt/{self.model_type}"

    @property
    def parameters(self) -> dict[str, Any]:
        """Length, beams and precision."""
        precision = self.lavis.precision
        return {"max_new_tokens": self.max_new_tokens, "num_beams": self.num_beams, "precision": precision}

    @property
    def fingerprint(self) -> str:
        """Names the weights and each option that counts."""
        options = ", ".join(f"{name}={value}" for name, value in self.parameters.items())
        return f"Blip2LavisCaptioner({self.lavis.content}, question={self.question!r}, {options})"

    def copy_model(self, source: Path, target: Path) -> bool:
        """Raises DataError: LAVIS reads pickled weights alone."""
        self.lavis.refuse_copy()

    def preprocess(self, image: Image.Image) -> NDArray[np.float32]:
        """Pixels [3, height, width] by LAVIS's processor for evaluation."""
        return self.lavis.pixels(image)

    def caption(self, images: Sequence[NDArray[np.float32]], questions: Sequence[str]) -> list[str]:
        """One answer for each of `preprocess`' results, without the question and without blanks at its ends."""
        answers = [""] * len(images)
        order = sorted(range(len(images)), key=lambda row: (questions[row], row))
        for question, group in groupby(order, key=lambda row: questions[row]):
            rows = list(group)
            samples = {"image": self.lavis.stack([images[row] for row in rows]), "prompt": question}
            # LAVIS hands its max_length on as max_new_tokens.
            said = self.lavis.network.generate(samples, num_beams=self.num_beams, max_length=self.max_new_tokens)
            for row, answer in zip(rows, said, strict=True):
                answers[row] = answer.strip()
        return answers


class _FeatureExtractor(LoadedAnew, Encoder):
    """What the two sides of `blip2_feature_extractor` share: the model and its fingerprint."""

    def __init__(self, path: str | None = None, model_type: str = "pretrain", device: str = "auto") -> None:
        self.path, self.model_type, self.device = path, model_type, device
        self.lavis = LavisModel("blip2_feature_extractor", model_type, path, device)

    def copy_model(self, source: Path, target: Path) -> bool:
        """Raises DataError: LAVIS reads pickled weights alone."""
        self.lavis.refuse_copy()

    @property
    def fingerprint(self) -> str:
        """Names the weights and the precision."""
        return f"{type(self).__name__}({self.lavis.content}, precision={self.lavis.precision})"


class Blip2LavisImageEncoder(_FeatureExtractor, ImageEncoder):
    """Image features of `blip2_feature_extractor`: the mean of its 32 projected queries, scaled to length 1.

    Args:
        path: A local folder (dim/encoders/lavis_model.py says what it holds); None: LAVIS downloads.
        model_type: LAVIS's name for what it downloads.
        device: `auto`, `cpu` (fp32), `cuda` (fp16, as LAVIS does) …
    """

    @property
    def width(self) -> int:
        """The columns of LAVIS's projection; the model is loaded to know it."""
        return int(self.lavis.network.vision_proj.out_features)

    def preprocess(self, image: Image.Image) -> NDArray[np.float32]:
        """Pixels [3, height, width] by LAVIS's processor for evaluation."""
        return self.lavis.pixels(image)

    def encode_image(self, pixels: Any) -> Features:
        """Features [batch, width], comparable with the text encoder's of the same model."""
        with torch.inference_mode():
            found = self.lavis.network.extract_features({"image": self.lavis.stack(pixels)}, mode="image")
            features: Features = normalize(found.image_embeds_proj.float().mean(dim=1), dim=-1).cpu().numpy()
        return features


class Blip2LavisTextEncoder(_FeatureExtractor, TextEncoder):
    """Text features of `blip2_feature_extractor`: its first token, projected, of length 1. Cut at 512 tokens.

    Args:
        path: A local folder (dim/encoders/lavis_model.py says what it holds); None: LAVIS downloads.
        model_type: LAVIS's name for what it downloads.
        device: `auto`, `cpu`, `cuda` …
    """

    @property
    def width(self) -> int:
        """The columns of LAVIS's projection; the model is loaded to know it."""
        return int(self.lavis.network.text_proj.out_features)

    def encode_text(self, texts: Sequence[str]) -> Features:
        """Features [len(texts), width], as `extract_features` gives for the first token of each text."""
        network = self.lavis.network
        limits = {"padding": True, "truncation": True, "max_length": _MAX_TOKENS}
        tokens = network.tokenizer(list(texts), return_tensors="pt", **limits).to(self.lavis.torch_device)
        with torch.inference_mode():
            projected = network.text_proj(network.forward_text(tokens))
            features: Features = normalize(projected.float(), dim=-1).cpu().numpy()
        return features
