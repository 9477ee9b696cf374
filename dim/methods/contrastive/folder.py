"""A contrastive linker on disk: one folder, written whole, read only undamaged, never unpickled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from dim.core.sealed import open_sealed, seal
from dim.errors import DataError
from dim.inference.two_towers import TwoTowersNetwork
from dim.linker.card import encoder_names, model_card
from dim.linker.entity_table import read_entities, write_entities
from dim.linker.folder import (
    MANIFEST,
    REMEDY,
    check_fingerprints,
    live_encoders,
    read_weights,
)
from dim.linker.knowledge import Knowledge
from dim.linker.manifest import LinkerManifest
from dim.linker.method_files import check_classes, write_method
from dim.linker.ranked import card_of_ranker, ranker_row, read_names, read_ranker
from dim.linker.recipe import Recipe, check_widths, located, make
from dim.methods.contrastive.towers import Towers, make_towers, tower_facts
from dim.reranker.entities import EntityFacts
from dim.reranker.ranker import Ranker
from dim.search.entity_names import EntityNames
from dim.search.sparse_rows import SparseRows
from dim.search.vector_index import VectorIndex

CONTENT, FORMAT = "linker", 2


def write(
    place: Path,
    towers: Towers,
    knowledge: Knowledge,
    index: VectorIndex,
    sparse: SparseRows | None,
    names: EntityNames,
    ranker: Ranker | None,
    about: dict[str, Any],
    write_ranker: Callable[[Path], None],
) -> None:
    """Writes a linker's files into an empty folder, and seals it.

    Raises:
        DataError: The linker has classes that nothing would make again (`about["trusted"]` says which may be others
            than dim's), or files of an encoder are gone.
    """
    check_classes(about, TwoTowersNetwork)
    facts: dict[str, Any] = {"next_row": knowledge.next_row, "towers": tower_facts(towers.task)}
    write_entities(knowledge, place, about.get("images", "paths"))
    index.save(place / "index")
    if sparse is not None:
        sparse.save(place / "sparse")
    names.save(place / "names")
    write_ranker(place)
    facts |= write_method(place, towers.task, towers.live, about, TwoTowersNetwork)
    card = model_card(about, knowledge, card_rows(about, index, ranker), **card_of_ranker(ranker))
    (place / "README.md").write_text(card, encoding="utf-8")
    seal(place, CONTENT, FORMAT, facts, MANIFEST)


def card_rows(about: dict[str, Any], index: VectorIndex, ranker: Ranker | None) -> dict[str, str]:
    """What the model card's table says of encoders, index and ranker."""
    return {
        "encoders": encoder_names(about),
        "index": f"{index.kind}, recall@10 {index.recall.at_10:.3f} against exact search",
        **ranker_row(ranker),
    }


def read(
    folder: Path, device: str, trusted: Sequence[str] = (), image_root: str | Path | None = None
) -> tuple[
    Towers, Knowledge, VectorIndex, SparseRows | None, EntityNames, Ranker | None, dict[str, Any], EntityFacts | None
]:
    """The parts of a linker's folder.

    Raises:
        DataError: There is no linker, a damaged one, one of another format, or its encoders are not what they were.
    """
    manifest = open_sealed(folder, CONTENT, FORMAT, MANIFEST, REMEDY, LinkerManifest)
    recipe: Recipe = located(manifest["about"]["recipe"], folder, manifest["files"])
    about = manifest["about"] | {"recipe": recipe}  # a later `write` finds the encoders' files
    task, live = make(recipe, device, TwoTowersNetwork, trusted)
    width = make_towers(task, manifest["towers"], read_weights(folder / "model.safetensors"))
    check_widths(live, manifest["towers"])
    towers = Towers(task, live)
    check_fingerprints(manifest["fingerprints"], live_encoders(live))
    knowledge = read_entities(folder, manifest["next_row"], image_root)
    index, names = VectorIndex.load(folder / "index"), read_names(folder, knowledge)
    sparse = SparseRows.load(folder / "sparse", names.num_rows) if (folder / "sparse").exists() else None
    wanted, found = (width - task.num_sparse, task.num_sparse), (index.width, 0 if sparse is None else sparse.width)
    if found != wanted:
        what = f"vectors of {wanted[0]:,} dense and {wanted[1]:,} sparse columns in {folder}"
        raise DataError(what, f"{found[0]:,} and {found[1]:,}", REMEDY)
    ranker, facts = read_ranker(folder, names.num_rows)
    return towers, knowledge, index, sparse, names, ranker, about, facts
