"""What a run is: the facts that make two runs the same system. Seeds, places and machines are none of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytorch_lightning.callbacks import EarlyStopping

from dim.core.known_classes import imported_class
from dim.evaluation.protocols import FullKB
from dim.training.datamodule import LinkingDataModule

#: Options of the trainer that decide the weights. The rest is about machines, logs and bars.
TRAINING = (
    *("precision", "max_epochs", "min_epochs", "max_steps", "min_steps", "max_time", "accumulate_grad_batches"),
    *("gradient_clip_val", "gradient_clip_algorithm", "limit_train_batches", "limit_val_batches", "overfit_batches"),
    *("fast_dev_run", "val_check_interval", "check_val_every_n_epoch", "callbacks"),
)
#: Of classes that are not ours and do not say it themselves.
INCIDENTAL: dict[type, frozenset[str]] = {EarlyStopping: frozenset({"verbose", "log_rank_zero_only"})}

#: Of methods whose class is not at hand; as `LinkingTask.incidental`.
OF_METHODS = frozenset({"seed"})

Identity = dict[str, Any]


def identity_of(config: Mapping[str, Any], features: Mapping[str, str], parts: Mapping[str, str]) -> Identity:
    """What a run is.

    Each class that its configuration names says which of its options make no difference (`incidental`); an option that
    no class speaks of counts. One that came later (`later`) counts where it is not at its default, as runs of before
    had it.

    Args:
        config: The run's configuration as `fit` wrote it.
        features: What its features depend on (`LinkingData.fingerprints`); it stands for the encoders' options.
        parts: The fingerprints of what else it computes with (`LinkingTask.parts`).
    """
    trainer, stopping = config.get("trainer") or {}, config.get("early_stopping") or {}
    data = described({"class_path": LinkingDataModule, "init_args": config.get("data") or {}})["options"]
    training = {name: described(trainer[name]) for name in TRAINING if trainer.get(name) is not None}
    stops = described({"class_path": EarlyStopping, "init_args": stopping})["options"]
    protocol = data.pop("protocol", None) or {"class": FullKB.__name__, "options": {}}
    return {
        "method": described(config.get("model"), OF_METHODS),
        "parts": dict(parts),
        "features": dict(features),
        # The epoch is chosen on tune, under this protocol; what is evaluated later stands with its own.
        "training": training | data | {"early_stopping": stops, "protocol": protocol},
    }


def described(value: Any, of_others: frozenset[str] = frozenset()) -> Any:
    """A part of a configuration without what its classes call incidental.

    Args:
        value: The part.
        of_others: What counts for nothing in a class that does not say it, or is not imported: nothing is here.

    Example:
        >>> described({"class_path": EarlyStopping, "init_args": {"patience": 3, "verbose": True}})
        {'class': 'EarlyStopping', 'options': {'patience': 3}}
    """
    if isinstance(value, Mapping) and "class_path" in value:
        named = value["class_path"]
        # One that is not imported is none of dim's: a report reads runs whose classes are not there.
        kind = named if isinstance(named, type) else imported_class(str(named))
        said: frozenset[str] = getattr(kind, "incidental", of_others)
        skipped = said if kind is None else INCIDENTAL.get(kind, said)
        later: Mapping[str, Any] = getattr(kind, "later", {})
        given = (value.get("init_args") or {}).items()
        options = {name: described(item) for name, item in given if name not in later or item != later[name]}
        name = str(value["class_path"]).rpartition(".")[2] if kind is None else kind.__name__
        return {"class": name, "options": {name: item for name, item in options.items() if name not in skipped}}
    if isinstance(value, Mapping):
        return {str(name): described(item) for name, item in value.items()}
    return [described(item) for item in value] if isinstance(value, list | tuple) else value
