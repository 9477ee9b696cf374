"""What is done with a linker's folder after it was written, and with a run after it was fitted."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any

from dim.core.command_line import command_line
from dim.core.known_classes import class_names, packages
from dim.display.terminal import Console, Text
from dim.errors import ConfigError
from dim.inference.method import Method
from dim.linker import Linker
from dim.linker.kinds import kind_of_task
from dim.training.run_folder import SEED


def say_next(written: str, linker: Linker, folder: Path, image_root: str | None, trusted: Sequence[str] = ()) -> None:
    """Prints how the linker is asked, and served with its pictures.

    Args:
        written: What was written, as the first line says it.
        linker: Of the folder.
        folder: Where it stands.
        image_root: Where the images of its KB stand that are not in it; None: it has them, or there are none.
        trusted: Packages that were trusted as it was written; those are named whose classes are in it.
    """
    console, judge = Console(), linker.judge and linker.judge.judge
    named = [*class_names(linker.about["recipe"]), f"{type(judge).__module__}."]
    trusted = [each for each in packages(trusted) if any(name.startswith(each) for name in named)]
    console.say(Text(f"written: {written}; next, ask it, or serve it:"))
    name = next(iter(linker)).name
    more = [] if image_root is None else ["--image_root", image_root]
    for words in (
        ["link", "--model", str(folder), "--mention", name, "--context", f"{name} …"],
        ["serve", "--model", str(folder), *more],
    ):
        console.say(Text(f"  {command_line(words, trusted)}"))


def say_next_of_run(
    task: Method, run: Path, config: Mapping[str, Any], is_ranked: bool = False, dataset: Path | None = None
) -> None:
    """Prints what is done with a run, as far as its method can: a ranker beside it, its linker; a line each.

    The commands name where the dataset of the run stands now, if that was said.
    """
    from dim.training.saved_run import packages_to_trust  # who says this of a linker pays for no trainer

    trusted = packages_to_trust(answering := [config.get("model"), config.get("data")])
    steps = []
    if not is_ranked and (task.scores_all or task.scores_given):
        fitted_again = packages_to_trust([answering, (config.get("trainer") or {}).get("callbacks")])
        steps.append((["rank", "--run", str(run)], fitted_again, "learns to weigh names, too"))
    try:
        kind_of_task(task, str(run))
    except ConfigError:  # of a package whose method has none
        pass
    else:
        words = ["export", str(run), f"linkers/{_name(run)}"]
        steps.append((words, trusted, "its linker, to link and serve with"))
    console = Console()
    if steps:
        console.say("next:")
    for words, needed, why in steps:
        console.say(Text(f"  {command_line(words, needed, dataset)}    # {why}"))


def say_not_evaluated(splits: Container[str], run: Path, trusted: Sequence[str]) -> None:
    """Says of a run whose dataset has no dev split that it has no figures, and what would give it some."""
    command = command_line(["test", "--config", str(run / "config.yaml")], trusted)
    remedy = f"to evaluate on test: {command}" if "test" in splits else "and no test: nothing was evaluated"
    Console().say(Text(f"no figures: the dataset has no dev split{';' if 'test' in splits else ''} {remedy}"))


def _name(run: Path) -> str:
    """What its linker is called: as the run, which of a seed stands in the folder of its system."""
    run = run.resolve()
    return f"{run.parent.name}_{run.name}" if SEED.fullmatch(run.name) else run.name
