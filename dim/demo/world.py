"""Writes a demo world as a dataset folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dim.core.output import output_folder
from dim.data.dataset import SPLITS, Dataset, dataset_kind, keep_answers, write_folder
from dim.data.splits import DOCUMENT
from dim.demo.drawing import STYLES_OF, Picture, draw_all, picture_paths
from dim.demo.mentions import MENTIONS_PER_FAMILY, UNTOLD, Plan, documents, plan_mentions, sentences
from dim.demo.population import FAMILY_SIZE, STRANGER, Codes, Population, populate
from dim.demo.texts import brief_texts, refreshed_texts
from dim.demo.vocabulary import FACTS, LOOKS
from dim.display.lines import say
from dim.errors import ConfigError

MIN_ENTITIES, MAX_ENTITIES = 100, 1_000_000
MIN_MENTIONS = 11 * MENTIONS_PER_FAMILY  # each cell in train, dev and test
MISSING_MENTION_IMAGES = 0.06
MISSING_ENTITY_IMAGES = 0.12
MISSING_CONTEXTS = 0.04
MISSING_TEXTS = 0.04
WORLD = dataset_kind("a demo world", lambda meta: str(meta.get("source")).startswith("made by dim"), has_images=True)

_FACT_VALUES = [(kind, list(values)) for kind, values in FACTS.items()]
_LOOK_VALUES = [(kind, list(values)) for kind, values in LOOKS.items()]


def demo_world(
    root: str | Path,
    num_entities: int = 4000,
    seed: int = 0,
    num_images: int | None = None,
    num_mentions: int = 60_000,
    mentions_a_document: int = 1,
    overwrite: bool = False,
) -> Dataset:
    """Writes a made-up dataset folder and opens it; the same arguments always write the same world.

    Mentions come in families of 13, about 1.4 an entity until `num_mentions` is reached. The split `tune` is carved
    from train by whole families: it shares train's drawing styles, but no gold and no surname. Below about 110
    entities `tune` lacks some of the cells.

    Args:
        root: Where the folder shall stand: a new or empty path, or a world of the same arguments that nothing was added
            to.
        num_entities: Size of the KB, from 100 to 1,000,000.
        seed: Another seed gives another world.
        num_images: Draw at most so many pictures, those of mentions first; the other rows have no image. None draws
            all (12 KiB each).
        num_mentions: Write at most so many mentions; the families beyond them are in the KB alone.
        mentions_a_document: From 2 on, mentions of different families whose people have one employer are said to be of
            one text, at most so many together (the attribute `document`), for `dim collective`; 1: none are.
        overwrite: Whether another world at `root` may be replaced, too.

    Raises:
        ConfigError: A size is out of range, or something else stands at `root`.
    """
    _check_sizes(num_entities, num_images, num_mentions)
    if mentions_a_document < 1:
        raise ConfigError("at least 1 mention a document", str(mentions_a_document), "Raise --mentions_a_document.")
    made_with: dict[str, Any] = {
        "num_entities": num_entities,
        "seed": seed,
        "num_images": num_images,
        "num_mentions": num_mentions,
        **({"mentions_a_document": mentions_a_document} if mentions_a_document > 1 else {}),
    }
    overwrite = overwrite or _is_as_made(Path(root), made_with)
    with output_folder(root, WORLD, "dim demo-world", overwrite=overwrite) as folder:
        _write(folder, **made_with)
        keep_answers(Path(root), folder)
    world = Dataset(root)
    counts = ", ".join(f"{split} {world.meta['num_mentions'][split]:,}" for split in SPLITS)
    say(f"written: {root}, {num_entities:,} entities, mentions: {counts}")
    return world


def _is_as_made(root: Path, made_with: dict[str, Any]) -> bool:
    """Whether a world of the same arguments stands there and nothing was added to it."""
    if not WORLD.stands_at(root):
        return False
    world = Dataset(root)
    return world.meta.get("made_with") == made_with and not world.added


def _write(
    folder: Path,
    num_entities: int,
    seed: int,
    num_images: int | None,
    num_mentions: int,
    mentions_a_document: int = 1,
) -> None:
    for_people, for_mentions, for_texts, for_pictures = (np.random.default_rng([seed, part]) for part in range(4))
    population = populate(num_entities, num_mentions // MENTIONS_PER_FAMILY, for_people)
    people = for_people.permutation(num_entities)  # KB row → person
    entities, texts = _entity_tables(population, people, for_people, for_texts)
    plan = plan_mentions(population, for_mentions)
    mentions = _mention_table(population, plan, _golds(plan, people, entities["id"].to_numpy()), for_mentions)

    of_mentions = _pictures(plan.looks, mentions["split"].tolist(), MISSING_MENTION_IMAGES, num_images, for_pictures)
    left = None if num_images is None else num_images - sum(picture is not None for picture in of_mentions)
    looks = population.looks[np.divmod(people, FAMILY_SIZE)]
    of_entities = _pictures(looks, ["kb"] * num_entities, MISSING_ENTITY_IMAGES, left, for_pictures)
    mentions["images"], entities["images"] = _images(of_mentions, "mentions"), _images(of_entities, "kb")
    for_documents = np.random.default_rng([seed, 4])
    of_text = documents(population, plan, mentions_a_document, for_documents) if mentions_a_document > 1 else None
    mentions["attributes"] = _evidence(plan, mentions, of_mentions, of_text)
    draw_all(of_mentions, folder / "images" / "mentions")
    draw_all(of_entities, folder / "images" / "kb")
    write_folder(
        folder,
        name="demo",
        entities=entities,
        texts=texts,
        mentions=mentions,
        image_root="images",
        source=f"made by dim, seed {seed}",
        licence="CC0-1.0",
        made_with={
            "num_entities": num_entities,
            "seed": seed,
            "num_images": num_images,
            "num_mentions": num_mentions,
            **({"mentions_a_document": mentions_a_document} if mentions_a_document > 1 else {}),
        },
    )


def _check_sizes(num_entities: int, num_images: int | None, num_mentions: int) -> None:
    if not MIN_ENTITIES <= num_entities <= MAX_ENTITIES:
        raise ConfigError(
            f"between {MIN_ENTITIES} and {MAX_ENTITIES:,} entities", f"{num_entities:,}", "Change --num_entities."
        )
    if num_images is not None and num_images < 0:
        raise ConfigError("a number of images from 0 on", str(num_images), "Use --num_images 0 for none.")
    if num_mentions < MIN_MENTIONS:
        raise ConfigError(f"at least {MIN_MENTIONS} mentions", str(num_mentions), "Raise --num_mentions.")


def _entity_tables(
    population: Population, people: Codes, rng: np.random.Generator, rng_texts: np.random.Generator
) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    family, member = np.divmod(people, FAMILY_SIZE)
    facts, looks = population.facts[family, member], population.looks[family, member]
    names = [population.name(f, m) for f, m in zip(family.tolist(), member.tolist(), strict=True)]
    entities = pd.DataFrame(
        {
            "id": pd.Series(_ids("Q", len(people), rng), dtype=object),
            "name": pd.Series(names, dtype=object),
            "aliases": pd.Series([[f"{name[0]}. {name.split(' ', 1)[1]}"] for name in names], dtype=object),
            "type": "person",
            "popularity": np.round(rng.lognormal(2, 1, len(people)), 2),
            "attributes": pd.Series(
                [
                    json.dumps({"facts": _named(_FACT_VALUES, told), "looks": _named(_LOOK_VALUES, seen)})
                    for told, seen in zip(facts.tolist(), looks.tolist(), strict=True)
                ],
                dtype=object,
            ),
        }
    )
    variants = {
        "brief": brief_texts(names, facts, rng_texts),
        "refreshed": refreshed_texts(names, facts, looks, rng_texts),
    }
    tables = {}
    for variant, texts in variants.items():
        table = pd.DataFrame({"entity_id": entities["id"], "text": pd.Series(texts, dtype=object)})
        tables[variant] = table[rng_texts.random(len(table)) >= MISSING_TEXTS]
    return entities, tables


def _mention_table(
    population: Population, plan: Plan, golds: list[str | None], rng: np.random.Generator
) -> pd.DataFrame:
    """All columns but images and attributes."""
    names = [
        population.name(family, member) if full else population.surnames[family]
        for family, member, full in zip(plan.family.tolist(), plan.member.tolist(), plan.full.tolist(), strict=True)
    ]
    said = sentences(names, plan.facts, rng)
    silent = rng.random(len(plan)) < MISSING_CONTEXTS
    start = np.array([begin for _, begin in said], dtype=np.int64)
    end = start + np.array([len(name) for name in names], dtype=np.int64)
    return pd.DataFrame(
        {
            "id": pd.Series(_ids("m", len(plan), rng), dtype=object),
            "split": pd.Series([SPLITS[code] for code in population.splits[plan.family].tolist()], dtype=object),
            "mention": pd.Series(names, dtype=object),
            "context": pd.Series(
                ["" if gone else text for (text, _), gone in zip(said, silent, strict=True)], dtype=object
            ),
            "start": pd.Series(start, dtype="Int64").mask(silent),
            "end": pd.Series(end, dtype="Int64").mask(silent),
            "entity_id": pd.Series(golds, dtype=object),
            "type": pd.Series(plan.cell, dtype=object),
        }
    )


def _golds(plan: Plan, people: Codes, ids: NDArray[np.object_]) -> list[str | None]:
    row = np.empty_like(people)  # person → KB row
    row[people] = np.arange(len(people))
    return [
        None if member == STRANGER else str(ids[row[family * FAMILY_SIZE + member]])
        for family, member in zip(plan.family.tolist(), plan.member.tolist(), strict=True)
    ]


def _pictures(
    looks: NDArray[np.int8], owners: list[str], missing: float, limit: int | None, rng: np.random.Generator
) -> list[Picture | None]:
    """A picture for each row of looks, None where it has none: by chance, or because `limit` is reached."""
    order = rng.permutation(len(looks))
    drawn = min(round(len(looks) * (1 - missing)), len(looks) if limit is None else limit)
    paths = picture_paths(len(looks), rng)
    styles = rng.integers(len(STYLES_OF) * 2, size=len(looks)).tolist()
    moved = rng.integers(-2, 3, size=(len(looks), 2)).tolist()
    pictures: list[Picture | None] = [None] * len(looks)
    for i in order[:drawn].tolist():
        choices = STYLES_OF[owners[i]]
        pictures[i] = Picture(
            paths[i], choices[styles[i] % len(choices)], tuple(looks[i].tolist()), (moved[i][0], moved[i][1])
        )
    return pictures


def _images(pictures: list[Picture | None], folder: str) -> pd.Series:
    return pd.Series([[f"{folder}/{picture.path}"] if picture else [] for picture in pictures], dtype=object)


def _evidence(
    plan: Plan, mentions: pd.DataFrame, pictures: list[Picture | None], texts: list[str | None] | None
) -> list[str]:
    """What sentence and picture really tell, for `solve`, and which text a mention is of."""
    of_text = [{}] * len(plan) if texts is None else [{DOCUMENT: text} if text else {} for text in texts]
    rows = zip(plan.facts.tolist(), plan.looks.tolist(), mentions["context"], pictures, of_text, strict=True)
    return [
        json.dumps(
            {
                "facts": _named(_FACT_VALUES, facts) if context else {},
                "looks": _named(_LOOK_VALUES, looks) if picture else {},
                "style": picture.style if picture else None,
                **text,
            }
        )
        for facts, looks, context, picture, text in rows
    ]


def _named(kinds: list[tuple[str, list[str]]], codes: list[int]) -> dict[str, str]:
    return {kind: values[code] for (kind, values), code in zip(kinds, codes, strict=True) if code != UNTOLD}


def _ids(prefix: str, count: int, rng: np.random.Generator) -> list[str]:
    """Different ids in random order, all of the same length."""
    numbers = rng.choice(9_000_000, count, replace=False) + 1_000_000
    return [f"{prefix}{number}" for number in numbers.tolist()]
