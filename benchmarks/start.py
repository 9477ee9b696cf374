"""`dim bench start`: what commands take from the shell to their first word, against `import torch` alone."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory, TemporaryFile

from rich.table import Table

from benchmarks.clock import say_measured
from benchmarks.made_up_linker import make_linker, make_world
from dim.display.terminal import Console
from dim.errors import ConfigError, DimError

TORCH, LINKER = "import torch", "import dim; dim.Linker"
ANSWER, BERT_ANSWER = "dim link, one mention, the demo's encoder", "dim link, one mention, a BERT"
BERT = "import dim, torch; from transformers import BertModel, BertTokenizerFast"  # dim mends the import of torchvision
LINK = ["-m", "dim", "link", "--mention", "Ada", "--device", "cpu", "--model"]
#: By what they are called: the line, and how it ends.
LINES = {
    TORCH: (["-c", TORCH], 0),
    LINKER: (["-c", LINKER], 0),
    **{f"dim {name} --help": (["-m", "dim", name, "--help"], 0) for name in ("link", "rank", "serve", "report", "fit")},
    "dim fit, a mistyped option": (["-m", "dim", "fit", "--config", "demo", "--data.batch_sise", "3"], 1),
    "dim rank, a missing option": (["-m", "dim", "rank"], 1),
    ANSWER: ([*LINK, "demo"], 0),
    BERT_ANSWER: ([*LINK, "bert"], 0),
    "import Transformers' BERT": (["-c", BERT], 0),
}
MOST_S = 0.5  #: CPU seconds of a help or a wrong line: the goal.
GOALS = {LINKER: "≤ 1.6 × torch", **dict.fromkeys((ANSWER, BERT_ANSWER), "≤ 0.5 × before")}
#: They have none: what they take is Lightning's and Transformers'.
NO_GOAL = (TORCH, "dim fit --help", "import Transformers' BERT")

HERE = Path(__file__).resolve().parents[1]  #: Today's checkout.


@dataclass(frozen=True)
class Cost:
    """CPU seconds, of user and system together, and seconds by the clock."""

    cpu: float
    wall: float


@dataclass(frozen=True)
class Start:
    """What a line took, median of its turns, here and in an earlier checkout."""

    line: str
    cost: Cost
    before: Cost | None = None


def bench_start(checkout: Path | None = None, num_entities: int = 300, rounds: int = 5, seed: int = 0) -> list[Start]:
    """Starts each line in a process of its own, in turns, with the folders of tiny linkers to answer.

    Args:
        checkout: Of an earlier commit, to be measured beside this one; it must read a linker's folder of today.
        num_entities: In the linkers' KB.
        rounds: Turns of each line; their median counts. One more comes first, and fills the caches of the disk.
        seed: Of the made-up world and the linkers' weights.

    Returns:
        What was measured, by line; `import torch` is the first.
    """
    if min(num_entities, rounds) < 1:
        raise ConfigError("num_entities and rounds from 1 up", "a smaller one", "Raise it.")
    places = [HERE] if checkout is None else [HERE, checked_checkout(checkout)]
    taken: dict[tuple[Path, str], list[Cost]] = {(place, line): [] for place in places for line in LINES}
    with TemporaryDirectory() as place_of_linkers:
        folder = Path(place_of_linkers)
        world, encoder = make_world(folder, num_entities, None, "tiny", seed)
        for name, encoder_folder in (("demo", None), ("bert", encoder)):
            make_linker(world, encoder_folder, "cpu", "exact", seed)[0].save(folder / name)
        for turn in range(rounds + 1):
            for place, line in taken:
                cost = cost_of(*LINES[line], place, folder)
                taken[place, line] += [cost] if turn else []
    found = [Start(line, *(_middle(taken[place, line]) for place in places)) for line in LINES]
    _print(found, rounds)
    return found


def checked_checkout(checkout: Path) -> Path:
    """The absolute path of an earlier commit's checkout. Raises ConfigError where none is there."""
    if not (checkout / "dim" / "__main__.py").is_file():
        raise ConfigError(f"a checkout of dim at {checkout}", "none", "Make one: git worktree add FOLDER COMMIT.")
    return checkout.resolve()


def cost_of(words: Sequence[str], status: int, checkout: Path, folder: Path) -> Cost:
    """What a line of Python takes in a process of its own.

    Args:
        words: Behind `python`.
        status: How it ends.
        checkout: Whose dim it runs.
        folder: Where.

    Raises:
        DimError: It ended otherwise.
    """
    environment = os.environ | {"PYTHONPATH": str(checkout)}
    begin = time.perf_counter()
    with TemporaryFile("w+") as said:
        process = subprocess.Popen([sys.executable, *words], cwd=folder, env=environment, stdout=said, stderr=said)
        _, ended, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(ended)
        if process.returncode != status:
            said.seek(0)
            line = " ".join(words)
            raise DimError(f"{line} of {checkout} to end with {status}", f"exit {process.returncode}", said.read())
    return Cost(usage.ru_utime + usage.ru_stime, wall)


def _middle(costs: list[Cost]) -> Cost:
    return Cost(median(each.cpu for each in costs), median(each.wall for each in costs))


def _print(found: list[Start], rounds: int) -> None:
    table = Table(title="from the shell to the end, in processes of their own")
    for column in ("", "CPU s", "wall s", "× import torch", "goal", "CPU s before", "now / before"):
        table.add_column(column, justify="left" if column in ("", "goal") else "right")
    torch = found[0].cost.cpu
    for each in found:
        before = each.before
        table.add_row(
            each.line,
            f"{each.cost.cpu:.2f}",
            f"{each.cost.wall:.2f}",
            f"{each.cost.cpu / torch:.2f}",
            "" if each.line in NO_GOAL else GOALS.get(each.line, f"≤ {MOST_S} s"),
            f"{before.cpu:.2f}" if before else "",
            f"{each.cost.cpu / before.cpu:.2f}" if before else "",
        )
    Console().print(table)
    busy = os.getloadavg()[0]
    say_measured(f"medians of {rounds} turns · load {busy:.1f} at the end")
