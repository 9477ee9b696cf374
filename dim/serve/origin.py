"""Who may make a browser ask: the server's own page alone.

Starlette's TrustedHostMiddleware is not used: it may answer with a redirect, its errors are not of the shape of all
others, and older ones cut an IPv6 address at its first colon. Of where a request comes from it knows nothing.
"""

from __future__ import annotations

import re

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from dim.serve.problems import Problem
from dim.serve.refusal import refuse
from dim.serve.settings import is_loopback

LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})  #: Methods that change nothing.
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^\[\]:/@]+)(?::[0-9]*)?", re.IGNORECASE)


class Origin:
    """Refuses, with 403, what was sent to another name than the server's, or by the page of another site.

    A page whose name was made to lead to this machine (DNS rebinding) sends its own name in Host. A form that another
    site's page posts says so in Sec-Fetch-Site, or, in older browsers, in Origin. Programs send neither.

    Args:
        app: Gets the rest.
        allowed_hosts: The server's names; None: any.
    """

    def __init__(self, app: ASGIApp, allowed_hosts: tuple[str, ...] | None) -> None:
        self.app = app
        self.names = None if allowed_hosts is None else {name.lower() for name in allowed_hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        problem = self._problem(scope) if scope["type"] == "http" else None
        if problem is None:
            await self.app(scope, receive, send)
        else:
            await refuse(problem, scope, receive, send)

    def _problem(self, scope: Scope) -> Problem | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self.names is not None and host_name(host) not in self.names:
            remedy = "Ask by one of the server's names, or let whoever runs it add this one: --allowed_hosts."
            return Problem(403, f"one of {', '.join(sorted(self.names))} as Host", host or "none", remedy)
        if scope["method"] not in SAFE and _is_cross_site(headers, host):
            found = headers.get("origin") or f"Sec-Fetch-Site: {headers.get('sec-fetch-site')}"
            return Problem(403, "a request of this server's own page, or of a program", found, "Ask from there.")
        return None


def _is_cross_site(headers: Headers, host: str) -> bool:
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        return site not in ("same-origin", "none")
    return origin is not None and origin.partition("://")[2].lower() != host.lower()


def host_name(host: str) -> str | None:
    """The name in a Host header, without its port; None where it is none.

    Example:
        >>> host_name("LocalHost:8000"), host_name("[::1]:80"), host_name("a@localhost")
        ('localhost', '[::1]', None)
    """
    found = _HOST.fullmatch(host)
    return found[1].lower() if found else None


def names_of(host: str, token: str | None, allowed: str | None) -> tuple[str, ...] | None:
    """The names that a server answers to; None: to any.

    Without a token, one that only this machine reaches answers to this machine's names. One that others reach cannot
    know its names, and one with a token needs no such check: no strange page has the token.

    Args:
        host: The address that it listens at.
        token: What it asks for, or None.
        allowed: Further names, separated by commas.

    Example:
        >>> names_of("127.0.0.1", None, "linker.test")
        ('localhost', '127.0.0.1', '[::1]', 'linker.test')
        >>> names_of("0.0.0.0", "secret", None) is None
        True
    """
    further = tuple(name.strip() for name in (allowed or "").split(",") if name.strip())
    own = (f"[{host}]" if ":" in host else host,)
    if token is None and is_loopback(host):
        return tuple(dict.fromkeys((*LOCAL_NAMES, *own, *further)))
    return tuple(dict.fromkeys((*own, *further))) if further else None
