"""A server that is reached below a path of another one, such as `/mel/` of a site."""

from __future__ import annotations

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send


class Below:
    """Answers what is asked below a path, if there is one, as what is asked without it: not all proxies take it off."""

    def __init__(self, app: ASGIApp, root_path: str) -> None:
        self.app, self.root_path = app, root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] == "http" and self.root_path:
            if scope["path"] == self.root_path:  # the page's own addresses are relative to what ends in /
                await Response(status_code=308, headers={"Location": f"{self.root_path}/"})(scope, receive, send)
                return
            # In place: who counts and logs the request reads there what was asked.
            scope["path"] = path_below(self.root_path, scope["path"])
        await self.app(scope, receive, send)


def path_below(root_path: str, path: str) -> str:
    """A path without the one that it stands below, if it does.

    Example:
        >>> path_below("/mel", "/mel/link"), path_below("/mel", "/link"), path_below("/mel", "/melon")
        ('/link', '/link', '/melon')
    """
    return path.removeprefix(root_path) if path.startswith(f"{root_path}/") else path
