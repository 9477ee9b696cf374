"""Texts with `{field}` in them: a field is a word, and nothing is looked up in what stands for it."""

from __future__ import annotations

from collections.abc import Collection
from string import Formatter
from typing import Any

from dim.errors import ConfigError

CONTEXT_FIELDS, TEXT_FIELDS = ("mention", "context"), ("name", "text")
CONTEXT_TEMPLATE = "{mention} [SEP] {context}"  #: By default.


def check_template(template: Any, fields: Collection[str], what: str) -> str:
    """The template, if it names these fields and nothing else.

    `str.format` would also take `{mention.upper}`, `{mention[0]}`, `{mention!r}` and `{mention:>9}`: what stands in a
    folder must neither look into objects nor ask for texts of any length.

    Args:
        template: As in Python's `str.format`; `{{` and `}}` are braces.
        fields: That it may name.
        what: It is, for the message.

    Raises:
        ConfigError: It names something else, or its braces do not pair.

    Example:
        >>> check_template("Is {mention} here? {{yes}}", ["mention"], "a question")
        'Is {mention} here? {{yes}}'
    """
    try:
        parts = list(Formatter().parse(template))
        for _, field, form, conversion in parts:
            if field is not None and field not in fields:
                raise KeyError(field)
            if form or conversion:
                raise ValueError(f"a field with a form or a conversion: {field}")
    except (LookupError, ValueError, TypeError) as error:
        allowed = " and ".join(f"{{{field}}}" for field in fields)
        raise ConfigError(
            f"{what} of {allowed}, each by its name alone",
            f"{str(template)[:200]!r} ({type(error).__name__}: {str(error)[:200]})",
            "Write other braces twice: {{ }}.",
        ) from error
    return str(template)
