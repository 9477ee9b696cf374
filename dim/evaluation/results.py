"""What an evaluation finds, whoever made it: rows for ranks.parquet, an entry of metrics.json, a printed table."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from rich.table import Table

from dim.core import provenance
from dim.core.checksums import sha256
from dim.core.files import atomic_path, json_text, regular
from dim.core.folder_files import peek_json
from dim.core.output import Kind
from dim.data.dataset import NIL, Dataset
from dim.data.missing_images import missing_sentence
from dim.display.counts import count_of
from dim.display.terminal import Console, Text
from dim.evaluation import breakdown
from dim.evaluation.metrics import CUTOFFS, measure_nil, summarize_ranks
from dim.evaluation.protocols import Ranked
from dim.evaluation.result_files import FORMAT, METRICS, RANKS

#: Key of `metrics.json` → heading of its column.
HEADINGS = {**{f"top{k}": f"Top-{k}" for k in CUTOFFS}, "mrr": "MRR"}
COLUMNS = list(HEADINGS)
#: The rows that stand beside every model: key of `metrics.json` → name; some only where there are aliases, or vectors.
BASELINES = {
    "floor": "names only (string floor)",
    "alias_floor": "names and aliases (floor)",
    "frozen": "frozen vectors (untrained)",
}


def ranks_frame(
    dataset: Dataset,
    mentions: pd.DataFrame,
    *,
    split: str,
    protocol: str,
    ranked: Ranked,
    beside: Mapping[str, Ranked],
) -> pd.DataFrame:
    """The table `ranks.parquet`: one row a mention with gold, rank, answers and the columns to break results down by.

    `rank` is null for NIL and for a gold that was missed; `probability` is null where the method has no word for it.

    Args:
        dataset: The dataset.
        mentions: The evaluated rows of its mentions.
        split: Their split.
        protocol: What they were ranked against.
        ranked: The outcome, in the same order.
        beside: That of baselines, by their keys in `BASELINES`.
    """
    ids, scores = ranked.answers(dataset)
    columns = {
        "mention_id": mentions["id"].to_numpy(),
        "split": split,
        "gold": mentions["entity_id"].astype(object).where(mentions["entity_id"].notna(), None).to_numpy(),
        "rank": ranked.ranks,
        "candidate_hit": ranked.hits,
        **{f"{key}_rank": beside[key].ranks for key in BASELINES if key in beside},
        "ties": ranked.ties,
        "top_ids": ids,
        "top_scores": scores,
        "probability": np.full(len(mentions), np.nan) if ranked.probability is None else ranked.probability,
        "protocol": protocol,
    }
    described = breakdown.describe(dataset, mentions).reset_index(drop=True)
    return pd.concat([pd.DataFrame(columns), described], axis=1)


def measure(
    dataset: Dataset, frame: pd.DataFrame, *, depth: int | None = None, answers_nil: bool = False, **facts: Any
) -> dict[str, Any]:
    """The entry of a split and protocol in `metrics.json`.

    Args:
        dataset: The dataset.
        frame: What `ranks_frame` gives.
        depth: How many answers a mention the system gives at most: Top-k beyond is NaN. None: it ranks everything.
        answers_nil: Whether the system may answer NIL.
        **facts: Where the result comes from: model, system, features, seed, hardware, config …
    """
    in_kb = frame["gold"].notna()
    beside = {key: summarize_ranks(frame[f"{key}_rank"][in_kb]) for key in BASELINES if f"{key}_rank" in frame}
    hits = frame["candidate_hit"][in_kb]
    return {
        "format": FORMAT,
        **summarize_ranks(frame["rank"][in_kb], depth),
        "split": str(frame["split"].iloc[0]),
        "n": int(in_kb.sum()),
        "num_nil": int((~in_kb).sum()),
        "dataset": dataset.name,
        "dataset_hash": dataset.hash,
        "dataset_folder": str(dataset.root.resolve()),
        "kb_size": len(dataset.entities),
        "kb_hash": dataset.kb_hash,
        "protocol": str(frame["protocol"].iloc[0]),
        "depth": depth,
        "nil": measure_nil(~in_kb, said_nil(frame)) if answers_nil else None,
        "candidate_recall": float(hits.mean()) if in_kb.any() and hits.notna().all() else None,
        "ties": int((frame["ties"] > 0).sum()),
        **beside,
        **({} if "frozen" in beside else {"frozen": None}),
        "commit": provenance.commit(),
        "versions": provenance.versions(),
        **facts,
    }


def said_nil(frame: pd.DataFrame) -> NDArray[np.bool_]:
    """Which mentions [n] of `ranks_frame` were first answered by NIL."""
    return np.array([len(ids) > 0 and ids[0] == NIL for ids in frame["top_ids"]], dtype=bool)


RESULTS = (METRICS, RANKS)  #: The files of an evaluation.


def results_kind(name: str, is_ours: Callable[[dict[str, Any]], bool]) -> Kind:
    """Folders with results of one command and no other, for `dim.core.output`.

    Args:
        name: What they are called.
        is_ours: Tells them by the metrics of a split.
    """

    def stands_at(run: Path) -> bool:
        try:
            found = peek_json(run / "metrics.json", dict[str, Any])
            entries = [found, *found.get("splits", {}).values()]
            entries += [entry for by_protocol in found.get("results", {}).values() for entry in by_protocol.values()]
            verdicts = [is_ours(entry) for entry in entries if "model" in entry]
            return bool(verdicts) and all(verdicts)
        except (OSError, ValueError, AttributeError, TypeError):
            return False

    return Kind(name, stands_at, lambda _: RESULTS, left_in=_left_ranks)


def _left_ranks(run: Path) -> list[str]:
    """The ranks that have no metrics yet: whoever wrote them was killed in between."""
    try:
        columns = set(pq.read_schema(regular(run / RANKS)).names)
    except (OSError, ValueError, pa.ArrowException):
        return []
    return [RANKS] if {"mention_id", "gold", "rank", "protocol"} <= columns else []


def write_predictions(
    run: Path,
    split: str,
    dataset: Dataset,
    rows: NDArray[np.int64],
    ranked: Ranked,
    checkpoint: Mapping[str, Any] | None,
) -> None:
    """Writes predictions/SPLIT.jsonl: a line a mention with its id and the answers, best first, names and scores.

    SPLIT.json beside it says whose they are, with their SHA-256.

    Args:
        run: The run's folder.
        split: What was answered.
        dataset: What it is of.
        rows: [n], rows of its mentions.
        ranked: The outcome, in the same order.
        checkpoint: The weights that answered (`dim.training.checkpoint`); None: a method without.
    """
    path = run / "predictions" / f"{split}.jsonl"
    mention_ids = dataset.mentions["id"].iloc[rows]
    names = dataset.entities.set_index("id")["name"]
    facts = {"split": split, "dataset_hash": dataset.hash, "checkpoint": checkpoint}
    # Both are written before either gets its name: a full disk leaves both as they were.
    with atomic_path(path) as answers_file, atomic_path(path.with_suffix(".json")) as facts_file:
        with answers_file.open("w", encoding="utf-8") as file:
            for mention_id, ids, scores in zip(mention_ids, *ranked.answers(dataset), strict=True):
                answers = [
                    {"id": i, "name": NIL if i == NIL else names[i], "score": round(s, 6)}
                    for i, s in zip(ids, scores, strict=True)
                ]
                file.write(json.dumps({"mention_id": mention_id, "answers": answers}, ensure_ascii=False) + "\n")
        facts["sha256"] = sha256(answers_file)
        facts_file.write_text(json_text(facts), encoding="utf-8")
    Console().say(f"{count_of(len(mention_ids), 'mention')} answered: {path}")


def print_results(console: Console, metrics: dict[str, Any], frame: pd.DataFrame) -> None:
    """Prints the run beside the baselines, and by mention type where there are types."""
    table = Table(title=title_of(metrics))
    table.add_column("")
    for heading in HEADINGS.values():
        table.add_column(heading, justify="right")
    seed = "" if metrics["seed"] is None else f", seed {metrics['seed']}"
    rows = [(Text(name), metrics[key]) for key, name in BASELINES.items() if metrics.get(key) is not None]
    rows.append((Text(f"{metrics['system'] or metrics['model']} (this run{seed})", "bold"), metrics))
    for name, values in rows:
        table.add_row(name, *(percent(values[column]) for column in COLUMNS))
    console.print(table)
    types = frame["type"].dropna().unique()
    if 1 < len(types) <= 12:
        console.print(type_table(frame))
    notes = [
        f"candidate recall {percent(metrics['candidate_recall'])}",
        f"{metrics['ties']} ties, counted {'for' if 'injected' in metrics['protocol'] else 'against'} the gold",
    ]
    if metrics["num_nil"]:
        notes.append(f"{metrics['num_nil']} NIL mentions not in these figures")
    if metrics["nil"] is not None:
        notes.append("NIL: " + ", ".join(f"{name} {percent(value)}" for name, value in metrics["nil"].items()))
    console.say(" · ".join(notes))
    if note := missing_sentence(metrics.get("missing_images") or {}):
        console.say(note)


def title_of(metrics: dict[str, Any]) -> str:
    """What a figure must never stand without: dataset, split, protocol, KB and number of mentions."""
    head = f"{metrics['dataset']} · {metrics['split']} · {metrics['protocol']}"
    return f"{head} · KB {metrics['kb_size']:,} ({metrics['kb_hash'][:8]}) · n {metrics['n']:,}"


def type_table(frame: pd.DataFrame) -> Table:
    """Top-1 by mention type (the cells of the demo world)."""
    table = Table(title="Top-1 by type of mention")
    ranks = {"floor_rank": "names only", "alias_floor_rank": "and aliases", "frozen_rank": "frozen", "rank": "this run"}
    ranks = {column: heading for column, heading in ranks.items() if column in frame}
    for heading in ("type", "n", *ranks.values()):
        table.add_column(heading, justify="left" if heading == "type" else "right")
    for name, part in frame[frame["gold"].notna()].groupby("type"):
        shares = [percent(float((part[column] <= 1).mean())) for column in ranks]
        table.add_row(str(name), f"{len(part):,}", *shares)
    return table


def percent(share: float | None) -> str:
    """A share as per cent with one decimal; n/a where there is none."""
    return "n/a" if share is None or math.isnan(share) else f"{100 * share:.1f}"
