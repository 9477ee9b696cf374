"""Plain lines on stdout and stderr; `terminal` has tables and colours."""

from __future__ import annotations

import json
import sys
from typing import Any

from dim.display.visible import visible, visible_json


def say(text: str) -> None:
    """Prints a text as it is."""
    print(visible(text), flush=True)


def warn(text: str) -> None:
    """Prints a text as it is on stderr."""
    print(visible(text), file=sys.stderr, flush=True)


def say_json(value: Any, indent: int | None = None) -> None:
    """Prints a value as JSON, from which it can be read exactly."""
    print(visible_json(json.dumps(value, ensure_ascii=False, indent=indent)), flush=True)
