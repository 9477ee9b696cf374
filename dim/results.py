"""The files and the table that an evaluation leaves: ranks.parquet, metrics.json, predictions.jsonl."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pytorch_lightning import Callback, LightningModule, Trainer
from rich.console import Console
from rich.table import Table
from torch import Tensor

from dim import provenance
from dim.baselines import rank_by_frozen_vectors
from dim.datamodule import LinkingData
from dim.evaluation.floor import rank_by_name
from dim.evaluation.metrics import CUTOFFS, summarize_ranks
from dim.evaluation.protocols import Ranked
from dim.storage import atomic_path, write_json
from dim.task import LinkingTask

#: Key of `metrics.json` → heading of its column.
HEADINGS = {**{f"top{k}": f"Top-{k}" for k in CUTOFFS}, "mrr": "MRR"}
COLUMNS = list(HEADINGS)
#: The rows that stand beside every model: key of `metrics.json` → name.
BASELINES = {"floor": "names only (string floor)", "frozen": "frozen vectors (untrained)"}


class ResultWriter(Callback):
    """Writes what `validate`, `test` and `predict` found into the run's folder, and prints the table.

    `ranks.parquet` has one row a mention and `metrics.json` the metrics of the split evaluated last at its top
    level; both keep what was found on other splits (column `split`, key `splits`).
    """

    def __init__(self, run: Path, config: dict[str, Any]) -> None:
        self.run, self.config = run, config
        self._found: tuple[dict[str, Any], pd.DataFrame] | None = None

    def show(self) -> None:
        """Prints the table of what was evaluated last, once the progress bars are gone."""
        if self._found is not None:
            print_results(Console(), *self._found)
            Console().print(f"written: {self.run / 'metrics.json'}, {self.run / 'ranks.parquet'}", soft_wrap=True)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes dev's results (not those on tune, while fitting)."""
        if trainer.state.fn == "validate":
            self._write(trainer, pl_module, "dev")

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes test's results."""
        self._write(trainer, pl_module, "test")

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes one JSON line a mention: its id and the answers with names and scores."""
        assert isinstance(pl_module, LinkingTask)
        assert pl_module.ranked is not None
        path = self.run / "predictions.jsonl"
        frame = ranks_frame(pl_module.data, pl_module.evaluated_rows, pl_module.ranked)
        names = pl_module.data.dataset.entities.set_index("id")["name"]
        with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
            for mention_id, ids, scores in zip(frame["mention_id"], frame["top_ids"], frame["top_scores"], strict=True):
                answers = [{"id": i, "name": names[i], "score": round(s, 6)} for i, s in zip(ids, scores, strict=True)]
                file.write(json.dumps({"mention_id": mention_id, "answers": answers}, ensure_ascii=False) + "\n")
        Console().print(f"{len(frame):,} mentions answered: {path}")

    def _write(self, trainer: Trainer, task: LightningModule, split: str) -> None:
        assert isinstance(task, LinkingTask)
        assert task.ranked is not None
        data, rows = task.data, task.evaluated_rows
        gold, candidates = data.gold.cpu()[rows], data.candidates_of(rows)
        mentions = data.dataset.mentions.iloc[rows.numpy()]
        names = data.dataset.entities["name"].tolist()
        floor = rank_by_name(mentions["mention"].tolist(), names, gold, data.protocol, candidates)
        frozen = rank_by_frozen_vectors(data, rows)
        frame = ranks_frame(data, rows, task.ranked)
        frame.insert(4, "floor_rank", floor.ranks)
        frame.insert(5, "frozen_rank", frozen.ranks)
        frame.insert(1, "split", split)
        metrics = self._metrics(task, frame, split)
        write_results(self.run, frame, metrics)
        self._found = metrics, frame
        log_to_wandb(trainer, self.run, metrics)

    def _metrics(self, task: LinkingTask, frame: pd.DataFrame, split: str) -> dict[str, Any]:
        dataset, in_kb = task.data.dataset, frame["gold"].notna()
        return {
            **summarize_ranks(frame["rank"][in_kb]),
            "split": split,
            "n": int(in_kb.sum()),
            "num_nil": int((~in_kb).sum()),
            "dataset": dataset.name,
            "dataset_hash": dataset.hash,
            "kb_size": len(dataset.entities),
            "kb_hash": dataset.kb_hash,
            "protocol": task.data.protocol.name,
            "candidate_recall": float(frame["candidate_hit"][in_kb].mean()) if in_kb.any() else None,
            "ties": int((frame["ties"] > 0).sum()),
            "floor": summarize_ranks(frame["floor_rank"][in_kb]),
            "frozen": summarize_ranks(frame["frozen_rank"][in_kb]),
            "model": type(task).__name__,
            "features": task.data.fingerprints,
            "seed": task.seed,
            "commit": provenance.commit(),
            "versions": provenance.versions(),
            "hardware": provenance.hardware(),
            "config": self.config,
        }


def ranks_frame(data: LinkingData, rows: Tensor, ranked: Ranked) -> pd.DataFrame:
    """One row a mention: gold, rank, answers and the columns to break results down by.

    `probability` is null until a calibrated ranker gives one; `rank` is null for NIL and for a missed gold.
    """
    dataset = data.dataset
    mentions = dataset.mentions.iloc[rows.numpy()]
    ids = dataset.entities["id"].to_numpy(dtype=object)
    names = dataset.entities.set_index("id")["name"]
    trained = set(dataset.mentions.loc[dataset.mentions["split"] == "train", "entity_id"].dropna())
    gold = mentions["entity_id"].astype(object).where(mentions["entity_id"].notna(), None)
    gold_names = gold.map(names, na_action="ignore")
    return pd.DataFrame(
        {
            "mention_id": mentions["id"].to_numpy(),
            "gold": gold.to_numpy(),
            "rank": ranked.ranks,
            "candidate_hit": ranked.hits,
            "ties": ranked.ties,
            "top_ids": [ids[answers[answers >= 0]].tolist() for answers in ranked.rows],
            "top_scores": [s[r >= 0].tolist() for s, r in zip(ranked.scores, ranked.rows, strict=True)],
            "probability": np.full(len(mentions), np.nan),
            "protocol": data.protocol.name,
            "type": mentions["type"].to_numpy(),
            "seen_in_train": gold.isin(trained).to_numpy(),
            "mention_is_name": (mentions["mention"].str.casefold() == gold_names.str.casefold()).to_numpy(),
            "has_image": mentions["images"].map(len).to_numpy() > 0,
            "has_caption": mentions["caption"].notna().to_numpy(),
        }
    )


def write_results(run: Path, frame: pd.DataFrame, metrics: dict[str, Any]) -> None:
    """Writes or updates ranks.parquet and metrics.json; rows and metrics of other splits stay."""
    ranks_path, metrics_path = run / "ranks.parquet", run / "metrics.json"
    splits: dict[str, Any] = {}
    if metrics_path.exists() and ranks_path.exists():
        splits = json.loads(metrics_path.read_text(encoding="utf-8"))["splits"]
        old = pd.read_parquet(ranks_path)
        frame = pd.concat([old[old["split"] != metrics["split"]], frame], ignore_index=True)
    splits[metrics["split"]] = metrics
    with atomic_path(ranks_path) as temporary:
        frame.to_parquet(temporary, index=False)
    write_json(metrics_path, without_nan({**metrics, "splits": splits}))


def without_nan(value: Any) -> Any:
    """The value with null for NaN, which JSON has no word for."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


def print_results(console: Console, metrics: dict[str, Any], frame: pd.DataFrame) -> None:
    """Prints the run beside the string floor and the frozen vectors, and by mention type where there are types."""
    table = Table(title=title_of(metrics))
    table.add_column("")
    for heading in HEADINGS.values():
        table.add_column(heading, justify="right")
    rows = {name: metrics[key] for key, name in BASELINES.items()}
    rows[f"[bold]{metrics['model']} (this run, seed {metrics['seed']})"] = metrics
    for name, values in rows.items():
        table.add_row(name, *(percent(values[column]) for column in COLUMNS))
    console.print(table)
    types = frame["type"].dropna().unique()
    if 1 < len(types) <= 12:
        console.print(type_table(frame))
    notes = [
        f"candidate recall {percent(metrics['candidate_recall'])}",
        f"{metrics['ties']} ties, counted against the gold",
    ]
    if metrics["num_nil"]:
        notes.append(f"{metrics['num_nil']} NIL mentions not in these figures")
    console.print(" · ".join(notes), soft_wrap=True)


def title_of(metrics: dict[str, Any]) -> str:
    """What a figure must never stand without: dataset, split, protocol, KB and number of mentions."""
    head = f"{metrics['dataset']} · {metrics['split']} · {metrics['protocol']}"
    return f"{head} · KB {metrics['kb_size']:,} ({metrics['kb_hash'][:8]}) · n {metrics['n']:,}"


def type_table(frame: pd.DataFrame) -> Table:
    """Top-1 by mention type (the cells of the demo world)."""
    table = Table(title="Top-1 by type of mention")
    for column in ("type", "n", "names only", "frozen", "this run"):
        table.add_column(column, justify="left" if column == "type" else "right")
    for name, part in frame[frame["gold"].notna()].groupby("type"):
        shares = [percent(float((part[column] <= 1).mean())) for column in ("floor_rank", "frozen_rank", "rank")]
        table.add_row(str(name), f"{len(part):,}", *shares)
    return table


def percent(share: float | None) -> str:
    """A share as per cent with one decimal; n/a where there is none."""
    return "n/a" if share is None or math.isnan(share) else f"{100 * share:.1f}"


def log_to_wandb(trainer: Trainer, run: Path, metrics: dict[str, Any]) -> None:
    """Logs the table and the ranks (as an artifact) to each Weights & Biases logger of the trainer."""
    from pytorch_lightning.loggers import WandbLogger

    for logger in trainer.loggers:
        if isinstance(logger, WandbLogger):
            import wandb

            table = wandb.Table(columns=["system", *COLUMNS])
            for name, values in (("floor", metrics["floor"]), ("frozen", metrics["frozen"]), ("model", metrics)):
                table.add_data(name, *(values[column] for column in COLUMNS))
            split = metrics["split"]
            logger.experiment.log({f"{split}/results": table, **{f"{split}/{c}": metrics[c] for c in COLUMNS}})
            artifact = wandb.Artifact(f"ranks-{logger.experiment.id}", type="ranks")
            artifact.add_file(str(run / "ranks.parquet"))
            artifact.add_file(str(run / "metrics.json"))
            logger.experiment.log_artifact(artifact)
