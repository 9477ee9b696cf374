"""What all methods share when they train and when they are evaluated."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_lightning import LightningModule
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.optim import Optimizer

from dim.core.distributed import gathered, num_processes, process_index
from dim.encoders.characters import as_now
from dim.errors import CheckpointError, ConfigError
from dim.evaluation.metrics import summarize_ranks
from dim.evaluation.protocols import Protocol, Ranked
from dim.features.fields import Choices
from dim.inference.method import Method
from dim.training.checkpoint import describe_checkpoint, read_checkpoint
from dim.training.datamodule import LinkingDataModule

CHECKPOINT_FORMAT = 1


class LinkingTask(Method, LightningModule):
    """A method that is trained and evaluated. Subclasses build a network, score, and give a training loss.

    Args:
        learning_rate: Peak learning rate of AdamW.
        weight_decay: Of weights; biases, gains and scales have none.
        warmup_steps: Steps of linear warm-up.
        schedule: How the rate goes on from its peak to the last step.
        seed: Of the initial weights, of dropout and of drawn negatives (the CLI passes `seed_everything`).
    """

    epsilon: float = 1e-8  #: Of AdamW; torch's own.
    trains_encoders = False  #: Whether it can train the encoders of its fields within its steps.
    encoder_learning_rate = 5e-5  #: Peak learning rate of encoders that are trained.
    #: Options that `fit` settles itself, where they are None, and writes into the run's configuration.
    settles: ClassVar[tuple[str, ...]] = ()
    device = LightningModule.device  #: Also that of a method without weights.

    def __init__(
        self,
        learning_rate: float = 1e-3,
        weight_decay: float = 1e-2,
        warmup_steps: int = 100,
        schedule: Literal["constant", "linear", "cosine"] = "cosine",
        seed: int = 0,
    ) -> None:
        super().__init__(learning_rate, weight_decay, warmup_steps, schedule, seed)
        #: Hears how many mentions more were ranked, such as a line of progress; `int`: nobody listens.
        self.heard: Callable[[int], object] = int
        self._num_told = 0
        self.ranked: Ranked | None = None  #: The outcome of the last evaluation, in the order of its rows.
        self.evaluated_rows = torch.empty(0, dtype=torch.long)
        self._is_built = False
        self._datamodule: LinkingDataModule | None = None
        self._parts: list[Ranked] = []
        self._rows: list[NDArray[np.int64]] = []
        self._losses: list[Tensor] = []

    @abstractmethod
    def loss_of(self, rows: Tensor) -> Tensor:
        """The training loss, a scalar, of mention rows [B] that all have a gold.

        Of several processes each gets the whole batch and returns its whole loss (`dim.core.distributed`).
        """

    @property
    def datamodule(self) -> LinkingDataModule:
        """The one that `open_for_scoring` was given, or the trainer's."""
        if self._datamodule is not None:
            return self._datamodule
        datamodule: LinkingDataModule = self.trainer.datamodule  # type: ignore[attr-defined]
        return datamodule

    def open_for_scoring(self, datamodule: LinkingDataModule, checkpoint: Path | None, device: torch.device) -> None:
        """Makes the task ready for `rank` without a trainer, such as in a worker of a cluster.

        Args:
            datamodule: What is answered.
            checkpoint: The trained weights; None for a method that has none.
            device: Where it computes.

        Raises:
            CheckpointError: The weights were trained on something else.
        """
        self._datamodule = datamodule
        datamodule.needs = self.needs
        saved = None if checkpoint is None else read_checkpoint(checkpoint)
        if saved is not None:
            datamodule.trained_fields = saved.get("dim", {}).get("fields")
        datamodule.linking_data.to(device, datamodule.resident_gb * 1e9)
        self.configure_model()
        if saved is not None:
            self.on_load_checkpoint(saved)
            self.load_state_dict(saved["state_dict"])
        self.to(device).eval().requires_grad_(False)
        self.on_scoring_start()

    def tell_ranked(self, count: int) -> None:
        """Says within `rank`, where that takes long, that so many of its mentions are ranked."""
        self._num_told += count
        self.heard(count)

    def try_parts(self) -> None:
        """Raises ConfigError where what it computes with cannot be used; called before anything is embedded."""

    def configure_model(self) -> None:
        """Builds the network, once the data module knows the widths."""
        if not self._is_built:
            self.check()
            self.datamodule.check_trained(type(self).__name__, self.trains_encoders)
            self._check_protocol(self.data.protocol)
            self._is_built = True
            torch.manual_seed(self.seed)  # embedding may have drawn from the generator, or found its work done
            self.build(self.data)
            self._take_encoders()

    def _take_encoders(self) -> None:
        for name, encoder in self.datamodule.trained_encoders.items():
            self.trained_encoders[name] = encoder.network.train()

    def _check_protocol(self, protocol: Protocol) -> None:
        if protocol.is_written and self.scores_all:
            raise ConfigError(
                f"a protocol under which {type(self).__name__} can be ranked (FullKB, Candidates)",
                f"{type(protocol).__name__}, which is for models that write names",
                "Leave --data.protocol out.",
            )

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW with warm-up and the schedule, stepped every batch."""
        of_encoders = {id(p) for p in self.trained_encoders.parameters()}
        trained = [p for p in self.parameters() if p.requires_grad]
        own, encoders = ([p for p in trained if (id(p) in of_encoders) == is_of] for is_of in (False, True))
        groups: list[dict[str, Any]] = [*_decayed(own), *_decayed(encoders, lr=self.encoder_learning_rate)]
        optimizer: Optimizer = torch.optim.AdamW(
            groups, lr=self.learning_rate, eps=self.epsilon, weight_decay=self.weight_decay
        )
        num_steps = self.num_scheduled_steps()
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: self.rate_at(step, num_steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def num_scheduled_steps(self) -> int:
        """The steps that the schedule is laid over."""
        return int(self.trainer.estimated_stepping_batches)

    def rate_at(self, step: int, num_steps: int) -> float:
        """The share of the peak rate, 0 to 1, at a 0-based step of `num_steps`."""
        if step < self.warmup_steps:
            return (step + 1) / (self.warmup_steps + 1)
        progress = min(1.0, (step - self.warmup_steps) / max(1, num_steps - self.warmup_steps))
        if self.schedule == "cosine":
            return 0.5 * (1 + math.cos(math.pi * progress))
        return 1 - progress if self.schedule == "linear" else 1.0

    def start_epoch(self) -> None:
        """Seeds dropout, masks and draws by (seed, epoch), so that a resumed run goes on like an undisturbed one."""
        torch.manual_seed(self.seed * 1_000_003 + self.current_epoch)

    def training_step(self, rows: Tensor, batch_idx: int) -> Tensor:
        """One step. Losses are summed up by epoch: a log entry a step would cost as much as the step."""
        if batch_idx == 0:  # Lightning leaves out on_train_epoch_start in the first epoch after a resume
            self.start_epoch()
        loss = self.loss_of(rows)
        self._losses.append(loss.detach())
        return loss

    def on_train_epoch_end(self) -> None:
        """Logs the epoch's mean loss."""
        self.log("train/loss", torch.stack(self._losses).mean(), prog_bar=True, sync_dist=True)
        self._losses.clear()

    def on_validation_epoch_start(self) -> None:
        """Prepares for scoring."""
        self._start_evaluation()

    def validation_step(self, rows: Tensor, batch_idx: int) -> None:
        """Ranks a batch of mentions."""
        self._evaluate(rows, batch_idx)

    def on_validation_epoch_end(self) -> None:
        """Logs `tune/…` while fitting, `dev/…` else."""
        self._end_evaluation("tune" if self.trainer.state.fn == "fit" else "dev")

    def on_test_epoch_start(self) -> None:
        """Prepares for scoring."""
        self._start_evaluation()

    def test_step(self, rows: Tensor, batch_idx: int) -> None:
        """Ranks a batch of mentions."""
        self._evaluate(rows, batch_idx)

    def on_test_epoch_end(self) -> None:
        """Logs `test/…`."""
        self._end_evaluation("test")

    def on_predict_epoch_start(self) -> None:
        """Prepares for scoring."""
        self._start_evaluation()

    def predict_step(self, rows: Tensor, batch_idx: int) -> None:
        """Ranks a batch of mentions, with gold or without."""
        self._evaluate(rows, batch_idx)

    def on_predict_epoch_end(self) -> None:
        """Keeps the outcome for the callback that writes it."""
        self._end_evaluation(None)

    def _start_evaluation(self) -> None:
        self._parts.clear()
        self._rows.clear()
        self.on_scoring_start()

    def _evaluate(self, rows: Tensor, batch_idx: int) -> None:
        if batch_idx % num_processes() != process_index():
            self.heard(len(rows))
            return
        self._num_told = 0
        # In float32 whatever the trainer's precision: rounded scores tie, and ties count against the gold.
        with torch.autocast(self.device.type, enabled=False):
            self._parts.append(self.rank(rows))
        self._rows.append(rows.cpu().numpy())
        self.heard(len(rows) - self._num_told)

    def _end_evaluation(self, split: str | None) -> None:
        # Each process ranked whole batches, in turn: back in order, nothing is there twice.
        in_turn = zip_longest(*gathered(list(zip(self._parts, self._rows, strict=True))))
        self.on_scoring_end()
        found = [part for round_ in in_turn for part in round_ if part is not None]
        self.ranked = Ranked.concatenate([ranked for ranked, _ in found])
        self.evaluated_rows = torch.from_numpy(np.concatenate([rows for _, rows in found]))
        if split is not None:
            in_kb = self.data.gold.cpu()[self.evaluated_rows].numpy() >= 0
            metrics = summarize_ranks(self.ranked.ranks[in_kb])
            chosen = {f"{split}/{name}": metrics[name] for name in ("top1", "top5", "mrr")}
            self.log_dict(chosen, prog_bar=True, sync_dist=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds what the weights were trained on, so that they are never used on something else."""
        checkpoint["dim"] = {
            "format": CHECKPOINT_FORMAT,
            "dataset": self.data.dataset.name,
            "dataset_hash": self.data.dataset.hash,
            "seed": self.seed,
            "fields": self.data.fields,
            **self.trained_on(),
        }

    def trained_on(self) -> dict[str, Any]:
        """Hashes of what the weights were trained on; weights are only loaded where all of them are equal.

        By default the KB's hash and the fingerprint of every feature.
        """
        return {"kb_hash": self.data.dataset.kb_hash, **self.data.fingerprints}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuses weights that were trained on other features or another KB, with another seed, or for another network.

        Raises:
            CheckpointError: Naming the first difference.
        """
        here: dict[str, Any] = {}
        self.on_save_checkpoint(here)
        now, saved = here["dim"], checkpoint.get("dim", {})
        if (key := first_difference(saved, now, self.datamodule.choices)) == "seed":
            raise CheckpointError(
                f"weights of seed {now[key]}",
                f"a checkpoint of seed {saved.get(key)}",
                f"Use it as what it is: --seed_everything {saved.get(key)}, or name a checkpoint of this run.",
            )
        if key is not None:
            raise CheckpointError(
                f"a checkpoint whose {key} is {now.get(key, 'not set')} (dataset {now['dataset']})",
                f"{saved.get(key, 'none')} (dataset {saved.get('dataset', 'unknown')})",
                "Use the checkpoint with the data, texts and encoders that it was trained on, or fit again.",
            )
        mine = {name: tuple(value.shape) for name, value in self.state_dict().items()}
        theirs = {name: tuple(value.shape) for name, value in checkpoint["state_dict"].items()}
        if mine != theirs:
            name = sorted(set(mine.items()) ^ set(theirs.items()))[0][0]
            raise CheckpointError(
                f"weights of this network ({name}: {mine.get(name, 'none')})",
                f"{theirs.get(name, 'none')} in the checkpoint",
                "Use the model options that it was trained with (its run folder holds config.yaml). Captions, images "
                "or texts that came into the dataset since are further fields: data.leave_out leaves them out.",
            )
        self.checkpoint = describe_checkpoint(checkpoint, "")


def first_difference(before: Mapping[str, Any], now: Mapping[str, Any], choices: Choices) -> str | None:
    """In what something else is read now than before; None: in nothing.

    Args:
        before: What was said then (`LinkingTask.trained_on`, `LinkingData.fingerprints`).
        now: The same.
        choices: As they are now.
    """
    if isinstance(spelled := before.get("name_encoder"), str):
        before = {**before, "name_encoder": as_now(spelled)}
    # What is said only where it is asked for may stand in one of the two.
    left_out: dict[str, Any] = dict.fromkeys(before, "not set")
    if "context_reach" in before:  # of `auto` it is said where there was something to cut
        left_out["context_reach"] = str(choices.context_reach)
    for key, value in (left_out | dict(now)).items():
        # Of fields the weights' shapes tell.
        if key in ("dataset", "dataset_hash", "fields") or before.get(key) == value:
            continue
        # Other mentions have captions of their own.
        if key == "captions" and (key not in before or before.get("dataset_hash") != now.get("dataset_hash")):
            continue
        return key
    return None


def _decayed(parameters: list[nn.Parameter], **options: Any) -> list[dict[str, Any]]:
    """Groups of an optimizer: weights decay; biases, gains and scales do not. None of what there is none of."""
    matrices, others = ([p for p in parameters if (p.ndim > 1) == is_matrix] for is_matrix in (True, False))
    groups = [{"params": matrices, **options}, {"params": others, "weight_decay": 0.0, **options}]
    return groups if parameters else []
