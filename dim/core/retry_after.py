"""How long to wait before the next request: what a server asks for, and what its failures do."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST_BACKOFF_S = 60.0


def backoff(first_s: float, num_failures: int) -> float:
    """Seconds to wait after so many failures: those after the first one, doubled for each further, up to a minute.

    Example:
        >>> backoff(1.0, 1), backoff(1.0, 3), backoff(1.0, 99)
        (1.0, 4.0, 60.0)
    """
    return min(first_s * 2.0 ** (num_failures - 1), LONGEST_BACKOFF_S)


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """The seconds that a server asks to wait: `retry-after-ms`, or `retry-after` in seconds or as a date; else None.

    Args:
        headers: Names in lower case, or a mapping that ignores case.
        now: What a date is compared with, with its time zone; None: this machine's time.

    Example:
        >>> retry_after({"retry-after": "7"}), retry_after({"retry-after-ms": "250"}), retry_after({})
        (7.0, 0.25, None)
    """
    for name, unit in (("retry-after-ms", 1000), ("retry-after", 1)):
        value = headers.get(name, "")
        try:
            seconds = float(value) / unit
        except ValueError:
            continue
        return seconds if 0 <= seconds < float("inf") else None
    try:
        date = parsedate_to_datetime(headers.get("retry-after", ""))
    except ValueError:
        return None
    return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - (now or datetime.now(UTC))).total_seconds())
