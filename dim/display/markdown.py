"""Markdown whose texts are texts: no link, no picture, no HTML, no formula and no cell comes out of a name."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

from dim.display.visible import visible, visible_line

#: What means something wherever it stands, and links that need no brackets (GitHub makes them of bare addresses).
_SIGNS = re.compile(
    r"[\\`*\[\]|~]|(?<![^\W_])_|_(?![^\W_])|(?<=\w):(?=//)|(?<=www)\.|(?<=mailto):|(?<=xmpp):", re.IGNORECASE
)
#: What no backslash helps against everywhere (addresses of mail, formulas): they stand as code.
_CODE = re.compile(r"[@$]+")
#: What makes a line a heading, a list, a quotation or a rule.
_START = re.compile(r"#|>|[+-](?=[\s-]|$)|\d+(?=[.)](\s|$))")


def markdown_text(text: str) -> str:
    r"""The text for a paragraph, a heading, a list's entry or a cell; line breaks stay line breaks.

    Example:
        >>> markdown_text("[Ann](http://x) <b> full_kb")
        '\\[Ann\\](http\\://x) &lt;b> full_kb'
        >>> markdown_text("- one\nmail@x")
        '\\- one<br>mail`@`x'
    """
    text = _inline(text)
    if start := _START.match(text):
        place = start.end() if start[0].isdigit() else 0
        return f"{text[:place]}\\{text[place:]}"
    return text


def _inline(text: str) -> str:
    lines = (" ".join(line.split()) for line in visible(text).strip().split("\n"))
    found = _SIGNS.sub(r"\\\g<0>", "\n".join(lines)).replace("&", "&amp;").replace("<", "&lt;")
    return _CODE.sub(r"`\g<0>`", found).replace("\n", "<br>")


def markdown_row(cells: Sequence[str]) -> str:
    """A line of a table."""
    return "| " + " | ".join(map(_inline, cells)) + " |"


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]], num_labels: int = 1) -> Iterator[str]:
    """The lines of a table of GitHub's kind.

    Args:
        head: Column heads.
        rows: The cells.
        num_labels: Leading columns that are words, set to the left; the others are figures.
    """
    yield markdown_row(head)
    yield "|" + "".join("---|" if place < num_labels else "---:|" for place in range(len(head)))
    yield from map(markdown_row, rows)


def python_string(text: str) -> str:
    r"""The text as a literal of Python in one line of code.

    Example:
        >>> python_string('Ann "the\nvoice"')
        '"Ann \\"the\\nvoice\\""'
    """
    return visible_line(json.dumps(text, ensure_ascii=False))
