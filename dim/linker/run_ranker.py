"""The ranker of a run, if it belongs to the run's weights."""

from __future__ import annotations

from pathlib import Path

from dim.display.log import log
from dim.reranker.ranker import RANKER, Ranker
from dim.training.saved_run import check_weights
from dim.training.task import LinkingTask

LOG = log("dim")


def ranker_of_run(run: Path, task: LinkingTask) -> Ranker | None:
    """The ranker that `dim rank` saved with a run; None where there is none.

    Args:
        run: Its folder.
        task: Its method, opened.

    Raises:
        CheckpointError: It was trained on other weights, or it is damaged.
    """
    folder = run / "ranker"
    if not RANKER.stands_at(folder):
        return None
    ranker = Ranker.load(folder)
    again = f"dim rank --run {run} --overwrite true"
    if "weights" not in ranker.facts:
        LOG.warning("%s: an older version did not record whose weights it goes with; %s makes it sure", folder, again)
    weights = ranker.facts.get("weights")
    check_weights(f"a ranker at {folder}", weights, task, f"Run {again}; without {folder} the vectors alone rank.")
    return ranker
