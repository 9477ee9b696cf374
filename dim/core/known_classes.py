"""The one door for class names that stand in a folder: a run's, a linker's.

A folder may come from a stranger, and a class that is imported or made runs its code. So what a folder names is looked
up among class objects that are here already, and below packages that the user trusts by name; nothing else is imported,
whatever form the name has: a bare one, a dotted one, one in a list or deep among the options of another class. What the
user types, on the command line or in a configuration that `dim fit` is given, is theirs and does not go through here.

    reading   `KnownClasses.read`: names become class objects (`Chosen`), options are checked by their annotations;
              nothing is imported but trusted packages, and nothing is made
    making    `made`: calls the constructors
    parsing   `only_these`: where jsonargparse reads a run's config, it imports these classes by name and no others
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any, get_type_hints

from jsonargparse import Namespace, _common, set_parsing_settings
from jsonargparse._common import denying_import_path_entry, parsing_settings
from jsonargparse._optionals import _get_config_read_mode
from jsonargparse._paths import Path as ParserPath

from dim.core.excerpts import one_line
from dim.core.typed import WORD, Mismatch, shown, typed
from dim.errors import ConfigError, DataError

PACKAGE = re.compile(r"(?!jsonargparse\b)[^\W\d]\w*(\.[^\W\d]\w*)*")
FULL_NAME = re.compile(r"(?<![\w./\\-])[^\W\d]\w*(?:\.[^\W\d]\w*)+(?![\w./\\-])")
REMEDY = "If you trust it, and it is installed here: {trust}."
UPGRADE = "Make it again, or upgrade dim."
DEEPEST = 20  #: Classes inside of classes.
SCALARS = (str, bool, int, float, type(None))


@dataclass(frozen=True)
class Chosen:
    """A class that may be made, with its options, checked.

    Attributes:
        kind: The class.
        options: By name; what is itself a `Chosen`, also in lists and mappings, is to be made first.
    """

    kind: type
    options: dict[str, Any]


class KnownClasses:
    """Classes by the names that a folder gives them.

    Args:
        classes: Those that may be named.
        trusted: What the names of further classes may begin with, such as `my_package.`; they are imported.
        what: What names them, for messages: `a linker`.
        remedy: What to do about another; `{trust}` is filled in with the option that would allow it.
    """

    def __init__(
        self,
        classes: Iterable[type],
        trusted: Sequence[str] = (),
        what: str = "a linker",
        remedy: str = REMEDY,
    ) -> None:
        self.classes, self.trusted = frozenset(classes), packages(trusted)
        self.what, self.remedy = what, remedy

    def read(self, value: Any, hint: Any, where: str) -> Any:
        """The value with `Chosen` in the place of each class; nothing is made, and nothing but trusted code imported.

        Args:
            value: Of JSON or YAML: a name, or a mapping of `class_path` and `init_args`.
            hint: The annotation of the option, such as `TextEncoder | None`.
            where: Its place, for messages.

        Raises:
            DataError: It names a class that is neither known nor trusted, or options that the class does not have.
        """
        try:
            return typed(value, hint, where, self._of_class)
        except Mismatch as error:
            raise DataError(f"{self.what} whose {error.where} is {error.expected}", error.found, UPGRADE) from error
        except RecursionError as error:
            raise DataError(f"{self.what} with {where} of few levels", "very many", "Make it again.") from error

    def named(self, name: Any, where: str) -> type:
        """The class of a name.

        Raises:
            DataError: It is neither known nor trusted, or trusted and not to be had.
        """
        path = name if isinstance(name, str) else shown(name)
        found = imported_class(path) if "." in path else self._by_its_last_name(path)
        if self.trusted and found is None and path.startswith(self.trusted):
            found = self._import(path, where)
        if found is not None and (found in self.classes or self._is_trusted(path, found)):
            return found
        if path.startswith("dim."):
            raise DataError(f"{self.what} whose classes this version of dim has", f"{path[:200]} as {where}", UPGRADE)
        if "." not in path:
            near = get_close_matches(path, [kind.__name__ for kind in self.classes], 1)
            remedy = f"Did you mean {near[0]}?" if near else "Name it with its module."
        else:
            package = path.partition(".")[0] if WORD.fullmatch(path.replace(".", "")) else "PACKAGE"
            remedy = self.remedy.format(trust=f'--trust {package}, or trusted=("{package}.",) in Python')
        raise DataError(f"{self.what} made of dim's classes", f"{path[:200]} as {where}", remedy)

    def _is_trusted(self, path: str, found: type) -> bool:
        """Whether a class is of a trusted package itself, and not one that the package has from elsewhere."""
        return path.startswith(self.trusted) and f"{found.__module__}.".startswith(self.trusted)

    def _by_its_last_name(self, name: str) -> type | None:
        found = [kind for kind in self.classes if kind.__name__ == name]
        return found[0] if len(found) == 1 else None

    def _import(self, path: str, where: str) -> type:
        module, _, name = path.rpartition(".")
        try:
            found = getattr(import_module(module), name, None)
        except Exception as error:  # whatever the user's module raises
            raise DataError(
                f"the trusted class {path} as {where}", f"{type(error).__name__}: {error}", "Install its package here."
            ) from error
        if not isinstance(found, type):
            raise DataError(f"a class {path} as {where}", "none of that name in its module", "Upgrade its package.")
        return found

    def _of_class(self, value: Any, kinds: tuple[type, ...], where: str) -> Any:
        if where.count(".") > 2 * DEEPEST:
            raise Mismatch(where[:60], f"at most {DEEPEST} classes inside of each other", "more")
        if not kinds:
            return self._anything(value, where)
        if isinstance(value, str):
            value = {"class_path": value}
        if not isinstance(value, Mapping):
            raise Mismatch(where, "a class, or null", shown(value))
        if "class_path" not in value:  # a set of options is the one class that the annotation allows
            own = [kind for kind in kinds if kind in self.classes]
            if len(own) != 1:
                raise Mismatch(where, "a mapping with class_path", shown(value))
            return self._chosen(own[0], value, where)
        if further := set(value) - {"class_path", "init_args"}:
            raise Mismatch(where, "class_path and init_args", shown(sorted(map(str, further))[0]))
        kind = self.named(value["class_path"], where)
        if not issubclass(kind, kinds):
            expected = " or ".join(each.__name__ for each in kinds)
            raise Mismatch(where, f"a class of {expected}", f"{kind.__name__}")
        return self._chosen(kind, value.get("init_args") or {}, where)

    def _anything(self, value: Any, where: str) -> Any:
        """What has no annotation, such as the options of a library's losses: classes may stand anywhere in it."""
        if isinstance(value, Mapping) and "class_path" in value:
            return self._of_class(value, (object,), where)
        if isinstance(value, Mapping):
            return {str(name): self._anything(item, f"{where}.{name}") for name, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._anything(item, f"{where}.{place}") for place, item in enumerate(value)]
        if not isinstance(value, SCALARS):  # such as a date of YAML
            raise Mismatch(where, "a text, a number, a list or a mapping", shown(value))
        return value

    def _chosen(self, kind: type, options: Any, where: str) -> Chosen:
        if not isinstance(options, Mapping):
            raise Mismatch(where, f"the options of {kind.__name__}", shown(options))
        known, takes_others = parameters(kind)
        read: dict[str, Any] = {}
        for name, value in options.items():
            place = f"{where}.{name}"
            if name in known:
                read[name] = typed(value, known[name], place, self._of_class)
            elif takes_others and isinstance(name, str) and name.isidentifier():
                read[name] = self._anything(value, place)
            else:
                raise Mismatch(where, f"options that {kind.__name__} has", shown(name))
        return Chosen(kind, {name: value for name, value in lacking(kind, read).items() if name in known} | read)


def lacking(kind: type, options: Collection[str]) -> dict[str, Any]:
    """Options that a class got later (its `later`), and that a folder lacks: as runs of before had them.

    Args:
        kind: The class.
        options: The names of those that the folder gives.
    """
    later: Mapping[str, Any] = getattr(kind, "later", {})
    return {name: value for name, value in later.items() if name not in options}


def made(value: Any) -> Any:
    """What was read, with each class made, those inside others first.

    Raises:
        DataError: A class cannot be made with its options.
    """
    if isinstance(value, Chosen):
        options = {name: made(option) for name, option in value.options.items()}
        try:
            return value.kind(**options)
        except (TypeError, ValueError, RuntimeError, OSError, MemoryError, ArithmeticError) as error:
            raise DataError(
                f"options with which {value.kind.__name__} can be made",
                one_line(error),
                "Make the folder again, or upgrade dim.",
            ) from error
    if isinstance(value, dict):
        return {name: made(item) for name, item in value.items()}
    return type(value)(map(made, value)) if type(value) in (list, tuple) else value


@contextmanager
def only_these(classes: Iterable[type], trusted: Sequence[str] = (), typed_in: Sequence[str] = ()) -> Iterator[None]:
    """Within it jsonargparse imports and makes of what it reads these classes and trusted packages' own, no others.

    It checks each name that a value gives, and the place where the class of that name was written, before it imports.
    Of files it reads those that a command line names; another text is no file, whatever stands at its place.

    Args:
        classes: Those that may be named; of dim's also what they are made from, which options without a class are of.
        trusted: As of `KnownClasses`.
        typed_in: The values of a command line: a full name of a class in them is the user's own word, and so is a file.
    """
    before, mode, places = dict(parsing_settings), _get_config_read_mode(), list(sys.path)  # without a public way back
    prefixes = packages(trusted)
    bases = {base for kind in classes for base in kind.__mro__ if base.__module__.startswith("dim.")}
    names = [name for kind in {*classes, *bases} for name in _names_of(kind)]
    names += [prefix.rstrip(".") for prefix in prefixes]
    names += [name for value in typed_in for name in FULL_NAME.findall(value) if not name.startswith("jsonargparse.")]
    known = frozenset(names)

    def denying(path: str) -> str | None:
        """As jsonargparse's own, to which a name allows whatever is in it, too, such as methods, and functions."""
        is_ours = path in known or (path.startswith(prefixes) and not _is_no_class(path))
        return denying_import_path_entry(path) if is_ours else "*"

    try:
        # Parsing a file, it works in the folder of that, which must not be where modules are found.
        sys.path[:] = [place or str(Path.cwd()) for place in places]
        parsing_settings["import_path_verdicts"] = {}  # whatever the process allowed before
        set_parsing_settings(import_path_denylist=["*"], import_path_allowlist=names)
        set_parsing_settings(config_read_mode_fsspec_enabled=False)  # nor is a text an address to read more from
        _common.denying_import_path_entry = denying
        with _files_in(typed_in):
            yield
    finally:
        _common.denying_import_path_entry = denying_import_path_entry
        sys.path[:] = places
        set_parsing_settings(config_read_mode_fsspec_enabled="s" in mode)
        parsing_settings.clear()
        parsing_settings.update(before)


def _is_no_class(path: str) -> bool:
    """Whether a name of a trusted package stands for something that is there, and is no class."""
    module, _, name = path.rpartition(".")
    try:
        return not isinstance(getattr(import_module(module), name, type), type)
    except ModuleNotFoundError:  # or a name in a class
        return "." in module and _is_no_module(*module.rsplit(".", 1))
    except Exception:  # the parser meets it, too, and tells it
        return False


def _is_no_module(package: str, name: str) -> bool:
    with suppress(Exception):
        return hasattr(import_module(package), name)
    return False


@contextmanager
def _files_in(typed_in: Iterable[str]) -> Iterator[None]:
    """Within it jsonargparse reads files that a command line names; elsewhere each text that is a file's place, too."""
    files, init = {Path(value).absolute() for value in typed_in}, ParserPath.__init__

    def checked(self: ParserPath, path: Any, mode: str = "fr", cwd: Any = None, **options: Any) -> None:
        init(self, path, mode, cwd, **options)
        place = Path(self.absolute)
        if "f" in mode and "r" in mode and not (place in files and place.is_file()):
            raise TypeError(f"{path} is no file that the command line names")

    ParserPath.__init__ = checked  # type: ignore[method-assign]
    try:
        yield
    finally:
        ParserPath.__init__ = init  # type: ignore[method-assign]


def _names_of(kind: type) -> Iterator[str]:
    """The full names by which a class can be had of its own package: of its module, and of the packages around it."""
    parts = kind.__module__.split(".")
    for length in range(len(parts), 0, -1):
        name = f"{'.'.join(parts[:length])}.{kind.__qualname__}"
        if length == len(parts) or imported_class(name) is kind:
            yield name


def parameters(kind: type) -> tuple[dict[str, Any], bool]:
    """The options of a class with their annotations, and whether it takes others, which it says nothing of.

    Example:
        >>> parameters(Chosen)[0]["options"], parameters(Chosen)[1]
        (dict[str, typing.Any], False)
    """
    found: dict[str, Any] = {}
    for base in kind.__mro__:
        function = vars(base).get("__init__")
        if function is None:
            continue
        if not inspect.isfunction(function):  # of object, or of an extension
            break
        try:
            hints = get_type_hints(function)
        except NameError:
            hints = {}  # it names what is there for type checkers alone
        passes_on = False
        for place, parameter in enumerate(inspect.signature(function).parameters.values()):
            passes_on |= parameter.kind is parameter.VAR_KEYWORD
            if place and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                found.setdefault(parameter.name, hints.get(parameter.name, parameter.empty))
        if not passes_on:
            return found, False
    return found, True


def class_names(part: Any) -> Iterator[str]:
    """The class names anywhere in parsed options."""
    inner = vars(part) if isinstance(part, Namespace) else part
    if isinstance(inner, Mapping):
        if isinstance(inner.get("class_path"), str):
            yield inner["class_path"]
        inner = list(inner.values())
    if isinstance(inner, list | tuple):
        for each in inner:
            yield from class_names(each)


def imported_class(path: str) -> type | None:
    """The class of a full name, if its module is imported already; None otherwise. Imports nothing.

    Example:
        >>> imported_class("dim.core.known_classes.Chosen") is Chosen, imported_class("antigravity.Nothing")
        (True, None)
    """
    module, _, name = path.rpartition(".")
    found = vars(sys.modules[module]).get(name) if module in sys.modules else None
    return found if isinstance(found, type) else None


def packages(trusted: Sequence[str] | str) -> tuple[str, ...]:
    """The beginnings of class names that are trusted, each with its dot: `my` does not stand for `mystery`.

    Raises:
        ConfigError: One is no name of a package, or of what decides here itself.

    Example:
        >>> packages(["my_package", "other."])
        ('my_package.', 'other.')
    """
    names = [name.strip(" .") for name in ([trusted] if isinstance(trusted, str) else trusted)]
    if wrong := [name for name in names if name and not PACKAGE.fullmatch(name)]:
        raise ConfigError("packages that are trusted, by their names in Python", repr(wrong[0]), "Such as: my_package.")
    return tuple(f"{name}." for name in names if name)


def trusted_by(trust: str | None) -> tuple[str, ...]:
    """The packages that `--trust` names.

    Example:
        >>> trusted_by("my_package, other")
        ('my_package.', 'other.')
    """
    return packages((trust or "").split(","))
