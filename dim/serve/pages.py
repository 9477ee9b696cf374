"""The files of the page, read once."""

from __future__ import annotations

from importlib.resources import files

from starlette.responses import Response

from dim.serve.problems import Problem

TYPES = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
}


class Pages:
    """The files of a folder in this package."""

    def __init__(self, folder: str) -> None:
        self._files = {
            file.name: (file.read_bytes(), TYPES[kind])
            for file in files("dim.serve").joinpath(folder).iterdir()
            if (kind := file.name.rpartition(".")[2]) in TYPES
        }

    def response(self, name: str) -> Response:
        """A file as an answer.

        Raises:
            Problem: 404, there is none of that name.
        """
        if name not in self._files:
            raise Problem(404, f"one of {', '.join(sorted(self._files))}", name, "Correct the path.")
        content, media_type = self._files[name]
        return Response(content, media_type=media_type, headers={"Cache-Control": "no-cache"})
