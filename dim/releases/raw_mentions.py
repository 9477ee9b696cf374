"""Mention rows of releases that know their entities by title: parsed first, collected when the KB is known."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dim.data.files import json_type
from dim.data.table_files import text_cell
from dim.releases.mention_rows import MentionRows, is_nil
from dim.releases.repeats import Repeats


@dataclass(frozen=True, slots=True)
class RawMention:
    """A row as the release has it.

    Attributes:
        split: `train`, `dev` or `test`.
        where: Its place in the raw files.
        mention: The name.
        context: The sentence around it.
        answer: The gold entity as the row names it; empty or `NIL` where there is none.
        images: Local image names.
        span: First character and one past the last, where known.
        candidates: Entities as the row names them; None where the release offers none.
        type: A label.
        attributes: Whatever else the row says.
    """

    split: str
    where: str
    mention: str
    context: str
    answer: str
    images: tuple[str, ...] = ()
    span: tuple[int | None, int | None] = (None, None)
    candidates: tuple[str, ...] | None = None
    type: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be used, with its place and the reason."""

    split: str
    where: str
    reason: str


def collect_mentions(
    rows: Iterable[RawMention | BadRow], entity_ids: Iterable[str], to_id: Callable[[str], str]
) -> tuple[MentionRows, list[str]]:
    """The mentions of a release, and notes on what was put right; `to_id` turns an entity's name into its id.

    Rows that stand twice are kept and counted (`Repeats`), also those whose answers differ.
    """
    mentions, repeats = MentionRows(entity_ids), Repeats()
    answers: dict[tuple[object, ...], set[str]] = defaultdict(set)
    for row in rows:
        if isinstance(row, BadRow):
            mentions.skip(row.split, row.reason, row.where)
            continue
        answer = "" if is_nil(row.answer) else to_id(row.answer)
        asked = (row.mention.strip(), row.context, str(row.span), *row.images)
        repeats.add(row.split, *asked, answer)
        answers[asked].add(answer)
        mentions.add(
            row.split,
            where=row.where,
            mention=row.mention,
            context=row.context,
            answer=answer,
            images=row.images,
            span=row.span,
            candidates=None if row.candidates is None else mentions.known(unique(map(to_id, row.candidates))),
            type=row.type,
            attributes=row.attributes,
        )
    counts = {
        "mentions of one sentence and image with different answers (kept)": sum(len(of) > 1 for of in answers.values()),
        "rows whose start and end did not hold the mention (searched for it)": mentions.num_wrong_offsets,
        "candidates that are no entity (left out)": mentions.num_unknown_candidates,
    }
    return mentions, repeats.notes() + [f"{note}: {count:,}" for note, count in counts.items() if count]


def missing_field(row: Mapping[str, Any], required: Iterable[str]) -> str | None:
    """The reason to skip a row that lacks a field, None where it has all.

    Example:
        >>> missing_field({"mention": None}, ("mention", "entity"))
        "no field 'entity'"
    """
    return next((f"no field '{name}'" for name in required if name not in row), None)


def shape_problem(fields: Mapping[str, Any]) -> str | None:
    """Why fields cannot be texts: the first that is an object, an array or a boolean. None where all can.

    Example:
        >>> shape_problem({"mention": 1984, "topic": None}), shape_problem({"mention": ["a"]})
        (None, "an array as 'mention'")
    """
    for name, value in fields.items():
        if isinstance(value, dict | list | bool):
            return f"{json_type(value)} as '{name}'"
    return None


def context_text(value: Any) -> str:
    """A sentence as it stands, because offsets count its characters; empty where there is none."""
    return value if isinstance(value, str) else text_cell(value)


def offset(value: Any) -> int | None:
    """A position in a sentence, None where it is no whole number from 0 on.

    Example:
        >>> offset(4), offset("4"), offset(4.0), offset(-1), offset(None)
        (4, 4, 4, None, None)
    """
    text = text_cell(value) if not isinstance(value, bool) else ""
    return int(text) if text.isascii() and text.isdigit() else None


def unique(ids: Iterable[str]) -> tuple[str, ...]:
    """The ids in their order, each once."""
    return tuple(dict.fromkeys(ids))
