"""A linker whose encoders another backend computes."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from dim.encoders.chosen_backend import ByBackend
from dim.encoders.device import Backend, EncoderPrecision
from dim.errors import ConfigError
from dim.features.live import LiveEncoder
from dim.linker.linker import Linker

NAMES = ("text_encoder", "image_encoder")
OF_TORCH = ("train", "lora_rank", "compile_model")  #: Options that other backends have no use for.


def with_backend(
    about: dict[str, Any], live: LiveEncoder, backend: Backend | None, precision: EncoderPrecision | None
) -> dict[str, Any]:
    """What a linker comes from, with its encoders by another backend; they are exported when the linker is saved.

    Args:
        about: Of the linker.
        live: Its encoders.
        backend: What computes; None: what did.
        precision: In which precision; None: as it was.

    Raises:
        ConfigError: None of its encoders has backends.
    """
    encoders: dict[str, Any] = {name: each for name, each in live.choices.encoders.items() if name in NAMES}
    with_backends = {name: each for name, each in encoders.items() if _has_backends(each, name)}
    if not with_backends:
        found = ", ".join(type(each).__name__ for each in encoders.values()) or "none"
        raise ConfigError("an encoder with the option backend", found, "Leave --backend and --precision out.")
    changed = deepcopy(about)
    given = {"backend": backend, "precision": precision}
    for name, encoder in with_backends.items():
        chosen = changed["recipe"]["encoders"][name]
        options = (chosen.get("init_args") or {}) | {key: value for key, value in given.items() if value is not None}
        if options.get("backend", "torch") != "torch":  # what was trained goes along frozen
            options = {key: value for key, value in options.items() if key not in OF_TORCH}
        type(encoder)(**options)  # which says at once what does not go together
        chosen["init_args"] = options
    return changed


def _has_backends(encoder: Any, name: str) -> bool:
    return isinstance(encoder, ByBackend) and encoder.backend_as == name


@dataclass(frozen=True)
class Computed:
    """What computes an encoder of a linker that has backends."""

    name: str
    backend: str
    precision: EncoderPrecision

    def __str__(self) -> str:
        return f"{self.name.replace('_', ' ')}: {self.backend} in {self.precision}"


def computed(linker: Linker) -> list[Computed]:
    """What computes those encoders of a linker that have backends."""
    found = []
    for name in NAMES:
        if _has_backends(getattr(linker.live.choices, name), name):
            options = linker.about["recipe"]["encoders"][name].get("init_args") or {}
            found.append(Computed(name, options.get("backend", "torch"), options.get("precision", "fp32")))
    return found
