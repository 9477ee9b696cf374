"""The ranker of a run, if it belongs to the run's weights."""

from __future__ import annotations

from pathlib import Path

from dim.errors import CheckpointError
from dim.inference.method import Method
from dim.inference.places import RANKER_FOLDER
from dim.reranker.ranker import RANKER, Ranker


def ranker_of_run(run: Path, task: Method) -> Ranker | None:
    """The ranker that `dim rank` saved with a run; None where there is none.

    Raises:
        CheckpointError: It was trained on other weights, or it is damaged.
    """
    folder = run / RANKER_FOLDER
    if not RANKER.stands_at(folder):
        return None
    ranker = Ranker.load(folder)
    again = f"dim rank --run {run} --overwrite true"
    remedy = f"Run {again}; without {folder} the vectors alone rank."
    check_weights(f"a ranker at {folder}", ranker.facts.get("weights"), task, remedy)
    return ranker


def check_weights(derived: str, weights: str | None, task: Method, remedy: str) -> None:
    """Refuses what was derived from a run before its weights changed.

    Args:
        derived: What it is, such as "the ranker at runs/a/ranker".
        weights: The hash of the weights that it says it belongs to; None: of a method without.
        task: The run's method, opened.
        remedy: What makes it anew.

    Raises:
        CheckpointError: It belongs to other weights.
    """
    now = None if task.checkpoint is None else task.checkpoint["weights"]
    if weights != now:
        raise CheckpointError(
            f"{derived} made with the run's weights ({now})", f"one of other weights ({weights})", remedy
        )
