"""How images are prepared for weights of open_clip that come as one file, which does not say so itself."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from dim.display.lines import warn
from dim.errors import ConfigError

FIELDS = ("mean", "std", "interpolation", "resize_mode", "fill_color")
#: Names of files that several models have.
_ANYONES = frozenset({"open_clip_model", "open_clip_pytorch_model", "model", "pytorch_model"})
Preprocess = str | dict[str, Any] | None


def tags_of(model: str) -> dict[str, dict[str, Any]]:
    """The tags of a model's weights in open_clip, each with what it says of them."""
    from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model

    return {tag: dict(get_pretrained_cfg(model, tag) or {}) for tag in list_pretrained_tags_by_model(model)}


def tag_of_file(model: str, file: Path, given: Preprocess) -> dict[str, Any]:
    """What is known of the weights in a file: of the tag that is given, or that brings a file of this name.

    Else what all tags of the model say alike; `quick_gelu` is left out where some say so and some do not.

    Args:
        model: Its name in open_clip.
        file: The weights.
        given: A tag of the model (`openai` always is one), or the fields themselves; None: nothing.

    Raises:
        ConfigError: There is no such tag or field, or neither the file's name nor the model says how.
    """
    tags = tags_of(model)
    if isinstance(given, dict):
        return dict(checked(given))
    if given is not None:
        return _named(model, given, tags)
    for tag in tags.values():
        names = {str(tag.get(place) or "").rpartition("/")[2] for place in ("url", "hf_hub")}
        if file.stem in {Path(name).stem for name in names if name} - _ANYONES:  # a copy may have another suffix
            return tag
    said = [{name: tag.get(name) for name in FIELDS} for tag in tags.values()]
    if not said or any(each != said[0] for each in said):
        shown = ", ".join(list(tags)[:4])
        raise ConfigError(
            f"how images are prepared for the weights in {file}",
            f"weights of {model} that are prepared for in several ways ({shown} …)" if said else f"{model}, of no tag",
            "Set preprocess: to a tag whose way they follow (openai: what earlier versions took), or to its fields "
            f"({', '.join(FIELDS[:4])}).",
        )
    return {name: value for name, value in said[0].items() if value is not None}


def _named(model: str, given: str, tags: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    if given in tags:
        return tags[given]
    if given == "openai":
        from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD

        shared = {"interpolation": "bicubic", "resize_mode": "shortest"}
        return {"mean": OPENAI_DATASET_MEAN, "std": OPENAI_DATASET_STD, **shared}
    near = difflib.get_close_matches(given, tags, n=3, cutoff=0.3) or list(tags)[:3]
    raise ConfigError(
        f"preprocess: a tag of {model}, or its fields", f"'{given}'", f"Use {' or '.join([*near, 'openai'])}."
    )


def checked(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Fields of open_clip's `PreprocessCfg`, as given. Raises ConfigError where there is no such field, or value."""
    if unknown := sorted(set(given) - set(FIELDS)):
        raise ConfigError(f"fields of preprocess ({', '.join(FIELDS)})", unknown[0], "Leave it out, or correct it.")
    allowed = {"interpolation": ("bicubic", "bilinear", "random"), "resize_mode": ("shortest", "longest", "squash")}
    for name, values in allowed.items():
        if given.get(name, values[0]) not in values:
            raise ConfigError(f"{name} of preprocess: {', '.join(values)}", str(given[name]), "Correct it.")
    for name in ("mean", "std"):
        value = given.get(name, (1.0, 1.0, 1.0))
        if not isinstance(value, list | tuple) or len(value) != 3 or not all(isinstance(x, int | float) for x in value):
            raise ConfigError(f"{name} of preprocess: a number a channel", str(value)[:100], "Give three numbers.")
    return given


@cache
def say_activation(model: str, file: str) -> None:
    """Says where some weights of a model were trained with QuickGELU, and nothing says it of these."""
    if needing := [name for name, tag in tags_of(model).items() if tag.get("quick_gelu")]:
        shown = ", ".join(needing[:3])
        warn(
            f"note: weights of {model} by the tags {shown} were trained with QuickGELU; if those in {file} were, too, "
            f"set model to {model}-quickgelu, or preprocess to their tag, which checks it"
        )


def check_activation(model: str, has_quick_gelu: bool, needs: bool, weights: str) -> None:
    """Raises ConfigError where weights were trained with QuickGELU and the model has another activation."""
    if needs and not has_quick_gelu:
        raise ConfigError(
            f"the activation that the weights '{weights}' were trained with",
            f"the model {model}, which has another one and would give wrong features",
            f"Set model to {model}-quickgelu.",
        )
