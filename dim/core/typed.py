"""A value of JSON or YAML as an annotation has it: what a stranger wrote is checked here, before anything uses it."""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from inspect import Parameter, isclass
from pathlib import Path
from typing import Any, Literal, NotRequired, Required, Union, get_args, get_origin, get_type_hints, is_typeddict

WORD = re.compile(r"[\w-]+")
MOST_SHOWN = 80  #: Characters of a value in a message.
_ANYTHING = (Any, object, Parameter.empty)
_LISTS = (list, tuple, Sequence, Iterable, Collection)
_NAMES: dict[Any, str] = {
    str: "a text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    Path: "a path",
    timedelta: "a duration",
    None: "null",
    type(None): "null",
}

#: Makes something of a value whose annotation is one of these classes; of none: whatever stands in the value.
OfClass = Callable[[Any, tuple[type, ...], str], Any]


class Mismatch(ValueError):  # noqa: N818 - it becomes an error that names the file
    """A value is not what it should be.

    Args:
        where: Its place, such as `about.recipe`.
        expected: What should stand there.
        found: What stands there.
    """

    def __init__(self, where: str, expected: str, found: str) -> None:
        self.where, self.expected, self.found = where or "the whole of it", expected, found
        super().__init__(f"{self.where}: {found} in the place of {expected}")


def typed(value: Any, hint: Any, where: str = "", of_class: OfClass | None = None) -> Any:
    """The value, if it is what an annotation says; texts become paths, lists tuples where that is asked.

    Args:
        value: Of JSON or YAML.
        hint: A plain type, a Literal, a union, a list, a mapping, a TypedDict (whose further keys are not looked at) of
            these; with `of_class` a class, too.
        where: The value's place, for messages.
        of_class: Called for classes, and for what has no annotation.

    Raises:
        Mismatch: It is something else.

    Example:
        >>> typed([1, None], list[int | None])
        [1, None]
        >>> typed({"k": "x"}, dict[str, int])
        Traceback (most recent call last):
        dim.core.typed.Mismatch: k: 'x' in the place of a whole number
    """
    hint = _plain(hint)
    if hint in _ANYTHING:
        return value if of_class is None else of_class(value, (), where)
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _one_of(value, hint, where, of_class)
    if origin in (Required, NotRequired):
        return typed(value, get_args(hint)[0], where, of_class)
    if origin is Literal:
        if any(value == each and type(value) is type(each) for each in get_args(hint)):
            return value
        raise Mismatch(where, said(hint), shown(value))
    if is_typeddict(hint):
        return _fields(value, hint, where, of_class)
    if (origin or hint) in _LISTS:
        return _items(value, hint, where, of_class)
    if (origin or hint) in (dict, Mapping):
        return _mapping(value, hint, where, of_class)
    if hint in _NAMES:
        return _scalar(value, hint, where)
    if of_class is None:
        raise TypeError(f"no rule for {hint}")
    return of_class(value, (origin or hint,) if _is_class(hint) else (), where)


def said(hint: Any) -> str:
    """An annotation in words.

    Example:
        >>> said(int | None), said(Literal["sum", "linear"]), said(list[str])
        ('a whole number or null', "'sum' or 'linear'", 'a list')
    """
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(said(part) for part in get_args(hint)))
    if origin is Literal:
        return " or ".join(map(repr, get_args(hint)))
    if (origin or hint) in _LISTS:
        return "a list"
    if (origin or hint) in (dict, Mapping) or is_typeddict(hint):
        return "a mapping"
    return str(_NAMES.get(hint) or getattr(hint, "__name__", hint))


def shown(value: Any) -> str:
    """A value in a message: short, and never more of it than is shown.

    Example:
        >>> shown("a" * 200) == repr("a" * 80) + " …", shown({}), shown(1.5)
        (True, 'a mapping of 0', '1.5')
    """
    if isinstance(value, str):
        return repr(value[:MOST_SHOWN]) + " …" * (len(value) > MOST_SHOWN)
    if isinstance(value, Mapping):
        return f"a mapping of {len(value):,}"
    if isinstance(value, list | tuple | set):
        return f"a list of {len(value):,}"
    if value is None or isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < 10**18):
        return str(value)
    return f"a value of type {type(value).__name__}"


def _plain(hint: Any) -> Any:
    """What an annotation stands for, where it has a name or notes of its own."""
    while True:
        inner = getattr(hint, "__supertype__", None) or getattr(hint, "__value__", None)
        if hasattr(hint, "__metadata__"):
            inner = get_args(hint)[0]
        if inner is None:
            return hint
        hint = inner


def _one_of(value: Any, hint: Any, where: str, of_class: OfClass | None) -> Any:
    plain = [each for each in get_args(hint) if not _is_class(each)]
    classes = tuple(get_origin(each) or each for each in get_args(hint) if _is_class(each))
    for each in plain:
        try:
            return typed(value, each, where, of_class)
        except Mismatch:
            continue
    if classes and of_class is not None:
        return of_class(value, classes, where)
    raise Mismatch(where, said(hint), shown(value))


def _is_class(hint: Any) -> bool:
    return isclass(get_origin(hint) or hint) and not (
        hint in _NAMES
        or hint in _ANYTHING
        or is_typeddict(hint)
        or (get_origin(hint) or hint) in (*_LISTS, dict, Mapping)
    )


def _fields(value: Any, hint: Any, where: str, of_class: OfClass | None) -> dict[str, Any]:
    _check_mapping(value, where)
    found = dict(value)
    for name, part in get_type_hints(hint, include_extras=True).items():
        if name in value:
            found[name] = typed(value[name], part, f"{where}.{name}".lstrip("."), of_class)
        elif get_origin(part) is not NotRequired:  # `__required_keys__` does not see it in postponed annotations
            raise Mismatch(f"{where}.{name}".lstrip("."), said(_bare(part)), "nothing")
    return found


def _bare(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) in (Required, NotRequired) else hint


def _items(value: Any, hint: Any, where: str, of_class: OfClass | None) -> Any:
    if not isinstance(value, list | tuple):
        raise Mismatch(where, "a list", shown(value))
    parts = [part for part in get_args(hint) if part is not Ellipsis]
    kind = tuple if (get_origin(hint) or hint) is tuple else list
    if kind is tuple and len(parts) > 1:
        if len(value) != len(parts):
            raise Mismatch(where, f"a list of {len(parts)}", shown(value))
        each = parts
    else:
        each = [parts[0] if parts else Any] * len(value)
    return kind(
        typed(item, part, f"{where}[{place}]", of_class)
        for place, (item, part) in enumerate(zip(value, each, strict=True))
    )


def _mapping(value: Any, hint: Any, where: str, of_class: OfClass | None) -> dict[Any, Any]:
    _check_mapping(value, where)
    _, part = get_args(hint) or (str, Any)
    return {name: typed(item, part, f"{where}.{name}".lstrip("."), of_class) for name, item in value.items()}


def _check_mapping(value: Any, where: str) -> None:
    if not isinstance(value, Mapping):
        raise Mismatch(where, "a mapping", shown(value))
    if strange := [key for key in value if not isinstance(key, str)]:
        raise Mismatch(where, "texts as keys", shown(strange[0]))


def _scalar(value: Any, hint: Any, where: str) -> Any:
    if hint is float and isinstance(value, str):  # YAML takes 1e-3 for a text
        try:
            return float(value)
        except ValueError as error:
            raise Mismatch(where, said(hint), shown(value)) from error
    kinds: dict[Any, tuple[type, ...]] = {
        str: (str,),
        bool: (bool,),
        int: (int,),
        float: (int, float),
        Path: (str, Path),
        timedelta: (str,),
        None: (type(None),),
        type(None): (type(None),),
    }
    is_one = isinstance(value, kinds[hint]) and (hint is bool or not isinstance(value, bool))
    if not is_one:
        raise Mismatch(where, said(hint), shown(value))
    return Path(value) if hint is Path else value
