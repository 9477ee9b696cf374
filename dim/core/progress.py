"""How far long work is: a bar on a terminal, a plain line every half minute in a log file."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from types import TracebackType
from typing import ClassVar, TypeVar

from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TimeRemainingColumn

from dim.display.terminal import Console, TextColumn

INTERVAL = 30.0  #: Seconds between two lines.
COLUMNS = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
Item = TypeVar("Item")
#: The bars on the terminal, the innermost last, and what has them drawn anew, where they do not do so by themselves.
#: Work within other work joins them, as a terminal shows one set of bars.
RUNNING: list[tuple[Progress, Callable[[], object]]] = []


def duration(seconds: float) -> str:
    """A time as one says it.

    Example:
        >>> duration(90), duration(1500), duration(11100)
        ('90 s', '25 min', '3 h 5 min')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60:,} h {minutes % 60} min"


class Lines:
    """Says a line every `INTERVAL` seconds while its block runs, also when the work itself stands still.

    While work within it has lines of its own, these alone are said.

    Args:
        line: Gives the line.
        say: Takes it.
        wait: Waits so many seconds, and returns True once there is nothing more to say; by default by the clock.
    """

    _innermost_last: ClassVar[list[Lines]] = []

    def __init__(
        self, line: Callable[[], str], say: Callable[[str], None], wait: Callable[[float], bool] | None = None
    ) -> None:
        self.line, self.say = line, say
        self._ended = threading.Event()
        self._wait = wait or self._ended.wait
        self._thread = threading.Thread(target=self._run, name="dim progress", daemon=True)

    def _run(self) -> None:
        while not self._wait(INTERVAL):
            if self._innermost_last[-1] is self:
                self.say(self.line())

    def __enter__(self) -> Lines:
        self._innermost_last.append(self)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._innermost_last.remove(self)


class Bar:
    """How far one piece of work is: `advance` is called as it goes on.

    Args:
        name: What is done.
        total: Of how many; None: nobody knows.
        done: Already, before it began.
        unit: What is counted, where it is no number of things: `MB` for bytes.
        note: Gives what stands beside it.
        clock: Seconds.
    """

    def __init__(
        self,
        name: str,
        total: int | None,
        done: int = 0,
        unit: str = "",
        note: Callable[[], str] = str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name, self.total, self.done, self.before, self.unit, self.note = name, total, done, done, unit, note
        self._clock = clock
        self.begin()

    def begin(self) -> None:
        """Counts the time, and what is done in it, from now on: what went before was other work."""
        self._start, self.before = self._clock(), self.done

    def advance(self, count: int = 1) -> None:
        """So much more is done."""
        self.done += count

    def line(self) -> str:
        """How far it is, in one line.

        Example:
            >>> ticks = iter([0.0, 30.0])
            >>> bar = Bar("link", 1200, clock=lambda: next(ticks))
            >>> bar.advance(300)
            >>> bar.line()
            'link: 300 of 1,200 (25%), 10/s, 90 s left'
        """
        seconds = max(self._clock() - self._start, 1e-9)
        if self.total is None:
            return f"{self.name}: {seconds:,.0f} s"
        scale = 10**6 if self.unit == "MB" else 1
        rate = (self.done - self.before) / seconds
        parts = [
            f"{self.name}: {self.done // scale:,} of {self.total // scale:,}{' ' * bool(self.unit)}{self.unit} "
            f"({self.done / max(self.total, 1):.0%})"
        ]
        if rate > 0:
            each = f"{rate / scale:,.0f}" if rate / scale >= 10 else f"{rate / scale:.2g}"
            parts += [f"{each}/s", f"{duration((self.total - self.done) / rate)} left"]
        return ", ".join(part for part in (*parts, self.note()) if part)


@contextmanager
def shown(
    name: str,
    total: int | None,
    *,
    done: int = 0,
    unit: str = "",
    console: Console | None = None,
    columns: Sequence[ProgressColumn] = COLUMNS,
    note: Callable[[], str] = str,
    silent: bool = False,
    passing: bool = False,
) -> Iterator[Callable[..., None]]:
    """Shows how far work is, on a terminal by a bar, else by lines; nothing where it takes less than half a minute.

    Within other work that is shown, its bar stands below the other's, and its lines in their place.

    Args:
        name: What is done.
        total: Of how many; None: nobody knows.
        done: Already.
        unit: As `Bar` has it.
        console: Where; by default on stderr.
        columns: Of the bar.
        note: Gives what stands beside each line.
        silent: Whether to show nothing at all.
        passing: Whether the bar goes when the work is done.

    Yields:
        What is called with how much more is done.
    """
    console = console or Console(stderr=True)
    if silent:
        yield lambda count=1: None
    elif console.is_terminal and RUNNING and total is not None:
        bars, draw = RUNNING[-1]
        task = bars.add_task(name, total=total, completed=done)

        def advance(count: float = 1) -> None:
            bars.advance(task, count)
            draw()

        try:
            yield advance
        finally:
            bars.update(task, visible=False)
    elif console.is_terminal:
        with Progress(*columns, console=console, transient=passing or total is None) as progress:
            task = progress.add_task(name, total=total, completed=done)
            RUNNING.append((progress, str))
            try:
                yield partial(progress.advance, task)
            finally:
                RUNNING.pop()
    else:
        bar = Bar(name, total, done, unit, note)
        with Lines(bar.line, lambda line: console.say(line, highlight=False)):
            yield bar.advance


def tracked(items: Iterable[Item], name: str, total: int, *, silent: bool = False) -> Iterator[Item]:
    """The items, one after the other, while `shown` says how many of `total` are done."""
    with shown(name, total, silent=silent, passing=True) as advance:
        for item in items:
            yield item
            advance()
