"""The answers to one mention: a list that notebooks show as a table."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from dim.display.visible import visible_line
from dim.linker.answer import Answer

if TYPE_CHECKING:
    import pandas as pd

_LONGEST = 200  #: Characters of a text that a notebook shows.


class Answers(list[Answer]):
    """Answers, best first."""

    def to_frame(self) -> pd.DataFrame:
        """A row an answer: its attributes, and each part of the evidence as a column such as `evidence.vectors`."""
        import pandas as pd

        rows = [answer.to_dict() for answer in self]
        parts = [{f"evidence.{name}": value for name, value in row.pop("evidence").items()} for row in rows]
        return pd.DataFrame([row | part for row, part in zip(rows, parts, strict=True)])

    def _repr_html_(self) -> str:
        has_probability = any(answer.probability is not None for answer in self)
        heads = ["", "id", "name", "probability" if has_probability else "score", "text"]
        rows = []
        for rank, answer in enumerate(self, 1):
            text = answer.text or ""
            text = text if len(text) <= _LONGEST else text[:_LONGEST].rstrip() + " …"
            value = answer.probability if has_probability else answer.score
            shown = "" if value is None else f"{value:.3f}"
            rows.append([str(rank), answer.id, answer.name, shown, text])
        lines = [_row("th", heads), *(_row("td", row) for row in rows)]
        return f"<table>\n{''.join(lines)}</table>"


def _row(kind: str, cells: list[str]) -> str:
    told = "".join(f'<{kind} style="text-align:left">{escape(visible_line(cell))}</{kind}>' for cell in cells)
    return f"<tr>{told}</tr>\n"
