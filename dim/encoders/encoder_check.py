"""Whether an encoder can be used: asked once, before anything is embedded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import cosine_similarity

from dim.core.excerpts import first_line
from dim.encoders.device import EncoderPrecision
from dim.errors import ConfigError

#: The same in int8: where the last digit differs, as between shapes of a batch, a number may be rounded otherwise.
LEAST_BESIDE = 0.999
_TEXTS = ("Anna", "Anna Moreau, who plays the violin, was born in a small town by the sea in 1931.")
#: The least cosine of a text alone with itself beside a longer one; the arithmetic of a half has three digits.
_LEAST: dict[EncoderPrecision, float] = {"fp32": 0.9999, "bf16": 0.98, "fp16": 0.99, "int8": LEAST_BESIDE}

#: The least cosine of a vector with the one that torch makes in fp32 of the same text.
LEAST_OF_BACKENDS: dict[EncoderPrecision, float] = {"fp32": 0.9999, "bf16": 0.9999, "fp16": 0.9999, "int8": 0.98}


def remedy_for(precision: EncoderPrecision) -> str:
    """What to do where an encoder cannot be used."""
    return "Name another model." if precision == "fp32" else "Use precision fp32, or name another model."


def tried(compute: Callable[[], Tensor], what: str, remedy: str) -> Tensor:
    """The features that an encoder gives.

    Args:
        compute: Gives them.
        what: They are of, for the message.
        remedy: What to do where there are none.

    Raises:
        ConfigError: It cannot, or they are not finite.
    """
    try:
        features = compute()
    except ConfigError:
        raise
    except Exception as error:  # each family of models raises its own kinds
        raise ConfigError(what, f"{type(error).__name__}: {first_line(error)}", remedy) from error
    if not features.isfinite().all():
        raise ConfigError(what, "NaN or infinity", remedy)
    return features


def check_texts(encode: Callable[[Sequence[str]], Tensor], width: int, precision: EncoderPrecision, path: str) -> None:
    """As `check_inputs`, of texts."""
    check_inputs(encode, _TEXTS, "text", width, precision, path)


def pictures() -> list[Image.Image]:
    """Two images of noise, of several shapes, to try an encoder with."""
    noise = np.random.default_rng(0)
    return [Image.fromarray(noise.integers(0, 255, (*size, 3), dtype=np.uint8)) for size in ((64, 48), (40, 90))]


def check_inputs(
    encode: Callable[[Sequence[Any]], Tensor],
    inputs: Sequence[Any],
    kind: Literal["text", "image"],
    width: int,
    precision: EncoderPrecision,
    path: str,
) -> None:
    """Encodes an input alone and beside another.

    Args:
        encode: Gives features [len(inputs), width], or of each input several, those of the first standing first.
        inputs: Two of them.
        kind: What they are.
        width: What the encoder says of itself.
        precision: Of its arithmetic.
        path: Of its model, for messages.

    Raises:
        ConfigError: It cannot, its features are not finite or of another width, or an input's hang on its neighbours.
    """
    a, remedy = {"text": "a", "image": "an"}[kind], remedy_for(precision)
    what = f"{a} {kind} encoder at {path} that works in {precision}"
    with torch.no_grad():
        together = tried(lambda: encode(inputs), what, remedy)
        alone = tried(lambda: encode(inputs[:1]), what, remedy)
    if kind == "image" and len(together) != len(inputs):
        raise ConfigError(f"one vector an image of the model at {path}", f"{len(together)} of {len(inputs)}", remedy)
    if together.shape[1:] != (width,) or not len(alone):
        raise ConfigError(f"features of {width} columns, as the config at {path} says", f"{together.shape[1]}", remedy)
    cosine = float(cosine_similarity(alone, together[: len(alone)]).min())
    if cosine < _LEAST[precision]:
        found = f"a cosine of {cosine:.2f} with itself, alone and beside another {kind}"
        raise ConfigError(
            f"features of {a} {kind} that do not hang on its neighbours in a batch ({path})", found, remedy
        )


def check_same(found: Tensor, expected: Tensor, backend: str, precision: EncoderPrecision, path: str) -> None:
    """Raises ConfigError where a backend's vectors [n, width] are not those of torch, by the cosine of each."""
    cosine = float(cosine_similarity(found, expected).min()) if found.isfinite().all() else float("nan")
    if not cosine >= (least := LEAST_OF_BACKENDS[precision]):
        raise ConfigError(
            f"vectors by backend {backend} as torch gives them ({path}): a cosine of {least} at least",
            f"{cosine:.6f}",
            "Use backend: torch, or where it is another precision: fp32.",
        )
