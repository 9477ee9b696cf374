"""How a linker's model and encoders are made again: class names and their options, and the files that they name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, TypeVar

import torch
from jsonargparse import ArgumentError, ArgumentParser

from dim.contrastive.module import DIM
from dim.errors import DataError
from dim.features import named  # noqa: F401 - the classes that a recipe names
from dim.features.base import Captioner, Frozen, ImageEncoder, TextEncoder
from dim.features.live import LiveEncoder
from dim.features.model_files import safe_name
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


def write_encoder_files(recipe: Recipe, encoders: Mapping[str, Frozen], folder: Path) -> tuple[Recipe, set[str]]:
    """The recipe with the local files of its encoders copied to `folder`/encoders, and named by their place there.

    What is named by a tag or an id of a hub stays there, at the commit that was loaded.

    Args:
        recipe: As it is here.
        encoders: Those that it makes, which know what loading reads of their files.
        folder: Of the linker.

    Returns:
        The recipe, and the encoders whose pickled weights became safetensors.

    Raises:
        DataError: A file that was there is gone, or pickled weights cannot become safetensors.
    """
    portable, converted = deepcopy(recipe), set()
    for name, encoder in encoders.items():
        chosen = portable["encoders"][name]
        options = chosen["init_args"] = chosen.get("init_args") or {}
        for option in FILES:
            value = options.get(option)
            if not isinstance(value, str) or not Path(value).exists():
                if isinstance(value, str) and Path(value).is_absolute():
                    raise DataError(f"the {name}'s files at {value}", "none", "Load the linker again from its folder.")
                continue
            place, is_converted = copied(encoder, Path(value), Path("encoders") / name, folder)
            options[option] = str(place)
            converted |= {name} if is_converted else set()
        options |= dict(encoder.pinned_options)
    return portable, converted


def copied(encoder: Frozen, source: Path, place: Path, folder: Path) -> tuple[Path, bool]:
    """Where in `folder` a copy of a model's folder or file now stands, and whether it is in another form."""
    is_converted = encoder.copy_model(source, folder / place)
    if source.is_file():
        place /= safe_name(source.name) if is_converted else source.name
    return place, is_converted


def located(recipe: Recipe, folder: Path) -> Recipe:
    """The recipe that `write_encoder_files` gave, with each file named by where it stands now."""
    found = deepcopy(recipe)
    for encoder in found["encoders"].values():
        options = (encoder or {}).get("init_args", {})
        for option in FILES:
            if isinstance(options.get(option), str) and (folder / options[option]).exists():
                options[option] = str((folder / options[option]).absolute())
    return found


def make(recipe: Recipe, device: str, kind: type[Method], trusted: Sequence[str] = ()) -> tuple[Method, LiveEncoder]:
    """The method, without its weights, and the encoders of a recipe.

    Args:
        recipe: As `located` gave it.
        device: Where encoders compute that know devices.
        kind: Of the method.
        trusted: What the names of further classes may begin with, such as `my_package.`.

    Raises:
        DataError: The recipe names a class that is neither dim's nor trusted (nothing else is made from a file), or one
            that this version of dim lacks.
    """
    chosen = deepcopy({"model": recipe["model"], **{k: v for k, v in recipe["encoders"].items() if v is not None}})
    check_classes(chosen, trusted)
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


def check_classes(
    value: Any, trusted: Sequence[str] = (), remedy: str = "If you trust it, and it is installed here: {trust}."
) -> None:
    """Raises DataError where a part of a recipe names a class that is neither dim's nor trusted.

    Args:
        value: Of a recipe.
        trusted: What the names of further classes may begin with.
        remedy: What to do; `{trust}` is filled in with the option that would allow it.
    """
    if isinstance(value, Mapping):
        path = value.get("class_path")
        if path is not None and not str(path).startswith(("dim.", *packages(trusted))):
            package = str(path).partition(".")[0]
            raise DataError(
                "a linker made of dim's classes",
                str(path),
                remedy.format(trust=f'--trust {package}, or trusted=("{package}.",) in Python'),
            )
        for item in value.values():
            check_classes(item, trusted, remedy)
    elif isinstance(value, list):
        for item in value:
            check_classes(item, trusted, remedy)


def packages(trusted: Sequence[str]) -> tuple[str, ...]:
    """The beginnings of class names that are trusted, each with its dot: `my` does not stand for `mystery`.

    Example:
        >>> packages(["my_package", "other."])
        ('my_package.', 'other.')
    """
    names = [trusted] if isinstance(trusted, str) else trusted
    return tuple(f"{name.strip().rstrip('.')}." for name in names if name.strip(" ."))
