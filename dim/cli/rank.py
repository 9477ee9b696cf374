"""`dim rank`: trains the ranker of a finished run, saves it with the run, and evaluates it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dim.core.known_classes import trusted_by
from dim.core.locks import folder_lock
from dim.core.output import check_target
from dim.core.progress import shown
from dim.display.terminal import Console
from dim.errors import ConfigError
from dim.evaluation.results import results_kind
from dim.reranker.features import FEATURES
from dim.reranker.finder import Finder
from dim.reranker.lists import Lists
from dim.reranker.nil import threshold_for
from dim.reranker.ranker import RANKER, Ranker
from dim.training.crossfit import caption_folds, cross_fit
from dim.training.ranker_results import best_vector, evaluate
from dim.training.saved_run import open_run
from dim.training.task import LinkingTask

FOLDER, FOLDS = "ranker", "ranker-folds"  #: Of a run, where its ranker is, and where the folds are that it was made of.
RANKED = results_kind("results of dim rank", lambda entry: str(entry.get("system")).endswith("+ ranker"))
ENOUGH = 500  #: Mentions of tune. Of 72 one of GEMEL learned to be worse and too sure (docs/how_to/generative.md).
NIL_SHARE_OF_TRAINING = 0.3  #: Of the training mentions, how many are seen once more with their gold held out.

Rows = NDArray[np.int64]
#: Which mentions, that its vectors have not seen, a ranker learns of: all of train, by folds, or those of `tune`.
Unseen = Literal["folds", "tune"]


def rank(
    run: Path,
    folds: int = 5,
    num_candidates: int = 16,
    split: str = "dev",
    nil_precision: float | None = None,
    nil_share: float = 0.1,
    out: Path | None = None,
    device: str = "auto",
    dataset: Path | None = None,
    overwrite: bool = False,
    trust: str | None = None,
    unseen: Unseen | None = None,
) -> None:
    """Trains a ranker over candidates of dense and lexical search, saves it in RUN/ranker, and evaluates it.

    The run's method is fitted again with each fold of the training captions left out (found again in RUN/ranker-folds
    when the command is repeated), because vectors that saw a mention say nothing of what they do on a new one. With
    `--unseen tune` the ranker learns of the split tune instead, and nothing is fitted.

    Args:
        run: A finished run.
        folds: Into how many parts the captions are cut.
        num_candidates: How many candidates come from the vectors (of GEMEL: the names that it writes, as many as it has
            beams), and how many from the names.
        split: What is evaluated.
        nil_precision: Answer NIL (the KB has no such entity) where that is right in so large a share; None: never.
        nil_share: The share of mentions whose entity the KB lacks, as expected in use.
        out: Folder for the ranks and metrics, that `dim report` compares with the run's own; by default RUN/ranked.
        device: Where the vectors are computed.
        dataset: Where the run's dataset stands now, if it has moved.
        overwrite: Whether to replace results in `out`, which this command wrote.
        trust: Packages, separated by commas, whose classes the run may name beside dim's; they are imported.
        unseen: What the ranker learns of. `folds`: the training mentions, as said. `tune`: by the run's own vectors the
            mentions by which it chose its epoch, fewer of them, and nothing is fitted again. By default `folds`; and
            `tune`, where that has 500 mentions at least, if the run trained an encoder, which takes as long again for
            each fold, or asks a language model, which scores the names of some 20 candidates a mention.

    Raises:
        ConfigError: The run's method scores no entities; `out` holds results; a share is out of range.
    """
    out = out or run / "ranked"
    _check(out, num_candidates, nil_precision, nil_share, overwrite)
    with folder_lock(run, "dim rank"), folder_lock(out, "dim rank"):
        check_target(out, RANKED, overwrite=overwrite)  # another process may have written it until now
        _make_room(run)
        _rank(
            run, folds, num_candidates, split, nil_precision, nil_share, out, device, dataset, trusted_by(trust), unseen
        )


def _rank(
    run: Path,
    folds: int,
    num_candidates: int,
    split: str,
    nil_precision: float | None,
    nil_share: float,
    out: Path,
    device: str,
    dataset: Path | None,
    trusted: tuple[str, ...],
    unseen: Unseen | None,
) -> None:
    task = open_run(run, device, dataset, trusted)
    if not (task.scores_all or task.scores_given):
        raise ConfigError("a run that scores entities", f"{type(task).__name__}, which scores none", "Name another.")
    unseen = unseen or _usual(task)
    if unseen == split == "tune":
        raise ConfigError(
            "another split than the one that the ranker learns of (--unseen tune)",
            "--split tune",
            "Evaluate dev, or use --unseen folds.",
        )
    console = Console()
    finder = Finder(task, num_candidates)
    training = _training_lists(finder, _towers(run, task, folds, device, unseen), task.seed)
    with shown("training the ranker", None):
        ranker = Ranker.fit(training.lists, training.folds, tuple(FEATURES), seed=task.seed)
        thresholds = _fit_nil(ranker, training, nil_share, nil_precision, task.seed)
    if nil_precision is not None and ranker.nil_threshold is None:
        console.print(f"NIL: no threshold reaches a precision of {nil_precision:g}, so NIL is never answered")
    ranker.facts = {
        "num_candidates": num_candidates,
        "folds": folds,
        "seed": task.seed,
        "dataset": task.data.dataset.name,
        "kb_hash": task.data.dataset.kb_hash,
        "weights": None if task.checkpoint is None else task.checkpoint["weights"],
        "nil_precision": nil_precision,
        "nil_share": nil_share,
        "plain_threshold": thresholds,
        "calibration": f"temperature, on the {folds} folds of {'tune' if unseen == 'tune' else 'train'} left out",
    }
    if unseen != "folds":  # which rankers of before learned of, all of them
        ranker.facts["unseen"] = unseen
    ranker.save(run / FOLDER)
    evaluate(run, task, finder, ranker, split, out)
    console.print(f"the ranker: {run / FOLDER}", soft_wrap=True)


@dataclass(frozen=True)
class Training:
    """Lists of what the ranker learns of, by vectors that did not see it, and again with the golds held out.

    Attributes:
        lists: Of all of them; of several golds they hold the first at most.
        folds: [len(lists)], the fold of each.
        held_out: Of some of them, as if the KB lacked the gold, or all of its surname.
        folds_held_out: [len(held_out)].
    """

    lists: Lists
    folds: Rows
    held_out: Lists
    folds_held_out: Rows


def _usual(task: LinkingTask) -> Unseen:
    is_costly = bool(len(task.trained_encoders)) or not task.scores_all
    return "tune" if is_costly and len(task.datamodule.rows("tune")) >= ENOUGH else "folds"


def _training_lists(finder: Finder, towers: Iterable[tuple[Rows, LinkingTask]], seed: int) -> Training:
    generator = np.random.default_rng(seed)
    parts, copies = [], []
    for rows, tower in towers:
        parts.append(finder.lists(tower, rows, finder.other_golds(rows)))
        drawn = rows[generator.random(len(rows)) < NIL_SHARE_OF_TRAINING]
        copies.append(finder.lists(tower, drawn, finder.hold_out(drawn, generator)))
    folds, folds_held_out = (
        np.repeat(np.arange(len(found)), [len(part) for part in found]) for found in (parts, copies)
    )
    return Training(Lists.concatenate(parts), folds, Lists.concatenate(copies), folds_held_out)


def _check(out: Path, num_candidates: int, nil_precision: float | None, nil_share: float, overwrite: bool) -> None:
    check_target(out, RANKED, overwrite=overwrite)
    with folder_lock(out, "dim rank"):
        pass  # that it cannot be written is found out now, not when the folds are fitted
    if num_candidates < 1:
        raise ConfigError("at least 1 candidate", str(num_candidates), "Raise --num_candidates.")
    for name, value in (("nil_precision", nil_precision), ("nil_share", nil_share)):
        if value is not None and not 0 < value < 1:
            raise ConfigError(f"--{name} between 0 and 1", str(value), "Change it, such as 0.9.")


def _make_room(run: Path) -> None:
    """Moves the folds of an older version out of the ranker's folder, and makes sure that this may be replaced."""
    older = run / FOLDER / "folds"
    if older.exists() and not (run / FOLDS).exists():
        older.rename(run / FOLDS)
    check_target(run / FOLDER, RANKER, overwrite=True)


def _towers(
    run: Path, task: LinkingTask, folds: int, device: str, unseen: Unseen
) -> Iterable[tuple[Rows, LinkingTask]]:
    if unseen == "tune":
        rows = task.datamodule.rows("tune").numpy()
        rows = rows[task.data.gold.cpu().numpy()[rows] >= 0]
        if not len(rows):
            raise ConfigError("mentions of tune whose entity the KB has", "none", "Use --unseen folds.")
        of_fold = caption_folds(task, rows, folds)
        Console().print(f"the ranker learns of {len(rows):,} mentions of tune, which no weights saw", soft_wrap=True)
        return ((rows[of_fold == fold], task) for fold in range(folds))
    if task.is_trained:
        return cross_fit(run, task, run / FOLDS, folds, device)
    # Without weights there is nothing that could have seen a mention.
    return ((rows, task) for rows in np.array_split(task.datamodule.train_rows().numpy(), folds))


def _fit_nil(ranker: Ranker, training: Training, share: float, precision: float | None, seed: int) -> float | None:
    """Trains NIL and sets its threshold; gives the threshold of a plain score (the best one by vector) beside it."""
    lists = Lists.concatenate([training.lists, training.held_out])
    is_nil = np.arange(len(lists)) >= len(training.lists)
    folds = np.concatenate([training.folds, training.folds_held_out])
    probabilities, weights = ranker.fit_nil(lists, folds, is_nil, share, seed=seed)
    if precision is None:
        return None
    ranker.choose_threshold(probabilities, is_nil, weights, precision)
    plain = threshold_for(-best_vector(lists), is_nil, precision, weights)
    return None if plain is None else -plain
