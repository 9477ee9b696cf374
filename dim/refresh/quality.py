"""What the new texts of a knowledge base are like: length, copies of the old ones, names from nowhere."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

NUM_EXAMPLES = 5
#: A new text with at least this share of its three-word sequences in the old one overlaps highly.
HIGH_OVERLAP = 0.8

_WORD = re.compile(r"\w+(?:['’\-]\w+)*")
_SENTENCE_END = re.compile(r"[.!?:;\n]\W*$")


def quality_report(
    ids: Sequence[str], old: Sequence[str | None], new: Sequence[str | None], sources: Iterable[str]
) -> dict[str, Any]:
    """Figures of the new texts, beside those of the old ones of the same entities.

    Args:
        ids: Entity ids.
        old: The text of each entity before; None where it had none.
        new: Its new text; None where it has none. Those entities are counted and left out of the rest.
        sources: All that the prompt said of each entity, as one string.

    Returns:
        `num_texts`, `without_text`, `words_old` and `words_new` (`length_summary`), `identical` and `high_overlap` with
        the old text, `shared` (texts that several entities have), `texts_with_new_names`, `num_new_names` and
        `examples` of them as `id: name`.
    """
    rows = [
        (entity_id, before or "", after, source)
        for entity_id, before, after, source in zip(ids, old, new, sources, strict=True)
        if after
    ]
    texts = [text for _, _, text, _ in rows]
    names = [(entity_id, new_names(text, source)) for entity_id, _, text, source in rows]
    repeats = Counter(map(_normal, texts))
    return {
        "num_texts": len(rows),
        "without_text": len(ids) - len(rows),
        "words_old": length_summary(text for _, text, _, _ in rows if text),
        "words_new": length_summary(texts),
        "identical": sum(bool(before) and _normal(before) == _normal(after) for _, before, after, _ in rows),
        "high_overlap": sum(overlap(after, before) >= HIGH_OVERLAP for _, before, after, _ in rows),
        "shared": sum(count for count in repeats.values() if count > 1),
        "texts_with_new_names": sum(bool(found) for _, found in names),
        "num_new_names": sum(len(found) for _, found in names),
        "examples": [f"{entity_id}: {name}" for entity_id, found in names for name in found][:NUM_EXAMPLES],
    }


def length_summary(texts: Iterable[str]) -> dict[str, float]:
    """Number of texts, and words a text: min, median, mean, p95 and max; empty without texts.

    Example:
        >>> length_summary(["one", "one two three"])
        {'num': 2, 'min': 1.0, 'median': 2.0, 'mean': 2.0, 'p95': 2.9, 'max': 3.0}
    """
    counts = np.array([len(text.split()) for text in texts])
    if not counts.size:
        return {}
    values = (counts.min(), np.median(counts), counts.mean(), np.percentile(counts, 95), counts.max())
    names = ("min", "median", "mean", "p95", "max")
    return {"num": counts.size} | {name: round(float(value), 1) for name, value in zip(names, values, strict=True)}


def overlap(new: str, old: str) -> float:
    """The share of the new text's three-word sequences (of its words, where it has fewer) that stand in the old one.

    Example:
        >>> overlap("A painter born in Rome.", "a painter, born in Paris")
        0.6666666666666666
    """
    words_new, words_old = _normal(new).split(), _normal(old).split()
    length = min(3, len(words_new), len(words_old))
    if length == 0:
        return 0.0
    sequences = {tuple(words_old[i : i + length]) for i in range(len(words_old) - length + 1)}
    found = [tuple(words_new[i : i + length]) in sequences for i in range(len(words_new) - length + 1)]
    return sum(found) / len(found)


def new_names(text: str, source: str) -> list[str]:
    """The runs of capitalised words in `text` with a word that `source` lacks, each once.

    The first word of a sentence is capitalised anyway, so it does not count by itself. Scripts without capitals have
    no such runs.

    Example:
        >>> new_names("She met Charles Babbage in London. Later she wrote.", "Ada Lovelace, London")
        ['Charles Babbage']
    """
    known = {word.casefold() for word in _words(source)}
    found: dict[str, None] = {}
    run: list[str] = []
    end = 0
    for match in _WORD.finditer(text):
        between, word = text[end : match.start()], match[0]
        starts_sentence = end == 0 or bool(_SENTENCE_END.search(between))
        if run and (between.strip(" ") or not word[0].isupper()):
            _keep(run, known, found)
            run = []
        if word[0].isupper() and not starts_sentence and word not in ("I", "I'm", "I’m"):
            run.append(word)
        end = match.end()
    _keep(run, known, found)
    return list(found)


def _keep(run: list[str], known: set[str], found: dict[str, None]) -> None:
    if any(part.casefold() not in known for word in run for part in _parts(word)):
        found[" ".join(run)] = None


def _words(text: str) -> Iterable[str]:
    return (part for match in _WORD.finditer(text) for part in (match[0], *_parts(match[0])))


def _parts(word: str) -> list[str]:
    """A word without its possessive, in the pieces that a hyphen joins."""
    return re.sub(r"['’]s?$", "", word).split("-")


def _normal(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))
