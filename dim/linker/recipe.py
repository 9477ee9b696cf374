"""How a linker's model and encoders are made again: class names and their options, and the files that they name."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from dim.core.excerpts import one_line
from dim.core.known_classes import REMEDY, UPGRADE, Chosen, KnownClasses, made, parameters
from dim.core.plugins import all_classes
from dim.core.sealed import leads_out
from dim.encoders.base import ENCODERS, Frozen, TrainableTextEncoder
from dim.encoders.chosen_backend import ByBackend
from dim.encoders.model_files import safe_name
from dim.errors import DataError
from dim.features.fields import BEFORE, Choices
from dim.features.live import LiveEncoder
from dim.inference.method import Method
from dim.inference.places import read_config
from dim.linker.classes import answering, named_in

SAVE_AGAIN = "Save the linker again, or get the folder again from where it came."
LONGEST_PATH, LONGEST_NAME = 4096, 255  #: Characters of a path; bytes of a file's name.
BACKEND = ("backend", "precision")  #: Options of encoders that `dim export` may set.
READS = ("context_template", "num_images", *BEFORE)  #: Of what a run chose, what a linker's folder says.
FILES = ("path", "pretrained")  #: Options of encoders that may name a local file or folder.

Recipe = dict[str, Any]
Made = TypeVar("Made", bound=Method)


def recipe_of_run(run: Path, method: type[Method]) -> Recipe:
    """The recipe of a run of a method, from its config.yaml."""
    config = read_config(run)
    model, data = config["model"], config["data"]
    options = {k: v for k, v in model.get("init_args", {}).items() if k not in method.training_only}
    return {
        "model": {"class_path": model["class_path"], "init_args": options},
        "encoders": {name: data.get(name) for name in ENCODERS},
        **reads_of(data),
    }


def reads_of(data: Mapping[str, Any]) -> Recipe:
    """What a recipe says of how a run's data is read: as its config.yaml does, but what `BEFORE` has goes unsaid."""
    before = Choices(**BEFORE)
    said = {name: data.get(name, getattr(before, name)) for name in READS}
    return {name: value for name, value in said.items() if name not in BEFORE or value != BEFORE[name]}


def choices_of(recipe: Recipe) -> Choices:
    """What `reads_of` wrote; without the encoders.

    Raises:
        ConfigError: As `Choices`.
    """
    said = {**BEFORE, **recipe}
    return Choices(**{name: said[name] for name in READS})


def write_encoder_files(recipe: Recipe, encoders: Mapping[str, Frozen], folder: Path) -> tuple[Recipe, set[str]]:
    """The recipe with the local files of its encoders copied to `folder`/encoders, and named by their place there.

    What is named by a tag or an id of a hub stays there, at the commit that was loaded.

    Args:
        recipe: As it is here.
        encoders: Those that it makes, which know what loading reads of their files.
        folder: Of the linker.

    Returns:
        The recipe, and the encoders whose files are others now: pickled weights became safetensors, or were trained.

    Raises:
        DataError: A file that was there is gone, or pickled weights cannot become safetensors.
    """
    portable, converted = deepcopy(recipe), set()
    for name, encoder in encoders.items():
        chosen, place = portable["encoders"][name], Path("encoders") / name
        options = chosen["init_args"] = chosen.get("init_args") or {}
        backend = {key: options[key] for key in BACKEND if key in options}
        has_backend = isinstance(encoder, ByBackend) and backend.get("backend", "torch") != "torch"
        is_trained = isinstance(encoder, TrainableTextEncoder) and encoder.is_trained
        is_on_hub = not any(isinstance(options.get(option), str) and Path(options[option]).exists() for option in FILES)
        if isinstance(encoder, TrainableTextEncoder) and (is_trained or (has_backend and is_on_hub)):
            options = chosen["init_args"] = encoder.write_frozen(folder / place) | {"path": str(place)} | backend
            converted.add(name)
        else:
            converted |= {name} if _copy_files(name, encoder, options, folder) else set()
            options |= dict(encoder.pinned_options)
        if has_backend:
            options |= backend
            options["backend"] = _export(type(encoder), options, folder)
            converted.add(name)
    return portable, converted


def _copy_files(name: str, encoder: Frozen, options: dict[str, Any], folder: Path) -> bool:
    """Copies the files that an encoder's options name, and names the copies; whether they are in another form."""
    is_other = False
    for option in FILES:
        value = options.get(option)
        if not isinstance(value, str) or not Path(value).exists():
            if isinstance(value, str) and Path(value).is_absolute():
                raise DataError(f"the {name}'s files at {value}", "none", "Load the linker again from its folder.")
            continue
        place, is_converted = copied(encoder, Path(value), Path("encoders") / name, folder)
        options[option] = str(place)
        is_other |= is_converted
    return is_other


def _export(kind: Callable[..., Any], options: Mapping[str, Any], folder: Path) -> str:
    """Writes what an encoder's backend runs beside the copy of its model, if there is one; the backend's name."""
    named = {name: options[name] for name in FILES if isinstance(options.get(name), str)}
    places = {name: folder / value for name, value in named.items() if (folder / value).exists()}
    made: ByBackend = kind(**{**options, **{name: str(place) for name, place in places.items()}, "device": "cpu"})
    for place in places.values():
        return made.write_export(place if place.is_dir() else place.parent)
    return made.backend_name


def copied(encoder: Frozen, source: Path, place: Path, folder: Path) -> tuple[Path, bool]:
    """Where in `folder` a copy of a model's folder or file now stands, and whether it is in another form."""
    is_converted = encoder.copy_model(source, folder / place)
    if source.is_file():
        place /= safe_name(source.name) if is_converted else source.name
    return place, is_converted


def located(recipe: Recipe, folder: Path, listed: Collection[str] | None = None) -> Recipe:
    """The recipe that `write_encoder_files` gave, with each file named by where it stands now.

    Args:
        recipe: It.
        folder: Of the linker.
        listed: The files that its manifest lists; None: it is being written.

    Raises:
        DataError: An encoder's file lies elsewhere than in the folder.
    """
    return _with_files(recipe, lambda value, name: located_file(value, folder, name, listed))


def absolute(recipe: Recipe) -> Recipe:
    """A run's recipe with each local file named from the root of the file system."""
    return _with_files(recipe, lambda value, _: str(Path(value).absolute()) if Path(value).exists() else value)


def _with_files(recipe: Recipe, place_of: Callable[[str, str], str]) -> Recipe:
    found = deepcopy(recipe)
    for name, encoder in found["encoders"].items():
        options = encoder.get("init_args") if isinstance(encoder, dict) else None
        for option in FILES:
            if isinstance(options, dict) and isinstance(options.get(option), str):
                options[option] = place_of(options[option], name)
    return found


def located_file(value: str, folder: Path, name: str, listed: Collection[str] | None = None) -> str:
    """Where a file of a linker's folder stands now; what is no file of it is an id or a tag of a hub, and stays.

    Args:
        value: Its name, or that of a folder.
        folder: Of the linker.
        name: Of what it belongs to, for messages.
        listed: As of `located`.

    Raises:
        DataError: It is a file elsewhere, which a save of the linker would copy: `save` never names such.
    """
    if not value.isprintable():
        raise DataError(f"files of the {name} by a path", f"{value[:200]!a}, which is none", "Save the linker again.")
    place = Path(value)
    if len(value) > LONGEST_PATH or any(len(os.fsencode(part)) > LONGEST_NAME for part in place.parts):
        raise DataError(f"files of the {name} by a path", f"{len(value):,} characters", "Save the linker again.")
    is_elsewhere = place.is_absolute() or ".." in place.parts or value.startswith("~")
    if not is_elsewhere and os.path.lexists(folder / place):
        inside = place.as_posix()
        is_listed = listed is None or any(file == inside or file.startswith(f"{inside}/") for file in listed)
        is_elsewhere = not is_listed or leads_out(folder / place, folder)
        if not is_elsewhere:
            return str((folder / place).absolute())
    if is_elsewhere or os.path.lexists(place):
        raise DataError(
            f"files of the {name} inside the linker's folder, or an id on a hub",
            f"{value[:200]}, which its manifest does not list, or a place on this machine",
            "Save the linker again; if an id is meant, work in a folder where nothing else is called so.",
        )
    return value


def make(recipe: Recipe, device: str, kind: type[Made], trusted: Sequence[str] = ()) -> tuple[Made, LiveEncoder]:
    """The method, without its weights, and the encoders of a recipe.

    Args:
        recipe: As `located` gave it.
        device: Where encoders compute that know devices.
        kind: Of the method.
        trusted: What the names of further classes may begin with, such as `my_package.`.

    Raises:
        DataError: The recipe names a class that is neither dim's nor trusted (nothing else is made from a file), or one
            that this version of dim lacks.
        ConfigError: As `Choices`.
    """
    choices = choices_of(recipe)  # checked before anything is made
    method, encoders = read_classes(recipe, kind, trusted)
    for encoder in encoders.values():
        if "device" in parameters(encoder.kind)[0]:
            encoder.options["device"] = device
    task: Made = made(method)
    return task, LiveEncoder(replace(choices, **made(encoders)))


def read_classes(
    recipe: Recipe, kind: type[Method], trusted: Sequence[str] = (), remedy: str = REMEDY
) -> tuple[Chosen, dict[str, Chosen]]:
    """The method of a recipe, and its encoders by their names; nothing is made.

    Args:
        recipe: As it is.
        kind: Of the method.
        trusted: As of `make`.
        remedy: What to do about another class; `{trust}` is filled in with the option that would allow it.

    Raises:
        DataError: As `make`.
    """
    model, answers = answering(recipe["model"])
    # Of a method that does not answer alone an option may be of a class that goes without its name.
    options = model.get("init_args", {}) if isinstance(model, Mapping) else {}
    named = named_in(options, *recipe["encoders"].values()) if answers else all_classes()
    known = KnownClasses((*answers, *named), trusted, remedy=remedy)
    method: Chosen = known.read(model, kind, "model")
    if further := sorted(
        set(method.options) & getattr(method.kind, "training_only", frozenset())
    ):  # `recipe_of_run` leaves them out
        raise DataError("a linker's model without options that no answer depends on", further[0], UPGRADE)
    given = {name: value for name, value in recipe["encoders"].items() if value is not None}
    if others := [name for name in given if name not in ENCODERS]:
        raise DataError(f"a linker's encoders ({', '.join(ENCODERS)})", f"{others[0][:80]}", UPGRADE)
    return method, {name: known.read(value, ENCODERS[name], name) for name, value in given.items()}


def check_widths(live: LiveEncoder, facts: Mapping[str, Any]) -> None:
    """Raises DataError where an encoder gives vectors of another width than the towers take."""
    fields, choices = [*facts["mention_fields"].items(), *facts["entity_fields"].items()], live.choices
    for field, width in fields:
        encoder = {"image": choices.image_encoder, "spelling": choices.name_encoder}.get(field, choices.text_encoder)
        if encoder is None or encoder.width != width:
            found = "no encoder" if encoder is None else f"one of {encoder.width:,} columns"
            raise DataError(
                f"an encoder of the field {field[:80]} with {width:,} columns", found, "Save the linker again."
            )


@contextmanager
def fitting_fields() -> Iterator[None]:
    """Around making a linker's model for its fields: what fails in it is a DataError, as they do not fit it."""
    try:
        yield
    except (KeyError, TypeError, ValueError, RuntimeError, ArithmeticError, AssertionError) as error:  # torch's own
        raise DataError(
            "the fields of a linker, their widths and its model's options",
            f"{type(error).__name__}: {one_line(error)}",
            SAVE_AGAIN,
        ) from error


def load_weights(module: nn.Module, weights: Mapping[str, torch.Tensor]) -> None:
    """Gives a module that was made on `meta` its weights.

    Raises:
        DataError: They are not its own, by name, shape and type.
    """
    wanted = {name: (list(value.shape), value.dtype) for name, value in module.state_dict().items()}
    found = {name: (list(value.shape), value.dtype) for name, value in weights.items()}
    if wrong := [name for name in wanted | found if wanted.get(name) != found.get(name)]:
        raise DataError(
            f"weights of a linker's model: {wrong[0][:200]} of {wanted.get(wrong[0], 'nothing')}",
            str(found.get(wrong[0], "none")),
            SAVE_AGAIN,
        )
    # Copies: what safetensors reads stays on the disk, and whoever cuts the file there would end this process.
    module.load_state_dict({name: value.clone() for name, value in weights.items()}, assign=True)
