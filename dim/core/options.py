"""What is wrong with a command line or a YAML file, in three parts, told from the parser's own options.

jsonargparse says what it could not do with a value; what the user meant to do is told by what was given: a word that no
option takes, an option that does not exist, a file that is none, what is missing. Only then its message counts.
"""

from __future__ import annotations

import inspect
import re
import types
from argparse import ArgumentError
from collections.abc import Callable, Iterator, Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any, ClassVar, Literal, NoReturn, Union, get_args, get_origin

from jsonargparse import ArgumentParser

from dim.core.abstract import abstract_names
from dim.core.choices import nearest
from dim.core.known_classes import REMEDY, UPGRADE
from dim.core.wrong_line import Line, read_options, split_line, wrong_line
from dim.errors import ConfigError

KEY = re.compile(r'[Pp]arser key "([\w.]+)"')
REFUSED_KEY = re.compile(r"Option '([\w.]+)' is not accepted")
#: A class that was named, also in a list, and why it cannot be had, as jsonargparse says it.
NOT_HAD = re.compile(
    r"Errors:\s+- (?:Problem with given class_path '([^']*)':)?(.*?)(?=\n\s+- |\n\s*Given |\Z)", re.DOTALL
)
NAMES_CLASS = re.compile(r"Problem with given class_path|Import path does not correspond")  # also of a library's class
OF_ANOTHER_KIND = re.compile(r"Import path does not correspond to a subclass of (\w+)")
IS_ABSTRACT = "Expected an instantiatable class, but is abstract"
NESTED = re.compile(r"NestedArg\(key='([^']+)'")  #: An option of a class that was not named.
DENIED = re.compile(r"Importing '([\w.]+)' is not allowed")


class Explained:
    """A parser of jsonargparse that raises ConfigError in the place of argparse's exit.

    Attributes:
        line: The command line that is parsed now.
    """

    line: ClassVar[Line] = Line()

    def add_class_arguments(self, *args: Any, **options: Any) -> Any:
        """Adds a class's arguments; one without a type takes what YAML makes of a word, as it does in a file."""
        added = super().add_class_arguments(*args, **options)  # type: ignore[misc]  # of jsonargparse
        for action in self._actions:  # type: ignore[attr-defined]
            parts = get_args(getattr(action, "_typehint", None))
            if str in parts and any(type(part).__name__ == "UntypedType" for part in parts):
                action._typehint = Any  # else `5` would stay a text where the default is one, such as "all"
        return added

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raises ConfigError."""
        raise explain(self, message, ex)


class Parser(Explained, ArgumentParser):
    """Of the plain commands; the trainer's has Lightning's beside `Explained`."""


class OptionError(ConfigError):
    """What is wrong with an option: the parser of a class knows the last part of its name, and those around add theirs.

    Args:
        key: The option, as the parser knows it.
        given: The command line, where the whole name may stand.
        tell: Says by a name what is wrong.
    """

    def __init__(self, key: str, given: Sequence[str], tell: Callable[[str], tuple[str, str, str]]) -> None:
        self.key, self.given, self.tell = key, given, tell
        super().__init__(*tell(_whole(key, given)))

    def __reduce__(self) -> tuple[type[ConfigError], tuple[str, str, str]]:
        return ConfigError, (self.expected, self.found, self.remedy)

    def inside(self, message: str) -> OptionError:
        """The same from a parser around, by what it says."""
        around = KEY.search(message)
        if around is None or _whole(self.key, self.given) != self.key:
            return self
        return OptionError(f"{around[1]}.init_args.{self.key}", self.given, self.tell)


def explain(parser: Any, message: str, error: Exception | None) -> ConfigError:
    """The error for what could not be parsed.

    Args:
        parser: That could not: the command's, or that of a class inside it.
        message: What jsonargparse says.
        error: What it comes from.
    """
    line: Line = parser.line
    if isinstance(error, ArgumentError):
        wanted = f"{error.argument_name} as dim {line.command} takes it"
        return ConfigError(wanted, error.message, f"dim {line.command} --help explains it.")
    if denied := DENIED.search(message):
        package = denied[1].partition(".")[0]
        remedy = UPGRADE if package == "dim" else REMEDY.format(trust=f"--trust {package}")
        key = KEY.search(message)
        what = "a configuration made of dim's classes"
        if key is None:
            return ConfigError(what, denied[1], remedy)
        return OptionError(key[1], line.given, lambda name: (what, f"{denied[1]} as {name}", remedy))
    inner: ConfigError | None = None
    chain: list[BaseException | None] = [error]
    while (cause := chain[-1]) is not None:  # of a parser inside this one
        inner = inner or (cause if isinstance(cause, ConfigError) else None)
        before = cause.__cause__ or cause.__context__
        chain.append(None if before in chain else before)  # a chain may lead back to itself
    command = _parser_of_command(parser)
    if command is not None and (found := wrong_line(line, *_options_of(command))):
        return found
    if isinstance(inner, OptionError):
        return inner.inside(message)
    return inner or _wrong_value(parser, message, line)


def _parser_of_command(parser: Any) -> Any:
    """The parser whose options stand on the command line; None for that of a class inside."""
    for action in parser._actions:
        chosen = getattr(action, "_name_parser_map", None)
        if chosen and parser.line.command in chosen:
            return chosen[parser.line.command]
    return parser if any(action.dest == "print_config" for action in parser._actions) else None


def _options_of(parser: Any) -> tuple[dict[str, bool], list[str]]:
    """A parser's options, each with whether it may take an object, and those that are words without a name."""
    actions = [action for action in parser._actions if action.dest not in ("help", "print_config")]
    options = {action.dest: hasattr(action, "_typehint") for action in actions if not action.dest.endswith(".help")}
    return options, [action.dest for action in actions if not action.option_strings and action.dest in options]


def _wrong_value(parser: Any, message: str, line: Line) -> ConfigError:
    """What jsonargparse says of a value, with the option's type in words."""
    options = {action.dest: action for action in parser._actions}
    if refused := REFUSED_KEY.search(message):
        near = [name for name in options if name not in ("help", "config")]
        meant = f"Did you mean {nearest(refused[1], near)}?" if near else "Leave it out."
        return OptionError(
            refused[1], line.given, lambda name: ("an option that exists", f"Option '{name}' is not accepted", meant)
        )
    if (found := KEY.search(message)) and found[1] in options:
        key, hint = found[1], getattr(options[found[1]], "_typehint", None)
        value = _given_value(_whole(key, line.given), line) or message.rpartition("value: ")[2].splitlines()[0]
        classes = sorted({kind.__name__ for kind in _classes_of(hint)})
        if classes and (nested := NESTED.match(value)):
            known, option = ", ".join(classes), nested[1]
            return OptionError(
                key,
                line.given,
                lambda name: (
                    f"--{name}, which has the option {option}",
                    "no class of it",
                    f"Name one, before: {known}.",
                ),
            )
        if (classes or NAMES_CLASS.search(message)) and (reason := _why_not(value, hint, message)):
            return OptionError(key, line.given, lambda name: (f"--{name}: a class that can be used", *reason))
        if classes and not value.startswith(("{", "[", "Namespace")):
            closest = nearest(value, classes)
            likeness = SequenceMatcher(None, value.lower(), closest.lower()).ratio()
            is_near = likeness > 0.8 or closest.lower().startswith(value.lower())
            meant = f"Did you mean {closest}?" if is_near else "Name one of them, or a class by module and name."
            known = ", ".join(classes)
            return OptionError(key, line.given, lambda name: (f"--{name}: a class ({known})", value, meant))
        remedy = "Change the value; the command's --help explains the option."
        return OptionError(key, line.given, lambda name: (f"--{name} as {said(hint)}", value, remedy))
    return ConfigError("options that fit the command", message.strip(), "The command's --help lists them.")


def _given_value(key: str, line: Line) -> str:
    """What was given for an option, on the command line or in a file; of a class its name."""
    options = dict(split_line(line.given))
    if key in options:
        return options[key]
    for path in line.files:
        found: Any = read_options(line.home / path)
        for part in key.split("."):
            found = found.get(part) if isinstance(found, dict) else None
        if found is not None:
            return str(found["class_path"] if isinstance(found, dict) and "class_path" in found else found)
    return ""


def _whole(key: str, given: Sequence[str]) -> str:
    """The option as it stands on the command line: a class inside knows its last part alone."""
    same = [name for name, _ in split_line(given) if name is not None and f".{name}".endswith(f".{key}")]
    return same[-1] if same else key


def said(hint: Any) -> str:
    """A type in words.

    Example:
        >>> said(int | None)
        'a whole number or null'
        >>> said(Literal["sum", "linear"])
        'sum or linear'
    """
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text", Path: "a path"}
    if hint is None or hint is type(None):
        return "null"
    if get_origin(hint) in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(said(part) for part in get_args(hint)))
    if get_origin(hint) is Literal:
        return " or ".join(map(str, get_args(hint)))
    origin = get_origin(hint) or hint
    if inspect.isclass(origin) and origin not in names and issubclass(origin, Sequence) and origin is not str:
        return "a list, such as [a, b]"
    return names.get(origin, getattr(origin, "__name__", str(origin)))


def _why_not(name: str, hint: Any, message: str) -> tuple[str, str] | None:
    """What was found in the place of a class that was named by its module, and what to do; None: no such was named."""
    if IS_ABSTRACT in message:
        kinds = (kind for part in get_args(hint) or (hint,) if inspect.isclass(part) for kind in _all_subclasses(part))
        lacking = next((abstract_names(kind) for kind in kinds if name in (kind.__name__, _full_name(kind))), [])
        return (
            f"{name} without {', '.join(lacking)}",
            "Write what it lacks: the class that it derives from says what each is.",
        )
    if "." in name and (kind := OF_ANOTHER_KIND.search(message)):
        return f"{name}, which is no {kind[1]}", f"Derive it from {kind[1]}, or name another class."
    if "." in name and (reason := NOT_HAD.search(message)):
        remedy = "Mend that; modules are found in the working folder, and in those that PYTHONPATH names."
        return f"{reason[1] or name}: {' '.join(reason[2].split())}", remedy
    return None


def _full_name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _classes_of(hint: Any) -> Iterator[type]:
    """The classes that a type with classes of dim or of its libraries allows, those that can be made."""
    for part in get_args(hint) or (hint,):
        if inspect.isclass(part) and part.__module__.partition(".")[0] in ("dim", "pytorch_metric_learning"):
            kinds = (kind for kind in (part, *_all_subclasses(part)) if not abstract_names(kind))
            yield from (
                kind for kind in kinds if not kind.__module__.startswith("benchmarks") and kind.__name__[0] != "_"
            )


def _all_subclasses(kind: type) -> Iterator[type]:
    children: list[type] = kind.__subclasses__()
    for child in children:
        yield child
        yield from _all_subclasses(child)
