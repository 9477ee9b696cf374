"""A finder by its name alone, as commands take it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from dim.core.choices import check_choice
from dim.data.table_files import list_cell
from dim.errors import ConfigError
from dim.linker.finders.contract import MentionFinder
from dim.linker.finders.dictionary import DictionaryFinder
from dim.linker.finders.gliner_finder import GlinerFinder
from dim.linker.finders.spacy_finder import SpacyFinder
from dim.linker.knowledge import Knowledge

FinderKind = Literal["dictionary", "spacy", "gliner"]


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
        kind: A dictionary of the KB, spaCy, or GLiNER.
        model: Of spaCy the name of an installed pipeline, of GLiNER an id on the hub, or its folder.
        labels: Of what is found, a list or one text with `|` between them; of spaCy those that count, None: all.
        ignore_case: Of the dictionary.

    Raises:
        ConfigError: An option is of another kind than the finder, or one that it needs is missing.
        DataError: There is no such model.
        MissingExtraError: Its package is not installed.
    """
    check_choice("finder", kind, get_args(FinderKind))
    if kind == "dictionary":
        if model or labels:
            used = "finder_model" if model else "finder_labels"
            found, remedy = "a dictionary", "Name the finder, or leave it out."
            raise ConfigError(f"--finder spacy or gliner beside --{used}", found, remedy)
        return DictionaryFinder(knowledge, ignore_case=ignore_case)
    if ignore_case:
        raise ConfigError("a dictionary beside --ignore_case", f"--finder {kind}", "Leave one of them out.")
    if not model:
        such = "en_core_web_sm" if kind == "spacy" else "urchade/gliner_small-v2.1"
        raise ConfigError(f"a --finder_model for {kind}", "none", f"Name one ({such}), or its folder.")
    chosen = list_cell(labels) if isinstance(labels, str) else labels
    if kind == "spacy":
        return SpacyFinder(model, chosen)
    if not chosen:
        raise ConfigError("--finder_labels for gliner", "none", "Say what to look for: --finder_labels 'person|place'.")
    return GlinerFinder(model, chosen)
