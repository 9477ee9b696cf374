"""A linker whose encoders another backend computes, and whether it answers the same."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dim.display.terminal import Console
from dim.encoders.chosen_backend import ByBackend
from dim.encoders.device import Backend, Precision
from dim.errors import ConfigError, DataError
from dim.features.live import LiveEncoder
from dim.linker.answer import Answer, Question
from dim.linker.linker import Linker

NUM_ASKED = 200  #: Entities whose names and texts are asked.
LEAST_SAME = 0.995  #: Of their first answers.
NAMES = ("text_encoder", "image_encoder")
OF_TORCH = ("train", "lora_rank", "compile_model")  #: Options that other backends have no use for.


def with_backend(
    about: dict[str, Any], live: LiveEncoder, backend: Backend | None, precision: Precision | None
) -> dict[str, Any]:
    """What a linker comes from, with its encoders by another backend; they are exported when the linker is saved.

    Args:
        about: Of the linker.
        live: Its encoders.
        backend: What computes; None: what did.
        precision: In which precision; None: as it was.

    Raises:
        ConfigError: None of its encoders has backends.
    """
    encoders: dict[str, Any] = {name: found for name in NAMES if (found := getattr(live, name)) is not None}
    with_backends = {name: each for name, each in encoders.items() if _has_backends(each, name)}
    if not with_backends:
        found = ", ".join(type(each).__name__ for each in encoders.values()) or "none"
        raise ConfigError("an encoder with the option backend", found, "Leave --backend and --precision out.")
    changed = deepcopy(about)
    given = {"backend": backend, "precision": precision}
    for name, encoder in with_backends.items():
        chosen = changed["recipe"]["encoders"][name]
        options = (chosen.get("init_args") or {}) | {key: value for key, value in given.items() if value is not None}
        if options.get("backend", "torch") != "torch":  # what was trained goes along frozen
            options = {key: value for key, value in options.items() if key not in OF_TORCH}
        type(encoder)(**options)  # which says at once what does not go together
        chosen["init_args"] = options
    return changed


def _has_backends(encoder: Any, name: str) -> bool:
    return isinstance(encoder, ByBackend) and encoder.backend_as == name


@dataclass(frozen=True)
class Agreement:
    """How far two linkers answer the same.

    Attributes:
        num_asked: Questions.
        same: The share of the same first answers.
        same_lists: The share of the same answers, in the same order.
        apart: The most that a probability differs, or the score of a linker without them, among the same answers.
    """

    num_asked: int
    same: float
    same_lists: float
    apart: float


def agreement(ours: Sequence[Sequence[Answer]], others: Sequence[Sequence[Answer]]) -> Agreement:
    """How far two linkers answer the same questions, at least one, the same."""
    pairs = list(zip(ours, others, strict=True))
    ids = [([answer.id for answer in one], [answer.id for answer in other]) for one, other in pairs]
    return Agreement(
        len(pairs),
        sum(one[:1] == other[:1] for one, other in ids) / len(pairs),
        sum(one == other for one, other in ids) / len(pairs),
        max((_apart(one, other) for one, other in pairs), default=0.0),
    )


def _apart(one: Sequence[Answer], other: Sequence[Answer]) -> float:
    there = {answer.id: _certainty(answer) for answer in other}
    return max((abs(_certainty(answer) - there[answer.id]) for answer in one if answer.id in there), default=0.0)


def _certainty(answer: Answer) -> float:
    return answer.score if answer.probability is None else answer.probability


def check_backend_answers(folder: Path, linker: Linker, trusted: Sequence[str] = ()) -> None:
    """Opens a finished folder, asks it what the KB has, images too, and says how far it answers as the linker does.

    Args:
        folder: As `Linker.save` writes it.
        linker: With the encoder that it was trained with.
        trusted: As in `Linker.from_pretrained`.

    Raises:
        DataError: It answers too much otherwise.
    """
    opened = Linker.from_pretrained(folder, "cpu", trusted=trusted)
    entities = list(linker)
    sees = linker.live.image_encoder is not None
    asked = [
        Question(each.name, each.text or "", each.images or None if sees else None)
        for each in entities[:: max(1, len(entities) // NUM_ASKED)]
        if each.name
    ][:NUM_ASKED]
    found = agreement(linker.link_batch(asked), opened.link_batch(asked))
    computed = ", ".join(_computed(opened, name) for name in NAMES if _has_backends(getattr(opened.live, name), name))
    said = f"{found.same:.1%} of {found.num_asked} first answers the same, numbers at most {found.apart:.1g} apart"
    if found.same < LEAST_SAME:
        raise DataError(
            f"by {computed} at least {LEAST_SAME:.1%} of the first answers that the run's own encoder gives",
            said,
            "Leave --precision out, or use --backend torch.",
        )
    Console().print(f"{computed}; {said}", soft_wrap=True)


def _computed(linker: Linker, name: str) -> str:
    """What computes an encoder of a linker."""
    options = linker.about["recipe"]["encoders"][name]["init_args"]
    return f"{name.replace('_', ' ')}: {options.get('backend', 'torch')} in {options.get('precision', 'fp32')}"
