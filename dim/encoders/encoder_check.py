"""Whether an encoder can be used: asked once, before anything is embedded."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from dim.encoders.device import Precision
from dim.errors import ConfigError

_TEXTS = ("Anna", "Anna Moreau, who plays the violin, was born in a small town by the sea in 1931.")
#: The least cosine of a text alone with itself beside a longer one; the arithmetic of a half has three digits.
_LEAST: dict[Precision, float] = {"fp32": 0.9999, "bf16": 0.98, "fp16": 0.99}


def remedy_for(precision: Precision) -> str:
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
        said = (str(error).strip().splitlines() or ["no message"])[0][:200]
        raise ConfigError(what, f"{type(error).__name__}: {said}", remedy) from error
    if not features.isfinite().all():
        raise ConfigError(what, "NaN or infinity", remedy)
    return features


def check_texts(encode: Callable[[Sequence[str]], Tensor], width: int, precision: Precision, path: str) -> None:
    """Encodes a text alone and beside a longer one.

    Args:
        encode: Gives features [len(texts), width], or of each text several, those of the first standing first.
        width: What the encoder says of itself.
        precision: Of its arithmetic.
        path: Of its model, for messages.

    Raises:
        ConfigError: It cannot, its features are not finite or of another width, or a text's hang on its neighbours.
    """
    what, remedy = f"a text encoder at {path} that works in {precision}", remedy_for(precision)
    with torch.no_grad():
        alone = tried(lambda: encode(_TEXTS[:1]), what, remedy)
        together = tried(lambda: encode(_TEXTS), what, remedy)
    if together.shape[1:] != (width,):
        raise ConfigError(f"features of {width} columns, as the config at {path} says", f"{together.shape[1]}", remedy)
    cosine = float(cosine_similarity(alone, together[: len(alone)]).min())
    if cosine < _LEAST[precision]:
        found = f"a cosine of {cosine:.2f} with itself, alone and beside a longer text"
        raise ConfigError(f"features of a text that do not hang on its neighbours in a batch ({path})", found, remedy)
