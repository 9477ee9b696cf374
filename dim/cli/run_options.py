"""The options of a run that goes on, or is asked: as it was fitted, from where it stands now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dim.core.known_classes import imported_class, lacking
from dim.errors import ConfigError
from dim.inference.places import CONFIG, FOLDERS, is_config_of, located, paths_in, stated_config
from dim.training.datamodule import LinkingDataModule
from dim.training.run_folder import folder_to_fit
from dim.training.start import ONE_TIME

#: Which cluster computes: it is sent, and sends back, what Python unpickles.
MACHINES = {"data.engine": "local", "data.address": None}


def settle_options(options: Any, arguments: Sequence[str]) -> None:
    """Puts right, in place, what a command line and the files that it names say together.

    Args:
        options: Of the command, as they were parsed.
        arguments: The command line, the command first.

    Raises:
        ConfigError: A file says what the command line alone may, or `fit` would go on with a run that is not there.
    """
    command, given = arguments[0], {argument.partition("=")[0] for argument in arguments}
    for path in (Path(str(path)) for path in options.get("config") or []):
        if is_config_of(path.parent, path):
            # They are asked for anew each time: whatever a run's config.yaml says of them counts for nothing.
            _unless_given(options, ONE_TIME, given)
            _find_run(options, path.parent, is_named="--run" in given)
            _as_before(options, path.parent, given)
    if command == "fit" and options["ckpt_path"] == "last":
        begun = folder_to_fit(Path(options["run"]), resumed=True, overwrite=options["overwrite"])
        if (begun / CONFIG).exists():
            _as_before(options, begun, given)
            _settled(options, given, (stated_config(begun).get("model") or {}).get("init_args") or {})
    elif command == "fit" and options["ckpt_path"] is None:
        _settled(options, given, {})  # also where the configuration is that of a run, which settled its own
    if command != "fit":  # where it computes is for who asks to say, not for the run
        _unless_given(options, MACHINES, given)
    options.pop("trust", None)  # the command line counts, never a file
    for name in ("from", "mentions", "allow_missing"):  # read by then, where the command line has them
        if options.pop(name, None) is not None:
            found = f"{name} in a file, or of dim {command}"
            raise ConfigError(f"--{name} on the command line of dim fit", found, "Name it there.")
    if (dataset := options.pop("dataset", None)) is not None:
        options["data.root"] = dataset
        options["data.images"] = None  # a dataset folder says itself where its images are


def _unless_given(options: Any, values: Mapping[str, Any], given: set[str]) -> None:
    for name, value in values.items():
        if f"--{name}" not in given:
            options[name] = value


def _find_run(options: Any, folder: Path, is_named: bool) -> None:
    """Takes the run whose config.yaml was given, and its files, from where they stand now."""
    config = stated_config(folder)
    if not is_named and options["run"] == config.get("run"):
        options["run"] = options["trainer.default_root_dir"] = str(folder)
    given = dict(paths_in(config))
    for option, place in located(folder, config).items():
        if str(options.get(option)) == given[option]:  # and not changed by a later option
            options[option] = Path(place) if option in FOLDERS else place


def _as_before(options: Any, folder: Path, given: set[str]) -> None:
    """Has options that a run's config.yaml lacks, since they came later, be as runs of before had them."""
    config = stated_config(folder)
    for name, value in lacking(LinkingDataModule, config.get("data") or {}).items():
        if f"--data.{name}" not in given:
            options["data"][name] = value
    model = config.get("model") or {}
    kind = imported_class(str(model.get("class_path")))
    if kind is None or options["model"]["class_path"] != model["class_path"]:
        return
    for name, value in lacking(kind, model.get("init_args") or {}).items():
        if name in options["model"]["init_args"] and not {f"--model.{name}", f"--model.init_args.{name}"} & given:
            options["model"]["init_args"][name] = value


def _settled(options: Any, given: set[str], before: Mapping[str, Any]) -> None:
    """Has what a method settles when it is fitted (`LinkingTask.settles`) be as it was settled before, if it was.

    Args:
        options: As they were parsed.
        given: The options of the command line.
        before: The options of the model with which the run began.
    """
    kind = imported_class(str(options["model"]["class_path"]))
    for name in getattr(kind, "settles", ()):
        if not {f"--model.{name}", f"--model.init_args.{name}"} & given:
            options["model"]["init_args"][name] = before.get(name)
