"""What a run settles when it is fitted, such as commits of a hub: in its configuration, from where it goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dim.encoders.base import FROZEN, Frozen
from dim.inference.places import CONFIG, stated_config
from dim.training.datamodule import LinkingDataModule
from dim.training.task import LinkingTask


def write_settled(config: dict[str, Any], task: LinkingTask, datamodule: LinkingDataModule) -> None:
    """Names in a run's configuration, in place, what its method settled (`LinkingTask.settles`).

    And the commit of each encoder and language model that is on a hub.

    Raises:
        ConfigError: A commit is not to be known: no connection, and none in the cache.
    """
    for options, frozen in _pairs(config, task, datamodule):
        options |= dict(frozen.pinned_options)
    if task.settles:
        model = config["model"]
        model["init_args"] = (model.get("init_args") or {}) | {name: getattr(task, name) for name in task.settles}


def keep_commits(run: Path, config: dict[str, Any], task: LinkingTask, datamodule: LinkingDataModule) -> None:
    """Has a run that goes on load the commits that it began with, where it is still told the same branch.

    Args:
        run: Its folder; without a config.yaml nothing changes.
        config: As it is now.
        task: Not yet used.
        datamodule: Not yet used.
    """
    if not (run / CONFIG).exists():
        return
    before = stated_config(run)
    then = dict(_options(before))
    for name, now in _options(config):
        frozen, old = datamodule.choices.encoders.get(name) or getattr(task, name, None), then.get(name, {})
        known = [key for key in ("revision", "tokenizer_revision") if old.get(key) and now.get(key) is None]
        is_same = all(old.get(key) == now.get(key) for key in ("path", "model", "pretrained"))
        if frozen is not None and is_same and known:
            frozen.pin({key: old[key] for key in known})


def _pairs(
    config: dict[str, Any], task: LinkingTask, datamodule: LinkingDataModule
) -> list[tuple[dict[str, Any], Frozen]]:
    found = [
        (options, datamodule.choices.encoders.get(name) or getattr(task, name, None))
        for name, options in _options(config)
    ]
    return [(options, frozen) for options, frozen in found if frozen is not None]


def _options(config: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The options of each encoder and language model by its name, to be changed in place."""
    parts = (config.get("data") or {}) | ((config.get("model") or {}).get("init_args") or {})
    chosen = [(name, parts.get(name)) for name in FROZEN]
    found = []
    for name, value in chosen:
        if isinstance(value, dict):
            if "class_path" in value:
                value["init_args"] = value.get("init_args") or {}
            found.append((name, value["init_args"] if "class_path" in value else value))
    return found
