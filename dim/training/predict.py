"""Batch predict on a cluster: the mentions of a split, answered block by block by workers that hold model and KB."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dim.core.files import content_hash
from dim.core.jobs import Block, Plan, Workplace
from dim.core.ray_cluster import open_executor
from dim.display.terminal import Console
from dim.encoders.device import resolve_device
from dim.evaluation.protocols import NUM_ANSWERS, Ranked
from dim.evaluation.results import write_predictions
from dim.features.progress import shown_progress
from dim.inference.data import EVALUATION_BATCH, LinkingData
from dim.training.checkpoint import describe_checkpoint, file_in, read_checkpoint
from dim.training.datamodule import LinkingDataModule
from dim.training.identity import identity_of
from dim.training.task import LinkingTask

BLOCK_SIZE = 1024  #: Mentions a block.
WORKPLACE = ".predict"  #: In the run's folder, until all is answered.


class AnswerBlocks:
    """Answers blocks of mention rows: rows [n, 2 · 20] of KB rows (-1: none) and, beside them, their scores.

    The KB row of an answer stands as float32, which is exact up to 16,777,216 entities.

    Args:
        task: The method, not built yet: it is built where the first block is answered.
        datamodule: What is answered; features come from its cache.
        checkpoint: The trained weights; None for a method that has none.
    """

    def __init__(self, task: LinkingTask, datamodule: LinkingDataModule, checkpoint: Path | None) -> None:
        self.task, self.datamodule, self.checkpoint = task, datamodule, checkpoint

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.task, self.datamodule, self.checkpoint)

    @cached_property
    def opened(self) -> LinkingTask:
        """The task with weights and the KB's vectors."""
        self.task.open_for_scoring(self.datamodule, self.checkpoint, resolve_device("auto"))
        return self.task

    def __call__(self, inputs: Sequence[int], plan: Plan, pending: list[int]) -> Iterator[Block]:
        """The pending blocks of mention rows."""
        task = self.opened
        for index in pending:
            rows = torch.tensor([inputs[place] for place in plan.block(index)])
            with torch.inference_mode():
                parts = [task.rank(batch.to(task.device)) for batch in rows.split(EVALUATION_BATCH)]
            ranked = Ranked.concatenate(parts)
            width = ranked.rows.shape[1]
            answers = np.full((len(rows), 2 * NUM_ANSWERS), -1, np.float32)
            answers[:, :width] = ranked.rows
            answers[:, NUM_ANSWERS : NUM_ANSWERS + width] = ranked.scores
            yield Block(index, answers)


def predict_on_cluster(
    task: LinkingTask,
    datamodule: LinkingDataModule,
    config: Mapping[str, Any],
    checkpoint: Path | None,
    run: Path,
) -> None:
    """Writes the predictions of the split `predict_split`, computed where `datamodule.engine` says.

    Killed and called again, it goes on with the blocks that are missing; with other options it begins anew.

    Args:
        task: The method, not built yet.
        datamodule: What is answered.
        config: The configuration that both were made of.
        checkpoint: The trained weights; None for a method that has none.
        run: The run's folder.

    Raises:
        CheckpointError: The weights were trained on something else.
        ConfigError: No cluster can be reached.
    """
    datamodule.needs = task.needs
    data = datamodule.linking_data  # what is missing is embedded here, before any worker looks for it
    rows = datamodule.rows(datamodule.predict_split)
    plan = Plan(_key(task, data, config, checkpoint, rows), len(rows), 2 * NUM_ANSWERS, BLOCK_SIZE)
    work = Workplace(run / WORKPLACE, plan)
    compute = AnswerBlocks(task, datamodule, checkpoint)
    with (
        open_executor(datamodule.engine, datamodule.address) as executor,
        shown_progress("predict", work, Console(stderr=True)) as (advance, _),
    ):
        for block in executor.blocks(compute, rows.tolist(), plan, work.pending, advance):
            work.write(block)
    answers = np.load(work.matrix_path, allow_pickle=False)
    found, scores = np.hsplit(answers, 2)
    nothing = np.zeros(len(rows), dtype=np.int64)
    ranked = Ranked(np.full(len(rows), np.nan), nothing, nothing.astype(bool), found.astype(np.int64), scores)
    facts = None if checkpoint is None else describe_checkpoint(read_checkpoint(checkpoint), file_in(run, checkpoint))
    write_predictions(run, datamodule.predict_split, data.dataset, rows.numpy(), ranked, facts)
    shutil.rmtree(work.folder)


def _key(
    task: LinkingTask, data: LinkingData, config: Mapping[str, Any], checkpoint: Path | None, rows: torch.Tensor
) -> str:
    """A hash of all that the answers hang on."""
    facts = {
        "is": identity_of(config, data.fingerprints, task.parts()),
        # What makes no other run may move a close call, as the size of batches does in half precision.
        "model": config.get("model"),
        "seed": task.seed,  # of what is drawn: shuffled fields, weights that nothing trained
        "protocol": data.protocol.name,
        "dataset": data.dataset.hash,
    }
    weights = b"" if checkpoint is None else checkpoint.read_bytes()
    return content_hash(weights, json.dumps(facts, sort_keys=True, default=str), rows.numpy().tobytes())
