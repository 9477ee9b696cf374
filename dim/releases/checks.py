"""What every release must hold, whatever its layout."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pandas as pd

from dim.errors import DataError
from dim.releases.base import Release
from dim.releases.mention_rows import NOTHING_TO_READ, UNKNOWN_ANSWER

MAX_UNKNOWN = 0.01


def check_release(release: Release, allow_missing: bool, nil_like: Sequence[str] = ()) -> None:
    """Stops at a release that no honest number can come from.

    Args:
        release: As it was read.
        allow_missing: Whether to go on without the rows whose answers the KB lacks.
        nil_like: Answers among them that mean NIL elsewhere, for the message.

    Raises:
        DataError: An entity id stands twice, the KB has fewer than two entities, more than 1% of the rows have an
            answer that the KB lacks (unless `allow_missing`), or no row is left.
    """
    ids = release.entities["id"]
    twice = ids[ids.duplicated()]
    if len(twice):
        raise DataError(
            f"every entity id once in {release.name}",
            f"{len(twice):,} twice: {', '.join(twice[:5])}",
            "Remove the repeated entities from the KB's files.",
        )
    if len(ids) < 2:
        raise DataError(
            f"a KB of two entities or more in {release.name}",
            f"{len(ids)}",
            "Add entities: with one to choose from, every answer is right.",
        )
    unknown, examples = release.skipped.counts[UNKNOWN_ANSWER], release.skipped.examples.get(UNKNOWN_ANSWER, [])
    if unknown > MAX_UNKNOWN * release.rows_read and not allow_missing:
        raise DataError(
            f"answers that the KB of {release.name} has (at most 1% may be unknown)",
            f"{unknown:,} of {release.rows_read:,} rows with an unknown answer; first: {'; '.join(examples)}",
            f"{_about(nil_like)}Check that KB and mentions belong together, or leave these rows out with "
            "--allow_missing=true.",
        )
    _check_any(release)


def can_be_read(release: Release, has_image: pd.Series) -> pd.Series:
    """Which mentions tell a model something: a name, a context, or an image file. The others are counted as skipped.

    Raises:
        DataError: None does.
    """
    mentions = release.mentions
    blank = (mentions["mention"] == "") & (mentions["context"].str.strip() == "") & ~has_image
    for mention_id in mentions["id"][blank]:
        release.skipped.add(NOTHING_TO_READ, mention_id)
    if blank.all():
        release.mentions = mentions[~blank]
        _check_any(release)
    return ~blank


def _about(nil_like: Sequence[str]) -> str:
    if not nil_like:
        return ""
    labels = json.dumps(list(nil_like), ensure_ascii=False)
    return f"If {', '.join(nil_like)} means that the KB has no such entity: --nil_labels '{labels}'. "


def _check_any(release: Release) -> None:
    if release.mentions.empty:
        counts = ", ".join(f"{count:,} {reason}" for reason, count in release.skipped.counts.items())
        raise DataError(f"a usable mention in {release.name}", f"none ({counts})", "Put the mention rows right.")
