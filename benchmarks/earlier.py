"""`dim bench earlier`: today's linker, server and GEMEL beside those of an earlier commit, on the same rows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree
from statistics import median
from typing import Any, Literal

from rich.table import Table

from benchmarks.clock import QUIET, say_measured, wait_until_quiet
from benchmarks.serve_clients import measure_closed
from benchmarks.serve_process import timed_server
from benchmarks.start import HERE, checked_checkout, cost_of
from dim.core.files import write_json
from dim.core.progress import tracked
from dim.data.dataset import Dataset
from dim.display.counts import count_of
from dim.display.terminal import Console
from dim.errors import ConfigError, DimError

Way = Literal["torch", "fp32", "bf16"]
#: How today's linker is exported.
WAYS: dict[Way, list[str]] = {
    "torch": [],
    "fp32": ["--backend", "openvino", "--precision", "fp32"],
    "bf16": ["--backend", "openvino", "--precision", "bf16"],
}
#: What is measured of a linker: what it is called, its digits, and the goals by OpenVINO in fp32 and in bf16.
LINKS = {
    "start": ("dim link, CPU s", 2, "≤ 0.5", "≤ 0.5"),
    "p50": ("mention, p50 ms", 1, "≤ 0.5", "≤ 0.42"),
    "p99": ("mention, p99 ms", 1, "≤ 0.6", "≤ 0.6"),
    "batches": ("batches, /s", 0, "≥ 2.2", "≥ 2.8"),
    "served": ("server, /s", 0, "≥ 2", "≥ 2"),
    "served_p99": ("server, p99 ms", 0, "≤ 1", "≤ 1"),
}
GENERATED = ("GEMEL, /s", 2, "≥ 2", "≥ 2")
_PROCESS = Path(__file__).with_name("earlier_process.py")
_SILENT = {"WANDB_MODE": "offline", "WANDB_SILENT": "true"}


@dataclass(frozen=True)
class Build:
    """A state of the code, and the folder of what it made."""

    checkout: Path
    folder: Path

    @property
    def run(self) -> Path:
        """Of DIM, with a ranker."""
        return self.folder / "run"

    def linker(self, way: Way = "torch") -> Path:
        """The folder of its linker."""
        return self.folder / f"linker_{way}"

    def dim(self, *words: str | Path) -> None:
        """Runs a command of it. Raises DimError where that fails."""
        self._python(["-m", "dim", *map(str, words)])

    def measure(self, plan: dict[str, Any]) -> dict[str, Any]:
        """What `benchmarks.earlier_process` measures in a process of its own."""
        said = self._python(["-P", str(_PROCESS)], json.dumps(plan))  # -P: not on the code beside it
        found: dict[str, Any] = json.loads(said.splitlines()[-1])
        return found

    def _python(self, words: Sequence[str], given: str = "") -> str:
        environment = os.environ | _SILENT | {"PYTHONPATH": str(self.checkout)}
        done = subprocess.run(
            [sys.executable, *words], input=given, capture_output=True, text=True, cwd=self.folder, env=environment
        )
        if done.returncode:
            line = " ".join(words)
            raise DimError(f"{line} of {self.checkout} to end", f"exit {done.returncode}", done.stderr[-2000:])
        return done.stdout


@dataclass(frozen=True)
class Row:
    """A figure of both builds, turn by turn.

    Attributes:
        name: Of `LINKS`, or `generated`.
        way: Of today's build; of `generated` its precision.
        before: The earlier build's.
        now: Today's.
        same: The share of GEMEL's first answers that are the earlier build's.
    """

    name: str
    way: Way
    before: list[float]
    now: list[float]
    same: list[float] = field(default_factory=list)

    @property
    def ratios(self) -> list[float]:
        """Today's to the earlier one's."""
        return [new / old for old, new in zip(self.before, self.now, strict=True)]


def bench_earlier(
    checkout: Path,
    package: Path,
    text_encoder: Path,
    folder: Path,
    language_model: Path | None = None,
    ways: Sequence[Way] = ("torch", "fp32", "bf16"),
    config: str = "wikimel_text",
    num_mentions: int = 200,
    batch_size: int = 256,
    num_batches: int = 2,
    clients: int = 32,
    seconds: float = 10,
    num_generated: int = 48,
    examples: int = 4,
    rounds: int = 3,
    max_load: float = QUIET,
    seed: int = 0,
) -> list[Row]:
    """Measures a linker and its server, and GEMEL where a language model is named, in turns with an earlier commit's.

    Both builds read the dataset that the earlier one prepares, fit a run on it, rank and export it; what is finished is
    kept in `folder`. Then each measurement has processes of its own.

    Args:
        checkout: Of the earlier commit, such as `git worktree add ../dim-09986a7 09986a7` makes.
        package: What `dim prepare` reads.
        text_encoder: The folder of a Transformers text encoder.
        folder: Where data, runs and linkers are kept, and earlier.json is written.
        language_model: The folder of a causal language model, which is asked by text alone, under the tree; None: none
            is asked.
        ways: How today's linker computes its text encoder: `torch`, or by OpenVINO in `fp32` or `bf16`.
        config: Of lightning_configs, in both checkouts; it reads texts alone.
        num_mentions: Asked one at a time.
        batch_size: Mentions of a batch.
        num_batches: Of other mentions each.
        clients: That ask the server, each again when it has its answer.
        seconds: For which they ask.
        num_generated: Mentions whose names are written.
        examples: In their prompts.
        rounds: Turns.
        max_load: The machine's load average must be below it before anything is measured.
        seed: Of the mentions, which are drawn from dev.

    Returns:
        A row for each measure and way.

    Raises:
        ConfigError: There is nothing to measure, no checkout, or too few mentions in dev.
        DimError: A command of either build failed, or the machine does not get quiet.
    """
    if min(rounds, num_mentions, batch_size, num_batches, clients, num_generated) < 1:
        raise ConfigError("mentions, a batch, a client and a round at least", "none of one of them", "Raise it.")
    checkout, folder = checked_checkout(checkout), folder.resolve()
    earlier, today = Build(checkout, folder / "earlier"), Build(HERE, folder / "today")
    _make(earlier, today, package.resolve(), text_encoder.resolve(), config, ways)
    dataset = Dataset(folder / "data")
    mentions, num_entities = dataset.split("dev").sample(frac=1, random_state=seed), len(dataset.entities)
    if len(mentions) < (most := max(num_mentions + batch_size * num_batches, num_generated)):
        raise ConfigError(f"{most:,} mentions in dev", f"{len(mentions):,}", "Ask for fewer.")
    texts = mentions[["mention", "context"]].fillna("").astype(str)
    asked = [{"mention": mention, "context": context} for mention, context in texts.itertuples(index=False)]
    load = wait_until_quiet(max_load)
    rows = [Row(name, way, [], []) for name in LINKS for way in ways]
    written = [Row("generated", way, [], []) for way in ways if way != "torch"] if language_model else []
    for _ in tracked(range(rounds), "turns", rounds):
        sizes = num_mentions, batch_size, num_batches
        before = _linker(earlier, earlier.linker(), asked, sizes, clients, seconds)
        now = {way: _linker(today, today.linker(way), asked, sizes, clients, seconds) for way in ways}
        for row in rows:
            row.before.append(before[row.name])
            row.now.append(now[row.way][row.name])
        if written:
            plan = {"language_model": str(Path(str(language_model)).resolve()), "examples": examples}
            plan["mentions"] = mentions["id"].tolist()[:num_generated]
            first = earlier.measure(plan | {"run": str(earlier.run), "precision": "fp32"})
            for row in written:
                second = today.measure(plan | {"run": str(today.run), "precision": row.way})
                row.before.append(first["generated"])
                row.now.append(second["generated"])
                pairs = zip(first["answers"], second["answers"], strict=True)
                row.same.append(sum(one == other for one, other in pairs) / num_generated)
    rows += written
    _print(rows, f"today beside {checkout.name}, {text_encoder.name}, {num_entities:,} entities")
    say_measured(count_of(rounds, "turn"), load=load)
    write_json(folder / "earlier.json", {"rows": [vars(row) for row in rows], "load": load})
    return rows


def _make(earlier: Build, today: Build, package: Path, text_encoder: Path, config: str, ways: Sequence[Way]) -> None:
    """Data, runs, rankers and linkers of both builds, as far as they are not there."""
    data = earlier.folder.parent / "data"
    status = Console(stderr=True).status("")
    for build in (earlier, today):
        build.folder.mkdir(parents=True, exist_ok=True)
    with status:
        if not (data / "dataset.json").exists():
            status.update("prepares the package")
            earlier.dim("prepare", package, data, "--audit", "false")
        for build, of_build in ((earlier, ("torch",)), (today, ways)):
            if not (build.run / "metrics.json").exists():
                status.update(f"fits a run of {build.checkout.name}")
                rmtree(build.run, ignore_errors=True)  # of a fit that was stopped
                options = {
                    "--config": build.checkout / "lightning_configs" / f"{config}.yaml",
                    "--data.root": data,
                    "--data.text_encoder.path": text_encoder,
                    "--data.cache_dir": build.folder / "cache",
                    "--run": build.run,
                }
                build.dim("fit", *(word for option in options.items() for word in option))
            if not (build.run / "ranker").exists():
                status.update(f"ranks a run of {build.checkout.name}")
                build.dim("rank", "--run", build.run)
            for way in of_build:
                if not build.linker(way).exists():
                    status.update(f"exports a linker of {build.checkout.name}")
                    build.dim("export", build.run, build.linker(way), *WAYS[way])


def _linker(
    build: Build,
    linker: Path,
    asked: Sequence[dict[str, str]],
    sizes: tuple[int, int, int],
    clients: int,
    seconds: float,
) -> dict[str, float]:
    """What `LINKS` names, of one linker: `sizes` are mentions one at a time, and of a batch, and batches."""
    single, size, count = sizes
    first = ["--model", str(linker), "--mention", asked[0]["mention"], "--context", asked[0]["context"]]
    found = {"start": cost_of(["-m", "dim", "link", *first, "--device", "cpu"], 0, build.checkout, build.folder).cpu}
    batches = [asked[start : start + size] for start in range(single, single + size * count, size)]
    found |= build.measure({"linker": str(linker), "single": asked[:single], "batches": batches})
    with timed_server(linker, "cpu", checkout=build.checkout) as (server, _):
        answered = measure_closed({"served": server}, asked, clients, seconds, 1)
    return found | {"served": answered["served_rate"], "served_p99": answered["served_p99"]}


def _print(rows: Sequence[Row], title: str) -> None:
    caption = (
        "fp32, bf16: by OpenVINO, and of GEMEL; /s: mentions or answers a second\n"
        "ratio: of today to before, median, least and most"
    )
    table = Table(title=title, caption=caption)
    for column in ("", "by", "before", "today", "ratio", "turns", "goal"):
        table.add_column(column, justify="left" if column in ("", "by", "turns") else "right", no_wrap=True)
    for above, row in zip([None, *rows], rows, strict=False):
        label, digits, *goals = GENERATED if row.name == "generated" else LINKS[row.name]
        is_first = above is None or above.name != row.name
        if is_first:
            table.add_section()
        before, now, ratio = median(row.before), median(row.now), median(row.ratios)
        table.add_row(
            label if is_first else "",
            row.way,
            f"{before:,.{digits}f}",
            f"{now:,.{digits}f}",
            f"{ratio:.2f}",
            f"{min(row.ratios):.2f}, {max(row.ratios):.2f}",
            "" if row.way == "torch" else goals[row.way == "bf16"],
        )
    Console().print(table)
    for row in rows:
        if row.same:
            Console().say(f"GEMEL in {row.way}: {min(row.same):.1%} of its first answers are those of before")
