"""What an encoder is. Unless it is trained it is frozen: the same input always gives the same row."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial, wraps
from inspect import signature
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Protocol

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from dim.encoders.model_files import copy_files, every_file
from dim.errors import DataError

Features = NDArray[np.float32]
Owner = Literal["mention", "entity"]


class Frozen(Protocol):
    """What is known by what it computes, and can be copied: encoders, captioners, language models."""

    @property
    def fingerprint(self) -> str:
        """A string that changes whenever the output would."""

    @property
    def pinned_options(self) -> Mapping[str, str]:
        """Options that name exactly what is loaded from a hub, whatever becomes of its branches."""

    def pin(self, options: Mapping[str, str]) -> None:
        """Has these of `pinned_options` loaded; called before anything is."""

    def copy_model(self, source: Path, target: Path) -> bool:
        """Copies what loading reads of a local folder, or file, that an option names.

        Args:
            source: The folder or file.
            target: A folder that is made.

        Returns:
            Whether weights were written in another form: the copy has another fingerprint then, and the same features.

        Raises:
            DataError: Pickled weights cannot be written as safetensors.
        """


def _stating(constructor: Callable[..., None]) -> Callable[..., None]:
    """A constructor that notes the options it is called with, unless a subclass's did before."""

    @wraps(constructor)
    def stating(self: LocalModel, *args: Any, **options: Any) -> None:
        if "stated" not in vars(self):
            given = signature(constructor).bind(self, *args, **options)
            names = list(given.arguments)[1 : len(given.args)]
            # Those of `**options` stand in kwargs by their own names.
            self.stated = {**{name: given.arguments[name] for name in names}, **given.kwargs}
        constructor(self, *args, **options)

    return stating


class LocalModel:
    """What encoders and captioners share: by default they have files of their own, and nothing on a hub.

    Attributes:
        stated: The options that it was made with, by name: a linker that is made of it writes them down.
    """

    stated: Mapping[str, Any] = MappingProxyType({})

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__init__" in vars(cls):
            cls.__init__ = _stating(cls.__init__)  # type: ignore[method-assign]

    @property
    def pinned_options(self) -> Mapping[str, str]:
        """None: nothing is on a hub."""
        return {}

    def pin(self, options: Mapping[str, str]) -> None:
        """Refuses: nothing is on a hub."""
        raise NotImplementedError(f"{type(self).__name__} has no options {', '.join(options)}")

    def copy_model(self, source: Path, target: Path) -> bool:
        """Copies every file but hidden ones, as it is. dim's own encoders write pickled weights as safetensors."""
        is_folder = source.is_dir()
        files = every_file(source) if is_folder else [source]
        return copy_files(source if is_folder else source.parent, files, target, None)


class LoadedAnew(LocalModel):
    """What another process loads itself, if it needs it: it is sent its options, and no weights."""

    @property
    def known_options(self) -> Mapping[str, Any]:
        """Options that say more than those it was made with, so that the same is loaded: a commit, a chosen backend."""
        return {}

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), **{**self.stated, **self.known_options}), ()


class Encoder(LocalModel, ABC):
    """What all encoders share. Constructors are cheap: weights load at the first call that needs them."""

    @property
    @abstractmethod
    def width(self) -> int:
        """The number of columns of a feature row."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """A string that changes whenever the output would: class, version, weights' hash, options that count.

        Device and number of worker processes are no part of it.
        """


def check_features(
    features: Features, inputs: Sequence[str], encoder: Encoder, counts: NDArray[np.int64] | None = None
) -> Features:
    """What an encoder gave for a batch of inputs, which are named in messages.

    Args:
        features: It.
        inputs: The batch.
        encoder: The encoder.
        counts: [len(inputs)], how many vectors it gives of each; None: one.

    Raises:
        DataError: A value is not finite, or it has another shape than [len(inputs), encoder.width], or than `counts`.
    """
    num_vectors = len(inputs) if counts is None else int(counts.sum())
    name, shape = type(encoder).__name__, (num_vectors, encoder.width)
    if features.shape != shape:
        raise DataError(
            f"features of shape {shape} from the encoder {name}",
            f"shape {features.shape}",
            "Correct the encoder: one call is one batch, one row an input (or as many as it said).",
        )
    finite = np.isfinite(features).all(axis=1)
    if not finite.all():
        vector = int(finite.argmin())
        place = vector if counts is None else int(np.searchsorted(np.cumsum(counts), vector, side="right"))
        raise DataError(
            f"finite features from the encoder {name}",
            f"NaN or infinity for {inputs[place][:120]!r}",
            "Use precision fp32 or bf16; if it stays, remove that input.",
        )
    return features


class TextEncoder(Encoder):
    """Turns texts into vectors."""

    def num_vectors(self, texts: Sequence[str]) -> NDArray[np.int64] | None:
        """How many vectors [len(texts)] it gives of each text, such as one a token; None: one of each.

        It is known before anything is encoded, so that the disk's room is, too.
        """
        return None

    def are_cut(self, texts: Sequence[str]) -> Sequence[bool] | None:
        """Whether the end of each text is not read, because it is too long; None: the encoder does not say.

        Contexts are cut around their mention by it (`dim.features.behind`), so that the fingerprint stands for it, too.
        """
        return None

    def reading(self, owner: Owner) -> TextEncoder:
        """The encoder as it reads the texts of mentions, or those of entities: itself, unless it has prompts."""
        return self

    @abstractmethod
    def encode_text(self, texts: Sequence[str]) -> Features:
        """Features [len(texts), width], float32, finite. One call is one batch; an empty string is a text.

        Where `num_vectors` says how many of each, those of the first text stand first.
        """

    def submit_text(self, texts: Sequence[str]) -> Callable[[], Features]:
        """What gives the features of `encode_text` when called. A GPU works while the next batch is made ready."""
        features = self.encode_text(texts)
        return lambda: features


class SparseTextEncoder(TextEncoder):
    """A text encoder that takes microseconds a text, and whose vectors are zeros for the most part.

    As a `name_encoder` it is asked whenever a dataset is opened, and its vectors are kept as they are: sparse.
    """

    @abstractmethod
    def encode_sparse(self, texts: Sequence[str]) -> sp.csr_matrix:
        """Features [len(texts), width], float32, finite, without zeros that are kept."""

    def encode_text(self, texts: Sequence[str]) -> Features:
        """The same as a dense matrix: for few texts."""
        features: Features = self.encode_sparse(texts).toarray()
        return features


class TrainableTextEncoder(TextEncoder):
    """A text encoder that a run may train within its steps, where its options say so."""

    @property
    @abstractmethod
    def is_trained(self) -> bool:
        """Whether a run trains it; told without loading weights. Else it is frozen, and its features are kept."""

    @property
    @abstractmethod
    def network(self) -> nn.Module:
        """What is trained; loaded at first use."""

    def num_tokens(self, texts: Sequence[str]) -> Sequence[int]:
        """About how many tokens the network reads of each text; those of like number are encoded together."""
        return [2 + len(text) // 4 for text in texts]

    @abstractmethod
    def forward_text(self, texts: Sequence[str]) -> Tensor:
        """What `encode_text` gives of one batch, on the network's device, with gradients."""

    @abstractmethod
    def write_frozen(self, target: Path) -> dict[str, Any]:
        """Writes it with its weights as they are now, frozen, into a folder that is made.

        Returns:
            The options that make it, but those of its place (`path`).
        """


def is_trained(encoder: Any) -> bool:
    """Whether an encoder is trained within a run's steps; told without loading weights."""
    return isinstance(encoder, TrainableTextEncoder) and encoder.is_trained


class ImageEncoder(Encoder):
    """Turns images into vectors, in two steps, so that decoding can run in worker processes."""

    @property
    def num_patches(self) -> int:
        """Vectors that it gives of each image, such as one a patch."""
        return 1

    @property
    def gives_whole_first(self) -> bool:
        """Whether the first vector of an image is one of the whole image."""
        return self.num_patches == 1

    @property
    def draft_side(self) -> int | None:
        """Pixels of the short side down to which a JPEG may be decoded (`load_image`); None: at its full size.

        Where it is not None it is part of the fingerprint.
        """
        return None

    @abstractmethod
    def preprocess(self, image: Image.Image) -> Any:
        """One decoded RGB image as the encoder's input (an array, of one fixed shape unless `stack` says otherwise)."""

    def stack(self, images: Sequence[Any]) -> Any:
        """A batch of `preprocess`' results, as `to_device` and `encode_image` take it."""
        return np.stack(images)

    @abstractmethod
    def encode_image(self, pixels: Any) -> Features:
        """Features [batch · num_patches, width], float32, finite, of what `stack` gives."""

    def to_device(self, pixels: Any) -> Any:
        """The stack as `encode_image` takes it too, moved to where it computes."""
        return pixels

    def submit_image(self, pixels: Any) -> Callable[[], Features]:
        """What gives the features of `encode_image` when called. A GPU works while the next batch is made ready."""
        features = self.encode_image(pixels)
        return lambda: features


class Captioner(LocalModel, ABC):
    """Answers a question about an image in words. Weights load at the first call that needs them."""

    #: The question, where `{mention}` is the mention's name; empty: the captioner asks none.
    question: str = ""

    @property
    def model(self) -> str:
        """What the record of answers calls the model."""
        return type(self).__name__

    @property
    def parameters(self) -> dict[str, Any]:
        """The options that shape an answer, for the record."""
        return {}

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """A string that changes whenever the answers would: class, weights' hash, `question`, options that count.

        Device and batch size are no part of it.
        """

    def preprocess(self, image: Image.Image) -> Any:
        """What `caption` takes of one decoded RGB image; done in worker processes."""
        return image

    @abstractmethod
    def caption(self, images: Sequence[Any], questions: Sequence[str]) -> list[str]:
        """One answer for each of `preprocess`' results to the question beside it. One call is one batch."""


#: The options of a run that name encoders, and what they are.
ENCODERS = {
    "text_encoder": TextEncoder,
    "image_encoder": ImageEncoder,
    "name_encoder": TextEncoder,
    "captioner": Captioner,
}
FROZEN = (*ENCODERS, "language_model")  #: All that name what is frozen.
