"""Top-1 by what is known of a mention or its gold entity."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dim.errors import ConfigError
from dim.report.comparison import Comparison, Estimate

MAX_BINS = 12  #: Further values of a column stand together.

#: Column → what it tells, and who would have to have it.
BREAKDOWNS = {
    "seen_in_train": ("gold seen in training", "the runs"),
    "caption_in_train": ("caption or image seen in training", "the runs"),
    "mention_is_name": ("mention equals the gold's name", "the runs"),
    "ambiguity": ("entities that bear the mention as a name", "the runs"),
    "popularity": ("popularity of the gold", "the KB"),
    "type": ("type", "the dataset"),
    "has_image": ("mention has an image", "the dataset"),
    "has_caption": ("mention has a caption", "the dataset"),
}


@dataclass(frozen=True)
class Bin:
    """A part of the mentions: its label, and which they are ([n] bool)."""

    label: str
    chosen: NDArray[np.bool_]

    @property
    def n(self) -> int:
        """How many mentions it has."""
        return int(self.chosen.sum())


@dataclass
class Breakdown:
    """A column's bins with Top-1 a system; or no bins, and a note why.

    Attributes:
        column: Of ranks.parquet.
        title: What it tells.
        bins: The parts.
        estimates: Row name → one estimate a bin.
        note: What a reader should know, or an empty string.
    """

    column: str
    title: str
    bins: list[Bin] = field(default_factory=list)
    estimates: dict[str, list[Estimate]] = field(default_factory=dict)
    note: str = ""


def break_down(comparison: Comparison, column: str) -> Breakdown:
    """Top-1 by a column, with an interval each.

    Raises:
        ConfigError: The column is neither one of `BREAKDOWNS` nor one of ranks.parquet.
    """
    group = comparison.group
    title, holder = BREAKDOWNS.get(column, (column, "the runs"))
    if column not in group.frame and column not in BREAKDOWNS:
        others = [str(name) for name in group.frame if name not in BREAKDOWNS]
        usable = [name for name in others if group.frame[name].map(np.isscalar).all()]
        raise ConfigError(
            f"a column of ranks.parquet (all, {', '.join([*BREAKDOWNS, *usable])})",
            f"'{column}'",
            "Choose one of them with --by.",
        )
    if column not in group.frame or group.frame[column].isna().all():
        return Breakdown(column, title, note=f"{column}: {holder} {'has' if holder != 'the runs' else 'have'} none")
    found = bins_of(group.frame[column], column)
    if len(found) == 1:
        return Breakdown(column, title, note=f"{column}: {found[0].label} for all {found[0].n:,} mentions")
    result = Breakdown(column, title, found, note=_disagreement(comparison, column))
    chosen = np.stack([part.chosen for part in found], axis=1)
    rows = group.rows
    hits = np.concatenate([np.repeat(row.hits[:, None], len(found), axis=1) for row in rows], axis=1)
    low, high = comparison.bootstrap.interval(hits, np.tile(chosen, (1, len(rows))))
    for place, row in enumerate(rows):
        start = place * len(found)
        result.estimates[row.name] = [
            Estimate(float(row.hits[part.chosen].mean()), float(low[start + i]), float(high[start + i]))
            for i, part in enumerate(found)
        ]
    return result


def bins_of(values: pd.Series, column: str) -> list[Bin]:
    """The parts of a column: yes and no, classes of ambiguity, quartiles of popularity, else its values.

    Example:
        >>> [(part.label, part.n) for part in bins_of(pd.Series([1, 3, 4, 9]), "ambiguity")]
        [('1', 1), ('2–4', 2), ('≥5', 1)]
    """
    if column == "ambiguity":
        classes: dict[str, Callable[[pd.Series], pd.Series]] = {
            "1": lambda v: v == 1,
            "2–4": lambda v: (v >= 2) & (v <= 4),
            "≥5": lambda v: v >= 5,
            "0": lambda v: v == 0,
        }
        parts = [Bin(label, rule(values).to_numpy(dtype=bool)) for label, rule in classes.items()]
    elif column == "popularity":
        parts = quartiles(values)
    elif pd.api.types.is_bool_dtype(values) or set(values.dropna().unique()) <= {True, False}:
        parts = [Bin(label, (values == truth).fillna(False).to_numpy(dtype=bool)) for label, truth in YES_NO]
    else:
        parts = _by_value(values.astype(object).where(values.notna(), None))
    unknown = Bin(f"no {column}", values.isna().to_numpy())
    return [part for part in [*parts, unknown] if part.n]


YES_NO = (("yes", True), ("no", False))


def quartiles(values: pd.Series) -> list[Bin]:
    """Four parts of about equal size by value, the lowest first; fewer where many values are equal.

    Example:
        >>> [part.label for part in quartiles(pd.Series([1.0, 2.0, 3.0, 4.0]))]
        ['1 to 1', '2 to 2', '3 to 3', '4 to 4']
    """
    codes = pd.qcut(values, 4, labels=False, duplicates="drop")
    found = []
    for code in sorted(codes.dropna().unique()):
        inside = values[codes == code]
        found.append(Bin(f"{inside.min():,g} to {inside.max():,g}", (codes == code).to_numpy(dtype=bool)))
    if not found:  # all values are equal
        found = [Bin(f"{values.min():,g}", values.notna().to_numpy())]
    return found


def _by_value(values: pd.Series) -> list[Bin]:
    counts = values.dropna().astype(str).value_counts()
    kept = counts.index[: MAX_BINS if len(counts) <= MAX_BINS else MAX_BINS - 1]
    texts = values.dropna().astype(str).reindex(values.index)
    parts = [Bin(str(value), (texts == value).to_numpy(dtype=bool)) for value in sorted(kept)]
    if len(kept) < len(counts):
        others = texts.notna() & ~texts.isin(kept)
        parts.append(Bin(f"{len(counts) - len(kept)} others", others.to_numpy(dtype=bool)))
    return parts


def _disagreement(comparison: Comparison, column: str) -> str:
    """Names the runs whose column differs from the first run's, by which all are counted."""
    first = comparison.group.frame[column]
    others = [
        system.name
        for system in comparison.group.systems
        if any(column not in run.ranks or not run.ranks[column].equals(first) for run in system.runs)
    ]
    shown = comparison.group.systems[0].name
    return f"{column} as in {shown}; it differs in {', '.join(others)}" if others else ""
