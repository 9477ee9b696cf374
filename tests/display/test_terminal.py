"""What is drawn: texts, whoever wrote them, on a terminal and in a pipe."""

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.panel import Panel
from rich.progress import Progress
from rich.table import Table
from rich.text import Text as RichText

from dim.display.lines import say, say_json, warn
from dim.display.terminal import Console, Text, TextColumn
from dim.display.visible import visible

STYLES = re.compile(r"\x1b\[[\d;]*m")  #: The colours that rich sets itself.
HOSTILE = "[red]a[/red] [link=http://x]b[/link] :warning: \x1b[2J\x07\x08\r\u202ec"
SHOWN = r"[red]a[/red] [link=http://x]b[/link] :warning: \x1b[2J\x07\x08\r\u202ec"


def drawn(*what: object, is_terminal: bool = True) -> str:
    file = io.StringIO()
    Console(file=file, force_terminal=is_terminal, width=400).print(*what)
    return STYLES.sub("", file.getvalue())


@pytest.mark.parametrize("is_terminal", [True, False])
def test_whatever_holds_a_text_shows_it(is_terminal: bool) -> None:
    table = Table(HOSTILE, title=HOSTILE, caption=HOSTILE)
    table.add_row(HOSTILE)
    table.add_row(Text(HOSTILE, "bold").append(HOSTILE, "dim"))
    for what, times in ((HOSTILE, 1), (Text(HOSTILE), 1), (Panel(HOSTILE, title=Text(HOSTILE)), 2), (table, 6)):
        said = drawn(what, is_terminal=is_terminal)
        assert said.count(SHOWN) == times
        assert all(line.isprintable() for line in said.split("\n"))


def test_a_text_of_rich_itself_keeps_its_styles_and_loses_what_steers() -> None:
    said = drawn(RichText.assemble(("red\x1b", "red"), "\u202e", ("blue", "blue")))
    assert said == "red\\x1b\\u202eblue\n"


def test_a_bar_shows_what_it_is_of_as_text() -> None:
    file = io.StringIO()
    columns = (TextColumn("{task.description}"),)
    with Progress(*columns, console=Console(file=file, force_terminal=True, width=400), transient=False) as progress:
        progress.add_task("[red]\x1b[2J\u202eb")
    assert "[red]\\x1b[2J\\u202eb" in file.getvalue()


@given(st.text())
def test_lines_of_a_table_stand_below_one_another(text: str) -> None:
    table = Table("a", "b")
    table.add_row(text, text)
    file = io.StringIO()
    Console(file=file, width=60).print(table)
    widths = {len(line) for line in file.getvalue().splitlines() if line.isascii()}
    assert len(widths) <= 2


def test_plain_lines_and_json_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    say("a\x1b\tb")
    warn("c\u202e\x9b")
    say_json({"id": "\u202e"})
    out, err = capsys.readouterr()
    assert (out, err) == ('a\\x1b\tb\n{"id": "\\u202e"}\n', "c\\u202e\\x9b\n")
    assert visible(out) == out
