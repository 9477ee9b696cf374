"""LaTeX whose texts are texts: no command comes out of a name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from dim.display.visible import visible

_SIGNS = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\symbol{34}",
    # What reports are written with; pdflatex has no such letters.
    "±": r"$\pm$",
    "Δ": r"$\Delta$",
    "·": r"$\cdot$",
    "→": r"$\rightarrow$",
    "−": "$-$",
    "–": "--",
    "…": r"\ldots{}",
    "“": "``",
    "”": "''",
    "’": "'",
    # Two of them would become one sign, and an argument may begin with a bracket.
    "-": "{-}",
    "`": "{`}",
    "'": "{'}",
    "[": "{[}",
    "]": "{]}",
}
_SIGN = re.compile("|".join(map(re.escape, _SIGNS)))
_NUMBER = re.compile(r"(?<![\w.])[+-](?=[0-9])")


def latex_text(text: str) -> str:
    r"""The text in one line; what LaTeX would read as a command is written out.

    Letters of other scripts stay as they are: XeLaTeX and LuaLaTeX have them, with a font that does.

    Example:
        >>> latex_text(r"50% of \input{x}, -1.5")
        '50\\% of \\textbackslash{}input\\{x\\}, $-$1.5'
    """
    line = _NUMBER.sub(lambda sign: "−" if sign[0] == "-" else "+", " ".join(visible(text).split()))
    return _SIGN.sub(lambda sign: _SIGNS[sign[0]], line)


def latex_cell(text: str) -> str:
    """A cell; its further lines stand below the first, smaller."""
    first, *others = text.split("\n")
    if not others:
        return latex_text(first)
    small = (rf"{{\scriptsize {latex_text(line)}}}" for line in others)
    return r"\shortstack{" + r" \\ ".join([latex_text(first), *small]) + "}"


def latex_table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]], num_labels: int = 1) -> Iterator[str]:
    """The lines of a table with the rules of the package booktabs.

    Args:
        title: Its caption.
        head: Column heads.
        rows: The cells.
        num_labels: Leading columns that are words, set to the left; the others are figures.
    """
    columns = "l" * num_labels + "r" * (len(head) - num_labels)
    yield from (r"\begin{table}", r"\centering", rf"\caption{{{latex_text(title)}}}")
    yield from (rf"\begin{{tabular}}{{{columns}}}", r"\toprule", _row(head), r"\midrule")
    yield from map(_row, rows)
    yield from (r"\bottomrule", r"\end{tabular}", r"\end{table}")


def _row(cells: Sequence[str]) -> str:
    return " & ".join(map(latex_cell, cells)) + r" \\"
