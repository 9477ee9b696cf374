"""Whether figures are still those of a run's weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dim.evaluation.result_files import BEST
from dim.training.checkpoint import weights_of


def changed_weights(folder: Path, metrics: dict[str, Any]) -> tuple[str, str] | None:
    """Why figures are not of the weights that their run has now, and what makes them anew; None: they are.

    Args:
        folder: Of the figures: a run, or in a run what its ranker found.
        metrics: The figures; of a method without weights they name no checkpoint.
    """
    checkpoint = metrics.get("checkpoint")
    if not isinstance(checkpoint, dict) or checkpoint.get("file") != BEST.as_posix():
        return None
    is_own = (folder / BEST).exists()
    run = folder if is_own else folder.absolute().parent
    now = weights_of(run)
    if now is None or now == checkpoint["weights"]:
        return None
    command = "test" if metrics.get("split") == "test" else "validate"
    remedy = f"dim {command} --config {run / 'config.yaml'}" if is_own else f"dim rank --run {run} --overwrite true"
    return f"its figures are of weights {checkpoint['weights']}; the run has others now ({now})", f"Run {remedy}"
