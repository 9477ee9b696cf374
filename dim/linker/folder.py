"""A linker on disk: one folder, written whole, read only undamaged, never unpickled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load_file, save

from dim.contrastive.module import DIM
from dim.errors import DataError
from dim.linker.card import encoder_names, model_card
from dim.linker.entity_table import read_entities, write_entities
from dim.linker.knowledge import Knowledge
from dim.linker.recipe import Recipe, located, make, make_towers, tower_facts, write_encoder_files
from dim.linker.towers import Towers
from dim.ranking.ranker import Ranker
from dim.search.lexical import EntityNames
from dim.search.sealed import open_sealed, sealed_folder
from dim.search.vector_index import VectorIndex

CONTENT, FORMAT, MANIFEST = "linker", 1, "linker.json"
REMEDY = "Save the linker again, or get the folder again from where it came."


def write(
    folder: Path,
    towers: Towers,
    knowledge: Knowledge,
    index: VectorIndex,
    names: EntityNames,
    ranker: Ranker | None,
    about: dict[str, Any],
) -> None:
    """Writes a linker's folder; a process that is killed meanwhile leaves what was there before."""
    facts: dict[str, Any] = {"next_row": knowledge.next_row, "towers": tower_facts(towers.task)}
    with sealed_folder(folder, CONTENT, FORMAT, facts, MANIFEST) as place:
        weights = {name: value.contiguous().cpu() for name, value in towers.task.state_dict().items()}
        (place / "model.safetensors").write_bytes(save(weights))  # save_file lets nobody else read the file
        write_entities(knowledge, place, about.get("images", "paths"))
        index.save(place / "index")
        names.save(place / "names")
        if ranker is not None:
            ranker.save(place / "ranker")
        facts["about"] = about | {"recipe": write_encoder_files(about["recipe"], place)}
        facts["fingerprints"] = fingerprints(towers)
        (place / "README.md").write_text(
            model_card(about, knowledge, card_rows(about, index, ranker), has_ranker=ranker is not None),
            encoding="utf-8",
        )


def card_rows(about: dict[str, Any], index: VectorIndex, ranker: Ranker | None) -> dict[str, str]:
    """What the model card's table says of encoders, index and ranker."""
    return {
        "encoders": encoder_names(about),
        "index": f"{index.kind}, recall@10 {index.recall.at_10:.3f} against exact search",
        "ranker": "calibrated" if ranker is not None else "none: scores are no probabilities",
        "NIL": nil_row(ranker),
    }


def nil_row(ranker: Ranker | None) -> str:
    """When a linker answers that the KB has no such entity."""
    if ranker is None or ranker.nil_threshold is None:
        return "never answered"
    precision = ranker.facts.get("nil_precision")
    asked = "" if precision is None else f" (threshold for a precision of {precision:g})"
    return f"answered where its probability reaches {ranker.nil_threshold:.3f}{asked}"


def read(
    folder: Path, device: str
) -> tuple[Towers, Knowledge, VectorIndex, EntityNames, Ranker | None, dict[str, Any]]:
    """The parts of a linker's folder.

    Raises:
        DataError: There is no linker, a damaged one, one of another format, or its encoders are not what they were.
    """
    manifest = open_sealed(folder, CONTENT, FORMAT, MANIFEST, REMEDY)
    recipe: Recipe = located(manifest["about"]["recipe"], folder)
    about = manifest["about"] | {"recipe": recipe}  # a later `write` finds the encoders' files
    task, live = make(recipe, device, DIM)
    make_towers(task, manifest["towers"], load_file(folder / "model.safetensors"))
    towers = Towers(task, live)
    found = fingerprints(towers)
    for name, expected in manifest["fingerprints"].items():
        if found.get(name) != expected:
            raise DataError(
                f"the {name} that the linker was trained with ({expected})", f"{found.get(name)}", "Get its weights."
            )
    knowledge = read_entities(folder, manifest["next_row"])
    index, names = VectorIndex.load(folder / "index"), EntityNames.load(folder / "names")
    if not np.array_equal(names.rows, knowledge.rows):
        raise DataError(f"entities and names of one KB in {folder}", "two", REMEDY)
    ranker = Ranker.load(folder / "ranker") if (folder / "ranker").exists() else None
    return towers, knowledge, index, names, ranker, about


def fingerprints(towers: Towers) -> dict[str, str]:
    """What the encoders are known by."""
    live = towers.live
    encoders = {
        "text_encoder": live.text_encoder,
        "image_encoder": live.image_encoder,
        "name_encoder": live.name_encoder,
        "captioner": live.captioner,
    }
    return {name: encoder.fingerprint for name, encoder in encoders.items() if encoder is not None}
