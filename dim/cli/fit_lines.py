"""Reads lines of `dim fit`, a JSON list of argument lists on stdin, and runs none: `python -m dim.cli.fit_lines`.

The first that is wrong leaves its error on stderr and its number on stdout, and the process ends with 1.
"""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from io import StringIO

from dim.__main__ import main


def first_wrong(lines: list[list[str]]) -> int | None:
    """The number of the first line that `dim fit` refuses; None: all can be read."""
    for number, arguments in enumerate(lines):
        with redirect_stdout(StringIO()):
            try:
                code = main(["fit", *arguments, "--print_config"])
            except SystemExit as error:  # as it ends when it has printed
                code = int(error.code or 0)
        if code:
            return number
    return None


if __name__ == "__main__":
    found = first_wrong(json.load(sys.stdin))
    sys.stdout.write("" if found is None else f"{found}\n")
    sys.exit(found is not None)
