"""The progress bar of a refresh."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from dim.kb.answers import Answer
from dim.kb.budget import Budget


@contextmanager
def answer_progress(budget: Budget, total: int) -> Iterator[Callable[[Answer], None]]:
    """Shows a bar on stderr, with answers, failures, tokens and cost; yields what is called with each answer."""
    num_ok = num_failed = 0
    columns = (TextColumn("refresh"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=total)

        def advance(answer: Answer) -> None:
            nonlocal num_ok, num_failed
            num_ok += answer.status == "ok"
            num_failed += answer.status != "ok"
            said = f"{num_ok:,} ok, {num_failed:,} failed, {budget.tokens_in + budget.tokens_out:,} tokens"
            said += "" if budget.cost is None else f", cost {budget.cost:,.4f}"
            bar.update(task, advance=1, description=said)

        yield advance
