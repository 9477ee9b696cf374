"""Mentions by spaCy: what a pipeline marks as named entities."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dim.core.excerpts import one_line
from dim.errors import DataError, MissingExtraError
from dim.linker.given import check_labels

if TYPE_CHECKING:
    from spacy.language import Language


class SpacyFinder:
    """Finds the entities (`doc.ents`) of a pipeline of spaCy.

    Args:
        pipeline: The name of an installed one (`en_core_web_sm`), its folder, or the loaded pipeline.
        labels: Of the entities that count (`PERSON`, `ORG` …); None: all.

    Raises:
        MissingExtraError: spaCy is not installed.
        DataError: There is no such pipeline.
        ConfigError: `labels` is a text.
    """

    def __init__(self, pipeline: str | Path | Language, labels: Sequence[str] | None = None) -> None:
        check_labels(labels)
        self.labels = None if labels is None else frozenset(labels)
        self.pipeline = _loaded(pipeline) if isinstance(pipeline, str | Path) else pipeline

    def find(self, text: str) -> list[tuple[int, int]]:
        """Start and end of each entity, in their order.

        Raises:
            DataError: The text is longer than the pipeline takes (`nlp.max_length`).
        """
        if len(text) > self.pipeline.max_length:
            found, remedy = f"{len(text):,}", "Give it in parts, or raise nlp.max_length."
            raise DataError(f"a text of at most {self.pipeline.max_length:,} characters for spaCy", found, remedy)
        entities = self.pipeline(text).ents
        return [(e.start_char, e.end_char) for e in entities if self.labels is None or e.label_ in self.labels]


def _loaded(pipeline: str | Path) -> Language:
    try:
        import spacy
    except ImportError as error:
        raise MissingExtraError("spacy", "spacy") from error
    try:
        return spacy.load(pipeline)
    except OSError as error:
        remedy = "Name its folder, or install it: python -m spacy download en_core_web_sm."
        raise DataError(f"a pipeline of spaCy at {pipeline}", one_line(error), remedy) from error
