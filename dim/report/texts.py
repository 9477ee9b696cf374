"""Original against refreshed entity texts side by side, with the controls that make the difference mean something."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dim.report.comparison import Comparison, Test
from dim.report.systems import System

NAME, TEXT = "name", "text"
#: Features that say which text a system reads, and the controls that are told apart below.
TEXT_FEATURES = ("entity_text", "text_hash", "shuffle", "leave_out")
SPELLING = {"spelling", "name_spelling"}  #: Goes where names go.
Ablations = tuple[tuple[str, ...], ...]  #: Fields that are left out, shuffled, blank.


@dataclass(frozen=True)
class Variant:
    """What stands for an entity.

    Attributes:
        text: The entity text, such as `brief`; None where only names are read.
        has_name: Whether the name stands beside it.
        is_shuffled: Whether each entity has another entity's text (the control).
    """

    text: str | None
    has_name: bool = True
    is_shuffled: bool = False

    @property
    def label(self) -> str:
        """The column's head.

        Example:
            >>> Variant("refreshed", is_shuffled=True).label
            "name + another entity's refreshed"
        """
        if self.text is None:
            return "name only"
        text = f"another entity's {self.text}" if self.is_shuffled else self.text
        return f"name + {text}" if self.has_name else f"{text} without name"

    @property
    def order(self) -> tuple[object, ...]:
        """Names, originals, refreshed texts; each before its controls."""
        return (
            self.text is not None,
            "refreshed" in (self.text or ""),
            self.text or "",
            self.is_shuffled,
            not self.has_name,
        )


@dataclass
class SideBySide:
    """One model with its text variants.

    Attributes:
        model: What the systems share.
        systems: Variant → system, in the order of the columns.
        reference: The original text with the name: what the differences are to.
        tests: Against the reference, by variant.
        own_text: Variant with shuffled texts → its test against the same text unshuffled.
    """

    model: str
    systems: dict[Variant, System]
    reference: Variant
    tests: dict[Variant, Test]
    own_text: dict[Variant, Test]


def side_by_side(comparison: Comparison) -> list[SideBySide]:
    """The models of a group that ran with more than one text variant, with paired tests between the variants."""
    found = []
    for systems in by_model(comparison.group.systems):
        variants = dict(sorted(((variant_of(s), s) for s in systems), key=lambda pair: pair[0].order))
        if len(variants) < 2:
            continue
        reference = next((v for v in variants if v.text and v.has_name and not v.is_shuffled), next(iter(variants)))
        others = [variant for variant in variants if variant != reference]
        tests = comparison.tests_between([variants[v] for v in others], variants[reference])
        own_text = {}
        for variant in others:
            own = Variant(variant.text, variant.has_name)
            if variant.is_shuffled and own in variants and own != reference:
                own_text[variant] = comparison.tests_between([variants[variant]], variants[own])[0]
        found.append(
            SideBySide(_model_name(systems), variants, reference, dict(zip(others, tests, strict=True)), own_text)
        )
    return found


def missing_controls(found: Sequence[SideBySide], comparison: Comparison) -> str:
    """Which variants a claim about refreshed texts needs and nobody ran, in one sentence; empty where all ran."""
    variants = {variant_of(system) for system in comparison.group.systems}
    texts = sorted({variant.text for variant in variants if variant.text})
    refreshed = [text for text in texts if "refreshed" in text]
    if not found:
        used = ", ".join(texts) or "none"
        return f"No model ran with more than one entity text here (texts: {used}); refreshed against original: not run."
    wanted = [Variant(None), *(Variant(text, is_shuffled=True) for text in refreshed or texts[-1:])]
    absent = [variant.label for variant in wanted if variant not in variants]
    if not refreshed:
        absent.append("name + refreshed")
    return f"Not run: {'; '.join(absent)}." if absent else ""


def by_model(systems: Sequence[System]) -> list[list[System]]:
    """The systems that differ in nothing but the entity text and its controls, together.

    Which fields an entity has may be written in several ways, so they count only where two systems would
    otherwise be the same variant.
    """
    groups: list[list[System]] = []
    for members in _together(systems, fields_count=False):
        variants = [variant_of(system) for system in members]
        groups += [members] if len(set(variants)) == len(members) else _together(members, fields_count=True)
    return [part for group in groups for part in _one_a_variant(group)]


def variant_of(system: System) -> Variant:
    """What stands for an entity in a system, by what it is."""
    _, features, fields = _facts(system)
    left_out, shuffled = _words(features.get("leave_out")), _words(features.get("shuffle"))
    has_name = NAME not in left_out and (fields is None or bool({NAME, "spelling"} & set(fields)))
    reads_text = TEXT not in left_out and (fields is None or TEXT in fields)
    text = features.get("entity_text") if "text_hash" in features else None  # else the dataset had no such text
    return Variant(text if reads_text else None, has_name, TEXT in shuffled and reads_text)


def ablations_of(system: System) -> Ablations:
    """What a system leaves out, shuffles and blanks, beside the entity's name and text."""
    _, features, _ = _facts(system)
    left_out, shuffled, blank = (set(_words(features.get(name))) for name in ("leave_out", "shuffle", "blank"))
    left_out -= {NAME, TEXT} | (SPELLING if NAME in left_out else set())
    return tuple(sorted(left_out)), tuple(sorted(shuffled - {TEXT})), tuple(sorted(blank))


def _facts(system: System) -> tuple[dict[str, Any], dict[str, Any], list[str] | None]:
    """The identity of a system, its features, and the entity fields that its method reads (None: all)."""
    known = system.runs[0].identity
    return known, known.get("features") or {}, _options(known).get("entity_fields")


def _options(known: dict[str, Any]) -> dict[str, Any]:
    method = known.get("method")
    return dict(method.get("options") or {}) if isinstance(method, dict) else {}


def _together(systems: Sequence[System], fields_count: bool) -> list[list[System]]:
    groups: dict[str, list[System]] = {}
    for system in systems:
        groups.setdefault(_without_text(system, fields_count), []).append(system)
    return list(groups.values())


def _without_text(system: System, fields_count: bool) -> str:
    """What a system is, without its choice of entity text."""
    known, features, fields = _facts(system)
    method = known.get("method")
    kept: dict[str, Any] = {name: fact for name, fact in known.items() if name not in ("system", "features", "method")}
    kept["method"] = method | {"options": _options(known) | {"entity_fields": None}} if method else None
    kept["features"] = {name: of for name, of in features.items() if name not in TEXT_FEATURES}
    kept["ablations"] = ablations_of(system)
    if fields_count:
        kept["fields"] = None if fields is None else sorted(set(fields) - {NAME, TEXT, "spelling"})
    return json.dumps(kept, sort_keys=True, default=str)


def _one_a_variant(systems: list[System]) -> list[list[System]]:
    """Splits systems so that no list holds a variant twice (such as a run given twice)."""
    lists: list[dict[Variant, System]] = []
    for system in systems:
        variant = variant_of(system)
        place = next((found for found in lists if variant not in found), None)
        if place is None:
            lists.append(place := {})
        place[variant] = system
    return [list(found.values()) for found in lists]


def model_label(system: System) -> str:
    """What a system is called beside others: its class, and how it fuses where that is an option, or its own name."""
    if own := system.runs[0].metrics.get("system"):
        return str(own)
    model = system.runs[0].metrics["model"]
    fusion = _options(system.runs[0].identity).get("fusion")
    return f"{model} ({fusion})" if fusion else str(model)


def _model_name(systems: Sequence[System]) -> str:
    names = ", ".join(dict.fromkeys(system.name for system in systems))
    return "\n".join(dict.fromkeys([model_label(systems[0]), names]))


def _words(value: str | None) -> list[str]:
    return value.split(", ") if value else []
