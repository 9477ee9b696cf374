"""A generative linker on disk: one folder, written whole, read only undamaged, never unpickled."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import save

from dim.core.excerpts import one_line
from dim.core.sealed import open_sealed, seal
from dim.core.typed import shown
from dim.encoders.device import resolve_device
from dim.errors import DataError
from dim.features.live import LiveEncoder
from dim.linker.card import encoder_names, model_card
from dim.linker.entity_table import read_entities, write_entities
from dim.linker.folder import MANIFEST, REMEDY, UNTRUSTED, check_fingerprints, live_encoders, read_weights
from dim.linker.knowledge import Knowledge
from dim.linker.manifest import GenerativeManifest
from dim.linker.ranked import card_of_ranker, ranker_row, read_ranker
from dim.linker.recipe import (
    Recipe,
    check_widths,
    copied,
    load_weights,
    located_file,
    make,
    read_classes,
    write_encoder_files,
)
from dim.linker.recipe import located as with_encoders
from dim.methods.generative.language_model import LanguageModel
from dim.methods.generative.linker_examples import TrainingMentions
from dim.methods.generative.mapper import FeatureMapper
from dim.methods.generative.name_tree import NameTree
from dim.methods.generative.network import GEMELNetwork
from dim.reranker.entities import EntityFacts
from dim.reranker.ranker import Ranker

CONTENT, FORMAT = "generative linker", 3
LANGUAGE_MODEL = "language_model"
NOTE = "Probabilities are shares of the likelihood of the names that were found; they are not calibrated."


class Parts(NamedTuple):
    """What a generative linker is made of.

    Attributes:
        task: With its mapper and language model, in evaluation mode.
        live: The encoders that it reads.
        knowledge: The KB.
        training: What in-context examples are chosen from.
        tree: Of the KB's names; None where there is none.
        about: What the linker comes from; JSON. Its `recipe` names files where they stand.
        ranker: Orders what competes; None: the likelihood of the names that were written does.
        facts: Of the entities, for the ranker; None: they are worked out.
    """

    task: GEMELNetwork
    live: LiveEncoder
    knowledge: Knowledge
    training: TrainingMentions
    tree: NameTree | None
    about: dict[str, Any]
    ranker: Ranker | None = None
    facts: EntityFacts | None = None


def write(place: Path, parts: Parts, write_ranker: Callable[[Path], None]) -> None:
    """Writes a linker's files into an empty folder, and seals it.

    Raises:
        DataError: The linker has classes that nothing would make again (`about["trusted"]` says which may be others
            than dim's), or files of the language model or an encoder are gone or cannot become safetensors.
    """
    trusted = parts.about.get("trusted", ())
    read_classes(parts.about["recipe"], GEMELNetwork, trusted, UNTRUSTED)
    weights = {name: value.contiguous().cpu() for name, value in parts.task.mapper.state_dict().items()}
    width = parts.task.mapper.linear.in_features if isinstance(parts.task.mapper, FeatureMapper) else None
    facts: dict[str, Any] = {"next_row": parts.knowledge.next_row, "image_width": width}
    (place / "mapper.safetensors").write_bytes(save(weights))
    write_entities(parts.knowledge, place, parts.about.get("images", "paths"))
    parts.training.save(place / "examples")
    write_ranker(place)
    if parts.tree is not None:
        parts.tree.save(place / "tree", {"tokenizer": parts.task.language_model.tokenizer_hash})
    recipe, converted = write_encoder_files(parts.about["recipe"], live_encoders(parts.live), place)
    if _write_language_model(recipe, parts.task.language_model, place):
        converted.add(LANGUAGE_MODEL)
    facts["about"] = parts.about | {"recipe": recipe}
    facts["fingerprints"] = all_fingerprints(parts.task, parts.live)
    if converted:  # of these the copy has other files, and by them another fingerprint
        copies = all_fingerprints(*make(located(recipe, place), "cpu", GEMELNetwork, trusted))
        facts["fingerprints"] |= {name: copies[name] for name in converted}
    (place / "README.md").write_text(_card(parts), encoding="utf-8")
    seal(place, CONTENT, FORMAT, facts, MANIFEST)


def read(folder: Path, device: str, trusted: Sequence[str] = (), image_root: str | Path | None = None) -> Parts:
    """The parts of a linker's folder.

    Raises:
        DataError: There is no generative linker, a damaged one, one of another format, one that names classes which are
            not dim's, or its language model or encoders are not what they were.
    """
    manifest = open_sealed(folder, CONTENT, FORMAT, MANIFEST, REMEDY, GenerativeManifest)
    recipe = located(manifest["about"]["recipe"], folder, manifest["files"])
    about = manifest["about"] | {"recipe": recipe}
    task, live = make(recipe, device, GEMELNetwork, trusted)
    task.check()
    check_fingerprints(manifest["fingerprints"], live_encoders(live) | {LANGUAGE_MODEL: task.language_model})
    if task.end == "auto":
        raise DataError("a linker that says what ends a name (eos, line)", "auto, which is chosen on a dataset", REMEDY)
    task.settle_names()
    if manifest["image_width"] is not None:
        widths = manifest["image_width"], task.language_model.width, task.prefix_length
        try:
            with torch.device("meta"):  # the weights say whether these widths are theirs, before they take any memory
                task.mapper = FeatureMapper(*widths)
        except (TypeError, RuntimeError) as error:  # torch's own
            raise DataError("the widths of a linker's mapper", one_line(error), REMEDY) from error
        load_weights(task.mapper, read_weights(folder / "mapper.safetensors"))
        check_widths(live, {"mention_fields": {"image": manifest["image_width"]}, "entity_fields": {}})
    task.register_buffer("place", torch.empty(0), persistent=False)  # says where it computes, also without a mapper
    task.to(resolve_device(device)).eval().requires_grad_(False)
    task.on_scoring_start()
    task.try_parts()
    knowledge = read_entities(folder, manifest["next_row"], image_root)
    tree = NameTree.load(folder / "tree") if (folder / "tree").exists() else None
    training, rankers = TrainingMentions.load(folder / "examples"), read_ranker(folder, knowledge.next_row)
    return Parts(task, live, knowledge, training, tree, about, *rankers)


def all_fingerprints(task: GEMELNetwork, live: LiveEncoder) -> dict[str, str]:
    """What the language model and the encoders are known by."""
    every = live_encoders(live) | {LANGUAGE_MODEL: task.language_model}
    return {name: each.fingerprint for name, each in every.items()}


def located(recipe: Recipe, folder: Path, listed: Collection[str] | None = None) -> Recipe:
    """The recipe with each local file, and a local language model, named by where it stands now."""
    found = with_encoders(recipe, folder, listed)
    options = language_model_options(found)
    options["path"] = located_file(options["path"], folder, LANGUAGE_MODEL, listed)
    return found


def _write_language_model(recipe: Recipe, model: LanguageModel, place: Path) -> bool:
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


def _card(parts: Parts) -> str:
    examples = parts.task.examples
    chosen = f"{type(examples).__name__} ({examples.num_examples})"
    rows = {
        "language model": parts.about["language_model"],
        "encoders": encoder_names(parts.about) or "none",
        "NIL": "an answer like any name" if parts.task.nil else "never answered",
        "in-context examples": f"{chosen}, of {len(parts.training.table):,} training mentions that are kept here",
    }
    kind = " whose names a language model writes"
    if parts.ranker is None:
        return model_card(parts.about, parts.knowledge, rows, kind, NOTE)
    return model_card(
        parts.about, parts.knowledge, rows | ranker_row(parts.ranker), kind, **card_of_ranker(parts.ranker)
    )
