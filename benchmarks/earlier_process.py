"""What a build of dim takes, in a process of its own on its code (`dim bench earlier`).

It reads a plan from stdin and writes what it measured on stdout; commit 09986a7 has all that it calls.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

Plan = dict[str, Any]
_WARM_UP = 10  # mentions before those that count


def link(plan: Plan) -> dict[str, Any]:
    """Milliseconds of each mention of `single`, and mentions a second of each batch of `batches`."""
    from dim import Linker

    linker = Linker.from_pretrained(plan["linker"], device="cpu")
    for question in plan["single"][:_WARM_UP]:
        linker.link(**question)
    each_ms = []
    for question in plan["single"]:
        start = perf_counter()
        linker.link(**question)
        each_ms.append(1000 * (perf_counter() - start))
    linker.link_batch(plan["batches"][0])
    rates = []
    for batch in plan["batches"]:
        start = perf_counter()
        linker.link_batch(batch)
        rates.append(len(batch) / (perf_counter() - start))
    p50, p99 = np.quantile(each_ms, [0.5, 0.99]).tolist()
    return {"p50": p50, "p99": p99, "batches": float(np.median(rates))}


def generate(plan: Plan) -> dict[str, Any]:
    """Mentions a second of GEMEL, and the id of each one's first answer."""
    import torch

    is_today = find_spec("dim.methods") is not None
    package = "dim.methods.generative" if is_today else "dim.generative"
    task_of, model_of, examples_of = (
        import_module(f"{package}.{name}") for name in ("module", "language_model", "examples")
    )
    runs = import_module("dim.training.saved_run" if is_today else "dim.saved_run")
    from dim.evaluation.protocols import Generative

    task = runs.open_run(Path(plan["run"]), "cpu")
    task.data.protocol = Generative()
    # As names were written before that could be chosen.
    options = {"bos": "never", "end": "eos", "name_tokens": "alone"} if is_today else {}
    gemel = task_of.GEMEL(
        model_of.LanguageModel(plan["language_model"], precision=plan["precision"]),
        examples_of.SimilarExamples(plan["examples"]),
        aliases=False,
        train_mapper=False,
        **options,
    )
    gemel.open_for_scoring(task.datamodule, None, task.device)
    dataset = task.data.dataset
    rows = torch.from_numpy(np.flatnonzero(dataset.mentions["id"].isin(plan["mentions"])))
    gemel.on_scoring_start()
    with torch.inference_mode():
        gemel.rank(rows[:1])  # loads what loads at the first use
        start = perf_counter()
        ranked = gemel.rank(rows).rows[:, 0].tolist()
        rate = len(rows) / (perf_counter() - start)
    ids = dataset.entities["id"].tolist()
    return {"generated": rate, "answers": [ids[row] if row >= 0 else None for row in ranked]}


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    found = (generate if "language_model" in asked else link)(asked)
    sys.stdout.write("\n" + json.dumps(found) + "\n")
