"""Contexts that a text encoder does not read to their end: those whose mention stands behind it, cut around it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from dim.encoders.base import TextEncoder
from dim.features.around import Place, place_of, widest_windows

#: A mention's name and its context, with the offsets of the one in the other where they are known.
Row = tuple[str | None, str | None, int | None, int | None]


@dataclass(frozen=True)
class Behind:
    """What an encoder does not read of contexts.

    Attributes:
        num_long: How many contexts are longer than it reads.
        places: Of these, by their row, the mentions that it would not wholly read, as they stand behind the end of it.
    """

    num_long: int
    places: Mapping[int, Place]


@dataclass(frozen=True)
class Reading:
    """How an encoder is given a context.

    Attributes:
        encoder: It.
        template: What is encoded; `{mention}` and `{context}` are filled in.
    """

    encoder: TextEncoder
    template: str

    def behind(self, rows: Iterable[Row]) -> Behind | None:
        """What it does not read of these rows; None where it does not say.

        Without offsets the first place of the name counts; a mention that stands nowhere stands not behind the end.
        """
        given = [(row, name or "", context, span) for row, (name, context, *span) in enumerate(rows) if context]
        is_cut = self.encoder.are_cut([self._filled(name, context) for _, name, context, _ in given])
        if is_cut is None:
            return None
        long = [each for each, cut in zip(given, is_cut, strict=True) if cut]
        located = [
            (row, name, place)
            for row, name, context, (start, end) in long
            if (place := place_of(context, name, start, end)) is not None
        ]
        unread = self._are_cut([name for _, name, _ in located], [place.text[: place.end] for *_, place in located])
        return Behind(len(long), {row: place for (row, _, place), cut in zip(located, unread, strict=True) if cut})

    def around(self, names: Sequence[str | None], behind: Behind) -> dict[int, str]:
        """The widest parts around these mentions that it reads whole, by row."""
        of = [names[row] or "" for row in behind.places]
        windows = widest_windows(
            list(behind.places.values()), lambda rows, parts: self._are_cut([of[row] for row in rows], parts)
        )
        return dict(zip(behind.places, windows, strict=True))

    def _are_cut(self, names: Sequence[str], contexts: Sequence[str]) -> Sequence[bool]:
        found = self.encoder.are_cut([self._filled(name, part) for name, part in zip(names, contexts, strict=True)])
        assert found is not None  # it said so of whole contexts
        return found

    def _filled(self, name: str, context: str) -> str:
        return self.template.format(mention=name, context=context)
