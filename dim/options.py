"""What is wrong with a command line or a YAML file, in one line, with the nearest option that exists."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher

from dim.errors import ConfigError

UNKNOWN_OPTION = re.compile(r"(?:Option '|[Kk]ey ['\"]|unrecognized arguments: --)([\w.]+)(?:['\"] is not| |$)")
UNKNOWN_CLASS = re.compile(r"Expected a dot import path string: (\w+)")
# The second form is this module's own message, from the parser of a class inside the command's.
WRONG_VALUE = re.compile(
    r'[Pp]arser key "([\w.]+)":\s*Expected a (.+?)\. Got value: (.+)|([\w.]+) as (.+)\s*found\s+(.+)', re.MULTILINE
)


def explain(message: str, options: Sequence[str], classes: Iterable[type]) -> ConfigError:
    """The error for what jsonargparse says.

    Args:
        message: jsonargparse's message, which may hold the messages of parsers inside it.
        options: The options of the command, such as `data.batch_size`.
        classes: The classes that a YAML file may name; their constructors' arguments are options too.
    """
    named = {kind.__name__: kind for kind in classes}
    if named and (found := UNKNOWN_CLASS.search(message)):
        meant = nearest(found[1], list(named))
        return ConfigError(f"a class ({', '.join(sorted(named))})", found[1], f"Did you mean {meant}?")
    if found := UNKNOWN_OPTION.search(message):
        key = found[1]
        arguments = {name for kind in named.values() for name in inspect.signature(kind).parameters}
        meant = nearest(key, [*options] if "." in key else [*options, *arguments])
        return ConfigError("an option that exists", f"Option '{key}' is not accepted", f"Did you mean {meant}?")
    if matches := WRONG_VALUE.findall(message):
        key, kind, value = [group for group in matches[-1] if group]
        kind = re.sub(r"<class '([\w.]+)'>|typing\.", r"\1", kind)
        return ConfigError(f"{key} as {kind}", value, "Change the value; the command's --help explains the option.")
    return ConfigError("options that fit the command", message.strip(), "The command's --help lists them.")


def check_choice(what: str, value: object, choices: Sequence[str]) -> None:
    """Raises ConfigError, with the nearest choice, where a value is none of them."""
    if not isinstance(value, str) or value not in choices:
        remedy = f"Did you mean {nearest(value, choices)}?" if isinstance(value, str) else "Choose one of them."
        raise ConfigError(f"{what} as one of {', '.join(choices)}", repr(value), remedy)


def nearest(word: str, known: Sequence[str]) -> str:
    """The known word that looks most like `word`.

    Example:
        >>> nearest("batch_sise", ["seed", "batch_size"])
        'batch_size'
    """
    return max(known, key=lambda candidate: SequenceMatcher(None, word, candidate).ratio())
