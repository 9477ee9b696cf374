"""Mentions by GLiNER: what a model takes for a thing of a kind that is named in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from dim.core.excerpts import one_line
from dim.errors import ConfigError, DataError, MissingExtraError

ENDS = frozenset(".!?…。！？")  #: Words that end a sentence.
BATCH = 8  #: Parts of a text that the model reads at once.


class GlinerFinder:
    """Finds things of some kinds by a model of GLiNER, which reads what the kinds are called.

    A long text is read in parts that end with a sentence where they can: the model would leave the rest of it out.

    Args:
        model: Its id on the Hugging Face hub, its folder, or the loaded model.
        labels: The kinds, in words, such as `person`, `museum`; one at least.
        threshold: The score from which a thing counts, 0 to 1.
        device: Where the model computes, if it is loaded here.

    Raises:
        MissingExtraError: GLiNER is not installed.
        DataError: There is no such model.
        ConfigError: There are no labels, or the threshold is none.
    """

    def __init__(self, model: Any, labels: Sequence[str], threshold: float = 0.5, device: str = "cpu") -> None:
        if isinstance(labels, str) or not labels:
            raise ConfigError("labels as a list of words", repr(labels), "Say what to look for: ['person', 'place'].")
        if not 0 <= threshold <= 1:
            raise ConfigError("a threshold of 0 to 1", str(threshold), "Change it.")
        self.labels, self.threshold = list(dict.fromkeys(labels)), threshold
        self.model = _loaded(model, device) if isinstance(model, str | Path) else model

    def find(self, text: str) -> list[tuple[int, int]]:
        """Start and end of each thing, in their order; none lies in another."""
        parts = list(self._parts(text))
        if not parts:
            return []
        texts = [text[start:end] for start, end in parts]
        found = self.model.inference(texts, self.labels, threshold=self.threshold, batch_size=BATCH)
        return sorted(
            (start + each["start"], start + each["end"])
            for (start, _), things in zip(parts, found, strict=True)
            for each in things
        )

    def _parts(self, text: str) -> Iterator[tuple[int, int]]:
        """Start and end of parts of the text, of words that the model reads together."""
        # Half of those that it may read: labels stand before them, and a word may be several tokens.
        most = max(self.model.config.max_len // 2, 1)
        words = list(self.model.data_processor.words_splitter(text))
        first = 0
        while first < len(words):
            last = min(first + most, len(words))
            if last < len(words):
                ends = (place for place in range(last, first, -1) if words[place - 1][0] in ENDS)
                last = next(ends, last)
            yield words[first][1], words[last - 1][2]
            first = last


def _loaded(model: str | Path, device: str) -> Any:
    try:
        from gliner import GLiNER
    except ImportError as error:
        raise MissingExtraError("gliner", "gliner") from error
    try:
        return GLiNER.from_pretrained(str(model), map_location=device).eval()
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        found = one_line(error)
        remedy = "Name its folder, or its id on the hub (urchade/gliner_small-v2.1)."
        raise DataError(f"a model of GLiNER at {model}", found, remedy) from error
