"""Reads lines of `dim fit`, a JSON list of argument lists on stdin, and runs none: `python -m dim.cli.fit_lines`.

The first that is wrong leaves its error on stderr and its number on stdout, and the process ends with 1.
"""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from io import StringIO

from dim.cli.trainer import run_trainer
from dim.cli.trainer_line import check_names
from dim.display.lines import warn
from dim.errors import DimError


def first_wrong(lines: list[list[str]]) -> int | None:
    """The number of the first line that `dim fit` refuses; None: all can be read."""
    for number, arguments in enumerate(lines):
        try:
            check_names(["fit", *arguments])
            with redirect_stdout(StringIO()):
                run_trainer(["fit", *arguments, "--print_config"])
        except SystemExit:  # as it ends when it has printed
            continue
        except DimError as error:
            warn(f"error: {error}")
            return number
    return None


if __name__ == "__main__":
    found = first_wrong(json.load(sys.stdin))
    sys.stdout.write("" if found is None else f"{found}\n")
    sys.exit(found is not None)
