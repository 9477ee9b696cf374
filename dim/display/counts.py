"""A number and what it counts, in words."""

from __future__ import annotations


def count_of(count: int, one: str) -> str:
    """The number with its noun, given as for one of them.

    >>> count_of(1, "row"), count_of(0, "row"), count_of(18_880, "entity"), count_of(2, "process")
    ('1 row', '0 rows', '18,880 entities', '2 processes')
    """
    if count == 1:
        return f"1 {one}"
    if one.endswith("y"):
        return f"{count:,} {one[:-1]}ies"
    return f"{count:,} {one}{'es' if one.endswith('s') else 's'}"
