"""The answers to one mention as people read them: whole ids at any width, and plain lines in a pipe."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.cells import cell_len
from rich.console import RenderableType
from rich.table import Table

from dim.data.dataset import NIL
from dim.display.lines import say, say_json, warn
from dim.display.terminal import Console, Text
from dim.display.visible import visible
from dim.linker.annotate import Annotation
from dim.linker.answer import Answer, certainty
from dim.linker.linker import Linker

#: The evidence that is shown; JSON has all.
SHOWN = ("vectors", "name", "exact", "rest_in_context", "words_share", "per_token", "judge")
NOT_THERE = "the KB has no such entity"
TEXT_LINES = 2  #: Of an entity's text at most.


def show(answers: Sequence[Answer], as_json: bool, console: Console | None = None) -> None:
    """Prints the answers to one mention: to a terminal as its width allows, into a pipe a line each, with tabs."""
    console = console or Console()
    if as_json:
        say_json([answer.to_dict() for answer in answers], indent=2)
    elif not console.is_terminal:
        for line in plain_lines(answers):
            say(line)
    elif not answers:
        console.print("no answer: nothing competes")
    else:
        console.print(_blocks(answers, console))


def show_annotations(annotations: Sequence[Annotation], as_json: bool, console: Console | None = None) -> None:
    """Prints the best answer to each mention: to a terminal as a table, into a pipe a line each, with tabs."""
    console = console or Console()
    if as_json:
        say_json([each.to_dict() for each in annotations], indent=2)
        return
    bests = [each.answers[0] for each in annotations if each.answers]
    heads = ("start", "end", "mention", "id", "name", _head(bests), "text")
    rows = [_best(each) for each in annotations]
    if not console.is_terminal:
        for line in _tabbed([heads, *rows]):
            say(line)
        return
    table = Table(box=None, padding=(0, 2, 0, 0))
    for head in heads[:-1]:
        is_number = head in ("start", "end", heads[-2])
        table.add_column(head, justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(" ".join(cell.split())) for cell in row[:-1]))
    console.print(table)


def _best(annotation: Annotation) -> tuple[str, ...]:
    """The cells of an annotation's best answer."""
    place = (str(annotation.start), str(annotation.end), annotation.mention)
    if not annotation.answers:
        return (*place, NIL, "no answer: nothing competes", "", "")
    answer = annotation.answers[0]
    return (*place, answer.id, _name(answer), f"{certainty(answer):.4f}", answer.text or "")


def say_calibration(linker: Linker) -> None:
    """Says on stderr what the probabilities of a linker are calibrated on, where that is other data than its own."""
    if told := linker.calibrated_on:
        warn(f"probabilities: {told}")


def plain_lines(answers: Sequence[Answer]) -> list[str]:
    """A heading, and a line an answer; nothing is cut."""
    lines = [("rank", "id", "name", _head(answers[:1]), "text")]
    for place, answer in enumerate(answers, start=1):
        lines.append((str(place), answer.id, answer.name, f"{certainty(answer):.4f}", answer.text or ""))
    return _tabbed(lines)


def _head(answers: Sequence[Answer]) -> str:
    """What the numbers of answers are, at the head of their column."""
    return "probability" if any(answer.probability is not None for answer in answers) else "score"


def _tabbed(lines: Iterable[Sequence[str]]) -> list[str]:
    """Lines of cells as a pipe gets them."""
    return ["\t".join(" ".join(cell.split()) for cell in line) for line in lines]


def _blocks(answers: Sequence[Answer], console: Console) -> RenderableType:
    """A block an answer: rank, score, id and name, and below them its text and its evidence."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(overflow="fold")
    scores = [_score(answer) for answer in answers]
    room = console.width - len(str(len(answers))) - max(map(len, scores)) - 4
    for place, (answer, score) in enumerate(zip(answers, scores, strict=True), start=1):
        is_short = cell_len(visible(answer.id)) + 2 + cell_len(visible(_name(answer))) <= room
        lines = Text(overflow="fold").append(answer.id, "bold").append("  " if is_short else "\n").append(_name(answer))
        if answer.text:
            lines.append("\n").append(_beginning(answer.text, room, console))
        parts = [f"{part}={answer.evidence[part]:.2f}" for part in SHOWN if part in answer.evidence]
        if parts:
            lines.append("\n").append("  ".join(parts), "dim")
        grid.add_row(str(place), score, lines)
    return grid


def _beginning(text: str, room: int, console: Console) -> Text:
    lines = Text(" ".join(text.split())).wrap(console, max(room, 1), overflow="fold")
    if len(lines) > TEXT_LINES:
        last = lines[TEXT_LINES - 1]
        last.rstrip()
        last.truncate(max(room - 1, 1))
        last.append("…")
    return Text().append(Text("\n").join(lines[:TEXT_LINES]))


def _score(answer: Answer) -> str:
    return f"{answer.score:.3f}" if answer.probability is None else f"{answer.probability:.1%}"


def _name(answer: Answer) -> str:
    return NOT_THERE if answer.id == NIL else " ".join(answer.name.split())
