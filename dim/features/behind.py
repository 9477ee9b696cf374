"""Which mentions stand behind the end of what a text encoder reads of their contexts, and what would help."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dim.core.templates import CONTEXT_FIELDS, check_template
from dim.encoders.base import TextEncoder
from dim.features.around import place_of, text_around
from dim.features.fields import Choices, Columns

REACHES = (1000, 700, 500, 300, 200, 150, 100, 70, 50, 30)  #: Values of `context_reach` that are tried.
_FIT = 0.95  #: The share of contexts that must be read whole with one of them.
_TRIED = 500  #: Contexts that are tried.


@dataclass(frozen=True)
class Behind:
    """What was found.

    Attributes:
        num_mentions: How many stand behind the end.
        num_located: Of how many whose place in their context is known.
        context_reach: The most characters on either side that the encoder reads whole in 95 of 100 of these contexts.
    """

    num_mentions: int
    num_located: int
    context_reach: int


def mentions_behind(dataset: Columns, choices: Choices, encoder: TextEncoder) -> Behind | None:
    """Counts them; None where the encoder does not say what it reads.

    Args:
        dataset: Its contexts, names and places.
        choices: The template of the contexts; `context_reach` counts as none.
        encoder: Reads the contexts.
    """
    template = check_template(choices.context_template, CONTEXT_FIELDS, "a context template")
    columns = (dataset.column("mentions", name).to_pylist() for name in ("mention", "context", "start", "end"))
    rows = [place for row in zip(*columns, strict=True) if (place := _located(*row))]

    def are_cut(texts: Sequence[tuple[str, str]]) -> Sequence[bool] | None:
        return encoder.are_cut([template.format(mention=name, context=context) for name, context in texts])

    found = are_cut([(name, context[:end]) for name, context, _, end in rows])
    if found is None:
        return None
    behind = [row for row, is_cut in zip(rows, found, strict=True) if is_cut]
    tried = behind[:: len(behind) // _TRIED + 1]
    for reach in REACHES:
        cut = are_cut([(name, text_around(context, name, start, end, reach)) for name, context, start, end in tried])
        if cut is not None and sum(cut) <= (1 - _FIT) * len(tried):
            break
    return Behind(len(behind), len(rows), reach)


def _located(
    name: str | None, context: str | None, start: int | None, end: int | None
) -> tuple[str, str, int, int] | None:
    """A mention with its place, as `text_around` finds it; None where it has none."""
    name, context = name or "", context or ""
    place = place_of(context, name, start, end) if context else None
    return None if place is None else (name, context, *place)
