"""`dim show`: one mention or one entity end to end."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import pandas as pd
from rich.table import Table

from dim.core.excerpts import few_of
from dim.core.text_form import one_form
from dim.data.dataset import NIL, SPLITS, Dataset, gold_ids
from dim.display.terminal import Console, Text
from dim.errors import DataError
from dim.evaluation.result_files import METRICS, RANKS, read_results
from dim.images.found_files import path_on_disk
from dim.images.reading import UnusableImageError, find_image
from dim.images.regions import split_region
from dim.releases.prepare import open_dataset

Lines = Iterator[tuple[str, str]]
NUM_SHOWN = 10


def show(
    id: str,  # noqa: A002
    dataset: Path,
    run: Path | None = None,
    protocol: str | None = None,
    runs: Path = Path("runs"),
    cache_dir: Path = Path("cache"),
) -> None:
    """Prints one mention or one entity: every field, every text, its images, and what a run answered.

    Args:
        id: A mention id such as train-000017, or an entity id such as Q42.
        dataset: A dataset folder, or the release that it is made of.
        run: The folder of the run whose answer is shown; by default the newest one on this dataset.
        protocol: Show what was answered under this one; by default under that which the run was fitted under.
        runs: Where the newest run is looked for.
        cache_dir: Where prepared releases are found.

    Raises:
        DataError: Neither a mention nor an entity has this id, or `run` is no run on this dataset.
    """
    id = one_form(id)  # noqa: A001
    data = open_dataset(dataset, cache_dir)
    is_mention, is_entity = (data.mentions["id"] == id).any(), id in data.entity_index
    if not is_mention and not is_entity:
        raise DataError(f"a mention or an entity of {data.name}", f"'{id}'", _suggestion(id, data))
    if is_mention:
        _print(f"mention {id}", _mention_lines(data, id))
        chosen = find_run(data, runs) if run is None else check_run(data, run)
        _print("answer", _answer_lines(data, id, chosen, protocol))
    if is_entity:
        _print(f"entity {id}", _entity_lines(data, id))


def find_run(dataset: Dataset, runs: Path) -> Path | None:
    """The folder of the newest run on this dataset, or None."""
    ranks = sorted(Path(runs).glob(f"**/{RANKS}"), key=lambda path: path.stat().st_mtime, reverse=True)
    return next((path.parent for path in ranks if dataset.hash in _dataset_hashes(path.parent)), None)


def check_run(dataset: Dataset, run: Path) -> Path:
    """The run's folder, if it ran on this dataset. Raises DataError otherwise."""
    found = _dataset_hashes(run)
    if dataset.hash not in found or not (run / RANKS).exists():
        raise DataError(
            f"a run on {dataset.name} (hash {dataset.hash}) in {run}",
            f"a run on the dataset {', '.join(found)}" if found else f"no {METRICS} and {RANKS}",
            "Name another run, or leave --run out.",
        )
    return run


def _dataset_hashes(run: Path) -> list[str]:
    try:
        return list(dict.fromkeys(str(entry.get("dataset_hash")) for entry in read_results(run).entries.values()))
    except DataError:
        return []


def _mention_lines(dataset: Dataset, mention_id: str) -> Lines:
    mention = dataset.mention(mention_id)
    yield "mention", mention.mention
    yield "context", mention.context
    yield "place", "-" if mention.start is None else f"characters {mention.start} to {mention.end} of the context"
    yield "split", mention.split or "-"
    golds = _golds_of(dataset, mention_id)
    if not golds:
        yield "gold", "NIL"
    for entity_id in golds:
        yield "gold", _named(dataset, entity_id)
        yield from _texts(dataset, entity_id)
    yield from _images(dataset, mention.images)
    yield "caption", mention.caption or "-"
    yield "type", mention.type or "-"
    if mention.candidates is None:
        yield "candidates", "-"
    else:
        hit = ", the gold not among them" if golds and set(golds).isdisjoint(mention.candidates) else ""
        yield "candidates", f"{len(mention.candidates)}{hit}"
        for entity_id in mention.candidates[:NUM_SHOWN]:
            yield "", _named(dataset, entity_id)
        if len(mention.candidates) > NUM_SHOWN:
            yield "", f"… and {len(mention.candidates) - NUM_SHOWN} more"
    yield from ((name, str(value)) for name, value in mention.attributes.items())


def _entity_lines(dataset: Dataset, entity_id: str) -> Lines:
    entity = dataset.entity(entity_id)
    yield "name", entity.name or "-"
    yield "aliases", ", ".join(entity.aliases) or "-"
    yield "type", entity.type or "-"
    yield "popularity", "-" if entity.popularity is None else f"{entity.popularity:,g}"
    yield from _texts(dataset, entity_id)
    yield from _images(dataset, entity.images)
    yield from ((name, str(value)) for name, value in entity.attributes.items())
    is_gold = [entity_id in golds for golds in gold_ids(dataset.mentions)]
    mentions = dataset.mentions[np.array(is_gold, dtype=bool)]
    for split in SPLITS:
        ids = mentions.loc[mentions["split"] == split, "id"].tolist()
        if ids:
            yield f"gold in {split}", few_of(ids, NUM_SHOWN)
    if mentions.empty:
        yield "gold", "of no mention"


def _answer_lines(dataset: Dataset, mention_id: str, run: Path | None, protocol: str | None) -> Lines:
    if run is None:
        yield "", "no run on this dataset yet: dim fit trains one"
        return
    yield "run", str(run)
    results, split = read_results(run), str(dataset.mention(mention_id).split)
    entry = results.entry(split, protocol)
    if entry is None:
        there = "; ".join(f"{of} under {under}" for of, under in results.entries)
        under = f" under {protocol}" if protocol else ""
        yield "", f"the run did not evaluate this mention{under} (it holds {there})"
        return
    ranks = results.ranks(split, protocol)
    rows = ranks[ranks["mention_id"] == mention_id]
    if rows.empty:
        yield "", f"the run did not evaluate this mention (it holds {len(ranks):,} others of {split})"
        return
    yield "protocol", results.label(split, protocol)
    row, golds = rows.iloc[0], _golds_of(dataset, mention_id)
    yield "rank of the gold", _rank(row["rank"])
    for column, told in (("floor_rank", "rank by name only"), ("alias_floor_rank", "rank by names and aliases")):
        if column in ranks and not ranks[column].isna().all():  # else names were not ranked under this protocol
            yield told, _rank(row[column])
    for place, (entity_id, score) in enumerate(zip(row["top_ids"], row["top_scores"], strict=True), start=1):
        mark = "  ← gold" if entity_id in golds else ""
        yield f"answer {place}", f"{score:.4f}  {_named(dataset, entity_id)}{mark}"


def _golds_of(dataset: Dataset, mention_id: str) -> tuple[str, ...]:
    return gold_ids(dataset.mentions[dataset.mentions["id"] == mention_id])[0]


def _rank(value: float) -> str:
    return "-" if pd.isna(value) else f"{value:,.0f}"


def _named(dataset: Dataset, entity_id: str) -> str:
    if entity_id == NIL:
        return NIL
    # Another system may know more entities.
    name = dataset.entity(entity_id).name if entity_id in dataset.entity_index else "(the KB lacks it)"
    return f"{entity_id}  {name}"


def _texts(dataset: Dataset, entity_id: str) -> Lines:
    for variant in dataset.variants:
        yield f"text '{variant}'", dataset.texts(variant)[entity_id] or "-"


def _images(dataset: Dataset, images: tuple[str, ...]) -> Lines:
    for image in images:
        file, region = split_region(image)
        path = path_on_disk(dataset.image_root / file)
        try:
            find_image(path, dataset.image_root)
            state = "is there"
        except UnusableImageError as error:
            state = "no such file" if error.reason == "not found" else error.reason
        except OSError as error:  # the disk failed
            state = type(error).__name__
        box = "" if region is None else ", box at {:g}, {:g} of {:g} × {:g} pixels".format(*region)
        yield "image", f"{path} ({state}{box})"
    if not images:
        yield "image", "-"


def _suggestion(wanted: str, dataset: Dataset) -> str:
    """Ids that look like `wanted`, or entities that bear it as their name."""
    named = dataset.entities.loc[dataset.entities["name"].str.casefold() == wanted.casefold(), "id"].tolist()
    # `train-17` means train-000017, which by its letters is no nearer than a hundred others.
    prefix, _, number = wanted.rpartition("-")
    padded = f"{prefix}-{number:0>6}"
    if (dataset.mentions["id"] == padded).any():
        named = [padded]
    known = [ids for table in (dataset.mentions, dataset.entities) if (ids := table["id"].tolist())]
    near = named[:3] or [each for ids in known for each in get_close_matches(wanted, ids, n=3, cutoff=0.8)]
    if near:
        return f"Did you mean {', '.join(near)}?"
    return f"Ids are such as {' and '.join(ids[0] for ids in known)}; all stand in {dataset.root}/*.parquet."


def _print(title: str, lines: Lines) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in lines:
        table.add_row(Text(name), Text(value))
    console = Console()
    console.print(Text(title, style="bold underline"))
    console.print(table)
