"""KGMEL's KB: labels and triples of Wikidata in TSV files; or, where they are absent, the golds that rows name."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from dim.data.files import clean_text, open_text
from dim.data.skipped import Skipped
from dim.releases.entity_texts import texts_table
from dim.releases.mention_rows import json_cell

KB_FOLDER, ENTITY_LABELS, PROPERTY_LABELS = "KB", "QID2Label.tsv", "PID2Label.tsv"


@dataclass
class Named:
    """The titles by which rows name an entity, in their order."""

    titles: list[str] = field(default_factory=list)

    def add(self, title: str) -> None:
        """Takes in one."""
        if title and title not in self.titles:
            self.titles.append(title)


@dataclass(frozen=True)
class KgKb:
    """The entities, with what the files say of them.

    Attributes:
        ids: Their ids.
        names: Id → name.
        aliases: Id → further names.
        descriptions: Id → description.
        triples: Id → property → the labels of its values.
        has_images: Whether the KB's images are there.
        notes: Sentences that the user should read.
    """

    ids: Sequence[str]
    names: Mapping[str, str]
    aliases: Mapping[str, list[str]]
    descriptions: Mapping[str, str]
    triples: Mapping[str, Mapping[str, list[str]]]
    has_images: bool
    notes: Sequence[str]

    def table(self) -> pd.DataFrame:
        """The entities (columns of `ENTITY_SCHEMA`)."""
        columns = {
            "id": list(self.ids),
            "name": [self.names.get(each, "") for each in self.ids],
            "aliases": [self.aliases.get(each, []) for each in self.ids],
            "images": [[f"{KB_FOLDER}/image/{each}_0.jpg"] if self.has_images else [] for each in self.ids],
            "attributes": [json_cell(self.triples.get(each)) for each in self.ids],
        }
        return pd.DataFrame(columns, dtype=object)

    def texts(self) -> dict[str, pd.DataFrame]:
        """The descriptions as `brief`, the triples as `triples`; none that no entity has."""
        written = {
            each: " ".join(f"{name}: {', '.join(values)}." for name, values in of.items())
            for each, of in self.triples.items()
        }
        found = {"brief": self.descriptions, "triples": written}
        return {
            name: texts_table((i, of.get(i, "")) for i in self.ids) for name, of in found.items() if any(of.values())
        }


def read_kb(folder: Path, dataset: str, listed: Sequence[str] | None, golds: Mapping[str, Named]) -> KgKb:
    """The KB of one dataset.

    Args:
        folder: Of labels and triples.
        dataset: Its name, which is a part of the triples' file.
        listed: The ids of the KB as the package lists them; None: the golds.
        golds: Gold id → the titles that rows give it.

    Raises:
        DataError: A file is unreadable.
    """
    ids = list(dict.fromkeys(golds if listed is None else listed))
    notes = (
        []
        if listed is not None
        else ["no list of the KB (qids_candidate.json): it is made of the golds, so every entity is a gold"]
    )
    path = folder / f"Triples-{dataset}.tsv"
    triples, triple_notes = _read_triples(path, set(ids)) if path.is_file() else ({}, [])
    told = {value for of in triples.values() for name, values in of.items() for value in (name, *values)}
    labels = _read_labels(folder / ENTITY_LABELS, told.union(ids)) | _read_labels(folder / PROPERTY_LABELS, told)
    of_entities = {each: labels[each] for each in ids if each in labels}
    if of_entities:
        # Titles are those of golds: beside labels they would tell golds from the other entities.
        names, aliases = {each: label for each, (label, _) in of_entities.items()}, {}
    else:
        names = {each: of.titles[0] for each, of in golds.items() if of.titles}
        aliases = {each: of.titles[1:] for each, of in golds.items()}
    if not of_entities and not triples:
        notes.append(f"no {KB_FOLDER}/{ENTITY_LABELS} and no triples: the entities have no texts, names alone")
    named = {
        each: {
            labels.get(name, (name, ""))[0]: [labels.get(value, (value, ""))[0] for value in values]
            for name, values in of.items()
        }
        for each, of in triples.items()
    }
    descriptions = {each: description for each, (_, description) in of_entities.items()}
    has_images = (folder / "image").is_dir()
    return KgKb(ids, names, aliases, descriptions, named, has_images, [*notes, *triple_notes])


def _read_triples(path: Path, ids: Collection[str]) -> tuple[dict[str, dict[str, list[str]]], list[str]]:
    """Entity → property → values, of the entities asked for, and notes."""
    found: dict[str, dict[str, list[str]]] = {}
    broken = Skipped()
    for number, cells in _lines(path):
        if len(cells) != 3:
            broken.add(path.name, f"line {number}")
        elif cells[0] in ids:
            found.setdefault(cells[0], {}).setdefault(cells[1], []).append(cells[2])
    first = broken.examples.get(path.name, [""])[0]
    return found, [
        f"lines of {path.name} that are no triple (left out): {broken.total:,}, first {first}"
    ] if broken.total else []


def _read_labels(path: Path, ids: Collection[str]) -> dict[str, tuple[str, str]]:
    """Id → label and description, of the ids asked for; none where there is no file."""
    if not path.is_file():
        return {}
    return {
        cells[0]: (cells[1], cells[2] if len(cells) > 2 else "")
        for _, cells in _lines(path)
        if len(cells) > 1 and cells[0] in ids
    }


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The number and the cells of each line. The files have no header, and quotes as pandas writes them."""
    with open_text(path, newline="\n") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield number, [_unquoted(clean_text(cell).strip()) for cell in line.rstrip("\r\n").split("\t")]


def _unquoted(cell: str) -> str:
    return cell[1:-1].replace('""', '"') if len(cell) > 1 and cell[0] == cell[-1] == '"' else cell
