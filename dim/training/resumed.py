"""What training goes on from beside the weights, compared with what the trainer has in its place.

Lightning takes over what it finds in a checkpoint: a text in the place of a number would end a later epoch in a
traceback, and the place of the best weights so far is one that is removed when there are better ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from pathlib import PurePath
from traceback import walk_tb
from typing import Any, NotRequired, TypedDict

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor
from torch.optim import Adam, Optimizer

from dim.core.typed import Mismatch, shown, typed
from dim.training.checkpoint import check_tensor, told_of

MOST = 2**40  #: Of what is counted, such as steps.
_TAKES_OVER = "pytorch_lightning.trainer.connectors.checkpoint_connector"
_OF_ADAM = {"step", "exp_avg", "exp_avg_sq"}


class BestSoFar(TypedDict):
    """What a ModelCheckpoint reads of its own state."""

    best_k_models: NotRequired[dict[str, Any]]
    best_model_path: str
    kth_best_model_path: NotRequired[str]
    last_model_path: NotRequired[str]


class ResumedStates(Callback):
    """Refuses a checkpoint to go on from whose states are not like those that they would take the place of."""

    def __init__(self) -> None:
        self._saved: dict[str, Any] | None = None

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Looks at what Lightning takes over next. Raises CheckpointError where it is not what it should be."""
        self._saved = checkpoint
        with told_of(str(trainer.ckpt_path)):
            check_like(
                checkpoint["loops"].get("fit_loop"), trainer.fit_loop.state_dict(), "loops.fit_loop", may_lack=True
            )
            for callback in trainer.callbacks:  # type: ignore[attr-defined]
                if (state := checkpoint["callbacks"].get(callback.state_key)) is not None:
                    _check_callback(state, callback)
            plugin = trainer.precision_plugin
            if (name := type(plugin).__qualname__) in checkpoint:
                check_like(checkpoint[name], plugin.state_dict(), name)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Looks at the optimizers and their schedules, which now are there. Raises as `on_load_checkpoint`."""
        saved, self._saved = self._saved, None
        if saved is None:
            return
        with told_of(str(trainer.ckpt_path)):
            _check_number(saved["optimizer_states"], trainer.optimizers, "optimizer_states")
            for place, (state, optimizer) in enumerate(zip(saved["optimizer_states"], trainer.optimizers, strict=True)):
                _check_optimizer(state, optimizer, f"optimizer_states[{place}]")
            schedules = [config.scheduler.state_dict() for config in trainer.lr_scheduler_configs]
            check_like(saved["lr_schedulers"], schedules, "lr_schedulers")


def failed_to_resume(error: BaseException) -> bool:
    """Whether Lightning raised an error while it took a checkpoint over."""
    return any(
        frame.f_globals.get("__name__") == _TAKES_OVER and frame.f_code.co_name.lstrip("_").startswith("res")
        for frame, _ in walk_tb(error.__traceback__)
    )


def check_like(found: Any, own: Any, where: str, may_lack: bool = False, may_add: bool = False) -> None:
    """Compares a state with one that it would take the place of.

    Args:
        found: In a checkpoint.
        own: The trainer's. Where it is null, one value of whatever type may stand; where it is an empty list, any list.
        where: The place, for messages.
        may_lack: Whether names of `own` may be missing, such as in a checkpoint of an older Lightning.
        may_add: Whether there may be others.

    Raises:
        Mismatch: They are not alike.

    Example:
        >>> check_like({"ready": "3"}, {"ready": 0}, "loops")
        Traceback (most recent call last):
        dim.core.typed.Mismatch: loops.ready: '3' in the place of a whole number
    """
    if isinstance(own, Mapping):
        _check_names(found, own, where, may_lack, may_add)
        for name in (name for name in own if name in found):
            check_like(found[name], own[name], f"{where}.{name}", may_lack, may_add)
    elif isinstance(own, list | tuple):
        if not isinstance(found, list | tuple):
            raise Mismatch(where, "a list", shown(found))
        if own:
            _check_number(found, own, where)
            for place, (value, like) in enumerate(zip(found, own, strict=True)):
                check_like(value, like, f"{where}[{place}]", may_lack, may_add)
    elif isinstance(own, Tensor):
        check_tensor(found, where)
        if found.shape != own.shape or found.is_floating_point() != own.is_floating_point():
            raise Mismatch(where, f"a tensor {list(own.shape)} of {own.dtype}", f"{list(found.shape)} of {found.dtype}")
    else:
        _check_value(found, own, where)


def _check_names(found: Any, own: Mapping[Any, Any], where: str, may_lack: bool = False, may_add: bool = False) -> None:
    if not isinstance(found, Mapping):
        raise Mismatch(where, "a mapping", shown(found))
    if not may_add and (further := [name for name in found if name not in own]):
        raise Mismatch(where, "names that Lightning has", shown(further[0]))
    if not may_lack and (missing := [name for name in own if name not in found]):
        raise Mismatch(f"{where}.{missing[0]}", "a value", "nothing")


def _check_value(found: Any, own: Any, where: str) -> None:
    if own is None:
        if isinstance(found, Tensor) and found.numel() == 1:
            check_tensor(found, where)
        elif not isinstance(found, bool | int | float | str | None):
            raise Mismatch(where, "one value", shown(found))
        return
    if isinstance(own, float):
        if isinstance(found, bool) or not isinstance(found, int | float) or (isfinite(own) and not isfinite(found)):
            raise Mismatch(where, "a finite number", shown(found))
    elif isinstance(own, bool | int | str):
        typed(found, type(own), where)
        if isinstance(own, int) and not min(own, 0) <= found <= MOST:
            raise Mismatch(where, f"a number up to {MOST:,}", shown(found))


def _check_number(found: Any, own: Any, where: str) -> None:
    if not isinstance(found, list | tuple) or len(found) != len(own):
        raise Mismatch(where, f"a list of {len(own)}", shown(found))


def _check_callback(state: Any, callback: Callback) -> None:
    where = f"callbacks.{type(callback).__name__}"
    if not isinstance(state, Mapping):
        raise Mismatch(where, "a mapping", shown(state))
    if not type(callback).__module__.startswith(("dim.", "pytorch_lightning.")):
        return  # the user's own, whose state may grow
    check_like(state, callback.state_dict(), where, may_lack=True, may_add=True)
    if isinstance(callback, ModelCheckpoint):
        typed(state, BestSoFar, where)
        scores, worst = state.get("best_k_models", {}), state.get("kth_best_model_path", "")
        for path in (*scores, *(state.get(name, "") for name in BestSoFar.__annotations__ if name != "best_k_models")):
            if path and PurePath(path).suffix != callback.FILE_EXTENSION:  # such as `..`, which would be removed
                raise Mismatch(where, f"paths of {callback.FILE_EXTENSION} files", shown(path))
        for score in scores.values():
            check_like(score, callback.kth_value, f"{where}.best_k_models")
        if scores and worst not in scores:
            raise Mismatch(f"{where}.kth_best_model_path", "one of best_k_models", shown(worst))


def _check_optimizer(state: Any, optimizer: Optimizer, where: str) -> None:
    own = optimizer.state_dict()
    _check_names(state, own, where)
    _check_groups(state["param_groups"], own["param_groups"], f"{where}.param_groups")
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    of_parameters, where = state["state"], f"{where}.state"
    _check_names(of_parameters, dict.fromkeys(range(len(parameters))), where, may_lack=True)
    for number, found in of_parameters.items():
        names = _OF_ADAM if isinstance(optimizer, Adam) else next(iter(of_parameters.values()))
        _check_names(found, dict.fromkeys(names), f"{where}[{number}]")
        for name, value in found.items():
            place, shape = f"{where}[{number}].{name}", parameters[number].shape
            check_tensor(value, place)
            if name == "step" and not (value.numel() == 1 and 0 <= value.item() <= MOST):
                raise Mismatch(place, f"a number up to {MOST:,}", shown(value))
            if name != "step" and value.shape != shape and (isinstance(optimizer, Adam) or value.numel() != 1):
                raise Mismatch(place, f"a tensor {list(shape)}", f"{list(value.shape)}")


def _check_groups(found: Any, own: list[dict[str, Any]], where: str) -> None:
    check_like(found, own, where)
    for group, like in zip(found, own, strict=True):
        for name, value in like.items():
            # Another form of the optimizer has other states.
            if (isinstance(value, bool | str | None) or name == "params") and group[name] != value:
                raise Mismatch(f"{where}.{name}", shown(value), shown(group[name]))
        if wrong := [beta for beta in group.get("betas", ()) if not 0 <= beta < 1]:
            raise Mismatch(f"{where}.betas", "numbers from 0 and below 1", shown(wrong[0]))
