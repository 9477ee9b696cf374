"""Whether a linker whose encoders another backend computes answers as the run's own encoders have it answer.

Of fp32 and bf16, whose vectors are the same but for their last digits, its KB's own names and texts are asked. int8 has
other vectors: it is measured on mentions whose entity is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import numpy as np

from dim.display.lines import say
from dim.display.terminal import Console
from dim.encoders.base import TextEncoder
from dim.encoders.encoder_check import LEAST_BESIDE
from dim.errors import ConfigError, DataError
from dim.linker.answer import Answer, Question, certainty
from dim.linker.asked_mentions import AskedMentions, mentions_of_run, with_ready_images
from dim.linker.backends import Computed, computed
from dim.linker.compared import BATCH, compared, comparison_table
from dim.linker.linker import Linker

NUM_ASKED = 200  #: Entities whose names and texts are asked.
LEAST_SAME = 0.995  #: Of their first answers.
MOST_LOST = 0.3  #: Points of Top-1.
NUM_MEASURED = 1_000  #: Mentions on which that is measured.
_ROUNDING = 1e-6  # of points


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
    there = {answer.id: certainty(answer) for answer in other}
    return max((abs(certainty(answer) - there[answer.id]) for answer in one if answer.id in there), default=0.0)


@dataclass(frozen=True)
class Measuring:
    """How int8 is measured.

    Attributes:
        max_loss: Points of Top-1 that it may lose, asked one by one or in batches.
        num_mentions: Of the run's dataset that are asked, at most.
        dataset: Where that stands now, if it has moved.
    """

    max_loss: float = MOST_LOST
    num_mentions: int = NUM_MEASURED
    dataset: Path | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.max_loss <= 100:
            raise ConfigError("a max_loss between 0 and 100 points of Top-1", f"{self.max_loss}", "Say another.")
        if self.num_mentions < 1:
            raise ConfigError("at least one mention to measure on", f"{self.num_mentions}", "Say more.")


def check_backend_answers(
    folder: Path, linker: Linker, trusted: Sequence[str] = (), measuring: Measuring | None = None
) -> None:
    """Opens a finished folder, asks it and the linker the same, without judges, and says how far they agree.

    Args:
        folder: As `Linker.save` writes it.
        linker: With the encoder that it was trained with.
        trusted: As in `Linker.from_pretrained`.
        measuring: How int8 is.

    Raises:
        DataError: It answers too much otherwise, or in int8 too often wrongly.
    """
    measuring = measuring or Measuring()
    opened = Linker.from_pretrained(folder, "cpu", trusted=trusted, judge=None)
    by = computed(opened)
    with _without_judge(linker):
        asked = None
        if linker.run is not None and any(each.precision == "int8" for each in by):
            reader = linker.image_reader if linker.reads_images else None
            asked = mentions_of_run(linker.run, measuring.num_mentions, measuring.dataset, reader)
        if asked is None:
            _check_same_answers(opened, linker, by)
        else:
            _check_top1(opened, linker, by, asked, measuring.max_loss)
            _check_neighbours(opened, by, asked)


@contextmanager
def _without_judge(linker: Linker) -> Iterator[None]:
    """In it a linker asks no judge: a language model would answer for the encoders, and cost."""
    judge, linker.judge = linker.judge, None
    try:
        yield
    finally:
        linker.judge = judge


def _check_same_answers(opened: Linker, linker: Linker, by: Sequence[Computed]) -> None:
    entities = list(linker)
    sees = linker.reads_images
    asked = [
        Question(each.name, each.text or "", each.images or None if sees else None)
        for each in entities[:: max(1, len(entities) // NUM_ASKED)]
        if each.name
    ][:NUM_ASKED]
    asked = with_ready_images(asked, linker.image_reader)
    found = agreement(linker.link_batch(asked), opened.link_batch(asked))
    said = f"{found.same:.1%} of {found.num_asked} first answers the same, numbers at most {found.apart:.1g} apart"
    if found.same < LEAST_SAME:
        raise DataError(
            f"by {_listed(by)} at least {LEAST_SAME:.1%} of the first answers that the run's own encoder gives",
            said,
            "Leave --precision out, or use --backend torch.",
        )
    Console().say(f"{_listed(by)}; {said}")


def _check_top1(opened: Linker, linker: Linker, by: Sequence[Computed], asked: AskedMentions, max_loss: float) -> None:
    drawn = f"{len(asked.questions):,} of {asked.num_there:,} {asked.split} mentions"
    rows = compared(linker, opened, asked)
    Console().print(comparison_table(rows, f"{_listed(by)}; {drawn}"))
    worst = max(rows, key=lambda row: row.lost)
    if worst.lost > max_loss + _ROUNDING:
        accepted = ceil(10 * (worst.lost - _ROUNDING)) / 10
        raise DataError(
            f"by {_listed(by)} at most {max_loss:g} points of Top-1 less than by the run's own encoder, on {drawn}",
            f"{worst.lost:.2f} points, asked {worst.way}",
            f"Use another --backend, or --precision fp32; to take it nevertheless: --max_loss {accepted:.1f}.",
        )


def _check_neighbours(opened: Linker, by: Sequence[Computed], asked: AskedMentions) -> None:
    """What stands beside a text in a batch must say nothing: asked of the contexts of real mentions."""
    encoder = opened.live.choices.text_encoder
    texts = list(dict.fromkeys(each.context for each in asked.questions if each.context))[:BATCH]
    if encoder is None or not texts or not any(each.name == "text_encoder" for each in by):
        return
    cosine = least_beside(encoder.reading("mention"), texts)
    if cosine < LEAST_BESIDE:
        raise DataError(
            f"vectors of a text by {_listed(by)} that do not hang on its neighbours in a batch: a cosine of "
            f"{LEAST_BESIDE} at least with those of it alone",
            f"{cosine:.6f}",
            "Use another --backend, or --precision fp32.",
        )
    said = f"a text alone and beside {len(texts) - 1} others: a cosine of {cosine:.6f} at least"
    say(said)


def least_beside(encoder: TextEncoder, texts: Sequence[str]) -> float:
    """The least cosine of what an encoder gives of a text alone, and beside all others."""
    alone = np.concatenate([encoder.encode_text([text]) for text in texts])
    beside = encoder.encode_text(texts)
    norms = np.linalg.norm(alone, axis=1) * np.linalg.norm(beside, axis=1)
    return float(((alone * beside).sum(axis=1) / norms).min())


def _listed(by: Sequence[Computed]) -> str:
    return ", ".join(map(str, by))
