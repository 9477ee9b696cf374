"""What the folders of all linkers share: one manifest, weights without pickle, encoders that are known again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from dim.core.excerpts import one_line
from dim.core.sealed import sealed_kind
from dim.encoders.base import Frozen
from dim.encoders.characters import as_now
from dim.errors import DataError
from dim.features.live import LiveEncoder
from dim.linker.kinds import Contents

MANIFEST = "linker.json"
LINKER = sealed_kind("a linker", Contents(), MANIFEST)
UNTRUSTED = "Whoever opens the linker must have this class, and say that it is trusted; if that is meant: {trust}."
REMEDY = (
    "Save the linker again (dim export RUN FOLDER; of entities alone: dim linker), "
    "or get the folder again from where it came."
)


def read_weights(file: Path) -> dict[str, torch.Tensor]:
    """The tensors of a linker's file. Raises DataError where it is none of safetensors."""
    try:
        found: dict[str, torch.Tensor] = load_file(file)
    except (OSError, ValueError, SafetensorError) as error:
        raise DataError(f"weights of a linker in {file}", one_line(error), REMEDY) from error
    return found


def check_fingerprints(recorded: Mapping[str, str], found: Mapping[str, Frozen]) -> None:
    """Raises DataError where an encoder is not what it was."""
    for name, expected in recorded.items():
        encoder = found.get(name)
        if encoder is None or encoder.fingerprint != as_now(str(expected)):
            raise DataError(
                f"the {name} that the linker was trained with ({expected})",
                "none" if encoder is None else encoder.fingerprint,
                "Get its weights; where another version of dim made the folder, fit its run and export it again.",
            )


def fingerprints(live: LiveEncoder) -> dict[str, str]:
    """What the encoders are known by."""
    return {name: encoder.fingerprint for name, encoder in live.choices.encoders.items()}
