"""`dim rank`: trains the ranker of a finished run, saves it with the run, and evaluates it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dim.cli.next_steps import say_next_of_run
from dim.collective.collective import FACT
from dim.core.command_line import command_line
from dim.core.known_classes import trusted_by
from dim.core.locks import folder_lock
from dim.core.output import check_target
from dim.core.progress import shown
from dim.display.lines import warn
from dim.display.terminal import Console, Text
from dim.errors import ConfigError
from dim.evaluation.result_files import JUDGED_FOLDER, RANKED_FOLDER, read_results
from dim.evaluation.results import results_kind
from dim.inference.places import RANKER_FOLDER, stated_config
from dim.judge.cross_training import CROSS_ENCODER as CROSS_ENCODERS
from dim.judge.cross_training import EPOCHS, MOST_LISTS, TOP_K, CrossTraining
from dim.linker.figures import is_of_ranker
from dim.reranker.features import FEATURES
from dim.reranker.finder import Finder
from dim.reranker.lists import Lists
from dim.reranker.nil import threshold_for
from dim.reranker.ranker import RANKER, Ranker
from dim.training.cases import CROSS_ENCODER, fit_cross_encoder
from dim.training.ranker_results import best_vector, evaluate
from dim.training.run_folder import COMPARED
from dim.training.saved_run import open_run
from dim.training.task import LinkingTask
from dim.training.unseen import Training, Unseen, training_lists, unseen_towers, usual

RANKED = results_kind("results of dim rank", lambda entry: str(entry.get("system")).endswith("+ ranker"))


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
    cross_encoder: str | None = None,
    cross_candidates: int = TOP_K,
    cross_lists: int = MOST_LISTS,
    cross_epochs: int = EPOCHS,
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
        cross_encoder: Trains a judge, too, for `dim judge`: a text encoder of Transformers, a folder or an id on the
            hub, that learns to read a mention beside a candidate. It is written to RUN/cross_encoder.
        cross_candidates: Of a list that it learns of, the best by the ranker.
        cross_lists: Lists that it learns of at most, those of which the ranker is least sure.
        cross_epochs: Rounds through them.

    Raises:
        ConfigError: The run's method scores no entities; `out` holds results; a share is out of range.
    """
    out = out or run / RANKED_FOLDER
    cross = CrossTraining(top_k=cross_candidates, most_lists=cross_lists, epochs=cross_epochs)
    _check(out, num_candidates, nil_precision, nil_share, overwrite)
    trusted, console = trusted_by(trust), Console()
    with folder_lock(run, "dim rank"), folder_lock(out, "dim rank"):
        check_target(out, RANKED, overwrite=overwrite)  # another process may have written it until now
        _make_room(run)
        task = open_run(run, device, dataset, trusted)
        unseen = _learned_of(task, unseen, split)
        finder = Finder(task, num_candidates)
        training = training_lists(finder, unseen_towers(run, task, folds, device, unseen), task.seed)
        ranker, plain_threshold = _fitted(finder, training, task.seed, nil_share, nil_precision)
        ranker.facts = {
            "num_candidates": num_candidates,
            "folds": folds,
            "seed": task.seed,
            "dataset": task.data.dataset.name,
            "kb_hash": task.data.dataset.kb_hash,
            "weights": None if task.checkpoint is None else task.checkpoint["weights"],
            "nil_precision": nil_precision,
            "nil_share": nil_share,
            "plain_threshold": plain_threshold,
            "calibration": f"temperature, on the {folds} folds of {'tune' if unseen == 'tune' else 'train'} left out",
        }
        if unseen != "folds":
            ranker.facts["unseen"] = unseen
        ranker.save(run / RANKER_FOLDER)
        evaluate(run, task, finder, ranker, split, out)
        console.say(f"the ranker: {run / RANKER_FOLDER}")
        _say_older(run, ranker, trusted, dataset)
        if cross_encoder is not None:
            made = fit_cross_encoder(run, task, finder, ranker, training, unseen, cross_encoder, cross, device)
            console.say(Text(f"the cross-encoder: {made}; next: {command_line(['judge', str(run)], trusted, dataset)}"))
        elif not (run / COMPARED).exists():  # dim compare goes on by itself
            say_next_of_run(task, run, stated_config(run), is_ranked=True, dataset=dataset)


def _say_older(run: Path, ranker: Ranker, trusted: Sequence[str], dataset: Path | None) -> None:
    """Says which results beside it are of a ranker that stood in its place before: reports go on showing them."""
    for name, command in ((JUDGED_FOLDER, "judge"), (FACT, "collective")):
        if not all(is_of_ranker(entry, ranker) for entry in read_results(run / name).of_own_weights):
            again = command_line([command, str(run), "--overwrite", "true"], trusted, dataset)
            warn(f"note: {run / name} is of the ranker that was here before; again: {again}")


def _learned_of(task: LinkingTask, unseen: Unseen | None, split: str) -> Unseen:
    """What the ranker learns of. Raises ConfigError where the run scores nothing, or that is what is evaluated."""
    if not (task.scores_all or task.scores_given):
        raise ConfigError("a run that scores entities", f"{type(task).__name__}, which scores none", "Name another.")
    unseen = unseen or usual(task)
    if unseen == split == "tune":
        raise ConfigError(
            "another split than the one that the ranker learns of (--unseen tune)",
            "--split tune",
            "Evaluate dev, or use --unseen folds.",
        )
    return unseen


def _fitted(
    finder: Finder, training: Training, seed: int, nil_share: float, nil_precision: float | None
) -> tuple[Ranker, float | None]:
    """The ranker, and the threshold that a plain score would have for NIL."""
    with shown("training the ranker", None):
        is_known = finder.golds[training.rows][:, 0] >= 0
        ranker = Ranker.fit(training.lists, training.folds, tuple(FEATURES), seed=seed, is_known=is_known)
        plain_threshold = _fit_nil(ranker, training, nil_share, nil_precision, seed)
    if nil_precision is not None and ranker.nil_threshold is None:
        Console().print(f"NIL: no threshold reaches a precision of {nil_precision:g}, so NIL is never answered")
    return ranker, plain_threshold


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
    """Makes sure that the ranker's folders may be replaced."""
    check_target(run / RANKER_FOLDER, RANKER, overwrite=True)
    check_target(run / CROSS_ENCODER, CROSS_ENCODERS, overwrite=True)


def _fit_nil(ranker: Ranker, training: Training, share: float, precision: float | None, seed: int) -> float | None:
    """Trains NIL and sets its threshold; gives the threshold of a plain score (the best one by vector) beside it."""
    lists = Lists.concatenate([training.lists, training.held_out])
    if not len(training.held_out):  # of a few mentions by chance none was drawn: NIL is then never answered
        return None
    is_nil = np.arange(len(lists)) >= len(training.lists)
    folds = np.concatenate([training.folds, training.folds_held_out])
    probabilities, weights = ranker.fit_nil(lists, folds, is_nil, share, seed=seed)
    if precision is None:
        return None
    ranker.choose_threshold(probabilities, is_nil, weights, precision)
    plain = threshold_for(-best_vector(lists), is_nil, precision, weights)
    return None if plain is None else -plain
