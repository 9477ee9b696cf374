"""Pictures that stand in for pictures that are not there, such as one `default.jpg` in hundreds of rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence

#: Owners (different captions, or entities) that share one picture: from here on it shows none of them.
MANY = 100


def shared_by_many(
    keys: Sequence[Sequence[Hashable]], owners: Sequence[str], splits: Sequence[str | None] = ()
) -> dict[Hashable, int]:
    """The pictures that stand for `MANY` owners or more, in every split that there is, and for how many.

    One photograph with a hundred mentions in one sentence is one owner's; a picture of a long document stands in one
    split.

    Args:
        keys: The pictures of each row, by what tells one from another (path, or content).
        owners: Of each row: its caption, or its entity; rows without one (empty) do not count.
        splits: Of each row, None where it has none; empty: the rows have no splits.

    Example:
        >>> rows = [("default.jpg",)] * 100
        >>> shared_by_many(rows, [f"caption {n}" for n in range(100)])
        {'default.jpg': 100}
        >>> shared_by_many(rows, ["one caption"] * 100)
        {}
    """
    met: defaultdict[Hashable, set[str]] = defaultdict(set)
    seen: defaultdict[Hashable, set[str | None]] = defaultdict(set)
    for row, (of, owner) in enumerate(zip(keys, owners, strict=True)):
        for key in of if owner else ():
            met[key].add(owner)
            seen[key].add(splits[row] if splits else None)
    every = set(splits) or {None}
    return {key: len(of) for key, of in met.items() if len(of) >= MANY and seen[key] >= every}
