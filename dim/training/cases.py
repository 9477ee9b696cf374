"""The mentions of a run as a judge is asked about them, and the cross-encoder that learns of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dim.core.arrays import Rows
from dim.core.files import content_hash
from dim.display.lines import warn
from dim.images.reading import UnusableImageError, load_image
from dim.images.scaled import shrunk
from dim.judge.contract import Candidate, Case
from dim.judge.cross_training import CrossTraining, train_cross_encoder
from dim.reranker.calibration import softmax
from dim.reranker.finder import Finder
from dim.reranker.lists import Lists
from dim.reranker.network import scores_of
from dim.reranker.ranker import Ranker
from dim.training.task import LinkingTask
from dim.training.unseen import Training, Unseen, rows_in_kb

CROSS_ENCODER = "cross_encoder"  #: Of a run, where the cross-encoder is that was trained on it.


class RunCases:
    """Cases of a run's mentions.

    Args:
        task: The run's method, opened.
        finder: Of its candidates, which has its names and contexts.
    """

    def __init__(self, task: LinkingTask, finder: Finder) -> None:
        dataset = task.data.dataset
        self.finder, self.texts, self.image_root = finder, task.data.texts, dataset.image_root
        self.entity_ids, self.names = (dataset.entities[column].tolist() for column in ("id", "name"))
        self.mention_ids, self.images = (dataset.mentions[column].tolist() for column in ("id", "images"))
        self.starts, self.ends = (dataset.column("mentions", name).to_pylist() for name in ("start", "end"))

    def of(self, row: int, candidates: Rows, image_side: int | None = None) -> Case:
        """The case of a mention.

        Args:
            row: Of the mention.
            candidates: Rows [c] of the KB, the best first.
            image_side: Pixels of the longer side of its image; None: the judge reads none.
        """
        shown = (Candidate(self.entity_ids[each], self.names[each], self.texts[each]) for each in candidates.tolist())
        image = None if image_side is None else self._image(row, image_side)
        start, end = self.starts[row], self.ends[row]
        return Case(
            key=str(self.mention_ids[row]),
            mention=self.finder.mentions[row],
            context=self.finder.contexts[row],
            candidates=tuple(shown),
            image=image,
            span=None if start is None or end is None else (start, end),
        )

    def _image(self, row: int, side: int) -> Image.Image | None:
        """The first usable image of a mention, as a linker's judge sees it; None where there is none, which is said."""
        reasons = []
        for path in self.images[row]:
            try:
                return shrunk(load_image(self.image_root / path, self.image_root), side)
            except UnusableImageError as error:
                reasons.append(f"{path}: {error.reason}")
        if reasons:
            warn(f"note: the judge sees no image of {self.mention_ids[row]}: {'; '.join(reasons)[:200]}")
        return None


def fit_cross_encoder(
    run: Path,
    task: LinkingTask,
    finder: Finder,
    ranker: Ranker,
    training: Training,
    unseen: Unseen,
    start: str,
    how: CrossTraining,
    device: str,
) -> Path:
    """Trains a cross-encoder on lists of training mentions of which the ranker is least sure; writes RUN/cross_encoder.

    A ranker of folds scores each list by the network that did not see it. Of the mentions of tune, on which a judge's
    weights are learned, the cross-encoder sees none: where the ranker learned of them, it gets training mentions by the
    run's own vectors.
    """
    rows, lists = training.rows, training.lists
    folds: Rows | None = training.folds
    if unseen == "tune":
        rows = rows_in_kb(task, "train")
        lists, folds = finder.lists(task, rows, finder.other_golds(rows)), None
    scores = scores_of(ranker.network, lists, folds).astype(np.float64)
    chosen = hardest(lists, scores, ranker.temperature, how)
    cases, gold = RunCases(task, finder), []
    asked = []
    for place in chosen:
        start_of, order = lists.starts[place], best_places(lists, scores, place, how.top_k)
        asked.append(cases.of(int(rows[place]), lists.rows[start_of + order]))
        gold.append(int(np.flatnonzero(order == lists.gold[place])[0]))
    facts = {
        "run": content_hash(*sorted(task.data.fingerprints.values())),
        "kb_hash": task.data.dataset.kb_hash,
        "learned_of": "train, by folds" if unseen == "folds" else "train, by the run's own vectors",
    }
    return train_cross_encoder(start, run / CROSS_ENCODER, asked, gold, how, task.seed, device, facts)


def best_places(lists: Lists, scores: NDArray[np.float64], place: int, k: int) -> Rows:
    """The places [k] in a list of its best candidates, the best first."""
    own = scores[lists.starts[place] : lists.starts[place + 1]]
    found: Rows = np.argsort(-own, kind="stable")[:k]
    return found


def hardest(lists: Lists, scores: NDArray[np.float64], temperature: float, how: CrossTraining) -> Sequence[int]:
    """The lists that teach most: of those whose gold is among the best candidates those whose best is least probable.

    Args:
        lists: Of mentions whose entity the KB has.
        scores: [num_pairs], the ranker's, by networks that did not see the lists.
        temperature: The ranker's.
        how: How many candidates and lists.
    """
    sure = []
    for place in range(len(lists)):
        order = best_places(lists, scores, place, how.top_k)
        if len(order) < 2 or lists.gold[place] not in order:
            continue
        own = scores[lists.starts[place] : lists.starts[place + 1]]
        sure.append((float(softmax(own, temperature)[order[0]]), place))
    return [place for _, place in sorted(sure)[: how.most_lists]]
