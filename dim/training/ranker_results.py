"""What a ranker finds on a split, beside the vectors alone: ranks, calibration, NIL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from rich.table import Table

from dim.core import provenance
from dim.core.arrays import Rows
from dim.data.dataset import attributes_of
from dim.display.terminal import Console
from dim.evaluation.intervals import image_clusters
from dim.evaluation.metrics import summarize_ranks
from dim.evaluation.protocols import NIL_ROW, Ranked
from dim.evaluation.result_files import write_result
from dim.evaluation.results import measure, percent, print_results
from dim.evaluation.significance import paired_randomization
from dim.inference.places import read_config
from dim.reranker.calibration import NUM_BINS, calibration_error_by_chance, expected_calibration_error, reliability
from dim.reranker.features import FEATURES
from dim.reranker.finder import Finder
from dim.reranker.held_out import ATTRIBUTE
from dim.reranker.lists import Lists
from dim.reranker.nil import best_f1, linking_scores
from dim.reranker.ranker import OPTIONS, Judged, Ranker
from dim.search.scores import BATCH
from dim.training.answered import Answered
from dim.training.beside import ranks_beside_baselines
from dim.training.checkpoint import said_of
from dim.training.saved_run import identity_of_run
from dim.training.task import LinkingTask


def evaluate(run: Path, task: LinkingTask, finder: Finder, ranker: Ranker, split: str, out: Path) -> None:
    """Ranks a split by the run's own vectors and the ranker, writes what is found to `out`, and prints it."""
    answered = Answered.of_split(task, finder, ranker, split)
    print_written(task, *write_ranked(run, answered, answered.judged, out), out)


@dataclass(frozen=True)
class After:
    """What comes after the ranker.

    Attributes:
        name: `judge` or `collective`.
        found: What it found, for the results' `method`.
        options: What it was told, for the run's identity and options.
    """

    name: str
    found: Mapping[str, Any]
    options: Mapping[str, Any]


def write_ranked(
    run: Path, answered: Answered, judged: Sequence[Judged], out: Path, after: After | None = None
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Writes what is found of a split to `out`, with what needs no training and the vectors alone beside it.

    Args:
        run: The run's folder.
        answered: The split's mentions.
        judged: What is said of them: by the ranker, or by what comes after it.
        out: The folder.
        after: That; None: nothing does.

    Returns:
        The entry of metrics.json, and the rows of ranks.parquet.
    """
    task, ranker = answered.task, answered.ranker
    data, rows = task.data, torch.from_numpy(answered.rows)
    mentions = data.dataset.mentions.iloc[answered.rows]
    ranked = to_ranked(answered.lists, judged, answered.golds)
    frame = ranks_beside_baselines(data, rows, answered.split, ranked)
    with torch.inference_mode():
        vectors = Ranked.concatenate([task.rank(part.to(task.device)) for part in rows.split(BATCH)])
    kinds = [attributes_of(known).get(ATTRIBUTE) for known in mentions["attributes"]]
    method = describe(frame, vectors, ranker)
    method["nil"] = describe_nil(answered, judged, kinds)
    options: dict[str, Any] = {"rank": {name: ranker.facts[name] for name in OPTIONS if name in ranker.facts}}
    system = f"{type(task).__name__} + ranker"
    if after is not None:
        method[after.name], options[after.name], system = after.found, after.options, f"{system} + {after.name}"
    metrics = measure(
        data.dataset,
        frame,
        depth=max(1, int(np.diff(answered.lists.starts).max(initial=0))),
        answers_nil=ranker.nil_threshold is not None,
        model=type(task).__name__,
        system=system,
        features=data.fingerprints,
        missing_images=data.missing_images,
        seed=task.seed,
        chosen={},
        method=method,
        hardware=provenance.hardware(),
        checkpoint=task.checkpoint,
        config=read_config(run) | options,
    )
    of_ranker = {"ranker": options["rank"]} | ({} if after is None else {after.name: after.options})
    write_result(out, frame, metrics, identity_of_run(run, task) | of_ranker, of_owner=True)
    return metrics, frame


def print_written(task: LinkingTask, metrics: dict[str, Any], frame: pd.DataFrame, out: Path) -> None:
    """Prints what `write_ranked` wrote."""
    console, method = Console(), metrics["method"]
    print_results(console, metrics, frame)
    console.print(beside_vectors(method, "vectors" if task.scores_all else "language model"))
    if method["nil"] is not None:
        console.print(nil_table(method["nil"]))
    if task.checkpoint is not None:
        console.say(said_of(task.checkpoint), highlight=False)
    console.say(f"written: {out / 'metrics.json'}, {out / 'ranks.parquet'}")


def to_ranked(lists: Lists, judged: Sequence[Judged], golds: Rows) -> Ranked:
    """The ranker's answers, NIL first where it says so; where no gold is a candidate, it is missed.

    Args:
        lists: The candidates of n mentions.
        judged: What the ranker says of each.
        golds: [n, num_golds] KB rows, -1 as padding, and for NIL.
    """
    rows, scores = [], []
    for start, said in zip(lists.starts, judged, strict=False):
        ordered, values = lists.rows[start + said.order], said.probabilities[said.order]
        if said.says_nil:
            ordered, values = np.append(NIL_ROW, ordered), np.append(said.first_probability, values)
        rows.append(ordered)
        scores.append(values.astype(np.float32))
    return Ranked.from_lists(rows, scores, golds, np.array([said.first_probability for said in judged], np.float64))


def describe(frame: pd.DataFrame, vectors: Ranked, ranker: Ranker) -> dict[str, Any]:
    """What stands beside the ranker's figures: the vectors alone, seen and unseen entities, calibration.

    Args:
        frame: The ranker's, as `ranks_frame` gives it.
        vectors: The outcome of the vectors alone, in the same order.
        ranker: For its temperature.
    """
    in_kb = frame["gold"].notna().to_numpy()
    hit, before = (np.asarray(ranks)[in_kb] <= 1 for ranks in (frame["rank"], vectors.ranks))
    seen = frame["seen_in_train"].to_numpy(dtype=bool)[in_kb]
    clusters = image_clusters(frame["image"][in_kb], "mention " + frame["mention_id"][in_kb])
    probability = frame["probability"].to_numpy(dtype=np.float64)[in_kb]
    answered = np.isfinite(probability)
    return {
        "vectors": summarize_ranks(vectors.ranks[in_kb]),
        "top1": {
            "all": _pair(hit, before),
            "seen": _pair(hit[seen], before[seen]),
            "unseen": _pair(hit[~seen], before[~seen]),
        },
        "p": paired_randomization(hit, before, clusters=clusters),
        "calibration": {
            "measure": f"expected calibration error, {NUM_BINS} equal bins, mentions whose entity the KB has",
            "error": expected_calibration_error(probability[answered], hit[answered]),
            "by_chance": calibration_error_by_chance(probability[answered]),
            "bins": reliability(probability[answered], hit[answered]),
            "temperature": ranker.temperature,
        },
    }


def describe_nil(answered: Answered, judged: Sequence[Judged], kinds: Sequence[str | None]) -> dict[str, Any] | None:
    """F1 in the KB and of NIL, by the ranker's probability and by a plain score; None where nothing is NIL.

    Each at the threshold chosen on training mentions for the precision that was asked for (absent where none was, or
    where none reaches it), and at the threshold that would be best for NIL's F1 on these very mentions.

    Args:
        answered: n mentions.
        judged: What is said of each.
        kinds: [n], the kind of NIL (`dim.reranker.held_out`); None: not known.
    """
    ranker, is_nil = answered.ranker, ~answered.in_kb
    if not is_nil.any() or any(said.nil_probability is None for said in judged):
        return None
    right = answered.is_first(judged)
    labels = np.array([kind or "other" for kind in kinds], dtype=object)
    plain = ranker.facts.get("plain_threshold")
    systems = {
        "ranker": (np.array([said.nil_probability for said in judged]), ranker.nil_threshold),
        "plain score": (-best_vector(answered.lists), None if plain is None else -plain),
    }
    found: dict[str, Any] = {"n": int(is_nil.sum()), "precision": ranker.facts.get("nil_precision")}
    for name, (scores, threshold) in systems.items():
        best = best_f1(scores, is_nil)
        chosen = {"chosen": threshold, "best F1": best}
        found[name] = {
            which: linking_scores(scores >= value, is_nil, right, labels) | {"threshold": float(value)}
            for which, value in chosen.items()
            if value is not None
        }
    return found


def _pair(hit: NDArray[np.bool_], before: NDArray[np.bool_]) -> dict[str, float | int]:
    found = {
        name: float(values.mean()) if len(values) else float("nan")
        for name, values in (("ranker", hit), ("vectors", before))
    }
    return {"n": len(hit), **found}


def beside_vectors(method: dict[str, Any], what: str = "vectors") -> Table:
    """Top-1 of the ranker, and of a judge after it, beside the vectors alone, by what training saw, and calibration.

    Args:
        method: As `describe` gives it.
        what: Ranks where there is no ranker.
    """
    after = next((name for name in ("judge", "collective") if name in method), "")
    p, error, (_, most) = method["p"], method["calibration"]["error"], method["calibration"]["by_chance"]
    caption = f"p {p:.4f} (paired randomisation) · ECE {error:.3f} (up to {most:.3f} is chance)"
    table = Table(title=f"Top-1 beside the {what} alone", caption=caption)
    for heading in ("gold", "n", f"{what} only", "ranker" + (f", {after}" if after else "")):
        table.add_column(heading, justify="left" if heading == "gold" else "right")
    for name, label in (("all", "all"), ("seen", "seen in training"), ("unseen", "not seen")):
        part = method["top1"][name]
        table.add_row(label, f"{part['n']:,}", percent(part["vectors"]), percent(part["ranker"]))
    return table


def best_vector(lists: Lists) -> NDArray[np.float64]:
    """The highest score by vector of each list [n]; -inf for an empty list."""
    column = tuple(FEATURES).index("vectors")
    found: NDArray[np.float64] = lists.table(lists.features[:, column]).max(1, initial=-np.inf).astype(np.float64)
    return found


def nil_table(nil: dict[str, Any]) -> Table:
    """F1 in the KB and of NIL, the kinds of NIL apart."""
    kinds = [key.removeprefix("nil_f1_") for key in nil["ranker"]["best F1"] if key.startswith("nil_f1_")]
    wanted = "none" if nil["precision"] is None else f"{nil['precision']:g}"
    table = Table(title=f"NIL · {nil['n']:,} mentions · precision asked for: {wanted}")
    headings = {
        "in_kb_f1": "F1 in KB",
        "nil_precision": "precision",
        "nil_recall": "recall",
        "nil_f1": "F1",
        **{f"nil_f1_{kind}": f"F1 {kind}" for kind in kinds},
    }
    table.add_column("", no_wrap=True)
    for heading in headings.values():
        table.add_column(heading, justify="right")
    for which in ("chosen", "best F1"):
        for name in ("ranker", "plain score"):
            figures = nil[name].get(which, {})
            table.add_row(f"{name}, {which}", *(percent(figures.get(key)) for key in headings))
    return table
