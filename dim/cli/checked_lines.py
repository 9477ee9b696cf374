"""Reads lines of `dim fit` and `dim rank`, a JSON list of argument lists on stdin, and runs none.

The first that is wrong leaves its error on stderr and its number on stdout, and the process ends with 1.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO

from dim.cli.commands import COMMANDS
from dim.cli.trainer import run_trainer
from dim.cli.trainer_line import check_names
from dim.display.lines import warn
from dim.errors import DimError

PRINT = "--print_config"  #: What has a parser print what it has read, and end.


def first_wrong(lines: Sequence[Sequence[str]]) -> int | None:
    """The number of the first line, a command with its arguments, that is refused; None: all can be read."""
    for number, (command, *arguments) in enumerate(lines):
        try:
            with redirect_stdout(StringIO()):
                if command in COMMANDS:
                    COMMANDS[command].run(command, [*arguments, PRINT])
                else:
                    check_names([command, *arguments])
                    run_trainer([command, *arguments, PRINT])
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
