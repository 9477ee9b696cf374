"""The worst mistakes of a system: where the gold is ranked lowest, with what was asked and what was answered."""

from __future__ import annotations

import base64
import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dim.data.dataset import Dataset
from dim.errors import DataError
from dim.images.reading import UnusableImageError, load_image
from dim.inference.places import root_of
from dim.report.comparison import Comparison
from dim.report.systems import System

NUM_SHOWN = 10
SIDE = 132  #: Pixels of a thumbnail's longer side.
TEXT_SHOWN = 320  #: Letters of an entity's text.
CONTEXT_SHOWN = 180  #: Letters of the context on each side of the mention.


@dataclass
class Shown:
    """An entity as a page shows it; `image` is a data URI or None."""

    id: str
    name: str = ""
    text: str = ""
    image: str | None = None


@dataclass
class Mistake:
    """One mention whose gold was ranked low.

    Attributes:
        mention_id: Its id.
        rank: The gold's mean rank over seeds; inf where some seed missed it.
        gold: The right entity.
        answer: What stood first instead; None where nothing was answered.
        before: The context left of the mention; with `mention` and `after` the whole that is shown.
        mention: The mention as it stands there.
        after: The context to its right.
        image: The mention's first image as a data URI, or None.
    """

    mention_id: str
    rank: float
    gold: Shown
    answer: Shown | None
    before: str = ""
    mention: str = ""
    after: str = ""
    image: str | None = None

    @property
    def place(self) -> str:
        """Where the gold stood, in words."""
        if math.isinf(self.rank):
            return "not found"
        is_mean = self.rank != round(self.rank)
        return f"at rank {self.rank:,.1f} (mean over seeds)" if is_mean else f"at rank {self.rank:,.0f}"


@dataclass
class Mistakes:
    """The worst mistakes of one system, and what is missing from their description and why."""

    system: str
    found: list[Mistake] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def worst_mistakes(comparison: Comparison, folder: Path | None = None) -> Mistakes:
    """The mistakes of the best system of a group, the worst first, at most `NUM_SHOWN`.

    Texts and images come from the dataset folder that the run names, if it is still the one of the run.

    Args:
        comparison: The group.
        folder: Where the dataset stands now, if it has moved.
    """
    system = comparison.best
    result = Mistakes(system.name)
    dataset = open_dataset_of(system, result.notes, folder)
    frame = system.runs[0].ranks
    mean = system.ranks.mean(0)
    wrong = np.flatnonzero(system.ranks[0] > 1)
    order = wrong[np.argsort(-mean[wrong], kind="stable")][:NUM_SHOWN]
    variant = (system.runs[0].metrics.get("features") or {}).get("entity_text")
    texts = None
    if dataset is not None and variant in dataset.variants:
        texts = dataset.texts(variant)
    counts = {"there": 0, "absent": 0}
    for place in order:
        row = frame.iloc[int(place)]
        answers = list(row["top_ids"]) if "top_ids" in frame and row["top_ids"] is not None else []
        shown = [_entity(dataset, texts, str(row["gold"]), counts)]
        shown += [_entity(dataset, texts, str(answers[0]), counts)] if answers else []
        mistake = Mistake(str(row["mention_id"]), float(mean[place]), shown[0], shown[1] if answers else None)
        if dataset is not None:
            _describe(mistake, dataset, counts)
        result.found.append(mistake)
    if dataset is not None and counts["absent"]:
        result.notes.append(
            f"{counts['absent']} of {sum(counts.values())} images cannot be shown: not found or unusable."
        )
    return result


def open_dataset_of(system: System, notes: list[str], folder: Path | None = None) -> Dataset | None:
    """The dataset folder of a system's runs, if it is there and unchanged; otherwise None, with a note why.

    Args:
        system: The system.
        notes: Are added to.
        folder: Where it stands now; None: where the run finds it, or where it was evaluated.
    """
    run, metrics = system.runs[0].folder, system.runs[0].metrics
    of_run = [root_of(place) for place in (run, run.parent)]  # a ranker's figures stand in its run's folder
    folders = [folder] if folder else [*filter(None, of_run), *filter(None, [metrics.get("dataset_folder")])]
    if not folders:
        notes.append("The run does not name its dataset folder, so ids stand alone.")
        return None
    found = [_opened(Path(place), metrics["dataset_hash"]) for place in folders]
    dataset = next((outcome for outcome in found if isinstance(outcome, Dataset)), None)
    if dataset is None:
        notes.append(f"Texts and images cannot be shown: {found[-1]}. If it has moved: --dataset FOLDER.")
    return dataset


def _opened(folder: Path, wanted: str) -> Dataset | str:
    """The dataset of this hash in a folder, or why it is none."""
    try:
        dataset = Dataset(folder)
    except DataError as error:
        return f"the dataset folder {folder} cannot be read ({error.found})"
    if dataset.hash != wanted:
        return f"{folder} now holds the dataset {dataset.hash}, the run was on {wanted}"
    return dataset


def split_context(context: str, mention: str, start: int | None, end: int | None) -> tuple[str, str, str]:
    """The context before, at and after the mention, cut to a readable length.

    Example:
        >>> split_context("Then Ann sang.", "Ann", None, None)
        ('Then ', 'Ann', ' sang.')
    """
    if start is None or end is None:
        found = re.search(re.escape(mention), context, re.IGNORECASE) if mention else None
        if found is None:
            return context[: 2 * CONTEXT_SHOWN], "", ""
        start, end = found.span()
    before, after = context[:start], context[end:]
    before = before if len(before) <= CONTEXT_SHOWN else "…" + before[-CONTEXT_SHOWN:]
    after = after if len(after) <= CONTEXT_SHOWN else after[:CONTEXT_SHOWN] + "…"
    return before, context[start:end], after


def thumbnail(root: Path, images: Sequence[str]) -> str | None:
    """The first image (or its region) as a small JPEG data URI; None where there is no usable file."""
    if not images:
        return None
    try:
        image = load_image(root / images[0], root)
    except (UnusableImageError, OSError):
        return None
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _describe(mistake: Mistake, dataset: Dataset, counts: dict[str, int]) -> None:
    mention = dataset.mention(mistake.mention_id)
    parts = split_context(mention.context, mention.mention, mention.start, mention.end)
    # A mention that does not stand in its context is shown before it.
    found = parts if parts[1] else ("", mention.mention, f" · {parts[0]}" if parts[0] else "")
    mistake.before, mistake.mention, mistake.after = found
    mistake.image = _counted(dataset.image_root, mention.images, counts)


def _entity(dataset: Dataset | None, texts: Any, entity_id: str, counts: dict[str, int]) -> Shown:
    if dataset is None or entity_id not in dataset.entity_index:
        return Shown(entity_id)
    entity = dataset.entity(entity_id)
    text = str(texts[entity_id] or "") if texts is not None else ""
    short = text if len(text) <= TEXT_SHOWN else text[:TEXT_SHOWN] + "…"
    return Shown(entity_id, entity.name, short, _counted(dataset.image_root, entity.images, counts))


def _counted(root: Path, images: Sequence[str], counts: dict[str, int]) -> str | None:
    found = thumbnail(root, images)
    if images:
        counts["absent" if found is None else "there"] += 1
    return found
