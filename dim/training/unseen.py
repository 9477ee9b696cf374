"""Lists of candidates of mentions that the vectors which score them have not seen: what rankers and judges learn of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from dim.core.arrays import Rows
from dim.display.terminal import Console
from dim.errors import ConfigError
from dim.reranker.finder import Finder
from dim.reranker.lists import Lists
from dim.training.crossfit import caption_folds, cross_fit
from dim.training.task import LinkingTask

FOLDS = "ranker-folds"  #: Of a run, where the folds are.
NIL_SHARE_OF_TRAINING = 0.3  #: Of the training mentions, how many are seen once more with their gold held out.
ENOUGH = 500  #: Mentions of tune. Of 72 one of GEMEL learned to be worse and too sure (docs/how_to/generative.md).

#: Which mentions, that its vectors have not seen, a ranker learns of: all of train, by folds, or those of `tune`.
Unseen = Literal["folds", "tune"]


@dataclass(frozen=True)
class Training:
    """Lists of what the ranker learns of, by vectors that did not see it, and again with the golds held out.

    Attributes:
        rows: [len(lists)], the mention of each.
        lists: Of all of them; of several golds they hold the first at most.
        folds: [len(lists)], the fold of each.
        held_out: Of some of them, as if the KB lacked the gold, or all of its surname.
        folds_held_out: [len(held_out)].
    """

    rows: Rows
    lists: Lists
    folds: Rows
    held_out: Lists
    folds_held_out: Rows


def usual(task: LinkingTask) -> Unseen:
    """`tune` where folds would take long and tune has mentions enough, else `folds`."""
    is_costly = bool(len(task.trained_encoders)) or not task.scores_all
    return "tune" if is_costly and len(task.datamodule.rows("tune")) >= ENOUGH else "folds"


def training_lists(finder: Finder, towers: Iterable[tuple[Rows, LinkingTask]], seed: int) -> Training:
    """The lists of each fold.

    Args:
        finder: Finds candidates.
        towers: Of each fold its mentions, and what scores them.
        seed: Of the draw of what is held out.
    """
    generator = np.random.default_rng(seed)
    mentions, parts, copies = [], [], []
    for rows, tower in towers:
        mentions.append(rows)
        parts.append(finder.lists(tower, rows, finder.other_golds(rows)))
        drawn = rows[generator.random(len(rows)) < NIL_SHARE_OF_TRAINING]
        copies.append(finder.lists(tower, drawn, finder.hold_out(drawn, generator)))
    folds, folds_held_out = (
        np.repeat(np.arange(len(found)), [len(part) for part in found]) for found in (parts, copies)
    )
    together = np.concatenate(mentions)
    return Training(together, Lists.concatenate(parts), folds, Lists.concatenate(copies), folds_held_out)


def unseen_towers(
    run: Path, task: LinkingTask, folds: int, device: str, unseen: Unseen
) -> Iterator[tuple[Rows, LinkingTask]]:
    """Of each fold its mentions, and what scores them without having seen them.

    Args:
        run: A finished run.
        task: Its method, opened.
        folds: How many.
        device: Where folds are fitted.
        unseen: Of which mentions.

    Raises:
        ConfigError: There are too few captions for the folds, or no mention of tune has its entity in the KB.
    """
    if unseen == "tune":
        rows = rows_in_kb(task, "tune")
        if not len(rows):
            raise ConfigError("mentions of tune whose entity the KB has", "none", "Use --unseen folds.")
        of_fold = caption_folds(task, rows, folds)
        Console().say(f"the ranker learns of {len(rows):,} mentions of tune, which no weights saw")
        yield from ((rows[of_fold == fold], task) for fold in range(folds))
    elif task.is_trained:
        yield from cross_fit(run, task, run / FOLDS, folds, device)
    else:  # without weights there is nothing that could have seen a mention
        rows = task.datamodule.train_rows().numpy()
        of_fold = caption_folds(task, rows, folds)
        yield from ((rows[of_fold == fold], task) for fold in range(folds))


def rows_in_kb(task: LinkingTask, split: str) -> Rows:
    """The mentions of a split whose entity the KB has."""
    rows: Rows = task.datamodule.rows(split).numpy()
    return rows[task.data.gold.cpu().numpy()[rows] >= 0]
