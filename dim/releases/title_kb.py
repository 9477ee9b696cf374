"""The KB of a release that knows its entities by title: what its files list, the candidates, and the golds."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from dim.releases.entity_rows import named_entities
from dim.releases.mention_rows import is_nil
from dim.releases.raw_mentions import BadRow, RawMention
from dim.releases.titles import title_id, title_name

GOLDS_ALONE = "the release has no KB: it is made of the answers alone, which is easier than a real KB"


def title_kb(rows: Iterable[RawMention | BadRow], listed: Iterable[str]) -> tuple[pd.DataFrame, list[str]]:
    """The KB, and a note that says what it is made of; `listed` are the titles in the release's own entity files."""
    raw, listed = [row for row in rows if isinstance(row, RawMention)], list(listed)
    candidates = [candidate for row in raw for candidate in row.candidates or ()]
    entities, num_added = title_entities(listed, candidates, [row.answer for row in raw])
    sources = [name for name, titles in {"entity files": listed, "candidates": candidates}.items() if titles]
    if not sources:
        return entities, [GOLDS_ALONE]
    added = f", and of {num_added:,} answers that are not among them" if num_added else ""
    return entities, [f"the KB is made of the release's {' and '.join(sources)}{added}"]


def title_entities(listed: Iterable[str], candidates: Iterable[str], golds: Iterable[str]) -> tuple[pd.DataFrame, int]:
    """The KB (id, name, aliases) of a release that knows its entities by title, and the number of golds added to it.

    Listed titles come first, in their order, the others sorted. A name is spelled as the list or the candidates spell
    it, and only else as the gold does: a spelling of their own would tell golds apart. Further spellings are aliases.

    Example:
        >>> entities, num_added = title_entities(["B"], ["/wiki/C-D"], ["C D", "A", "NIL"])
        >>> entities["name"].tolist(), num_added
        (['B', 'A', 'C-D'], 1)
    """
    spellings: dict[str, list[str]] = {}
    _spell(spellings, listed)
    num_listed = len(spellings)
    _spell(spellings, candidates)
    known = len(spellings)
    for value in golds:
        entity_id = title_id(value)
        if not is_nil(value) and not is_nil(entity_id):
            spellings.setdefault(entity_id, [title_name(value)])
    ids = list(spellings)
    ids = ids[:num_listed] + sorted(ids[num_listed:])
    return named_entities(ids, spellings), len(spellings) - known


def _spell(spellings: dict[str, list[str]], values: Iterable[str]) -> None:
    for value in values:
        entity_id = title_id(value)
        if is_nil(entity_id):
            continue
        name, known = title_name(value), spellings.setdefault(entity_id, [])
        if name not in known:
            known.append(name)


def title_texts(pairs: Iterable[tuple[str, str]]) -> tuple[dict[str, str], int]:
    """Id → text from (title, text), and the number of pairs whose entity came before.

    Of several texts the first that is not empty counts.

    Example:
        >>> title_texts([("A_B", ""), ("A B", "old"), ("A-B", "new"), ("C", "")])
        ({'A B': 'old'}, 2)
    """
    texts: dict[str, str] = {}
    seen: set[str] = set()
    num_pairs = 0
    for title, text in pairs:
        entity_id = title_id(title)
        num_pairs += 1
        seen.add(entity_id)
        if text:
            texts.setdefault(entity_id, text)
    return texts, num_pairs - len(seen)
