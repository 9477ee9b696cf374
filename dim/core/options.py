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

import yaml

from dim.core.known_classes import REMEDY, UPGRADE
from dim.errors import ConfigError

KEY = re.compile(r'[Pp]arser key "([\w.]+)"')
REFUSED_KEY = re.compile(r"Option '([\w.]+)' is not accepted")
DENIED = re.compile(r"Importing '([\w.]+)' is not allowed")
#: What people call options elsewhere.
OTHER_NAMES = {
    "lr": "model.learning_rate",
    "learning_rate": "model.learning_rate",
    "epochs": "trainer.max_epochs",
    "num_epochs": "trainer.max_epochs",
    "bs": "data.batch_size",
    "batch_size": "data.batch_size",
    "dataset": "data.root",
    "root": "data.root",
    "cache_dir": "data.cache_dir",
    "gpus": "trainer.devices",
    "devices": "trainer.devices",
    "resume": "ckpt_path",
    "resume_from_checkpoint": "ckpt_path",
    "checkpoint": "ckpt_path",
    "ckpt": "ckpt_path",
    "output_dir": "run",
    "out": "run",
    "name": "run",
}
#: The same of commands.
OTHER_COMMANDS = {
    **dict.fromkeys(("train", "run", "start", "finetune"), "fit"),
    **dict.fromkeys(("val", "dev"), "validate"),
    "eval": "validate (a run), or dim evaluate (another system's results)",
    **dict.fromkeys(("infer", "inference", "answer"), "predict"),
    **dict.fromkeys(("convert", "import", "preprocess"), "prepare"),
    **dict.fromkeys(("save", "package"), "export"),
    **dict.fromkeys(("demo", "world"), "demo-world"),
    **dict.fromkeys(("ui", "server", "api"), "serve"),
    **dict.fromkeys(("rerank", "ranker"), "rank"),
    **dict.fromkeys(("features", "encode"), "embed"),
}
FILES = (".yaml", ".yml")
_NEAR = 0.6  #: From which likeness on (difflib's ratio) a word may be meant for a choice.


class Explained:
    """A parser of jsonargparse that raises ConfigError in the place of argparse's exit.

    Attributes:
        home: From where it was given: a parser that reads a file works in the folder of that.
        given: The command line that is parsed now, without the command's name.
        command: That name.
        required: What the command cannot do without; with `data.root` among it, most of it stands in a configuration.
    """

    home: ClassVar[Path] = Path()
    given: ClassVar[Sequence[str]] = ()
    command: ClassVar[str] = ""
    required: ClassVar[Sequence[str]] = ()

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
    if isinstance(error, ArgumentError):
        wanted = f"{error.argument_name} as dim {type(parser).command} takes it"
        return ConfigError(wanted, error.message, f"dim {type(parser).command} --help explains it.")
    if denied := DENIED.search(message):
        package = denied[1].partition(".")[0]
        remedy = UPGRADE if package == "dim" else REMEDY.format(trust=f"--trust {package}")
        key = KEY.search(message)
        what = "a configuration made of dim's classes"
        if key is None:
            return ConfigError(what, denied[1], remedy)
        return OptionError(key[1], type(parser).given, lambda name: (what, f"{denied[1]} as {name}", remedy))
    inner: ConfigError | None = None
    chain: list[BaseException | None] = [error]
    while (cause := chain[-1]) is not None:  # of a parser inside this one
        inner = inner or (cause if isinstance(cause, ConfigError) else None)
        before = cause.__cause__ or cause.__context__
        chain.append(None if before in chain else before)  # a chain may lead back to itself
    command = _parser_of_command(parser)
    if command is not None and (found := _wrong_line(command, type(parser))):
        return found
    if isinstance(inner, OptionError):
        return inner.inside(message)
    return inner or _wrong_value(parser, message, type(parser))


def _parser_of_command(parser: Any) -> Any:
    """The parser whose options stand on the command line; None for that of a class inside."""
    for action in parser._actions:
        chosen = getattr(action, "_name_parser_map", None)
        if chosen and type(parser).command in chosen:
            return chosen[type(parser).command]
    return parser if any(action.dest == "print_config" for action in parser._actions) else None


def _wrong_line(parser: Any, line: type[Explained]) -> ConfigError | None:
    given, command, required = line.given, line.command, line.required
    options = {action.dest: action for action in parser._actions if action.dest not in ("help", "print_config")}
    positional = [action.dest for action in parser._actions if not action.option_strings and action.dest in options]
    words = [value for name, value in split_line(given) if name is None]
    if len(words) > len(positional):
        return _wrong_word(words[len(positional)], command, positional, required)
    for path in (value for name, value in split_line(given) if name in ("config", "c")):
        if found := _wrong_file(path, line.home):
            return found
    named = {name for name, _ in split_line(given) if name is not None}
    for name in sorted(named | _keys_of_files(line)):
        if name not in ("help", "h", "c", "print_config") and not _is_known(name, options):
            meant = _meant(name, options)
            return ConfigError("an option that exists", f"Option '{name}' is not accepted", f"Did you mean {meant}?")
    there = named | _keys_of_files(line) | set(positional[: len(words)])
    if missing := [name for name in required if not any(f"{key}.".startswith(f"{name}.") for key in there)]:
        return _missing(missing, command, positional, is_configured="data.root" in required)
    return None


def split_line(given: Sequence[str]) -> Iterator[tuple[str | None, str]]:
    """Option names with their values, and words that are none with None as their name."""
    rest = list(given)
    while rest:
        word = rest.pop(0)
        if not word.startswith("-") or word == "-" or re.fullmatch(r"-[\d.]+", word):
            yield None, word
        elif "=" in word:
            name, _, value = word.partition("=")
            yield name.lstrip("-").removesuffix("+"), value
        else:
            has_value = bool(rest) and not rest[0].startswith("--")
            yield word.lstrip("-").removesuffix("+"), rest.pop(0) if has_value else ""


def _wrong_word(word: str, command: str, positional: list[str], required: Sequence[str]) -> ConfigError:
    usage = " ".join(["dim", command, *(name.upper() for name in positional)])
    if not positional and word.endswith(FILES):
        return ConfigError("options by name", f"the word {word}", f"Did you mean: dim {command} --config {word}?")
    if not positional and required:
        meant = f"dim {command} --{required[0]} {word}"
        return ConfigError("options by name", f"the word {word}", f"Did you mean: {meant}?")
    remedy = "Leave it out, or quote what belongs together."
    return ConfigError(f"{usage} and options", f"one word more: {word}", remedy)


def _wrong_file(path: str, home: Path) -> ConfigError | None:
    file = home / path
    if not file.is_file():
        folder = file if file.is_dir() else file.parent
        near = sorted(other.name for other in folder.glob("*.yaml")) if folder.is_dir() else []
        meant = f"Did you mean {Path(path).with_name(nearest(file.name, near))}?" if near else "Check the path."
        if file.is_dir():
            return ConfigError(
                f"a file at --config {path}", "a folder", f"Name one in it: {', '.join(near) or 'none'}."
            )
        return ConfigError(f"a file at --config {path}", "no such file", meant)
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        found = getattr(error, "problem", None) or str(error)
        where = "" if mark is None else f" in line {mark.line + 1}"
        return ConfigError(f"YAML in {path}", f"{found}{where}", "Repair the file, or name another.")
    if not isinstance(found, dict):
        return ConfigError(f"options in {path}, such as model: DIM", type(found).__name__, "Name a configuration.")
    return None


def _keys_of_files(line: type[Explained]) -> set[str]:
    """The options that the configuration files name."""
    keys: set[str] = set()
    for name, path in split_line(line.given):
        if name in ("config", "c"):
            keys |= set(_flat(_read(line.home / path), ""))
    return keys


def _read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _flat(tree: Any, prefix: str) -> Iterator[str]:
    if not isinstance(tree, dict) or not tree or "class_path" in tree:  # the parser of the class knows what is in it
        yield prefix
        return
    for key, value in tree.items():
        yield from _flat(value, f"{prefix}.{key}".lstrip("."))


def _is_known(name: str, options: dict[str, Any]) -> bool:
    """Whether it is an option, the start of some, or belongs to a class that an option names."""
    parts = name.split(".")
    starts = {".".join(parts[:length]) for length in range(1, len(parts) + 1)}
    of_class = any(start in options and hasattr(options[start], "_typehint") for start in starts)
    return of_class or any(f"{option}.".startswith(f"{name}.") for option in options) or _is_short(name, options)


def _is_short(name: str, options: dict[str, Any]) -> bool:
    return sum(option.startswith(name) for option in options) == 1  # as argparse takes it


def _meant(name: str, options: dict[str, Any]) -> str:
    """The option that was meant: by what it is called elsewhere, by its last part, by its letters."""
    known = [option for option in options if option not in ("config", "subcommand")]
    usual = OTHER_NAMES.get(name.rpartition(".")[2])
    if usual and "." not in name and any(f"{usual}.".startswith(f"{option}.") for option in known):
        return f"--{usual}"
    same = [option for option in known if option.rpartition(".")[2] == name.rpartition(".")[2]]
    if same:
        return f"--{same[0]}"

    def likeness(option: str) -> float:
        forms = [option] if "." in name else [option, option.rpartition(".")[2]]
        likes = [SequenceMatcher(None, name, form).ratio() for form in forms]
        return max([likes[0], *(0.85 * like for like in likes[1:])])

    return f"--{max(known, key=likeness)}"


def _missing(missing: list[str], command: str, positional: list[str], is_configured: bool) -> ConfigError:
    if is_configured and command != "fit":
        remedy = "Add the run's own: --config RUN/config.yaml."
        return ConfigError(f"a configuration that says {_listed(missing)}", "none that does", remedy)
    if is_configured:
        remedy = f"Add --config NAME (dim configs lists the names), or {_listed([f'--{name} …' for name in missing])}."
        return ConfigError(f"a configuration that says {_listed(missing)}", "none that does", remedy)
    words = {name: name.upper() if name in positional else f"--{name}" for name in (*positional, *missing)}
    usage = " ".join(["dim", command, *(words[name] + " …" * (name not in positional) for name in words)])
    found = f"no {_listed([words[name] for name in missing])}"
    return ConfigError(usage, found, f"dim {command} --help explains them.")


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _wrong_value(parser: Any, message: str, line: type[Explained]) -> ConfigError:
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


def check_choice(what: str, value: object, choices: Sequence[str]) -> None:
    """Raises ConfigError, with the choice that a value is near to, where it is none of them."""
    if not isinstance(value, str) or value not in choices:
        closest = nearest(value, choices) if isinstance(value, str) else ""
        is_near = bool(closest) and (_likeness(str(value), closest) >= _NEAR or closest.startswith(str(value).lower()))
        remedy = f"Did you mean {closest}?" if is_near else "Choose one of them."
        raise ConfigError(f"{what} as one of {', '.join(choices)}", repr(value), remedy)


def _given_value(key: str, line: type[Explained]) -> str:
    """What was given for an option, on the command line or in a file; of a class its name."""
    options = dict(split_line(line.given))
    if key in options:
        return options[key]
    for tree in (_read(line.home / path) for name, path in split_line(line.given) if name in ("config", "c")):
        found: Any = tree
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


def _classes_of(hint: Any) -> Iterator[type]:
    """The classes that a type with classes of dim or of its libraries allows, those that can be made."""
    for part in get_args(hint) or (hint,):
        if inspect.isclass(part) and part.__module__.partition(".")[0] in ("dim", "pytorch_metric_learning"):
            kinds = (kind for kind in (part, *_all_subclasses(part)) if not _is_abstract(kind))
            yield from (kind for kind in kinds if not kind.__module__.startswith("benchmarks"))


def _is_abstract(kind: type) -> bool:
    # Lightning's modules are no ABCs, so that inspect.isabstract says no.
    return any(getattr(getattr(kind, name, None), "__isabstractmethod__", False) for name in dir(kind))


def _all_subclasses(kind: type) -> Iterator[type]:
    children: list[type] = kind.__subclasses__()
    for child in children:
        yield child
        yield from _all_subclasses(child)


def nearest(word: str, known: Sequence[str]) -> str:
    """The known word that looks most like `word`, whatever their case.

    Example:
        >>> nearest("batch_sise", ["seed", "batch_size"]), nearest("HNSW", ["auto", "hnsw"])
        ('batch_size', 'hnsw')
    """
    return max(known, key=lambda candidate: _likeness(word, candidate))


def _likeness(word: str, other: str) -> float:
    return SequenceMatcher(None, word.casefold(), other.casefold()).ratio()
