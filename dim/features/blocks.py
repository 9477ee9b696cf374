"""From blocks of inputs to blocks of features: what is done in this process, and what in decoding workers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from dim.engine import Block, Plan
from dim.errors import DataError
from dim.features.base import Captioner, Features, ImageEncoder, TextEncoder
from dim.features.images import UnusableImageError, load_image

Paths = tuple[str, ...]  #: The images of one owner, in order: the first usable one stands for all.
Failures = dict[str, str]  #: Path → why it is unusable.


@dataclass(frozen=True)
class Job:
    """How blocks are computed.

    Attributes:
        plan: The blocks.
        batch_size: Inputs an encoder call.
        num_workers: Processes that decode images; 0 decodes in this one.
        advance: Called with the number of inputs done.
    """

    plan: Plan
    batch_size: int
    num_workers: int = 0
    advance: Callable[[int], None] = lambda _: None


def text_blocks(encoder: TextEncoder, texts: Sequence[str], job: Job, pending: list[int]) -> Iterator[Block]:
    """Encodes the pending blocks of `texts`.

    Raises:
        DataError: The encoder gave a value that is not finite, or the wrong shape.
    """
    for index in pending:
        rows = np.empty((len(job.plan.block(index)), job.plan.width), np.float32)
        start = job.plan.block(index).start
        for batch in job.plan.batches(index, job.batch_size):
            inputs = texts[batch.start : batch.stop]
            rows[batch.start - start : batch.stop - start] = _checked(encoder.encode_text(inputs), inputs, job.plan)
            job.advance(len(batch))
        yield Block(index, rows)


def image_blocks(
    encoder: ImageEncoder, images: Sequence[Paths], root: Path, job: Job, pending: list[int]
) -> Iterator[Block]:
    """Decodes in workers and encodes the pending blocks of `images`.

    A block's note names what is unusable: `missing` (position in the block → reason) and `failures` (path → reason).
    The row of a missing image is zero and never looked at.

    Raises:
        DataError: The encoder gave a value that is not finite, or the wrong shape.
    """
    for index, batches in _decoded(encoder.preprocess, images, root, job, pending):
        rows = np.zeros((len(job.plan.block(index)), job.plan.width), np.float32)
        note: dict[str, Any] = {"missing": {}, "failures": {}}
        for first, batch in batches:
            usable = [i for i, pixels in enumerate(batch.inputs) if pixels is not None]
            if usable:
                pixels = np.stack([batch.inputs[i] for i in usable])
                names = [images[job.plan.block(index).start + first + i][0] for i in usable]
                rows[[first + i for i in usable]] = _checked(encoder.encode_image(pixels), names, job.plan)
            batch.report(first, note)
            job.advance(len(batch.inputs))
        yield Block(index, rows, note)


def caption_blocks(
    captioner: Captioner, images: Sequence[Paths], root: Path, job: Job, pending: list[int]
) -> Iterator[Block]:
    """Captions the pending blocks of `images`: blocks of no width, whose notes hold `captions` (null: unusable)."""
    for index, batches in _decoded(_as_it_is, images, root, job, pending):
        note: dict[str, Any] = {"missing": {}, "failures": {}, "captions": []}
        for first, batch in batches:
            usable = [image for image in batch.inputs if image is not None]
            said = iter(captioner.caption(usable) if usable else [])
            note["captions"] += [None if image is None else next(said) for image in batch.inputs]
            batch.report(first, note)
            job.advance(len(batch.inputs))
        yield Block(index, np.empty((len(job.plan.block(index)), 0), np.float32), note)


@dataclass(frozen=True)
class _Decoded:
    """A batch of decoded inputs, None where no image of the owner is usable, and each failure on the way."""

    inputs: list[Any]
    failures: list[Failures]

    def report(self, first: int, note: dict[str, Any]) -> None:
        for position, (value, failures) in enumerate(zip(self.inputs, self.failures, strict=True), first):
            note["failures"] |= failures
            if value is None:
                note["missing"][str(position)] = next(iter(failures.values()))


class _Images(Dataset[tuple[Any, Failures]]):
    def __init__(self, images: Sequence[Paths], root: Path, preprocess: Callable[[Any], Any]) -> None:
        self.images, self.root, self.preprocess = images, root, preprocess

    def __getitem__(self, index: int) -> tuple[Any, Failures]:
        failures: Failures = {}
        for path in self.images[index]:
            try:
                return self.preprocess(load_image(self.root / path, self.root)), failures
            except UnusableImageError as error:
                failures[path] = error.reason
        return None, failures


def _decoded(
    preprocess: Callable[[Any], Any], images: Sequence[Paths], root: Path, job: Job, pending: list[int]
) -> Iterator[tuple[int, Iterator[tuple[int, _Decoded]]]]:
    """Each pending block with its batches (first position in the block, inputs)."""
    plan = job.plan
    batches = [list(batch) for index in pending for batch in plan.batches(index, job.batch_size)]
    num_workers = min(job.num_workers, len(batches))
    # One loader runs through all blocks, so the workers never wait for a block to be written.
    loader: DataLoader[Any] = DataLoader(
        _Images(images, root, preprocess),
        batch_sampler=batches,
        num_workers=num_workers,
        collate_fn=_collate,
        worker_init_fn=_yield_to_encoder if num_workers else None,
        generator=torch.Generator(),  # of its own: the run's random numbers do not depend on what was cached
    )
    stream = iter(loader)

    def of_block(index: int) -> Iterator[tuple[int, _Decoded]]:
        for batch in plan.batches(index, job.batch_size):
            try:
                decoded = next(stream)
            except RuntimeError as error:  # how DataLoader tells that a worker died
                raise DataError(
                    "image workers that live to the end",
                    str(error).splitlines()[0],
                    "Probably the memory was full: lower num_workers and run again; it goes on from here.",
                ) from error
            yield batch.start - plan.block(index).start, decoded

    for index in pending:
        yield index, of_block(index)


def _collate(samples: list[tuple[Any, Failures]]) -> _Decoded:
    return _Decoded([value for value, _ in samples], [failures for _, failures in samples])


def _yield_to_encoder(_: int) -> None:
    # Decoding has slack while its queue is full; an encoder that shares a core with it has none.
    os.nice(5)


def _as_it_is(image: Any) -> Any:
    return image


def _checked(features: Features, inputs: Sequence[str], plan: Plan) -> Features:
    if features.shape != (len(inputs), plan.width):
        raise DataError(
            f"features of shape {(len(inputs), plan.width)} from the encoder",
            f"shape {features.shape}",
            "Correct the encoder: one call is one batch, one row an input.",
        )
    finite = np.isfinite(features).all(axis=1)
    if not finite.all():
        first = inputs[int(finite.argmin())]
        raise DataError(
            "finite features from the encoder",
            f"NaN or infinity for {first[:120]!r}",
            "Use precision fp32 or bf16; if it stays, remove that input.",
        )
    return features
