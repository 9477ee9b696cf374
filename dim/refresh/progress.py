"""How far a refresh is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TimeRemainingColumn

from dim.core.progress import shown
from dim.display.terminal import Text, TextColumn
from dim.refresh.answers import Answer
from dim.refresh.budget import Budget


@contextmanager
def answer_progress(what: str, budget: Budget, total: int) -> Iterator[Callable[[Answer], None]]:
    """Shows on stderr answers, failures, tokens and cost under a name; yields what is called with each answer."""
    counts = {"ok": 0, "failed": 0}

    def said() -> str:
        tokens = budget.tokens_in + budget.tokens_out
        line = f"{counts['ok']:,} ok, {counts['failed']:,} failed, {tokens:,} tokens"
        return line if budget.cost is None else f"{line}, cost {budget.cost:,.4f}"

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), _Said(said), TimeRemainingColumn())
    with shown(what, total, columns=columns, note=said) as advance:

        def count(answer: Answer) -> None:
            counts["ok" if answer.status == "ok" else "failed"] += 1
            advance()

        yield count


class _Said(ProgressColumn):
    """What is known beside the number of answers."""

    def __init__(self, said: Callable[[], str]) -> None:
        super().__init__()
        self.said = said

    def render(self, task: Task) -> Text:
        return Text(self.said())
