"""A method's weights and encoders in a linker's folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save

from dim.features.live import LiveEncoder
from dim.inference.method import Method
from dim.linker.folder import UNTRUSTED, fingerprints
from dim.linker.recipe import located, make, read_classes, write_encoder_files


def check_classes(about: Mapping[str, Any], kind: type[Method]) -> None:
    """Raises DataError where a recipe has classes that nothing would make again.

    Args:
        about: Of a linker: its recipe, and in `trusted` which classes may be others than dim's.
        kind: Of the recipe's method.
    """
    read_classes(about["recipe"], kind, about.get("trusted", ()), UNTRUSTED)


def write_method(
    place: Path, task: Method, live: LiveEncoder, about: Mapping[str, Any], kind: type[Method]
) -> dict[str, Any]:
    """Writes the weights of a method and the files of its encoders.

    Returns:
        `about` with a recipe that names the files in the folder, and the `fingerprints` of the encoders there.

    Raises:
        DataError: Files of an encoder are gone.
    """
    weights = {
        name: value.contiguous().cpu()
        for name, value in task.state_dict().items()
        if not name.startswith("trained_encoders.")  # those that were trained stand with their files
    }
    (place / "model.safetensors").write_bytes(save(weights))  # save_file lets nobody else read the file
    recipe, converted = write_encoder_files(about["recipe"], live.choices.encoders, place)
    known = fingerprints(live)
    if converted:  # of these the copy has other files, and by them another fingerprint
        copies = fingerprints(make(located(recipe, place), "cpu", kind, about.get("trusted", ()))[1])
        known |= {name: copies[name] for name in converted}
    return {"about": {**about, "recipe": recipe}, "fingerprints": known}
