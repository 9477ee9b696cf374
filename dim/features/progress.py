"""How far work is, what it waits for, and what took the time in the end.

Four stages take turns in the process that encodes: `decode` (waiting for images; with worker processes only what they
are late), `transfer` (to the GPU), `encode`, and `write` (to the disk). The stage with the largest share is the one to
speed up: more workers or draft decoding against `decode`, a larger GPU or a lower precision against `encode`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TimeRemainingColumn

from dim.core.jobs import Workplace
from dim.core.progress import shown
from dim.display.terminal import Console, Text, TextColumn

STAGES = ("decode", "transfer", "encode", "write")


class Stages:
    """The seconds that each stage took of this process, since it was made."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self._clock = clock
        self._start = clock()

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Counts the time inside the `with` block, also of a block that raises."""
        start = self._clock()
        try:
            yield
        finally:
            self.seconds[stage] += self._clock() - start

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._start

    def shares(self) -> dict[str, float]:
        """The share of each stage in the elapsed time, and of all else under `other`; they add up to 1."""
        elapsed = max(self.elapsed, 1e-9)
        shares = {stage: seconds / elapsed for stage, seconds in self.seconds.items()}
        return shares | {"other": max(0.0, 1 - sum(shares.values()))}

    @property
    def limiting(self) -> str | None:
        """The stage that took most; None before the first."""
        stage = max(self.seconds, key=self.seconds.__getitem__)
        return stage if self.seconds[stage] > 0 else None

    @property
    def limit(self) -> str:
        """The limiting stage with its share: `limit: decode 71%`; empty before the first."""
        return "" if self.limiting is None else f"limit: {self.limiting} {self.shares()[self.limiting]:.0%}"

    def summary(self, num_done: int) -> str:
        """Rate and shares in one line: `76/s in 3.4 s: decode 71%, encode 25%, write 1%, other 3%; limit: decode`."""
        shares = {stage: share for stage, share in self.shares().items() if share >= 0.005}
        listed = ", ".join(f"{stage} {share:.0%}" for stage, share in shares.items())
        elapsed = self.elapsed
        line = f"{num_done / max(elapsed, 1e-9):,.0f}/s in {elapsed:,.1f} s: {listed}"
        return f"{line}; limit: {self.limiting}" if self.limiting else line


@contextmanager
def shown_progress(
    name: str, work: Workplace, console: Console, clock: Callable[[], float] = time.perf_counter
) -> Iterator[tuple[Callable[[int], None], Stages]]:
    """Shows a bar with rate, time left and limiting stage while the work lasts, and its summary at the end.

    Yields:
        What is to be called with the number of inputs done, and the clock of the stages.
    """
    stages, before = Stages(clock), work.num_rows_done
    columns = (
        TextColumn("{task.description:<12}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
        _Limit(stages),
    )
    is_pending = bool(work.pending)

    with shown(
        name,
        work.plan.num_rows,
        done=before,
        console=console,
        columns=columns,
        silent=not is_pending,
        note=lambda: stages.limit,
    ) as advance:
        yield advance, stages
    if is_pending:
        line = stages.summary(work.num_rows_done - before)
        console.say(f"{name:<12} {line}", highlight=False)


class _Rate(ProgressColumn):
    """Inputs a second: of late while running, on the whole at the end."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f}/s")


class _Limit(ProgressColumn):
    """The stage that took most so far, with its share."""

    def __init__(self, stages: Stages) -> None:
        super().__init__()
        self.stages = stages

    def render(self, task: Task) -> Text:
        return Text(self.stages.limit)
