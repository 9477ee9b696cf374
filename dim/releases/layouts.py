"""The layouts of releases that there are: dim's own, those of installed packages, and users' own tables."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

from dim.core.choices import check_choice
from dim.core.plugins import CONVERTERS, loaded
from dim.data.files import list_names
from dim.errors import ConfigError, DataError
from dim.releases.base import Converter
from dim.releases.diffmel import DiffMel
from dim.releases.dim_release import DimRelease
from dim.releases.diverse import Diverse
from dim.releases.drin import Drin
from dim.releases.fissfuse import FissFuse
from dim.releases.gemel import Gemel
from dim.releases.ghmfc import Ghmfc
from dim.releases.kgmel import KgMel
from dim.releases.melbench import MelBench
from dim.releases.mimic import Mimic
from dim.releases.oven import Oven
from dim.releases.shadowlink import ShadowLink
from dim.releases.tables import Tables
from dim.releases.tidedra import TideDra
from dim.releases.wikidata import Wikidata
from dim.releases.wikidiverse import WikiDiverse
from dim.releases.wikiperson import WikiPerson
from dim.releases.zelda import Zelda

PUBLISHED: tuple[Converter, ...] = (
    Diverse(),
    WikiDiverse(),
    Gemel(),
    Ghmfc(),
    Drin(),
    DimRelease(),
    TideDra(),
    MelBench(),
    Mimic(),
    FissFuse(),
    WikiPerson(),
    KgMel(),
    Oven(),
    Zelda(),
    ShadowLink(),
    DiffMel(),
    Wikidata(),
)


@cache
def converters() -> tuple[Converter, ...]:
    """Those of published layouts, of installed packages, and last of users' own tables, in the order of `auto`."""
    return (*PUBLISHED, *loaded(CONVERTERS, _made), Tables())


def _made(kind: type[Converter]) -> Converter:
    if not issubclass(kind, Converter):
        raise TypeError(f"{kind.__name__} is no Converter")
    return kind()


def find_converter(root: Path, layout: str = "auto", allow_missing: bool = False, **options: str | None) -> Converter:
    """The converter of the layout named, or of the first layout that recognizes `root`.

    Args:
        root: The release.
        layout: A layout, or `auto`.
        allow_missing: As the converter has it.
        **options: What some layouts alone take (`Converter.options`); None: not given.

    Raises:
        ConfigError: There is no layout of that name, or an option is of another one.
        DataError: No layout recognizes it.
    """
    kind: Callable[..., Converter] = type(found := _named(root, layout))
    given = {name: value for name, value in options.items() if value is not None}
    if wrong := next((name for name in given if name not in found.options), None):
        other = next(converter for converter in converters() if wrong in converter.options)
        raise ConfigError(
            f"{other.kind} with {' or '.join(f'--{name}' for name in other.options)}",
            f"the layout {found.layout} at {root}",
            "Leave the option out: a release says itself what it is.",
        )
    converter = kind(**given)
    converter.allow_missing = allow_missing
    return converter


def _named(root: Path, layout: str) -> Converter:
    check_choice("--layout", layout, ["auto", *(converter.layout for converter in converters())])
    names = list_names(root)
    for converter in converters():
        if layout == converter.layout or (layout == "auto" and converter.recognizes(root)):
            return converter
    shown = ", ".join(sorted(names)[:8]) or "nothing"
    layouts = "; ".join(f"{converter.layout}: {converter.needs}" for converter in converters())
    raise DataError(
        f"a release at {root} in one of the layouts — {layouts}", f"{shown}", "Check the path, or name --layout."
    )
