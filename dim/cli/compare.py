"""`dim compare`: several configs over several seeds, with their rankers or without, then their report.

What is finished is not run again.
"""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from dim.cli.configs import config_file, shipped
from dim.cli.grid import Setting, check_settings, read_grid, tune_table
from dim.cli.report import check_options, report
from dim.core.command_line import command_line
from dim.core.files import write_json
from dim.core.folder_files import read_json
from dim.core.termination import TERMINATION
from dim.core.wrong_line import split_line
from dim.display.terminal import Console, Text
from dim.errors import ConfigError
from dim.evaluation.result_files import METRICS, RANKED_FOLDER
from dim.evaluation.significance import ROUNDS
from dim.images.decoder_process import same_imports
from dim.training.run_folder import COMPARED, can_resume, is_finished

INTERRUPTED = 130  #: How a command ends that was.
RANKED_BY = "compare_rank.json"  #: In a run's folder: the options of `dim rank` that `dim compare` ranked it with.
OF_RANK = frozenset({"run", "out", "overwrite", "config"})  #: Its options that `dim compare` gives, or has no use for.
UNRANKED = "finished, without its ranker"
ALONE = Setting()


@dataclass(frozen=True)
class Experiment:
    """One run: a config, the configs laid over it, a seed; options of `dim rank`, or None where it gets no ranker."""

    configs: tuple[str, ...]
    seed: int
    run: Path
    options: tuple[str, ...]
    ranking: tuple[str, ...] | None = None

    @property
    def arguments(self) -> list[str]:
        """What `dim fit` is called with."""
        configs = [f"--config={config}" for config in self.configs]
        return [*configs, f"--seed_everything={self.seed}", f"--run={self.run}", *self.options]

    @property
    def lines(self) -> list[list[str]]:
        """The commands that make it."""
        fitted = ["fit", *self.arguments]
        return [fitted] if self.ranking is None else [fitted, ["rank", f"--run={self.run}", *self.ranking]]

    def state(self) -> str:
        """`finished`, `UNRANKED`, `unfinished` (with a checkpoint) or `new`. What was only evaluated is not finished.

        Raises:
            ConfigError: Another experiment stands in the run's folder, or results of another ranker.
        """
        record = self.run / COMPARED
        if not record.exists() and any((self.run / name).exists() for name in ("metrics.json", "checkpoints")):
            raise ConfigError(
                f"a folder without a run, or the run of {' '.join(self.arguments)}, in {self.run}",
                "a run that dim compare did not start",
                "Name another folder with --runs.",
            )
        started = self.arguments
        if record.exists():
            what = f"the record of an experiment at {record}"
            started = read_json(record, list[str], what, "Name another folder with --runs, or remove this one.")
        if started != self.arguments:
            raise ConfigError(
                f"the run of {' '.join(self.arguments)} in {self.run}",
                f"that of {' '.join(started)}",
                "Name another folder with --runs, or remove this one.",
            )
        if is_finished(self.run):
            return "finished" if self.ranking is None or self._is_ranked(self.ranking) else UNRANKED
        return "unfinished" if can_resume(self.run) else "new"

    def _is_ranked(self, ranking: Sequence[str]) -> bool:
        ranked, record = self.run / RANKED_FOLDER, self.run / RANKED_BY
        if not (ranked / METRICS).exists():
            return False
        remedy, asked = f"Remove {ranked}, or name another folder with --runs.", None
        if record.exists():
            asked = read_json(record, list[str], f"the options of dim rank at {record}", remedy)
        if asked != list(ranking):
            found = "one that dim compare did not make" if asked is None else f"that of {asked}"
            raise ConfigError(f"the ranker of the options {list(ranking)} in {ranked}", found, remedy)
        return True


def compare(
    configs: list[str],
    runs: Path,
    seeds: int = 3,
    options: str = "",
    against: str | None = None,
    by: str | None = None,
    out: list[Path] | Path | None = None,
    grid: Path | None = None,
    rank: bool = False,
    rank_options: str = "",
) -> None:
    """Runs each config with seeds 0, 1, … and reports on all of them together.

    Interrupted and called again it goes on: finished runs stay, an unfinished one resumes at its last epoch. A line of
    `dim fit` that its parser refuses stops it before anything is run. A run that fails is named, the others go on and
    are reported, and the command ends with an error.

    Args:
        configs: Files, or names of shipped configs (`dim configs` lists them); `demo+shuffled_texts` lays
            ablations/shuffled_texts (.yaml, beside the file, else the shipped one, or any path) over it.
        runs: Folder of all runs: <runs>/<config>/seed<N>.
        seeds: How many seeds.
        options: Further options of `dim fit` for every run, as one string: "--data.root data/wikimel".
        against: The system that the others are tested against; by default the first.
        by: A column to break the report down by.
        out: A file that the report is also written to (.html, .md, .csv, .tex), or a list: '[report.html, report.md]'.
        grid: A YAML file of options of `dim fit` that each config is run with: `model.width: [256, 512]` a line, of
            which every combination is run, or a list of mappings such as `{model.width: 256}`. A table by tune says
            which to choose.
        rank: Whether each run gets a ranker, too (`dim rank`); the report has both.
        rank_options: Options of `dim rank` for every run, as one string: "--folds 2".

    Raises:
        ConfigError: A config is not there or wrong, two have one name, the grid is none, another experiment stands in a
            run's folder, or a run failed.
    """
    files = [out] if isinstance(out, Path) else list(out or [])
    check_options(files, ROUNDS)
    console = Console()
    extra = tuple(shlex.split(options))
    settings = [ALONE] if grid is None else read_grid(grid)
    check_settings(extra, settings)
    ranking = _ranking(rank, rank_options)
    systems = [(name, setting, runs / system_name(name, setting)) for name in configs for setting in settings]
    _check_apart(systems)
    experiments = [
        Experiment(find_configs(name), seed, folder / f"seed{seed}", (*extra, *setting.options), ranking)
        for seed in range(seeds)
        for name, setting, folder in systems
    ]
    states = [experiment.state() for experiment in experiments]  # before anything is run
    check([each for each, state in zip(experiments, states, strict=True) if each.seed == 0 and state != "finished"])
    failed: dict[Path, list[str]] = {}
    for number, (experiment, state) in enumerate(zip(experiments, states, strict=True), start=1):
        console.say(Text(f"{number} of {len(experiments)}: {experiment.run} ({state})", "bold"))
        if state == "finished":
            continue
        if state != UNRANKED and not fit(experiment, resume=state == "unfinished"):
            failed[experiment.run] = experiment.lines[0]
        elif experiment.ranking is not None and not fit_ranker(experiment):
            failed[experiment.run] = experiment.lines[1]
    done = [folder for *_, folder in systems if any(map(is_finished, folder.glob("seed*")))]
    if done:
        report(done, against=against, by=by, out=files)
        if grid is not None:
            console.print(tune_table(done))
    if failed:
        _print_runs(experiments, failed, console)
        raise ConfigError(
            f"{len(experiments)} runs that finish",
            f"{len(failed)} that failed: {', '.join(map(str, failed))}",
            "Look at their messages above; the same command goes on with them.",
        )


def _ranking(rank: bool, rank_options: str) -> tuple[str, ...] | None:
    given = tuple(shlex.split(rank_options))
    if given and not rank:
        raise ConfigError("--rank true beside --rank_options", "--rank_options alone", "Add --rank true.")
    if own := [name for name, _ in split_line(given) if name in OF_RANK]:
        raise ConfigError("options of dim rank that are yours", f"--{own[0]}", "dim compare gives it. Leave it out.")
    return given if rank else None


def _print_runs(experiments: Sequence[Experiment], failed: Mapping[Path, list[str]], console: Console) -> None:
    table = Table("run", "", title="runs")
    for each in experiments:
        table.add_row(Text(str(each.run)), Text("failed", "bold red") if each.run in failed else "finished")
    console.print(table)
    for line in failed.values():
        console.say(f"failed: {command_line(line)}")


def check(experiments: Sequence[Experiment]) -> None:
    """Has their lines read, all in one further process, which imports what reading them needs.

    Raises:
        ConfigError: One is wrong; its error is on stderr.
    """
    if not experiments:
        return
    lines = [line for experiment in experiments for line in experiment.lines]
    command, given = [sys.executable, "-P", "-m", "dim.cli.checked_lines"], json.dumps(lines)
    done = subprocess.run(command, input=given, stdout=subprocess.PIPE, text=True, env=same_imports(), check=False)
    if done.returncode:
        number = done.stdout.strip()
        wrong = lines[int(number)] if number.isdecimal() else None
        raise ConfigError(
            "lines that can be read" if wrong is None else f"a line of dim {wrong[0]} that can be read",
            "one that cannot" if wrong is None else command_line(wrong),
            "Its error stands above. Nothing was run.",
        )


def fit(experiment: Experiment, resume: bool) -> bool:
    """Runs `dim fit` in a process of its own. Returns whether it ended well."""
    experiment.run.mkdir(parents=True, exist_ok=True)
    write_json(experiment.run / COMPARED, experiment.arguments)
    return _ends_well([*experiment.lines[0], "--ckpt_path=last" if resume else "--overwrite=true"])


def fit_ranker(experiment: Experiment) -> bool:
    """Runs `dim rank` in a process of its own. Returns whether it ended well."""
    write_json(experiment.run / RANKED_BY, experiment.ranking)
    return _ends_well(experiment.lines[1])


def _ends_well(line: Sequence[str]) -> bool:
    command = [sys.executable, "-P", "-m", "dim", *line]  # -P: no module of this folder
    with subprocess.Popen(command, env=same_imports()) as process:
        try:
            code = process.wait()
        except KeyboardInterrupt:  # which a terminal sends to both
            if TERMINATION.came:  # to this process, mostly; it counts once where both have it
                process.terminate()
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGINT)
            raise
    if code == INTERRUPTED:
        raise KeyboardInterrupt
    return code == 0


def find_configs(name: str) -> tuple[str, ...]:
    """What `--config` is given for `config+ablation+…`, in the order in which they are laid over each other.

    Raises:
        ConfigError: One is not there.
    """
    first, *others = name.split("+")
    config_file(first)
    known = shipped()
    folder = Path(first).parent / "ablations"
    found = [first]
    for other in others:
        beside, own = folder / f"{other}.yaml", f"ablations/{other}"
        if first not in known and beside.is_file():
            found.append(str(beside))
        elif own in known:
            found.append(own)
        elif Path(other).is_file():
            found.append(other)
        else:
            near = {file.stem for file in folder.glob("*.yaml")} | {
                Path(each).name for each in known if each.startswith("ablations/")
            }
            raise ConfigError(f"a config {other}", "no such file", f"The ablations are: {', '.join(sorted(near))}.")
    return tuple(found)


def system_name(name: str, setting: Setting = ALONE) -> str:
    """The folder of a system.

    Example:
        >>> system_name("lightning_configs/demo.yaml+shuffled_texts", Setting("width=256"))
        'demo+shuffled_texts+width=256'
    """
    parts = [Path(part).stem for part in name.split("+")]
    return "+".join([*parts, setting.name] if setting.name else parts)


def _check_apart(systems: Sequence[tuple[str, Setting, Path]]) -> None:
    """Raises ConfigError where two systems would have one folder: the second would replace the first."""
    owners: dict[Path, str] = {}
    for name, _, folder in systems:
        if folder in owners:
            found = f"{owners[folder]} and {name}, both in {folder}"
            raise ConfigError("configs with a name each, as which their runs stand", found, "Rename a file.")
        owners[folder] = name
