"""A linker of a table of entities alone: frozen vectors, names, and a ranker that others' mentions taught."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from dim.data.missing_images import MAX_MISSING_IMAGES, check_images, describe_missing, missing_sentence
from dim.display.log import log
from dim.encoders.base import ENCODERS, ImageEncoder, TextEncoder
from dim.errors import ConfigError, DataError
from dim.features.fields import Choices
from dim.features.live import LiveEncoder
from dim.inference.data import TEXT_FIELDS
from dim.inference.method import Method
from dim.inference.two_towers import TwoTowersNetwork
from dim.linker.images import WITHOUT_IMAGES
from dim.linker.kinds import Kind, kind_of_task
from dim.linker.knowledge import Knowledge, entities_of, knowledge_of
from dim.linker.recipe import Recipe, absolute, make, read_classes, reads_of
from dim.releases.entity_file import EntityFile, read_entities
from dim.reranker.ranker import Ranker
from dim.reranker.shipped import shipped

LOG = log("dim")
VECTORS = "dim.methods.baselines.frozen.FrozenVectors"
NAMES = "dim.methods.baselines.names.NamesOnly"
OF_THIS_MACHINE = ("device",)  #: Options that whoever opens a linker gives.
#: Said of an encoder in int8, of which `dim export` measures what it costs.
UNMEASURED = (
    "vectors in int8 are not those of fp32: what that costs is not measured here, as no mention's entity is known"
)
TABLE = "a table of entities"  #: What a linker of a DataFrame or a list says that it is made of.


def knowledge_at(source: EntityFile, reads_images: bool) -> Knowledge:
    """The KB of a file, what is to be said of it said.

    Args:
        source: The file.
        reads_images: Whether its images are encoded; else they are only shown.

    Raises:
        DataError: Images are encoded, and more than a quarter of the entities that name some have none.
    """
    if reads_images:
        check_images(source.images, MAX_MISSING_IMAGES, source.image_root, WITHOUT_IMAGES)
    told = [missing_sentence({"entity": source.images.as_json()})]
    if source.images.missing > MAX_MISSING_IMAGES * source.images.named:
        told.append(describe_missing(source.images, source.image_root)[1])
    for note in dict.fromkeys([*filter(None, told), *source.notes]):
        LOG.warning("%s", note)
    return knowledge_of(source.entities, source.texts, source.image_root)


def given_knowledge(entities: Any, reads_images: bool, **how: Any) -> tuple[Knowledge, dict[str, Any]]:
    """The KB that a caller gives, and what a linker tells of where it comes from.

    Args:
        entities: A path (`dim.releases.entity_file.read_entities`), or what `Linker.add_entities` takes.
        reads_images: As of `knowledge_at`.
        **how: Further arguments of `read_entities`.

    Raises:
        DataError: There are none, or one cannot be read.
        ConfigError: As `read_entities`; or one of its arguments stands beside what is no path.
    """
    told = {"dataset": TABLE, "kb_hash": None, "licence": None}
    if isinstance(entities, str | Path):
        source = read_entities(entities, **how)
        knowledge = knowledge_at(source, reads_images)
        told = {"dataset": source.name, "kb_hash": source.kb_hash, "licence": source.licence}
    else:
        if used := [name for name, value in how.items() if value]:
            raise ConfigError(f"a table's path beside {used[0]}", f"a {type(entities).__name__}", "Leave it out.")
        knowledge = Knowledge({}, 0)
        knowledge.add(entities_of(entities))
    if not len(knowledge):
        raise DataError("entities to link to", "none", "Give at least one, with its id and its name.")
    return knowledge, told


def recipe_of(knowledge: Knowledge, text: TextEncoder | None, image: ImageEncoder | None) -> Recipe:
    """How the method of such a linker is made, for what the KB has: vectors by encoders, or names alone.

    Raises:
        ConfigError: An image encoder has no image to encode, or an option of an encoder is no value of JSON.
    """
    table = knowledge.table()
    if image is not None and not any(pc.list_value_length(table["images"]).to_pylist()):
        raise ConfigError("entities with images beside an image encoder", "none", "Leave it out, or name --images.")
    has_texts = table["text"].null_count < len(table)
    of_mention = [*(TEXT_FIELDS[0] if text is not None else ()), *(["image"] if image is not None else ())]
    of_entity = [field for field in TEXT_FIELDS[1] if text is not None and (field != "text" or has_texts)]
    of_entity += ["image"] if image is not None else []
    model: dict[str, Any] = {"class_path": NAMES, "init_args": {"aliases": True}}
    if of_mention:
        model = {"class_path": VECTORS, "init_args": {"mention_fields": of_mention, "entity_fields": of_entity}}
    encoders = dict.fromkeys(ENCODERS) | {"text_encoder": _stated(text), "image_encoder": _stated(image)}
    return absolute({"model": model, "encoders": encoders, **reads_of({"context_reach": Choices.context_reach})})


def _stated(encoder: TextEncoder | ImageEncoder | None) -> dict[str, Any] | None:
    """How an encoder is made again: its class, and the options that it was made with."""
    if encoder is None:
        return None
    kind = type(encoder)
    options = {
        name: str(value) if isinstance(value, Path) else value
        for name, value in encoder.stated.items()
        if name not in OF_THIS_MACHINE
    }
    for name, value in options.items():
        try:
            json.dumps(value)
        except TypeError as error:
            found = f"a {type(value).__name__} as {name} of {kind.__name__}"
            raise ConfigError("options of encoders that a file can hold", found, "Give a text or a number.") from error
    return {"class_path": f"{kind.__module__}.{kind.__qualname__}", "init_args": options}


def opened(
    recipe: Recipe, text: TextEncoder | None, image: ImageEncoder | None, trusted: Sequence[str]
) -> tuple[Kind, Method, LiveEncoder]:
    """The kind of linker that answers by a recipe; its method, with towers as wide as the encoders' vectors; and these.

    Raises:
        DataError: An encoder is neither dim's nor trusted.
        ConfigError: Text and images are of different spaces.
    """
    read_classes(recipe, Method, trusted)  # the encoders are here; others that a folder would make are refused now
    task, bare = make(recipe | {"encoders": dict.fromkeys(ENCODERS)}, "cpu", Method, trusted)
    choices = replace(bare.choices, text_encoder=text, image_encoder=image)
    if "int8" in (getattr(encoder, "precision", None) for encoder in (text, image)):
        LOG.warning("%s", UNMEASURED)
    if isinstance(task, TwoTowersNetwork):
        options = recipe["model"]["init_args"]
        task.make_towers(*(_widths(options[fields], choices) for fields in ("mention_fields", "entity_fields")))
    return kind_of_task(task, "an untrained linker"), task.eval().requires_grad_(False), LiveEncoder(choices)


def _widths(fields: Iterable[str], choices: Choices) -> dict[str, int]:
    encoders = {field: choices.image_encoder if field == "image" else choices.text_encoder for field in fields}
    return {field: encoder.width for field, encoder in encoders.items() if encoder is not None}


def ranker_for(recipe: Recipe) -> Ranker:
    """The ranker that dim ships for such a linker."""
    return shipped("names" if recipe["model"]["class_path"] == NAMES else "vectors")
