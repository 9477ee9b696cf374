"""Ranks that another system made, read from a table and checked against a dataset."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dim.data.dataset import NIL, Dataset
from dim.data.skipped import Skipped
from dim.data.table_files import SUFFIXES, list_cell, number_cell, read_table, text_cell
from dim.errors import DataError
from dim.evaluation.foreign_ids import MAX_UNKNOWN, MentionIds, check_entity_ids
from dim.evaluation.metrics import TIE
from dim.evaluation.protocols import NIL_ROW, NUM_ANSWERS, Ranked

IDS, SCORES = ("entity_ids", "top_ids"), ("scores", "top_scores")
UNKNOWN_ENTITY, REPEATED_ENTITY = "entity ids that the KB lacks (they keep their place)", "entities twice in one list"
GAP = "mentions without an answer (missed at every k)"


@dataclass
class Answer:
    """What a system says of one mention: a ranked list, or the gold's rank alone (of several, that of the best)."""

    entity_ids: list[str] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    rank: float | None = None

    @property
    def top(self) -> tuple[list[str], list[float]]:
        """The first answers and their scores: without scores the order is all there is, and minus the rank keeps it."""
        first = self.entity_ids[:NUM_ANSWERS]
        return first, self.scores[:NUM_ANSWERS] or [-float(rank) for rank in range(1, len(first) + 1)]


@dataclass
class Foreign:
    """Another system's answers to the mentions of a split.

    Attributes:
        ranked: As of our own systems; `hits` say whether the gold was found at all. Of answers that the KB lacks it has
            no row.
        answers: [n], each entity of a list once, those that the KB lacks in their places.
        depth: The length of the longest list; None where ranks were given.
        problems: What was wrong in the table and did not stop it, with the first examples.
        notes: How the table was read.
    """

    ranked: Ranked
    answers: list[Answer]
    depth: int | None
    problems: Skipped
    notes: list[str] = field(default_factory=list)


def read_ranks(
    path: Path,
    dataset: Dataset,
    mentions: pd.DataFrame,
    protocol: str = "full_kb",
    max_unknown: float = MAX_UNKNOWN,
    encoding: str | None = None,
) -> Foreign:
    """Reads a table of `mention_id` and `entity_ids` (best first; with `scores`) or `rank`.

    Lists are JSON arrays, or in CSV ids with `|` between them. With scores, ties count against the gold; without, the
    place in the list is the rank. Of several golds the best counts, and none stands before it. Missed at every k is a
    mention that has no row, or whose list holds no gold.

    Args:
        path: CSV, TSV, JSON lines or Parquet. Columns `top_ids` and `top_scores` (our ranks.parquet) do as well, and a
            release's own keys (`attributes.key`) in the place of mention ids.
        dataset: What was answered.
        mentions: The rows of its mentions that are evaluated.
        protocol: Which rows count in a table that names protocols, as ranks.parquet does.
        max_unknown: The share of entity ids that the KB may lack.
        encoding: Of the table; None: as its first bytes tell, else UTF-8.

    Raises:
        DataError: The table is of another dataset, has neither lists nor ranks, or lists more unknown entities; a
            mention id is unknown or stands twice; a rank is no whole number of 1 or more; scores are not finite, not as
            many as ids, or rise.
    """
    answers, notes = _read_answers(path, dataset, mentions, protocol, max_unknown, encoding)
    problems = Skipped()
    ids = mentions["id"].tolist()
    lists = [_checked(answers.get(mention_id), mention_id, dataset, problems) for mention_id in ids]
    entity_ids = dataset.entities["id"].to_numpy(dtype=object)
    golds = [set(entity_ids[rows[rows >= 0]]) for rows in dataset.golds_of(mentions)]
    outcomes = [_rank(answer, of_mention) for answer, of_mention in zip(lists, golds, strict=True)]
    ranks = np.array([rank for rank, _ in outcomes], dtype=np.float64)
    longest = max((len(answer.entity_ids) for answer in lists), default=0)
    return Foreign(
        Ranked(
            ranks=ranks,
            ties=np.array([ties for _, ties in outcomes], dtype=np.int64),
            hits=np.isfinite(ranks),
            **_top(lists, dataset),
        ),
        answers=lists,
        depth=longest or None,
        problems=problems,
        notes=notes,
    )


def _read_answers(
    path: Path, dataset: Dataset, mentions: pd.DataFrame, protocol: str, max_unknown: float, encoding: str | None
) -> tuple[dict[str, Answer], list[str]]:
    if path.suffix not in SUFFIXES:
        raise DataError(f"a table ({', '.join(SUFFIXES)})", str(path), "Write the ranks in one of these formats.")
    columns, rows, notes = read_table(path, encoding, ("mention_id", *IDS, *SCORES, "rank"))
    ids = next((name for name in IDS if name in columns), None)
    scores = next((name for name in SCORES if name in columns), None)
    if "mention_id" not in columns or (ids is None and "rank" not in columns):
        raise DataError(
            f"the columns mention_id and entity_ids (or rank) in {path}",
            ", ".join(columns),
            "Rename the columns: entity_ids holds the ranked ids, best first; rank the gold's rank.",
        )
    rows = [dict.fromkeys(columns) | row for row in rows]  # of JSON each row has keys of its own
    if "protocol" in columns:  # our own ranks.parquet
        rows = _of_protocol(rows, protocol, path)
    known = MentionIds(dataset, mentions)
    found: dict[str, tuple[dict[str, Any], str]] = {}
    for number, row in enumerate(rows, start=1):
        given = text_cell(row["mention_id"])
        where = f"row {number} of {path.name}, mention '{given}'"
        mention_id = known.find(given, f"row {number} of {path}")
        if mention_id is None:
            continue  # of another split
        if mention_id in found:
            raise DataError(f"every mention once in {path}", where, "Keep one of its rows.")
        found[mention_id] = row, where
    if "gold" in columns:
        _check_golds({mention_id: row["gold"] for mention_id, (row, _) in found.items()}, dataset, mentions, path)
    if ids is not None:
        check_entity_ids([list_cell(row[ids]) for row, _ in found.values()], dataset, path, max_unknown)
    return {mention_id: _answer(row, ids, scores, where) for mention_id, (row, where) in found.items()}, notes


def _of_protocol(rows: list[dict[str, Any]], protocol: str, path: Path) -> list[dict[str, Any]]:
    kept = [row for row in rows if row["protocol"] == protocol]
    if not kept:
        there = "; ".join(dict.fromkeys(str(row["protocol"]) for row in rows))
        raise DataError(f"answers under {protocol} in {path}", f"those under {there}", "Name one with --protocol.")
    return kept


def _check_golds(given: dict[str, Any], dataset: Dataset, mentions: pd.DataFrame, path: Path) -> None:
    """Raises DataError where a table that names the golds names those of another dataset."""
    golds = mentions.set_index("id")["entity_id"]
    others = [name for name, gold in given.items() if text_cell(gold) != text_cell(golds[name])]
    if len(others) > MAX_UNKNOWN * len(given):
        first = others[0]
        raise DataError(
            f"answers to {dataset.name}, with its golds, in {path}",
            f"other golds of {len(others):,} of {len(given):,} mentions; "
            f"of {first}: {given[first]}, not {golds[first]}",
            "Name the dataset that was answered with --dataset.",
        )


def _answer(row: dict[str, Any], ids: str | None, scores: str | None, where: str) -> Answer:
    entity_ids = [] if ids is None else list_cell(row[ids])
    if not entity_ids and "rank" in row:  # of our own ranks.parquet, too, whose lists are empty where ranks were given
        rank = number_cell(row["rank"], where)
        if rank is not None and (rank < 1 or rank != math.floor(rank)):
            raise DataError(f"a whole rank of 1 or more in {where}", f"{rank:g}", "Ranks are 1-based; empty is missed.")
        return Answer(rank=rank)
    if scores is None or not (given := list_cell(row[scores])):
        return Answer(entity_ids)
    values = [number_cell(value, where) for value in given]
    numbers = [value for value in values if value is not None]
    if len(numbers) != len(entity_ids):
        raise DataError(f"a score for each of {len(entity_ids)} ids in {where}", f"{len(numbers)}", "Put it right.")
    if any(later > earlier + TIE for earlier, later in pairwise(numbers)):
        raise DataError(f"scores that fall in {where}", "a rising one", "Sort the answers, the highest score first.")
    return Answer(entity_ids, numbers)


def _checked(answer: Answer | None, mention_id: str, dataset: Dataset, problems: Skipped) -> Answer:
    """The answer with each entity once; what is odd is counted."""
    if answer is None:
        problems.add(GAP, mention_id)
        return Answer()
    kept: dict[str, float | None] = {}
    scores: Sequence[float | None] = answer.scores or [None] * len(answer.entity_ids)
    for entity_id, score in zip(answer.entity_ids, scores, strict=True):
        if entity_id in kept:
            problems.add(REPEATED_ENTITY, f"{mention_id}: {entity_id}")
        kept.setdefault(entity_id, score)
    rows = dataset.entity_index.get_indexer(pd.Index(list(kept), dtype=object))
    for entity_id, row in zip(kept, rows, strict=True):
        if row < 0 and entity_id != NIL:
            problems.add(UNKNOWN_ENTITY, f"{mention_id}: {entity_id}")
    return Answer(list(kept), [score for score in kept.values() if score is not None], answer.rank)


def _rank(answer: Answer, golds: set[str]) -> tuple[float, int]:
    """The best gold's rank (NaN: none, or all missed) and how many entities that are no gold tie with it."""
    if not golds:
        return math.nan, 0
    if answer.rank is not None:
        return answer.rank, 0
    places = [place for place, entity_id in enumerate(answer.entity_ids) if entity_id in golds]
    if not places:
        return math.nan, 0
    if not answer.scores:
        return places[0] + 1.0, 0
    best = max(answer.scores[place] for place in places)
    each = zip(answer.entity_ids, answer.scores, strict=True)
    counts = Counter(_side(score - best) for entity_id, score in each if entity_id not in golds)
    return 1.0 + counts["above"] + counts["equal"], counts["equal"]


def _side(difference: float) -> str:
    return "above" if difference > TIE else "below" if difference < -TIE else "equal"


def _top(lists: list[Answer], dataset: Dataset) -> dict[str, NDArray[Any]]:
    """The first answers as KB rows and scores; ids that the KB lacks have no row."""
    rows = np.full((len(lists), NUM_ANSWERS), -1, dtype=np.int64)
    scores = np.full((len(lists), NUM_ANSWERS), -np.inf, dtype=np.float32)
    for place, answer in enumerate(lists):
        ids, values = answer.top
        first = pd.Index(ids, dtype=object)
        rows[place, : len(ids)] = np.where(first == NIL, NIL_ROW, dataset.entity_index.get_indexer(first))
        scores[place, : len(ids)] = values
    return {"rows": rows, "scores": scores}
