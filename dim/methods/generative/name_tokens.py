"""Names to the tokens that a language model must write to answer with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dim.core.progress import tracked
from dim.errors import ConfigError, DataError
from dim.evaluation.protocols import NIL_ROW
from dim.methods.generative.sorted_names import Integers, Tokens

Tokenize = Callable[[list[str]], Sequence[Sequence[int]]]
See = Callable[[Sequence[str], Sequence[Sequence[int]]], None]
LeftOut = dict[str, dict[str, Any]]

CHUNK = 10_000  #: Names a call of the tokenizer.
NUM_SHOWN = 5


def tokenize_names(
    names: Sequence[str],
    rows: NDArray[np.int64],
    tokenize: Tokenize,
    end_token: int,
    vocab_size: int,
    max_tokens: int,
    show_progress: bool = True,
    unknown_token: int | None = None,
    see: See | None = None,
) -> tuple[Tokens, LeftOut]:
    """The tokens of the names that a model can write, and what was left out.

    Args:
        names: One a (name, row) pair.
        rows: [n] int64, KB rows or NIL_ROW.
        tokenize: Gives the tokens of each text, without special tokens.
        end_token: Written after a name.
        vocab_size: All tokens are smaller.
        max_tokens: That may be written, the end token among them.
        show_progress: Whether a bar appears on stderr where there is more than one chunk.
        unknown_token: Stands for characters that the vocabulary lacks: names with it are left out. None: there is none.
        see: Gets the names that are kept, and their tokens.

    Returns:
        The sequences with their rows, in the order given; and for each reason to leave a pair out, `count` and `first`,
        the first five names.

    Raises:
        ConfigError: A token is not in the vocabulary.
        DataError: Names and rows are not equally many, or a row is no KB row.
    """
    rows = np.asarray(rows, dtype=np.int64)
    if len(names) != len(rows):
        raise DataError("one KB row a name", f"{len(names):,} names, {len(rows):,} rows", "Pass pairs of equal number.")
    if ((rows < 0) & (rows != NIL_ROW) | (rows > np.iinfo(np.int32).max)).any():
        raise DataError(f"KB rows from 0 to 2^31 - 1, or NIL_ROW ({NIL_ROW})", _range(rows), "Check the rows.")
    left_out: LeftOut = {}
    parts = [Tokens(*(np.zeros(0, dtype=np.int64) for _ in range(3)))]
    chunks = range(0, len(names), CHUNK)
    is_long = show_progress and len(chunks) > 1
    for start in tracked(chunks, "tokenise names", len(chunks), silent=not is_long):
        texts = list(names[start : start + CHUNK])
        found = tokenize(texts)
        lengths = np.fromiter(map(len, found), dtype=np.int64, count=len(found))
        flat = np.fromiter(chain.from_iterable(found), dtype=np.int64, count=int(lengths.sum()))
        if len(flat) and not 0 <= flat.min() <= flat.max() < vocab_size:
            raise ConfigError(f"tokens from 0 to {vocab_size - 1:,}", _range(flat), "Pass the tokenizer's own size.")
        of_chunk = Tokens(flat, lengths, rows[start : start + CHUNK])
        is_kept, out = _writable(texts, of_chunk, end_token, max_tokens, unknown_token)
        parts.append(Tokens(flat[np.repeat(is_kept, lengths)], lengths[is_kept], of_chunk.rows[is_kept]))
        if see is not None:
            kept = np.flatnonzero(is_kept).tolist()
            see([texts[place] for place in kept], [found[place] for place in kept])
        left_out = join_left_out(left_out, out)
    return Tokens(*(np.concatenate(column) for column in zip(*parts, strict=True))), left_out


def join_left_out(*several: LeftOut) -> LeftOut:
    """What was left out of each together: the counts of each reason, and the first five names of all.

    Example:
        >>> join_left_out({"no tokens": {"count": 1, "first": [""]}}, {"no tokens": {"count": 2, "first": [" ", ""]}})
        {'no tokens': {'count': 3, 'first': ['', ' ', '']}}
    """
    joined: LeftOut = {}
    for left_out in several:
        for reason, what in left_out.items():
            entry = joined.setdefault(reason, {"count": 0, "first": []})
            entry["count"] += what["count"]
            entry["first"] = (entry["first"] + what["first"])[:NUM_SHOWN]
    return joined


def _writable(
    texts: list[str], names: Tokens, end_token: int, max_tokens: int, unknown_token: int | None
) -> tuple[NDArray[np.bool_], LeftOut]:
    owner = np.repeat(np.arange(len(texts)), names.lengths)

    def has(token: int | None) -> NDArray[np.bool_]:
        return np.bincount(owner[names.flat == (-1 if token is None else token)], minlength=len(texts)) > 0

    has_end = has(end_token)
    is_unknown = has(unknown_token) & ~has_end
    reasons = {
        "no tokens": names.lengths == 0,
        "the end token inside": has_end,
        "characters that the vocabulary lacks": is_unknown,
        f"more than {max_tokens - 1} tokens": (names.lengths > max_tokens - 1) & ~has_end & ~is_unknown,
    }
    left_out = {
        reason: {"count": int(is_out.sum()), "first": [texts[i] for i in np.flatnonzero(is_out)[:NUM_SHOWN]]}
        for reason, is_out in reasons.items()
        if is_out.any()
    }
    return ~np.any(list(reasons.values()), axis=0), left_out


def _range(numbers: Integers) -> str:
    return f"numbers from {numbers.min():,} to {numbers.max():,}"
