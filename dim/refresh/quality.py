"""What the new texts of a knowledge base are like: length, copies of the old ones, what no source supports."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from dim.refresh.names import new_names
from dim.refresh.support import judged_sentences

NUM_EXAMPLES = 5
#: A new text with at least this share of its three-word sequences in the old one overlaps highly.
HIGH_OVERLAP = 0.8


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
        `examples` of them as `id: name`; `sentences`, how many are `supported` by the sources
        (`dim.refresh.support.is_supported`), and `unsupported` examples as `id: sentence`.
    """
    rows = [
        (entity_id, before or "", after, source)
        for entity_id, before, after, source in zip(ids, old, new, sources, strict=True)
        if after
    ]
    texts = [text for _, _, text, _ in rows]
    names = [(entity_id, new_names(text, source)) for entity_id, _, text, source in rows]
    judged = [(entity_id, list(judged_sentences(text, source))) for entity_id, _, text, source in rows]
    unsupported = [(entity_id, next((said for said, holds in told if not holds), "")) for entity_id, told in judged]
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
        "sentences": sum(len(told) for _, told in judged),
        "supported": sum(holds for _, told in judged for _, holds in told),
        "unsupported": [f"{entity_id}: {said}" for entity_id, said in unsupported if said][:NUM_EXAMPLES],
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


def _normal(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))
