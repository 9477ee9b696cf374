"""What is wrong with a command line by its words alone: what no option takes, a file that is none, what is missing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import yaml

from dim.core.choices import nearest
from dim.errors import ConfigError

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
FILES = (".yaml", ".yml")


@dataclass(frozen=True)
class Line:
    """A command line.

    Attributes:
        command: The command's name.
        given: What stands after it.
        required: What the command cannot do without; with `data.root` among it, most of it stands in a configuration.
        home: From where it was given: a parser that reads a file works in the folder of that.
    """

    command: str = ""
    given: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    home: Path = Path()

    @property
    def options(self) -> set[str]:
        """The names of the options in it."""
        return {name for name, _ in split_line(self.given) if name is not None}

    @property
    def files(self) -> list[str]:
        """The configuration files that it names, as it names them."""
        return [value for name, value in split_line(self.given) if name in ("config", "c")]


def wrong_line(line: Line, options: Mapping[str, bool], positional: Sequence[str] = ()) -> ConfigError | None:
    """The error for a line that no parser takes; None where its words alone do not tell.

    Args:
        line: That was given.
        options: The command's by name, each with whether it may take an object, which has options of its own.
        positional: Those that are words without a name, in their order.
    """
    words = [value for name, value in split_line(line.given) if name is None]
    if len(words) > len(positional):
        return _wrong_word(words[len(positional)], line, positional)
    for path in line.files:
        if found := _wrong_file(path, line.home):
            return found
    there = line.options | _keys_of_files(line)
    if unknown := [name for name in sorted(there) if not _is_known(name, options)]:
        meant = _meant(unknown[0], options)
        return ConfigError("an option that exists", f"Option '{unknown[0]}' is not accepted", f"Did you mean {meant}?")
    there |= set(positional[: len(words)])
    if missing := [name for name in line.required if not any(f"{key}.".startswith(f"{name}.") for key in there)]:
        return _missing(missing, line.command, positional, is_configured="data.root" in line.required)
    return None


def wrong_name(line: Line, options: Mapping[str, bool], positional: Sequence[str] = ()) -> ConfigError | None:
    """The error for a line with an option that does not exist, before there is a parser; None for any other line."""
    if line.options & {"help", "h"} or all(_is_known(name, options) for name in line.options):
        return None
    return wrong_line(line, options, positional)


def split_line(given: Sequence[str]) -> Iterator[tuple[str | None, str]]:
    """Option names with their values, and words that are none with None as their name."""
    for words in _apart(given):
        name, sign, value = words[0].partition("=")
        if not _is_option(words[0]):
            yield None, words[0]
        else:
            yield name.lstrip("-").removesuffix("+"), value if sign else "".join(words[1:])


def words_and_options(given: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words that stand for themselves, wherever they stand, and the options with their values.

    Example:
        >>> words_and_options(["--by", "type", "a", "--out=c.md", "b"])
        (['a', 'b'], ['--by', 'type', '--out=c.md'])
    """
    words, options = list[str](), list[str]()
    for part in _apart(given):
        (options if _is_option(part[0]) else words).extend(part)
    return words, options


def _apart(given: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Each word that stands for itself, and each option with its value, as they were given."""
    rest = list(given)
    while rest:
        word = rest.pop(0)
        has_value = _is_option(word) and "=" not in word and rest and not rest[0].startswith("--")
        yield (word, rest.pop(0)) if has_value else (word,)


def _is_option(word: str) -> bool:
    return word.startswith("-") and word != "-" and not re.fullmatch(r"-[\d.]+", word)


def _wrong_word(word: str, line: Line, positional: Sequence[str]) -> ConfigError:
    command, required = line.command, line.required
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


def _keys_of_files(line: Line) -> set[str]:
    """The options that the configuration files name."""
    return {key for path in line.files for key in _flat(read_options(line.home / path), "")}


def read_options(path: Path) -> Any:
    """What a configuration file says."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _flat(tree: Any, prefix: str) -> Iterator[str]:
    if not isinstance(tree, dict) or not tree or "class_path" in tree:  # the parser of the class knows what is in it
        yield prefix
        return
    for key, value in tree.items():
        yield from _flat(value, f"{prefix}.{key}".lstrip("."))


def _is_known(name: str, options: Mapping[str, bool]) -> bool:
    """Whether it is an option, the start of some, or belongs to a class that an option names."""
    if name in ("help", "h", "c", "print_config"):
        return True
    parts = name.split(".")
    starts = {".".join(parts[:length]) for length in range(1, len(parts) + 1)}
    of_class = any(options.get(start, False) for start in starts)
    return of_class or any(f"{option}.".startswith(f"{name}.") for option in options) or _is_short(name, options)


def _is_short(name: str, options: Mapping[str, bool]) -> bool:
    return sum(option.startswith(name) for option in options) == 1  # as argparse takes it


def _meant(name: str, options: Mapping[str, bool]) -> str:
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


def _missing(missing: Sequence[str], command: str, positional: Sequence[str], is_configured: bool) -> ConfigError:
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


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
