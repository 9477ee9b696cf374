"""Where the files that a run names stand now, though the run, its dataset or the working directory have moved.

`fit` writes `places.json` into the run's folder: each local path of its configuration as it was given, from the root of
the file system and from the run. A path is looked for from the run first, so that a run and its data move together.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from dim.core.files import write_json
from dim.core.folder_files import read_json, read_yaml
from dim.data.dataset import Dataset
from dim.display.lines import warn
from dim.encoders.base import FROZEN
from dim.errors import ConfigError, DataError
from dim.evaluation.result_files import METRICS

CONFIG, PLACES, FORMAT = "config.yaml", "places.json", 1
RANKER_FOLDER, JUDGE_FOLDER = "ranker", "judge"  #: In a run's folder: what `dim rank` and `dim judge` set up.
#: What of a run stays as it is until another takes its place, or its ranker or judge is made anew.
STEADY = (CONFIG, RANKER_FOLDER, JUDGE_FOLDER)
ROOT, CACHE, IMAGES = "data.root", "data.cache_dir", "data.images"
FOLDERS = (ROOT, CACHE, IMAGES)
#: Options of encoders, language models and scorers that may name a local file or folder.
FILES = ("path", "pretrained", "run")


class DataOptions(TypedDict):
    """Of a run's configuration; `dim.training.saved_run` checks the others."""

    root: str
    cache_dir: str
    images: NotRequired[str | None]
    context_template: NotRequired[str]
    text_template: NotRequired[str]
    name_alone: NotRequired[bool]


class MethodOptions(TypedDict):
    """Of a run's configuration; `dim.training.saved_run` checks the options."""

    class_path: str
    init_args: NotRequired[dict[str, Any] | None]


class RunConfig(TypedDict):
    """What config.yaml says; its classes and options are checked where they are made."""

    model: MethodOptions
    data: DataOptions
    trainer: NotRequired[dict[str, Any] | None]
    early_stopping: NotRequired[dict[str, Any] | None]
    seed_everything: NotRequired[int]
    run: NotRequired[str]


class PlaceFacts(TypedDict):
    """As `Place`."""

    given: str
    absolute: str
    from_run: NotRequired[str | None]


class DatasetFacts(TypedDict):
    """What a run knows its dataset by."""

    name: str
    hash: str


class RunPlaces(TypedDict):
    """What places.json says."""

    dataset: DatasetFacts
    paths: dict[str, PlaceFacts]


PLACE = tuple(PlaceFacts.__annotations__)


@dataclass(frozen=True)
class Place:
    """Where a file of a run was when the run was fitted.

    Attributes:
        given: As the configuration names it.
        absolute: From the root of the file system.
        from_run: From the run's folder; None: on another drive.
    """

    given: str
    absolute: str
    from_run: str | None = None

    def candidates(self, run: Path) -> list[Path]:
        """Where it may stand now, the likeliest first."""
        beside = [] if self.from_run is None else [Path(os.path.normpath(run.absolute() / self.from_run))]
        return [*beside, Path(self.absolute), Path(self.given).absolute()]


def is_config_of(run: Path, path: Path) -> bool:
    """Whether a file is the configuration of a run that stands beside it, and no example of one."""
    return path.name == CONFIG and any((run / name).exists() for name in (PLACES, "checkpoints", METRICS))


def record_places(run: Path, config: Mapping[str, Any], dataset: Dataset, folder: Path | None = None) -> None:
    """Writes where the files of a run are, with the hash of its dataset.

    Args:
        run: The run's folder.
        config: Its configuration.
        dataset: That it is fitted on.
        folder: Where the file is written, if the run takes its place only later.
    """
    here = run.resolve()
    places = {}
    for option, given in paths_in(config):
        absolute = Path(given).resolve()
        if option in (ROOT, CACHE) or absolute.exists():
            same_drive = absolute.drive == here.drive
            places[option] = Place(given, str(absolute), os.path.relpath(absolute, here) if same_drive else None)
    facts = {
        "format": FORMAT,
        "dataset": {"name": dataset.name, "hash": dataset.hash, "kb_hash": dataset.kb_hash},
        "paths": {option: vars(place) for option, place in places.items()},
    }
    write_json((folder or run) / PLACES, facts)


def paths_in(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The options of a run that may name a local file, with their values."""
    for option in FOLDERS:
        value = (config.get("data") or {}).get(option.partition(".")[2])
        if value is not None:
            yield option, str(value)
    for part in ("data", "model"):
        yield from _files_in(config.get(part), part)


def _files_in(value: Any, where: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            if name in FILES and isinstance(item, str):
                yield f"{where}.{name}", item
            else:
                yield from _files_in(item, f"{where}.{name}")


def stated_config(run: Path) -> dict[str, Any]:
    """The config.yaml of a run as it stands there.

    Raises:
        ConfigError: There is none.
        DataError: It is no configuration of a run.
    """
    path = run / CONFIG
    if not path.exists():
        raise ConfigError(f"a run with its config.yaml at {run}", "none", "Name a folder that dim fit --run wrote.")
    what = f"the configuration of a run in {run}"
    found: dict[str, Any] = read_yaml(path, RunConfig, what, "Get the run again from where it came, or fit again.")
    return found


def read_config(run: Path) -> dict[str, Any]:
    """The config.yaml of a run, each path named by where it stands now; one that is nowhere stays as it was given.

    Raises:
        ConfigError: There is none.
    """
    config = stated_config(run)
    for option, place in located(run, config).items():
        *parents, name = option.split(".")
        owner = config
        for parent in parents:
            owner = owner[parent]
        owner[name] = place
    return config


def located(run: Path, config: Mapping[str, Any]) -> dict[str, str]:
    """Option → where its file stands now, or stood, of all that are known.

    Args:
        run: The run's folder.
        config: Its configuration, as config.yaml has it.
    """
    known = _recorded(run)
    found = {}
    for option, given in paths_in(config):
        place = known.get(option)
        if place is None or place.given != given:  # a tag or an id of a hub, or changed by hand
            continue
        candidates = place.candidates(run)
        fitting = [path for path in candidates if path.exists()]
        if option == ROOT:
            fitting = _of_the_dataset(fitting, candidates[:-1], run)
        elif option == CACHE and not fitting:  # it is made anew, where it was if that can be
            fitting = [path for path in reversed(candidates[:-1]) if path.parent.exists()]
        place_now = fitting[0] if fitting else Path(place.absolute)
        found[option] = given if Path(given).absolute() == place_now else str(place_now)
    return found


def _recorded(run: Path) -> dict[str, Place]:
    path = run / PLACES
    recorded = _places_file(run)["paths"] if path.exists() else {}
    return {
        option: Place(**{name: place[name] for name in place if name in PLACE}) for option, place in recorded.items()
    }


def _places_file(run: Path) -> dict[str, Any]:
    what = f"the places of a run's files in {run}"
    found: dict[str, Any] = read_json(
        run / PLACES, RunPlaces, what, "Get the run again from where it came, or fit again."
    )
    return found


def dataset_of(run: Path) -> dict[str, Any]:
    """What a run recorded of its dataset, such as `name` and `hash`; nothing where it has no places.json."""
    return dict(_places_file(run)["dataset"]) if (run / PLACES).exists() else {}


def _of_the_dataset(folders: list[Path], recorded: list[Path], run: Path) -> list[Path]:
    """The folders that hold the run's dataset as it was; a release, which tells no hash, counts."""
    wanted = dataset_of(run).get("hash")
    same = [folder for folder in folders if wanted is None or _hash_at(folder) in (None, wanted)]
    # Changed in its place, the dataset is judged by what the weights depend on; elsewhere it is another one.
    return same or [folder for folder in folders if folder in recorded]


def root_of(run: Path) -> Path | None:
    """Where the dataset of a run stands now, or stood; None where no configuration tells it."""
    return Path(str(read_config(run)["data"]["root"])) if (run / CONFIG).exists() else None


def _hash_at(folder: Path) -> str | None:
    return Dataset(folder).hash if (folder / "dataset.json").exists() else None


def check_places(run: Path, config: Mapping[str, Any], option: str) -> None:
    """Makes sure that the files are there that a run names; where its cache is gone, says so on stderr.

    Args:
        run: The run's folder.
        config: Its configuration, as `read_config` gives it, or with later options.
        option: That says where the dataset is.

    Raises:
        DataError: The dataset or a file of an encoder is gone; the message says how to name its place.
    """
    _check_root(run, Path(str(config["data"]["root"])), option)
    _check_files(run, config)
    if any(_is_kept(config["data"].get(name)) for name in FROZEN if name != "name_encoder"):
        _note_cache(run, Path(str(config["data"]["cache_dir"])))


def _check_root(run: Path, root: Path, option: str) -> None:
    if root.exists():
        return
    known, place = dataset_of(run), _recorded(run).get(ROOT)
    tried = [] if place is None else place.candidates(run)
    if root.absolute() not in tried:  # another was named
        tried = [root.absolute()]
    told = f"the dataset {known['name']} (hash {known['hash']})" if known else "the dataset"
    raise DataError(
        f"{told} of the run {run}",
        f"nothing at {' or '.join(dict.fromkeys(map(str, tried)))}",
        f"If it has moved, say where it is now: {option} FOLDER.",
    )


def _check_files(run: Path, config: Mapping[str, Any]) -> None:
    now = dict(paths_in(config))
    for option, place in _recorded(run).items():
        path = Path(now.get(option, "."))
        if option in (ROOT, CACHE) or path.exists() or str(path) not in (place.absolute, place.given):
            continue
        tried = " or ".join(dict.fromkeys(map(str, place.candidates(run)[:-1])))
        raise DataError(
            f"the files of {option.replace('.init_args', '')} of the run {run}",
            f"nothing at {tried}",
            f"Put them back, or write where they are now into {run / CONFIG}.",
        )


def _is_kept(encoder: Any) -> bool:
    """Whether what an encoder of a configuration gives stands in the cache: of one that is trained it does not."""
    options = encoder.get("init_args") if isinstance(encoder, Mapping) else None
    return encoder is not None and (options or {}).get("train", "frozen") == "frozen"


def _note_cache(run: Path, cache_dir: Path) -> None:
    if not cache_dir.exists():
        warn(
            f"note: the cache of {run} is not at {cache_dir} any more, so its features are computed again there. If it "
            f"has moved: --data.cache_dir FOLDER (dim test, validate, predict), or data.cache_dir in {run / CONFIG}."
        )


def check_dataset(run: Path, dataset: Dataset, remedy: str) -> None:
    """Makes sure that a dataset is the one that a run was fitted on, wherever it stands.

    Raises:
        DataError: It is another.
    """
    known = dataset_of(run)
    if known and known["hash"] != dataset.hash:
        raise DataError(
            f"the dataset {known['name']} (hash {known['hash']}) of the run {run}",
            f"{dataset.name} (hash {dataset.hash}) at {dataset.root}",
            remedy,
        )
