"""From blocks of inputs to blocks of features: what is done in this process, and what in decoding workers."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from dim.core.jobs import Block, Plan
from dim.encoders.base import Encoder, Features, ImageEncoder, TextEncoder, check_features
from dim.errors import DataError
from dim.features.progress import Stages
from dim.images.reading import UnusableImageError, load_image

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
        stages: Counts the time of each stage.
    """

    plan: Plan
    batch_size: int
    num_workers: int = 0
    advance: Callable[[int], None] = lambda _: None
    stages: Stages = field(default_factory=Stages)


def text_blocks(encoder: TextEncoder, texts: Sequence[str], job: Job, pending: list[int]) -> Iterator[Block]:
    """Encodes the pending blocks of `texts`.

    Raises:
        DataError: The encoder gave a value that is not finite, or the wrong shape.
    """
    for index in pending:
        rows = np.empty((len(job.plan.block(index)), job.plan.width), np.float32)
        start = job.plan.block(index).start
        # One batch behind: a GPU computes it while the next one is tokenised.
        finish: Callable[[], None] = _nothing
        for batch in job.plan.batches(index, job.batch_size):
            inputs = texts[batch.start : batch.stop]
            with job.stages.measure("encode"):
                features = encoder.submit_text(inputs)
            finish()
            at = np.arange(batch.start - start, batch.stop - start)
            finish = partial(_finish, features, inputs, rows, at, len(batch), job, encoder)
        finish()
        with job.stages.measure("write"):
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
    loaded = decoded_batches(encoder.preprocess, images, root, job, pending, draft_side=encoder.draft_side)
    for index, batches in loaded:
        rows = np.zeros((len(job.plan.block(index)), job.plan.width), np.float32)
        note: dict[str, Any] = {"missing": {}, "failures": {}}
        # One batch behind: a GPU computes it while the next one is fetched.
        finish: Callable[[], None] = _nothing
        for first, batch in batches:
            usable = [i for i, pixels in enumerate(batch.inputs) if pixels is not None]
            features = _submit(encoder, [batch.inputs[i] for i in usable], job)
            finish()
            names = [images[job.plan.block(index).start + first + i][0] for i in usable]
            at = np.array([first + i for i in usable], dtype=np.int64)
            finish = partial(_finish, features, names, rows, at, len(batch.inputs), job, encoder)
            batch.report(first, note)
        finish()
        with job.stages.measure("write"):
            yield Block(index, rows, note)


def _submit(encoder: ImageEncoder, inputs: list[Any], job: Job) -> Callable[[], Features]:
    if not inputs:
        return lambda: np.empty((0, job.plan.width), np.float32)
    with job.stages.measure("transfer"):
        pixels = encoder.to_device(np.stack(inputs))
    with job.stages.measure("encode"):
        return encoder.submit_image(pixels)


def _finish(
    features: Callable[[], Features],
    inputs: Sequence[str],
    rows: Features,
    at: NDArray[np.int64],
    num_done: int,
    job: Job,
    encoder: Encoder,
) -> None:
    """Waits for a batch and puts it into its block."""
    with job.stages.measure("encode"):
        values = features()
    rows[at] = check_features(values, inputs, encoder)
    job.advance(num_done)


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class Decoded:
    """A batch of decoded inputs, None where no image of the owner is usable, and each failure on the way."""

    inputs: list[Any]
    failures: list[Failures]

    def report(self, first: int, note: dict[str, Any]) -> None:
        """Adds what is unusable to a block's note; `first` is the batch's position in the block."""
        for position, (value, failures) in enumerate(zip(self.inputs, self.failures, strict=True), first):
            note["failures"] |= failures
            if value is None:
                note["missing"][str(position)] = next(iter(failures.values()))


class _Images(Dataset[tuple[Any, Failures]]):
    def __init__(
        self, images: Sequence[Paths], root: Path, preprocess: Callable[[Any], Any], draft_side: int | None
    ) -> None:
        self.images, self.root, self.preprocess, self.draft_side = images, root, preprocess, draft_side

    def __getitem__(self, index: int) -> tuple[Any, Failures]:
        failures: Failures = {}
        for path in self.images[index]:
            try:
                return self.preprocess(load_image(self.root / path, self.root, self.draft_side)), failures
            except UnusableImageError as error:
                failures[path] = error.reason
        return None, failures


def decoded_batches(
    preprocess: Callable[[Any], Any],
    images: Sequence[Paths],
    root: Path,
    job: Job,
    pending: list[int],
    draft_side: int | None = None,
) -> Iterator[tuple[int, Iterator[tuple[int, Decoded]]]]:
    """Each pending block with its batches (first position in the block, inputs). Waiting for them is measured.

    Args:
        preprocess: Applied to each decoded image, in the worker.
        images: All inputs.
        root: The image folder.
        job: How.
        pending: The blocks.
        draft_side: See `load_image`.
    """
    plan = job.plan
    batches = [list(batch) for index in pending for batch in plan.batches(index, job.batch_size)]
    num_workers = min(job.num_workers, len(batches))
    # One loader runs through all blocks, so the workers never wait for a block to be written.
    loader: DataLoader[Any] = DataLoader(
        _Images(images, root, preprocess, draft_side),
        batch_sampler=batches,
        num_workers=num_workers,
        collate_fn=_collate,
        worker_init_fn=partial(_start_worker, os.getpid()) if num_workers else None,
        generator=torch.Generator(),  # of its own: the run's random numbers do not depend on what was cached
    )
    stream = iter(loader)

    def of_block(index: int) -> Iterator[tuple[int, Decoded]]:
        for batch in plan.batches(index, job.batch_size):
            try:
                with job.stages.measure("decode"):
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


def _collate(samples: list[tuple[Any, Failures]]) -> Decoded:
    return Decoded([value for value, _ in samples], [failures for _, failures in samples])


def _start_worker(parent: int, _: int) -> None:
    # Decoding has slack while its queue is full; an encoder that shares a core with it has none.
    os.nice(5)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    # A worker whose parent was killed would wait for ever to hand on what it decoded, and keep its memory.
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
