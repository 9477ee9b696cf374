"""Makes a ranker that dim ships: that of a run, judged on another run's dev, which it has not seen.

    python -m dim fit --config baselines/frozen_text --data.root data/wikimel --run runs/frozen
    python -m dim rank --run runs/frozen
    python -m dim fit --config baselines/frozen_text --data.root data/richpediamel --run runs/unseen
    python tests/shipped_rankers.py runs/frozen runs/unseen vectors WikiMEL RichpediaMEL

and the same of `baselines/names` as `names`.
"""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dim.evaluation.protocols import Ranked
from dim.evaluation.result_files import read_results
from dim.reranker.calibration import expected_calibration_error
from dim.reranker.finder import Finder
from dim.reranker.ranker import Ranker
from dim.reranker.shipped import FOLDER, ORIGIN
from dim.search.scores import BATCH
from dim.training.saved_run import open_run


def figures(run: Path, ranker: Ranker, split: str = "dev") -> dict[str, Any]:
    """Top-1 of the ranker, of the run's own scores and of names alone, and the ranker's calibration error."""
    task = open_run(run, "cpu")
    finder, rows = Finder(task, ranker.facts["num_candidates"]), task.datamodule.rows(split)
    lists, golds = finder.lists(task, rows.numpy()), finder.golds[rows.numpy()][:, 0]
    said = []
    for start, end, judged in zip(lists.starts[:-1], lists.starts[1:], ranker.judge(lists), strict=True):
        best, missing = judged.order[0], judged.nil_probability or 0.0
        said.append((lists.rows[start:end][best], judged.probabilities[best] * (1 - missing)))
    first, probability = map(np.array, zip(*said, strict=True))
    with torch.inference_mode():
        own = Ranked.concatenate([task.rank(part) for part in rows.split(BATCH)])
    return {
        "split": split,
        "n": len(rows),
        "kb_size": len(task.data.dataset.entities),
        "top1": round(float((first == golds).mean()), 4),
        "top1_of_its_scores": round(float((own.ranks <= 1).mean()), 4),
        "calibration_error": round(expected_calibration_error(probability, first == golds), 4),
    }


def main(run: str, unseen: str, name: str, data: str, of_unseen: str) -> None:
    """Writes the ranker of a run into the package."""
    ranker = Ranker.load(Path(run) / "ranker")
    # How often a KB lacks an entity is its own; and an alias, of which WikiMEL has none, looked like that.
    ranker.nil = None
    task = open_run(Path(run), "cpu")
    encoder = task.datamodule.choices.text_encoder
    ranker.facts[ORIGIN] = {
        "data": data,
        "trained_on": f"train, {len(task.datamodule.train_rows()):,} mentions, by dim rank of {type(task).__name__}",
        "encoder": None if encoder is None else encoder.fingerprint,
        "commit": next(iter(read_results(Path(run) / "ranked").entries.values()))["commit"],
        "date": datetime.now(UTC).date().isoformat(),
        "figures": {data: figures(Path(run), ranker), of_unseen: figures(Path(unseen), ranker)},
    }
    ranker.save(FOLDER / name)


if __name__ == "__main__":
    main(*sys.argv[1:])
