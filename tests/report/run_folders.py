"""Run folders with given ranks, in the real format."""

import numpy as np
import pandas as pd

from dim.evaluation.metrics import summarize_ranks
from dim.evaluation.result_files import FORMAT, write_result
from dim.training.identity import identity_of
from dim.training.saved_run import classes_of_runs

CONTROLS = ("leave_out", "shuffle", "blank")

#: Facts that the runs of these tests share.
FACTS = {
    "format": FORMAT, "system": None, "num_nil": 0, "dataset": "d", "dataset_hash": "h", "dataset_folder": None,
    "kb_size": 9, "kb_hash": "k" * 16, "protocol": "full_kb", "candidate_recall": 1.0, "ties": 0, "model": "DIM",
    "features": {"entity_text": "brief", "text_hash": "t"}, "seed": 0, "commit": "c0ffee", "versions": {"dim": "1"},
    "hardware": "a machine", "config": {"data": {"root": "d", "entity_text": "brief"}},
}  # fmt: skip


def make_run(folder, ranks, *, split="dev", columns=None, **facts):
    """Writes a run; `columns` are added to ranks.parquet (None takes one away), `facts` to metrics.json."""
    frame = make_ranks(ranks, split) | (columns or {})
    frame = pd.DataFrame({name: values for name, values in frame.items() if values is not None})
    in_kb = frame["gold"].notna()
    floor = {key: summarize_ranks(frame[f"{key}_rank"][in_kb]) for key in ("floor", "frozen") if f"{key}_rank" in frame}
    metrics = {**FACTS, **summarize_ranks(frame["rank"][in_kb]), **floor, "split": split, "n": int(in_kb.sum())}
    folder.mkdir(parents=True, exist_ok=True)
    identity = facts.pop("identity", identity_by_options({**metrics, **facts}))
    metrics |= facts
    write_result(folder, frame.assign(protocol=metrics["protocol"]), metrics, identity)
    return folder


def identity_by_options(metrics):
    """What a run with these facts would record of itself."""
    classes_of_runs()  # imports what its configuration names
    config = metrics["config"]
    controls = {name: ", ".join(config["data"][name]) for name in CONTROLS if config.get("data", {}).get(name)}
    model = (metrics.get("method") or {}).get("language_model") or {}
    parts = {"language_model": model["fingerprint"]} if "fingerprint" in model else {}
    found = identity_of(config, controls | metrics["features"], parts)
    found |= {"ranker": config["rank"]} if "rank" in config else {}
    return found | {name: metrics[name] for name in ("model", "system") if metrics.get(name)}


def make_ranks(ranks, split):
    n = len(ranks)
    return {
        "mention_id": [f"m{i:04d}" for i in range(n)], "split": split, "gold": ["e"] * n,
        "rank": np.asarray(ranks, dtype=float), "candidate_hit": ~np.isnan(np.asarray(ranks, dtype=float)),
        "floor_rank": [2.0] * n, "frozen_rank": [1.0 if i % 3 else 4.0 for i in range(n)], "ties": [0] * n,
        "top_ids": [["e", "f"]] * n, "top_scores": [[0.9, 0.8]] * n, "probability": [np.nan] * n,
        "protocol": "full_kb", "type": [None] * n, "seen_in_train": [i % 2 == 0 for i in range(n)],
        "mention_is_name": [i % 4 == 0 for i in range(n)], "ambiguity": [(0, 1, 3, 7)[i % 4] for i in range(n)],
        "popularity": [None] * n, "has_image": [True] * n, "has_caption": [False] * n,
        "image": [f"img{i // 2}.jpg" for i in range(n)],
    }  # fmt: skip
