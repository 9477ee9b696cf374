"""The parser of the plain commands: an error is one line with its remedy, as in the trainer's commands."""

from __future__ import annotations

from jsonargparse import ArgumentParser

from dim.core.options import Explained


class Parser(Explained, ArgumentParser):
    """Names what was given and what was meant."""
