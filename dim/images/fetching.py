"""Many images from their URLs, one request at a time and none too soon after another to the same host."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from time import monotonic, sleep

from dim.core.retry_after import backoff
from dim.images.remote import FetchError, host_of

NUM_SILENT = 3  #: Images in a row for which a host gave no answer; after that it is not asked again.


@dataclass(frozen=True)
class Pace:
    """When a host is asked again.

    Attributes:
        delay_s: Between two requests to one host.
        retries: After the first try of an image, for what may pass.
        backoff_s: Before the second try, doubled for each further one, up to a minute; a Retry-After goes first.
        max_wait_s: The longest Retry-After that is waited for; a host that asks for more is left alone.
        time: Seconds since a moment that stays the same.
        sleep: Returns so many seconds later.
    """

    delay_s: float = 1.0
    retries: int = 2
    backoff_s: float = 2.0
    max_wait_s: float = 600.0
    time: Callable[[], float] = monotonic
    sleep: Callable[[float], None] = sleep


@dataclass
class _Host:
    waiting: deque[tuple[str, str]] = field(default_factory=deque)  # path, URL
    next_at: float = 0.0
    tries: int = 0  # of the first that waits
    silent: int = 0


def fetch_all(
    urls: Mapping[str, str], fetch: Callable[[str], bytes], pace: Pace
) -> Iterator[tuple[str, bytes | FetchError]]:
    """The bytes of each image, or why there are none, as they come.

    While a host has to be waited for, another one is asked.

    Args:
        urls: Path → URL.
        fetch: Gets one of them, or raises FetchError.
        pace: When a host is asked again.
    """
    hosts: dict[str, _Host] = {}
    for path, url in urls.items():
        hosts.setdefault(host_of(url), _Host()).waiting.append((path, url))
    while hosts:
        name = min(hosts, key=lambda each: hosts[each].next_at)
        host = hosts[name]
        if (wait := host.next_at - pace.time()) > 0:
            pace.sleep(wait)
        path, url = host.waiting[0]
        try:
            found: bytes | FetchError = fetch(url)
        except FetchError as error:
            found = error
        host.next_at = pace.time() + pace.delay_s
        if isinstance(found, FetchError) and found.may_pass and _again(host, found, pace):
            continue
        host.waiting.popleft()
        host.tries = 0
        host.silent = host.silent + 1 if isinstance(found, FetchError) and found.is_silent else 0
        yield path, found
        if isinstance(found, FetchError) and (host.silent >= NUM_SILENT or (found.wait_s or 0) > pace.max_wait_s):
            reason = FetchError(f"its host was left alone ({found.reason})", may_pass=True)
            yield from ((path, reason) for path, _ in host.waiting)
            host.waiting.clear()
        if not host.waiting:
            del hosts[name]


def _again(host: _Host, failed: FetchError, pace: Pace) -> bool:
    """Whether the first that waits is tried again; then its host waits for it."""
    if host.tries >= pace.retries or (failed.wait_s or 0) > pace.max_wait_s:
        return False
    host.tries += 1
    wait = backoff(pace.backoff_s, host.tries) if failed.wait_s is None else failed.wait_s
    host.next_at = pace.time() + max(pace.delay_s, wait)
    return True
