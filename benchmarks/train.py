"""`dim bench train`: an epoch of `fit` against a bare PyTorch loop over the same tensors."""

from __future__ import annotations

import copy
import logging
import time
import warnings
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import pandas as pd
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from rich.table import Table
from torch import Tensor

from benchmarks.clock import say_measured
from dim.data.dataset import write_dataset
from dim.display.log import quieten
from dim.display.terminal import Console
from dim.encoders.tiny import TinyTextEncoder
from dim.evaluation.protocols import FullKB
from dim.features.batch import FeatureTable, FieldVectors
from dim.methods.contrastive.module import DIM
from dim.training.datamodule import EpochBatches, LinkingData, LinkingDataModule


def bench_train(
    batch_sizes: list[int] | None = None,
    num_mentions: int = 18_092,
    num_entities: int = 18_880,
    width: int = 384,
    epochs: int = 5,
) -> None:
    """Times epochs of the trainer and of a bare loop in turns, on random features of the given size.

    Args:
        batch_sizes: Mentions a step; 64 and 1,024 unless told otherwise.
        num_mentions: Training mentions.
        num_entities: Entities of the KB.
        width: Of the features.
        epochs: Timed epochs of each, after one that warms up.
    """
    quieten("pytorch_lightning", level=logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    table = Table(title=f"an epoch over {num_mentions:,} mentions, KB {num_entities:,}, features {width} wide")
    for column in ("batch", "steps", "bare loop ms/step", "fit ms/step", "ratio", "above it ms/step (goal ≤ 1)"):
        table.add_column(column, justify="right")
    for batch_size in batch_sizes or [64, 1024]:
        with TemporaryDirectory() as folder:
            data = RandomData(Path(folder), batch_size, num_mentions, num_entities, width)
            turns = Turns()
            trainer = Trainer(
                max_epochs=epochs + 1, accelerator="cpu", logger=False, enable_checkpointing=False, callbacks=[turns],
                enable_model_summary=False, enable_progress_bar=False, limit_val_batches=0, default_root_dir=folder,
            )  # fmt: skip
            trainer.fit(DIM(learning_rate=1e-4), datamodule=data)
        steps = len(EpochBatches(torch.arange(num_mentions), batch_size, 0))
        bare, fit = median(turns.bare[1:]) / steps, median(turns.fit[1:]) / steps
        ratio = median(a / b for a, b in zip(turns.fit[1:], turns.bare[1:], strict=True))
        figures = (f"{1000 * bare:.2f}", f"{1000 * fit:.2f}", f"{ratio:.2f}", f"{1000 * (fit - bare):.2f}")
        table.add_row(f"{batch_size:,}", f"{steps:,}", *figures)
    Console().print(table)
    say_measured(f"{epochs} epochs")


class RandomData(LinkingDataModule):
    """Random features in the place of a dataset's."""

    def __init__(self, folder: Path, batch_size: int, num_mentions: int, num_entities: int, width: int) -> None:
        super().__init__(root=folder, text_encoder=TinyTextEncoder(), batch_size=batch_size)
        generator = torch.Generator().manual_seed(0)

        def field(n: int) -> FeatureTable:
            return FeatureTable(torch.randn(n, width, generator=generator), torch.arange(n))

        ids = [f"e{i}" for i in range(num_entities)]
        gold = torch.randint(num_entities, (num_mentions,), generator=generator)
        mentions = {"id": [f"m{i}" for i in range(num_mentions)], "split": "train", "mention": "x", "context": "x"}
        dataset = write_dataset(
            folder / "dataset",
            name="random",
            entities=pd.DataFrame({"id": ids, "name": ids}),
            texts={},
            mentions=pd.DataFrame(mentions | {"entity_id": [ids[i] for i in gold.tolist()]}),
        )
        self._data = LinkingData(
            dataset=dataset,
            mention_fields={"mention": field(num_mentions), "context": field(num_mentions)},
            entity_fields={"name": field(num_entities), "text": field(num_entities)},
            gold=gold,
            candidates=None,
            protocol=FullKB(),
            read_texts=lambda: [None] * num_entities,
            fingerprints={},
        )


class Turns(Callback):
    """Times each epoch of the trainer, and after it an epoch of a bare loop with a copy of the network."""

    def __init__(self) -> None:
        self.fit: list[float] = []
        self.bare: list[float] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Makes the bare loop."""
        assert isinstance(pl_module, DIM)
        self.loop = BareLoop(pl_module, list(pl_module.datamodule.train_dataloader()))

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts the clock."""
        self.start = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stops it, and runs the bare loop."""
        self.fit.append(time.perf_counter() - self.start)
        start = time.perf_counter()
        self.loop.run()
        self.bare.append(time.perf_counter() - start)


class BareLoop:
    """What one would write without a framework: dense tensors, towers, loss, optimizer."""

    def __init__(self, module: DIM, batches: list[Tensor]) -> None:
        data = module.data
        self.mention = {name: table.matrix[table.rows] for name, table in data.mention_fields.items()}
        self.entity = {name: table.matrix[table.rows] for name, table in data.entity_fields.items()}
        self.gold, self.batches = data.gold, batches
        self.queries, self.entities, self.loss = (
            copy.deepcopy(part) for part in (module.query_tower, module.kb_tower, module.loss)
        )
        parts = (self.queries, self.entities, self.loss)
        self.optimizer = torch.optim.AdamW([p for part in parts for p in part.parameters()], lr=module.learning_rate)

    def run(self) -> None:
        """One epoch."""
        for rows in self.batches:
            gold = self.gold[rows]
            everyone = torch.ones(len(rows), 1, dtype=torch.bool)
            query = self.queries(
                {name: FieldVectors(all_[rows, None], everyone) for name, all_ in self.mention.items()}
            )
            vectors = self.entities(
                {name: FieldVectors(all_[gold, None], everyone) for name, all_ in self.entity.items()}
            )
            self.optimizer.zero_grad()
            self.loss(query, gold, ref_emb=vectors, ref_labels=gold.clone()).backward()
            self.optimizer.step()
