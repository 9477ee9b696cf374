"""Which class of a configuration its options do not make, and why."""

from __future__ import annotations

from collections.abc import Iterator
from inspect import Parameter, signature
from typing import Any

from jsonargparse import Namespace

from dim.core.known_classes import imported_class
from dim.errors import ConfigError


def explain_making(options: Namespace, error: Exception) -> ConfigError:
    """The error for a class that cannot be made with its options.

    jsonargparse tries each class that a type allows and reports them all, so the classes are tried here one by one,
    those inside others first.

    Args:
        options: What was given, before anything was made.
        error: What was raised when it was to be made.
    """
    for key, part in _classes(options, ""):
        kind = imported_class(part.class_path)
        if kind is None:  # it is the one that could not be imported
            continue
        given = {} if part.get("init_args") is None else dict(part.init_args.items(branches=False))
        given = {name: value for name, value in given.items() if "." not in name}
        missing = [
            name
            for name, parameter in signature(kind).parameters.items()
            if parameter.default is Parameter.empty
            and parameter.kind not in (Parameter.VAR_KEYWORD, Parameter.VAR_POSITIONAL)
            and getattr(part.get("init_args"), name, None) is None
        ]
        where = f"--{key}"
        if missing:
            return ConfigError(
                f"the options that {where} {kind.__name__} needs: {', '.join(missing)}",
                "none of that name" if len(missing) == 1 else "none of these names",
                f"Add --{key}.{missing[0]} …, or name another class.",
            )
        if any(isinstance(value, Namespace) for value in given.values()):
            continue
        try:
            kind(**given)
        except (ValueError, TypeError) as reason:
            return ConfigError(
                f"options with which {where} {kind.__name__} can be made",
                str(reason),
                "Change them, or name another class.",
            )
    return ConfigError("options that fit together", str(error).splitlines()[-1], "The command's --help explains them.")


def _classes(options: Any, key: str) -> Iterator[tuple[str, Namespace]]:
    if isinstance(options, Namespace):
        for name, value in vars(options).items():
            if name != "class_path":
                yield from _classes(value, key if name == "init_args" else f"{key}.{name}".lstrip("."))
        if "class_path" in vars(options):
            yield key, options
    elif isinstance(options, list):
        for value in options:
            yield from _classes(value, key)


def check_whole(method: type) -> None:
    """Raises ConfigError for a method that lacks what its base leaves to it, as Lightning does not."""
    lacking = [name for name in dir(method) if getattr(getattr(method, name, None), "__isabstractmethod__", False)]
    if lacking:
        raise ConfigError(
            f"a method with all parts that {method.__mro__[1].__name__} leaves to it",
            f"{method.__name__} without {', '.join(lacking)}",
            "Write them; their docstrings in the base say what they return.",
        )
