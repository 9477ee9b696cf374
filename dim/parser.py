"""The parser of the plain commands: an error is one line with its remedy, as in the trainer's commands."""

from __future__ import annotations

from typing import NoReturn

from jsonargparse import ArgumentParser

from dim.options import explain


class Parser(ArgumentParser):
    """Names the nearest option that exists."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raises ConfigError in the place of argparse's exit."""
        raise explain(message, [action.dest for action in self._actions], [])
