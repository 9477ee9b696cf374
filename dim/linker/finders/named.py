"""A finder by its name alone, as commands take it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from dim.core.choices import check_choice
from dim.data.table_files import list_cell
from dim.errors import ConfigError
from dim.linker.finders.contract import MentionFinder
from dim.linker.finders.dictionary import DictionaryFinder
from dim.linker.finders.spacy_finder import SpacyFinder
from dim.linker.knowledge import Knowledge

FinderKind = Literal["dictionary", "spacy"]


def open_finder(
    knowledge: Knowledge,
    kind: FinderKind = "dictionary",
    model: str | None = None,
    labels: Sequence[str] | str | None = None,
    ignore_case: bool = False,
) -> MentionFinder:
    """A finder by its kind.

    Args:
        knowledge: The KB.
        kind: A dictionary of the KB, or spaCy.
        model: Of spaCy: the name of an installed pipeline, or its folder.
        labels: Of spaCy's entities, those that count, a list or one text with `|` between them; None: all.
        ignore_case: Of the dictionary.

    Raises:
        ConfigError: An option is of another kind than the finder, or spaCy has no pipeline.
        DataError: There is no such pipeline.
        MissingExtraError: spaCy is not installed.
    """
    check_choice("finder", kind, get_args(FinderKind))
    if kind == "dictionary":
        if model or labels:
            used = "finder_model" if model else "finder_labels"
            raise ConfigError(f"--finder spacy beside --{used}", "a dictionary", "Name the finder, or leave it out.")
        return DictionaryFinder(knowledge, ignore_case=ignore_case)
    if ignore_case:
        raise ConfigError("a dictionary beside --ignore_case", "--finder spacy", "Leave one of them out.")
    if not model:
        raise ConfigError("a --finder_model for spaCy", "none", "Name a pipeline (en_core_web_sm), or its folder.")
    return SpacyFinder(model, list_cell(labels) if isinstance(labels, str) else labels)
