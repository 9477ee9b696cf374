"""Vision-language embedding models that sentence-transformers loads: texts and images into one space, frozen.

sentence-transformers is imported on use: it takes seconds, and is an extra.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from transformers import AutoConfig

from dim.encoders.base import Features, ImageEncoder, LoadedAnew, Owner, TextEncoder
from dim.encoders.device import DTYPES, Precision, deferred, resolve_device
from dim.encoders.encoder_check import check_inputs, check_texts, pictures
from dim.encoders.pretrained import KnownByItsFiles, check_vocabulary
from dim.encoders.sentence_folder import SentenceFolder, sentence_folder
from dim.encoders.sentence_recipe import Asked, SentenceRecipe
from dim.encoders.text_reader import width_of
from dim.errors import ConfigError
from dim.images.scaled import scaled_down

_loaded: WeakValueDictionary[tuple[str, Precision, str], Any] = WeakValueDictionary()


class SentenceTransformersEncoder(KnownByItsFiles, LoadedAnew, TextEncoder, ImageEncoder):
    """Texts and images as a vision-language embedding model reads them: by its chat template, into one space.

    For folders of sentence-transformers whose encoder takes images (Qwen3-VL-Embedding, EmbeddingGemma 2 …), or texts
    through a chat template; the latter as text encoder alone. Features are the library's own. At first use a text, and
    an image, are encoded alone and beside another: a model that gives them two vectors, or NaN, is refused.

    Args:
        path: A folder with modules.json, or its id on the Hugging Face hub (downloaded at first use).
        max_pixels: Larger images are scaled down to so many, before the model's own processor scales them.
        precision: Of weights and arithmetic; the features are float32 always.
        device: `auto`, `cpu`, `cuda`, `cuda:1` …
        revision: A branch, tag or commit on the hub; has no meaning for a folder. A run records the commit.

    Raises:
        ConfigError: The model does not exist, cannot be reached, reads neither images nor a chat template, is given
            images that it does not read, or names modules that sentence-transformers does not bring; or the extra
            `joint` is missing. Raised at first use.
    """

    WHAT = "a joint model of sentence-transformers"

    def __init__(
        self,
        path: str,
        max_pixels: int = 512 * 512,
        precision: Precision = "fp32",
        device: str = "auto",
        revision: str | None = None,
    ) -> None:
        if max_pixels < 1:
            raise ConfigError("max_pixels of at least 1", str(max_pixels), "Raise it.")
        self.path, self.max_pixels, self.precision, self.device = path, max_pixels, precision, device
        self.revision = revision

    def _named(self, content: str) -> str:
        further = f"pooling={'+'.join(self.recipe.pooling)}, normalize={self.recipe.normalize}{self.recipe.further}"
        options = f"max_pixels={self.max_pixels}, precision={self.precision}"
        return f"SentenceTransformersEncoder({content}, {further}, {options})"

    @cached_property
    def _folder(self) -> SentenceFolder:
        found = sentence_folder(self.source, runs_itself=True)
        if found is None:
            raise ConfigError(
                f"{self.WHAT} at {self.path}, with modules.json beside config.json",
                "not both of them",
                "Save it anew: SentenceTransformer(folder).save(other). Or use TransformersTextEncoder.",
            )
        return found

    @cached_property
    def recipe(self) -> SentenceRecipe:
        """How tokens become a vector; known without loading weights."""
        return Asked.as_saved().recipe(self._folder, "mean", lambda: 0)

    @cached_property
    def width(self) -> int:
        """Columns of a feature row; known without loading weights."""
        recipe, config = self.recipe, self.source.load(AutoConfig)
        size = width_of(config, is_projected=False)
        if size is None:
            found = f"a model of type '{config.model_type}', which has no hidden size of its own"
            raise ConfigError(f"{self.WHAT} at {self.path}", found, "Name another model.")
        return recipe.width(size)

    def reading(self, owner: Owner) -> TextEncoder:
        """The encoder with the folder's prompt of mentions, or of entities. Images are read with the default one."""
        prompt = self._folder.prompts.get(owner, "")
        return _Prompted(self, prompt) if prompt else self

    def encode_text(self, texts: Sequence[str], prompt: str = "") -> Features:
        """Features [len(texts), width] of one batch, a prompt before each."""
        return self.submit_text(texts, prompt)()

    def submit_text(self, texts: Sequence[str], prompt: str = "") -> Callable[[], Features]:
        """What gives the features of `encode_text` when called."""
        _ = self._are_texts_checked
        return deferred(self._encoded(list(texts), prompt))

    def preprocess(self, image: Image.Image) -> NDArray[np.uint8]:
        """The image [height, width, 3], of at most `max_pixels`."""
        return scaled_down(image, self.max_pixels)

    def stack(self, images: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
        """The images as they are: each has its own size."""
        return list(images)

    def encode_image(self, pixels: Sequence[NDArray[np.uint8]]) -> Features:
        """Features [batch, width] of images."""
        return self.submit_image(pixels)()

    def submit_image(self, pixels: Sequence[NDArray[np.uint8]]) -> Callable[[], Features]:
        """What gives the features of `encode_image` when called."""
        _ = self._are_images_checked
        return deferred(self._encoded([Image.fromarray(image) for image in pixels]))

    def _encoded(self, inputs: list[Any], prompt: str | None = None) -> Tensor:
        features: Tensor = self.network.encode(
            inputs, prompt=prompt, batch_size=len(inputs), show_progress_bar=False, convert_to_tensor=True
        )
        return features.float()

    @cached_property
    def _are_texts_checked(self) -> bool:
        check_texts(lambda texts: self._encoded(list(texts), ""), self.width, self.precision, self.path)
        return True

    @cached_property
    def _are_images_checked(self) -> bool:
        check_inputs(
            lambda images: self._encoded(list(images)), pictures(), "image", self.width, self.precision, self.path
        )
        return True

    @cached_property
    def network(self) -> Any:
        """The SentenceTransformer, loaded at first use; two encoders of the same model share it."""
        device = str(resolve_device(self.device))
        key = (self.source.content, self.precision, device)
        found = _loaded.get(key)
        if found is None:
            found = _loaded[key] = self._load(device)
        return found

    def _load(self, device: str) -> Any:
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            remedy = "pip install 'dim-linker[joint]'"
            raise ConfigError("the package sentence-transformers, for joint models", "none", remedy) from error
        _ = self._folder  # whose modules are looked at before any of them is made
        model = self.source.made(SentenceTransformer, device=device, model_kwargs={"dtype": DTYPES[self.precision]})
        check_vocabulary(model, f"{self.WHAT} at {self.path}")
        return model.eval().requires_grad_(False)

    def copy_model(self, source: Path, target: Path) -> bool:
        """Copies what is read of a folder; pickled weights as safetensors."""
        is_converted = super().copy_model(source, target)
        return self._folder.copy_to(target) or is_converted


class _Prompted(TextEncoder):
    """A joint model with a prompt before each text; weights are shared."""

    def __init__(self, encoder: SentenceTransformersEncoder, prompt: str) -> None:
        self.encoder, self.prompt = encoder, prompt

    @property
    def width(self) -> int:
        """Of the model."""
        return self.encoder.width

    @property
    def fingerprint(self) -> str:
        """The model's, with this prompt."""
        return f"{self.encoder.fingerprint}, prompt={self.prompt!r}"

    def encode_text(self, texts: Sequence[str]) -> Features:
        """Features [len(texts), width] of one batch."""
        return self.encoder.encode_text(texts, self.prompt)

    def submit_text(self, texts: Sequence[str]) -> Callable[[], Features]:
        """What gives the features of `encode_text` when called."""
        return self.encoder.submit_text(texts, self.prompt)
