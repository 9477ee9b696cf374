"""Ids in another system's answers: a release's own mention keys, and what lists of unknown entity ids look like."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pandas as pd

from dim.data.dataset import NIL, Dataset, attributes_of
from dim.errors import DataError

MAX_UNKNOWN = 0.1  #: The share of entity ids that the KB may lack before they are taken for a mistake.
SHOWN = 80  #: Letters of a cell in a message.
WRITE_LISTS = "Write the lists as JSON (table.entity_ids.map(json.dumps)), or with | between the ids."
#: Separator → its name.
SEPARATORS = {",": "a comma", ";": "a semicolon", "\t": "a tab", " ": "a space", "/": "a slash", ":": "a colon"}


class MentionIds:
    """Finds the mention that an id means: its own id, or the key that the release gave it (`attributes.key`).

    Args:
        dataset: What was answered.
        mentions: The rows of its mentions that are evaluated; a key may stand in another split as well.
    """

    def __init__(self, dataset: Dataset, mentions: pd.DataFrame) -> None:
        self._wanted, self._known = set(mentions["id"]), set(dataset.mentions["id"])
        self._dataset, self._mentions = dataset, mentions
        self._by_key: dict[str, str | None] | None = None

    def find(self, given: str, where: str) -> str | None:
        """The mention's id; None: it is of another split.

        Raises:
            DataError: No mention, or several of the split, have this id or key.
        """
        if given in self._known:
            return given if given in self._wanted else None
        if self._by_key is None:
            # Those of other splits first: the same key may stand in both, and the split that is evaluated counts.
            others = self._dataset.mentions[~self._dataset.mentions["id"].isin(self._wanted)]
            keys = dict.fromkeys(key for key, _ in _keys(others))
            self._by_key = keys | _unique(_keys(self._mentions))
        if given not in self._by_key:
            raise DataError(f"mention ids of {self._dataset.name}", f"'{given}' in {where}", self._remedy())
        found = self._by_key[given]
        if found == AMBIGUOUS:
            raise DataError(
                f"a key of one mention in {where}", f"'{given}', which several have", "Use the ids of mentions.parquet."
            )
        return found

    def _remedy(self) -> str:
        first = self._dataset.mentions["id"].iloc[0]
        key = next((f", or the release's keys (such as {key})" for key, _ in _keys(self._mentions)), "")
        return f"Use the ids of mentions.parquet (such as {first}){key}, or name the dataset that was answered."


AMBIGUOUS = ""  #: In the place of the id of a mention.


def _keys(mentions: pd.DataFrame) -> Iterable[tuple[str, str]]:
    for mention_id, attributes in zip(mentions["id"], mentions["attributes"], strict=True):
        key = attributes_of(attributes).get("key")
        if key is not None:
            yield str(key), str(mention_id)


def _unique(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for key, mention_id in pairs:
        found[key] = mention_id if key not in found else AMBIGUOUS
    return found


def check_entity_ids(lists: Sequence[Sequence[str]], dataset: Dataset, path: Path, max_unknown: float) -> None:
    """Makes sure that the KB has the ids of the lists, but for a share.

    Args:
        lists: The ids of each mention, as they were read.
        dataset: With the KB.
        path: The table, for the message.
        max_unknown: The share of ids that it may lack.

    Raises:
        DataError: It lacks more. The message names the separator or the shape that would explain it.
    """
    given = [entity_id for of_mention in lists for entity_id in of_mention]
    known = set(dataset.entity_index) | {NIL}
    unknown = [entity_id for entity_id in given if entity_id not in known]
    if len(unknown) <= max_unknown * len(given):
        return
    what, remedy = _explain(unknown, known, dataset)
    example = unknown[0] if len(unknown[0]) <= SHOWN else f"{unknown[0][:SHOWN]}…"
    raise DataError(
        f"entity ids of {dataset.name} (such as {dataset.entity_index[0]}) in {path}",
        f"{len(unknown):,} of {len(given):,} that its KB lacks, such as '{example}'{what}",
        remedy,
    )


def _explain(unknown: Sequence[str], known: set[str], dataset: Dataset) -> tuple[str, str]:
    """What the unknown ids are, as the end of a sentence, and the remedy."""

    def explains(parts_of: Callable[[str], Sequence[str]]) -> bool:
        parts = [part for cell in unknown for part in parts_of(cell) if part]
        return bool(parts) and sum(part in known for part in parts) > len(parts) / 2

    if all(re.fullmatch(r"\s*[\[(].*[\])]\s*", cell, re.DOTALL) for cell in unknown) and explains(
        lambda cell: re.findall(r"[^\s,'\"\[\]()]+", cell)
    ):
        return ": a list as Python prints it, as pandas writes lists to CSV", WRITE_LISTS
    for separator, name in SEPARATORS.items():
        if any(separator in cell for cell in unknown) and explains(
            lambda cell, by=separator: [part.strip() for part in cell.split(by)] if by in cell else []  # type: ignore[misc]
        ):
            if separator == "/" and all("://" in cell for cell in unknown):
                break
            return f": ids with {name} between them", WRITE_LISTS
    if explains(lambda cell: [cell.rpartition("/")[2]]):
        return ": addresses that end in the id", "Write the id alone, the last part of the address."
    for change, name in ((str.upper, "lower case"), (str.lower, "upper case")):
        if explains(lambda cell, by=change: [by(cell)]):  # type: ignore[misc]
            return f": ids in {name}", "Write the ids as entities.parquet has them."
    if explains(lambda cell: [f"Q{cell}"]):
        return ": ids without their Q", "Write the Q before each number."
    names = set(dataset.entities["name"])
    if sum(cell in names for cell in unknown) > len(unknown) / 2:
        return ": names of entities", "Write the ids of entities.parquet."
    return (
        "",
        "Name the dataset that was answered with --dataset; where the system knows a larger KB, raise --max_unknown.",
    )
