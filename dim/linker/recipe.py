"""How a linker's model and encoders are made again: class names and their options, and the files that they name."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, TypeVar

import torch
from jsonargparse import ArgumentError, ArgumentParser

from dim.contrastive.module import DIM
from dim.errors import DataError
from dim.features import named  # noqa: F401 - the classes that a recipe names
from dim.features.base import Captioner, ImageEncoder, TextEncoder
from dim.features.live import LiveEncoder
from dim.features.pretrained import SUFFIXES
from dim.places import read_config
from dim.task import LinkingTask

ENCODERS = {
    "text_encoder": TextEncoder,
    "image_encoder": ImageEncoder,
    "name_encoder": TextEncoder,
    "captioner": Captioner,
}
TRAINING_ONLY = ("loss", "negatives", "seed")  #: Options of a model that no answer depends on.
FILES = ("path", "pretrained")  #: Options of encoders that may name a local file or folder.

Recipe = dict[str, Any]
Method = TypeVar("Method", bound=LinkingTask)


def recipe_of_run(run: Path) -> Recipe:
    """The recipe of a run, from its config.yaml."""
    config = read_config(run)
    model = config["model"]
    options = {k: v for k, v in model.get("init_args", {}).items() if k not in TRAINING_ONLY}
    return {
        "model": {"class_path": model["class_path"], "init_args": options},
        "encoders": {name: config["data"].get(name) for name in ENCODERS},
        "context_template": config["data"]["context_template"],
    }


def write_encoder_files(recipe: Recipe, folder: Path) -> Recipe:
    """The recipe with the local files of its encoders copied to `folder`/encoders, and named by their place there.

    What is named by a tag or an id of a hub stays as it is.

    Raises:
        DataError: A file that was there is gone.
    """
    portable = deepcopy(recipe)
    for name, encoder in portable["encoders"].items():
        for option in FILES if encoder else ():
            value = encoder.get("init_args", {}).get(option)
            if not isinstance(value, str) or not Path(value).exists():
                if isinstance(value, str) and Path(value).is_absolute():
                    raise DataError(f"the {name}'s files at {value}", "none", "Load the linker again from its folder.")
                continue
            source, place = Path(value), Path("encoders") / name
            if source.is_dir():
                (folder / place).mkdir(parents=True, exist_ok=True)
                for file in source.iterdir():
                    if file.is_file() and file.suffix in SUFFIXES:
                        shutil.copyfile(file, folder / place / file.name)
            else:
                place /= source.name
                (folder / place).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, folder / place)
            encoder["init_args"][option] = str(place)
    return portable


def located(recipe: Recipe, folder: Path) -> Recipe:
    """The recipe that `write_encoder_files` gave, with each file named by where it stands now."""
    found = deepcopy(recipe)
    for encoder in found["encoders"].values():
        options = (encoder or {}).get("init_args", {})
        for option in FILES:
            if isinstance(options.get(option), str) and (folder / options[option]).exists():
                options[option] = str((folder / options[option]).absolute())
    return found


def make(recipe: Recipe, device: str, kind: type[Method]) -> tuple[Method, LiveEncoder]:
    """The method, without its weights, and the encoders of a recipe.

    Args:
        recipe: As `located` gave it.
        device: Where encoders compute that know devices.
        kind: Of the method.

    Raises:
        DataError: The recipe names a class that is not dim's (nothing else is made from a file), or one that this
            version of dim lacks.
    """
    chosen = deepcopy({"model": recipe["model"], **{k: v for k, v in recipe["encoders"].items() if v is not None}})
    _check_classes(chosen)
    for name, encoder in (item for item in chosen.items() if item[0] != "model"):
        options = encoder.setdefault("init_args", {})
        if "device" in options:
            options["device"] = device
        chosen[name] = encoder
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(kind, "model")
    for name in chosen:
        if name != "model":
            parser.add_subclass_arguments(ENCODERS[name], name)
    try:
        made = parser.instantiate_classes(parser.parse_object(chosen))
    except ArgumentError as error:
        found = " ".join(str(error).split())
        raise DataError(
            "a linker whose classes this version of dim has", found, "Save it again, or upgrade."
        ) from error
    encoders = {name: made[name] for name in chosen if name != "model"}
    task: Method = made["model"]
    return task, LiveEncoder(**encoders, context_template=recipe["context_template"])


def tower_facts(task: DIM) -> dict[str, Any]:
    """What `DIM.make_towers` needs beside the weights."""
    mention, entity = task.field_widths
    return {"mention_fields": mention, "entity_fields": entity, "has_spelling": task.spelling is not None}


def make_towers(task: DIM, facts: Mapping[str, Any], weights: Mapping[str, torch.Tensor]) -> None:
    """Gives a model its towers with their weights."""
    frequency = torch.ones_like(weights["spelling.rarity"]) if facts["has_spelling"] else None
    task.make_towers(facts["mention_fields"], facts["entity_fields"], frequency)
    task.load_state_dict(weights)
    task.eval().requires_grad_(False)


def _check_classes(value: Any) -> None:
    if isinstance(value, Mapping):
        path = value.get("class_path")
        if path is not None and not str(path).startswith("dim."):
            raise DataError("a linker made of dim's classes", str(path), "Use a folder that you trust and dim wrote.")
        for item in value.values():
            _check_classes(item)
    elif isinstance(value, list):
        for item in value:
            _check_classes(item)
