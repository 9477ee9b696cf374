"""Parts of messages: what a library's error says, in a line, and the first of many names."""

from __future__ import annotations

from collections.abc import Sequence

MOST = 300  #: Characters of what an error says.


def first_line(error: BaseException) -> str:
    r"""The first line of what an error says, with what it announces; at most `MOST` characters.

    Example:
        >>> first_line(OSError("no such file\nlooked in /tmp")), first_line(OSError())
        ('no such file', 'no message')
        >>> first_line(OSError("none of:\n(1) a file\n(2) a folder"))
        'none of: (1) a file (2) a folder'
    """
    first = (str(error).strip().splitlines() or ["no message"])[0].rstrip()
    return one_line(error) if first.endswith(":") else first[:MOST]


def one_line(error: BaseException) -> str:
    r"""All that an error says in one line, cut to `MOST` characters; `no message` where it says nothing.

    Example:
        >>> one_line(OSError("no such file\n  looked in /tmp"))
        'no such file looked in /tmp'
    """
    return " ".join(str(error).split())[:MOST] or "no message"


def few(names: Sequence[object], most: int) -> str:
    """The first `most` names, and whether there are more.

    Example:
        >>> few(["Q1", "Q2"], 2), few([1, 2, 3], 2)
        ('Q1, Q2', '1, 2 …')
    """
    return ", ".join(map(str, names[:most])) + " …" * (len(names) > most)


def few_of(names: Sequence[object], most: int) -> str:
    """The first `most` names, and of how many, if there are more.

    Example:
        >>> few_of(["Q1", "Q2"], 2), few_of([1, 2, 3], 2)
        ('Q1, Q2', '1, 2 … (3 in all)')
    """
    return few(names, most) + f" ({len(names):,} in all)" * (len(names) > most)
