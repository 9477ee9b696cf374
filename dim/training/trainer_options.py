"""Which options of Lightning's Trainer a run can keep its promises with; the others are refused before data is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.accelerators import MPSAccelerator

from dim.errors import ConfigError


def accelerator_of(asked: Any) -> Any:
    """What a trainer computes on: what was asked for, and for `auto` no GPU of Apple, on which no run was tried."""
    return "cpu" if asked == "auto" and MPSAccelerator.is_available() else asked


@dataclass(frozen=True)
class Rule:
    """What an option may be.

    Attributes:
        accepts: Whether a value is right.
        expected: What is right, in words.
        why: Why other values are not, and what does their work.
        fit_only: Whether only training reads the option.
    """

    accepts: Callable[[Any], bool]
    expected: str
    why: str
    fit_only: bool = False


def _is_whole(value: Any) -> bool:
    return (isinstance(value, float) and value == 1.0) or value is None


def _trains(value: Any) -> bool:
    return value is None or value > 0


_WHOLE = "Figures are of whole splits; for a quick trial use --trainer.fast_dev_run true or a smaller dataset."
#: Weights in another precision than the features they meet, which are float32, cannot be multiplied with them.
_PRECISIONS = (None, 16, 32, "16", "32", "bf16", "16-mixed", "bf16-mixed", "32-true")

RULES = {
    "precision": Rule(
        lambda value: value in _PRECISIONS,
        "32-true, bf16-mixed or 16-mixed",
        "Features and weights are float32; encoders have their own precision. Ranks are always of float32.",
    ),
    "limit_val_batches": Rule(_is_whole, "1.0 (all of tune and dev)", _WHOLE),
    "limit_test_batches": Rule(_is_whole, "1.0 (all of test)", _WHOLE),
    "limit_predict_batches": Rule(_is_whole, "1.0 (the whole split)", _WHOLE),
    "overfit_batches": Rule(
        lambda value: value == 0, "0", "It would choose the epoch on train. Use --trainer.limit_train_batches N."
    ),
    "enable_checkpointing": Rule(
        lambda value: value is not False,
        "true",
        "A run is its checkpoints. To try a command without writing use --trainer.fast_dev_run true.",
    ),
    "barebones": Rule(
        lambda value: not value,
        "false",
        "It leaves out checkpoints and logs. For less around training use --trainer.enable_progress_bar false.",
    ),
    "use_distributed_sampler": Rule(
        lambda value: not value, "false", "Every process gets whole batches and takes its share itself."
    ),
    "val_check_interval": Rule(
        lambda value: value is None or (value == 1.0 and isinstance(value, float)),
        "1.0",
        "Tune is evaluated where an epoch ends, and the checkpoint is written. For more such points use more epochs "
        "of fewer batches: --trainer.limit_train_batches.",
        fit_only=True,
    ),
    "check_val_every_n_epoch": Rule(
        lambda value: value == 1,
        "1",
        "The best epoch is chosen among all. For fewer evaluations use fewer, longer epochs.",
        fit_only=True,
    ),
    "limit_train_batches": Rule(
        _trains, "more than 0", "To evaluate without training use a baseline or dim validate.", fit_only=True
    ),
    "max_steps": Rule(lambda value: value == -1 or value > 0, "-1 (no limit) or more", "Training takes a step.", True),
    "max_epochs": Rule(
        lambda value: value is None or value == -1 or value > 0, "at least 1", "Training takes an epoch.", True
    ),
    "accumulate_grad_batches": Rule(lambda value: value >= 1, "at least 1", "1: a step a batch.", True),
    "gradient_clip_val": Rule(lambda value: value is None or value >= 0, "0 (no clipping) or more", "Raise it.", True),
    "strategy": Rule(
        lambda value: _is_simple(value),
        "auto or ddp",
        "A run's checkpoint is one file with all weights, which sharded strategies do not write.",
    ),
    "num_nodes": Rule(
        lambda value: value == 1,
        "1",
        "Several processes train on one machine; dim compare runs several fits.",
    ),
    "model_registry": Rule(lambda value: value is None, "null", "Share a model with dim export and push_to_hub."),
}


def _is_simple(strategy: Any) -> bool:
    name = strategy if isinstance(strategy, str) else str(getattr(strategy, "class_path", strategy)).rpartition(".")[2]
    return name == "auto" or name.lower().startswith(("ddp", "single"))


def check_trainer(options: Mapping[str, Any], command: str) -> None:
    """Refuses options of the Trainer under which a run would not be what it says.

    Args:
        options: By name, as they were given.
        command: `fit`, `validate`, `test` or `predict`.

    Raises:
        ConfigError: Naming the first.
    """
    for name, rule in RULES.items():
        if name not in options or (rule.fit_only and command != "fit"):
            continue
        if not rule.accepts(options[name]):
            raise ConfigError(f"--trainer.{name} {rule.expected}", str(options[name]), rule.why)
    endless = options.get("max_epochs") == -1 or (options.get("max_epochs") is None and options.get("max_time"))
    if command == "fit" and endless and options.get("max_steps", -1) == -1:
        raise ConfigError(
            "a number of epochs or steps, over which the learning rate follows its schedule",
            "none",
            "Add --trainer.max_epochs N or --trainer.max_steps N.",
        )
    if command != "fit" and options.get("fast_dev_run"):
        raise ConfigError("--trainer.fast_dev_run false", str(options["fast_dev_run"]), _WHOLE)


class StepLimit(Callback):
    """Ends training at `max_steps` as early stopping would: the epoch's end, with its evaluation, comes at once.

    Lightning alone leaves the last, unfinished epoch without an evaluation, and so without a best checkpoint.
    """

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Asks the trainer to stop after the last step."""
        if 0 < trainer.max_steps <= trainer.global_step:
            trainer.should_stop = True
