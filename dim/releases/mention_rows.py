"""The mention table of a release, built row by row under the rules that all layouts share."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import pandas as pd

from dim.core.text_form import one_form, one_form_span
from dim.data.dataset import MOST_GOLDS
from dim.data.files import clean_text
from dim.data.skipped import NUM_EXAMPLES, Skipped

NOTHING_TO_READ = "neither name, context nor usable image"
UNKNOWN_ANSWER = "answer not in the KB"
TOO_MANY_GOLDS = f"more than {MOST_GOLDS} golds"
GOLD_SEPARATOR = "|"
_OF_THE_FIELD = re.compile(r"--nme--|nil[0-9]+|none|null|-1")
_ENCODE = json.JSONEncoder(ensure_ascii=False, default=str).encode  # json.dumps would make an encoder a row


class MentionRows:
    """Collects mentions; a row that cannot be used is counted with its reason.

    Ids are `<split>-<number of the row in that split>`: they hold no key of the release, because a key may be the
    answer, and they stay the same when another row is skipped.

    Args:
        entity_ids: The ids of the KB.
    """

    def __init__(self, entity_ids: Iterable[str]) -> None:
        self._entity_ids = {one_form(entity_id): entity_id for entity_id in entity_ids}
        self._rows: list[dict[str, Any]] = []
        self._num_read: Counter[str] = Counter()
        self.skipped = Skipped()
        self.num_unknown_candidates = 0
        self.num_wrong_offsets = 0

    @property
    def num_read(self) -> int:
        """The number of rows offered, kept or not."""
        return self._num_read.total()

    def skip(self, split: str | None, reason: str, example: str) -> None:
        """Counts a row that the converter itself cannot use."""
        self._num_read[split or "mention"] += 1
        self.skipped.add(reason, example)

    def add(
        self,
        split: str | None,
        *,
        where: str,
        mention: str,
        context: str,
        answer: str | None,
        images: Sequence[str] = (),
        span: tuple[int | None, int | None] = (None, None),
        candidates: list[str] | None = None,
        type: str | None = None,  # noqa: A002
        attributes: Mapping[str, Any] | None = None,
        image_key: str | None = None,
    ) -> None:
        """Adds one mention, or counts why not.

        Args:
            split: `train`, `tune`, `dev`, `test`, or None where the release has no splits.
            where: The row's place in the raw files, for the examples of skipped rows.
            mention: The name; spaces around it go. It may be empty where there is a context or an image: the mention is
                then what the image shows, or a region of it.
            context: The sentence around it.
            answer: The gold id, or several with `|` between them where the whole is no id: those that the KB has are
                the golds, and the first is trained on. None, empty or `nil` in any case means NIL.
            images: Paths as the release names them.
            span: First character and one past the last, where the release knows them.
            candidates: Entity ids, as `known` returns them.
            type: A label.
            attributes: Whatever else the source says.
            image_key: What the image of a row that names none may be called, without its ending.
        """
        prefix = split or "mention"
        number = self._num_read[prefix]
        self._num_read[prefix] += 1
        mention = clean_text(mention).strip()
        context, span = _one_form(context, span)
        if not (mention or context.strip() or any(images) or image_key):
            return self.skipped.add(NOTHING_TO_READ, where)
        golds, lacks_golds = list[str](), False
        if not is_nil(answer):
            golds, lacks_golds = self._find_golds(str(answer))
            if not golds:
                return self.skipped.add(UNKNOWN_ANSWER, f"{where}: '{mention}' → {answer}")
            if len(golds) > MOST_GOLDS:
                return self.skipped.add(TOO_MANY_GOLDS, f"{where}: '{mention}'")
        start, end = self._locate(mention, context, span)
        self._rows.append(
            {
                "id": f"{prefix}-{number:06d}",
                "split": split,
                "mention": mention,
                "context": context,
                "start": start,
                "end": end,
                "entity_id": golds[0] if golds else None,
                "other_golds": golds[1:],
                "lacks_golds": lacks_golds,
                "images": [clean_text(image) for image in images],
                "candidates": candidates,
                "type": type,
                "attributes": json_cell(attributes),
                "image_key": None if image_key is None else clean_text(image_key),
            }
        )
        return None

    def table(self) -> pd.DataFrame:
        """The mentions, in the order in which they were added."""
        columns = (
            *("id", "split", "mention", "context", "start", "end", "entity_id", "images", "candidates"),
            *("type", "attributes", "image_key"),
        )
        told = (name for name in ("other_golds", "lacks_golds") if any(row[name] for row in self._rows))
        table = {name: [row[name] for row in self._rows] for name in (*columns, *told)}
        return pd.DataFrame(table, dtype=object).astype({"start": "Int64", "end": "Int64"})

    def _find(self, answer: str) -> str | None:
        found = id_of(one_form(answer.strip()), self._entity_ids)
        return None if found is None else self._entity_ids[found]

    def _find_golds(self, answer: str) -> tuple[list[str], bool]:
        """The golds that the KB has, each once, and whether it lacks some."""
        whole = self._find(answer)
        if whole is not None:
            return [whole], False
        found = [self._find(each) for each in answer.split(GOLD_SEPARATOR) if each.strip()]
        return list(dict.fromkeys(gold for gold in found if gold is not None)), None in found

    def known(self, candidates: Sequence[str]) -> list[str]:
        """The candidates that the KB has; the others are counted."""
        known = [entity_id for candidate in candidates if (entity_id := self._find(candidate)) is not None]
        self.num_unknown_candidates += len(candidates) - len(known)
        return known

    def candidate_notes(self) -> list[str]:
        """What is said of candidates that the KB lacks."""
        count = self.num_unknown_candidates
        return [f"candidates that the KB lacks were left out: {count:,}"] if count else []

    def _locate(
        self, mention: str, context: str, span: tuple[int | None, int | None]
    ) -> tuple[int, int] | tuple[None, None]:
        start, end = span
        if start is not None and end is not None and mention:
            piece = context[start:end]
            if piece.strip() == mention:
                start += len(piece) - len(piece.lstrip())
                return start, start + len(mention)
            self.num_wrong_offsets += 1
        return locate(mention, context)


def _one_form(context: str, span: tuple[int | None, int | None]) -> tuple[str, tuple[int | None, int | None]]:
    """The context as `clean_text` gives it, and the span in it; the same object where that changes nothing."""
    if context.isascii():
        return context, span
    start, end = span
    if start is None or end is None:
        return clean_text(context), span
    whole = context.encode("utf-8", "replace").decode("utf-8")
    composed, start, end = one_form_span(whole, start, end)
    return composed, (start, end)


def locate(mention: str, context: str) -> tuple[int, int] | tuple[None, None]:
    """Where the mention stands in the context, if it stands there exactly once.

    Example:
        >>> locate("Hill", "Hill in 2011"), locate("Hill", "Hill by Hill"), locate("Hill", ""), locate("", "Hill")
        ((0, 4), (None, None), (None, None), (None, None))
    """
    start = context.find(mention) if mention else -1
    if start < 0 or context.find(mention, start + 1) >= 0:
        return None, None
    return start, start + len(mention)


@dataclass(frozen=True)
class NilLabels:
    """What answers mean NIL beside nothing and `nil`, and what was met that means it elsewhere.

    Attributes:
        taken: Patterns as of file names (`NIL*`), in any case.
        met: Labels of the field that were met and are not taken, in their order.
    """

    taken: tuple[str, ...] = ()
    met: dict[str, None] = field(default_factory=dict)

    def takes(self, answer: str) -> bool:
        """Whether an answer is one of the labels; one of the field that is not is noted."""
        text = answer.casefold()
        if any(fnmatchcase(text, pattern.casefold()) for pattern in self.taken):
            return True
        if len(self.met) < NUM_EXAMPLES and _OF_THE_FIELD.fullmatch(text):
            self.met.setdefault(answer)
        return False


_nil_labels: ContextVar[NilLabels | None] = ContextVar("nil_labels", default=None)


@contextmanager
def reading_as_nil(labels: Sequence[str]) -> Iterator[NilLabels]:
    """Within it `is_nil` takes these labels, too, whichever converter asks."""
    found = NilLabels(tuple(labels))
    token = _nil_labels.set(found)
    try:
        yield found
    finally:
        _nil_labels.reset(token)


def id_of(answer: str, ids: Collection[str]) -> str | None:
    """The id that an answer names: pandas writes a column of integers with gaps as 17.0, which is the id 17.

    Example:
        >>> [id_of(answer, {"17", "3.0"}) for answer in ("17", "17.0", "3.0", "4")]
        ['17', '17', '3.0', None]
    """
    return next((each for each in (answer, answer.removesuffix(".0")) if each in ids), None)


def is_nil(answer: str | None) -> bool:
    """Tells whether an answer means that the KB lacks the entity: nothing, an empty string or `nil` in any case.

    Example:
        >>> [is_nil(answer) for answer in (None, " ", "NIL", "Q42", "--NME--")]
        [True, True, True, False, False]
        >>> with reading_as_nil(["--NME--", "NIL*"]):
        ...     is_nil("--NME--"), is_nil("NIL0012")
        (True, True)
    """
    text = "" if answer is None else answer.strip()
    if text.casefold() in ("", "nil"):
        return True
    labels = _nil_labels.get()
    return labels is not None and labels.takes(text)


def json_cell(attributes: Mapping[str, Any] | None) -> str | None:
    """Attributes as a JSON object; values that JSON lacks (dates) become strings. None where there is nothing."""
    return clean_text(_ENCODE(attributes)) if attributes else None
