"""What a generative linker's folder has beside what others have: a language model."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch

from dim.core.excerpts import one_line
from dim.core.typed import shown
from dim.errors import DataError
from dim.features.live import LiveEncoder
from dim.linker.folder import REMEDY, read_weights
from dim.linker.recipe import Recipe, copied, load_weights, located_file
from dim.linker.recipe import located as with_encoders
from dim.methods.generative.language_model import LanguageModel
from dim.methods.generative.mapper import FeatureMapper
from dim.methods.generative.network import GEMELNetwork

LANGUAGE_MODEL, MAPPER = "language_model", "mapper.safetensors"


def all_fingerprints(task: GEMELNetwork, live: LiveEncoder) -> dict[str, str]:
    """What the language model and the encoders are known by."""
    every = live.choices.encoders | {LANGUAGE_MODEL: task.language_model}
    return {name: each.fingerprint for name, each in every.items()}


def located(recipe: Recipe, folder: Path, listed: Collection[str] | None = None) -> Recipe:
    """The recipe with each local file, and a local language model, named by where it stands now."""
    found = with_encoders(recipe, folder, listed)
    options = language_model_options(found)
    options["path"] = located_file(options["path"], folder, LANGUAGE_MODEL, listed)
    return found


def read_mapper(path: Path, task: GEMELNetwork, width: int) -> None:
    """Gives a method the mapper of a linker, which reads images of a width."""
    widths = width, task.language_model.width, task.prefix_length  # the model loads here, which `meta` would not bear
    try:
        with torch.device("meta"):  # the weights say whether these widths are theirs, before they take any memory
            task.mapper = FeatureMapper(*widths)
    except (TypeError, RuntimeError) as error:  # torch's own
        raise DataError("the widths of a linker's mapper", one_line(error), REMEDY) from error
    load_weights(task.mapper, read_weights(path))


def write_language_model(recipe: Recipe, model: LanguageModel, place: Path) -> bool:
    """Copies a local language model, and names in the recipe its place, or its commit on the hub.

    Returns whether its pickled weights became safetensors.
    """
    options = language_model_options(recipe)
    source, is_converted = Path(options["path"]), False
    if source.is_dir():
        copy, is_converted = copied(model, source, Path(LANGUAGE_MODEL), place)
        options["path"] = str(copy)
    elif source.is_absolute():
        raise DataError(f"the language model's files at {source}", "none", "Load the linker again from its folder.")
    options |= model.pinned_options
    return is_converted


def language_model_options(recipe: Recipe) -> dict[str, Any]:
    """Its options, to be changed in place."""
    model = recipe["model"]
    chosen = model["init_args"].get(LANGUAGE_MODEL) if isinstance(model.get("init_args"), dict) else None
    options = chosen.get("init_args") if isinstance(chosen, dict) and "class_path" in chosen else chosen
    if not isinstance(options, dict) or not isinstance(options.get("path"), str):
        raise DataError("a linker with the path of its language model", shown(chosen), REMEDY)
    return options
