"""From blocks of inputs to blocks of features, whoever computes them: `dim.features.embed` or a node of a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from dim.core.jobs import Block, Plan
from dim.encoders.base import Features, ImageEncoder, TextEncoder, check_features
from dim.features.progress import Stages
from dim.images.batches import Decoded, Paths, decoded_batches

Named = TypeVar("Named")  # a batch, by whatever tells it from others


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


def encoded_texts(
    encoder: TextEncoder, texts: Sequence[str], batches: Iterable[range], stages: Stages | None = None
) -> Iterator[tuple[range, Features]]:
    """The features [len(batch), width] of each batch of texts, as the encoder gives them: nothing is checked."""
    stages = stages or Stages()
    return _one_behind(batches, lambda batch: encoder.submit_text(texts[batch.start : batch.stop]), stages)


def encoded_images(
    encoder: ImageEncoder, batches: Iterable[tuple[Named, list[Any]]], batch_size: int, stages: Stages | None = None
) -> Iterator[tuple[Named, Features]]:
    """The features [n, width] of each batch of n preprocessed images, beside what the batch is called.

    An encoder call gets at most `batch_size` of them.
    """
    stages = stages or Stages()

    def submit(batch: tuple[Named, list[Any]]) -> Callable[[], Features]:
        if not batch[1]:
            return lambda: np.empty((0, encoder.width), np.float32)
        parts = []
        for start in range(0, len(batch[1]), batch_size):
            with stages.measure("transfer"):
                pixels = encoder.to_device(encoder.stack(batch[1][start : start + batch_size]))
            parts.append(encoder.submit_image(pixels))
        return parts[0] if len(parts) == 1 else lambda: np.concatenate([part() for part in parts])

    return ((name, features) for (name, _), features in _one_behind(batches, submit, stages))


def _one_behind(
    batches: Iterable[Named], submit: Callable[[Named], Callable[[], Features]], stages: Stages
) -> Iterator[tuple[Named, Features]]:
    """Waits for a batch once the next one was submitted: a GPU computes while inputs are made ready."""
    waiting: tuple[Named, Callable[[], Features]] | None = None
    for batch in batches:
        with stages.measure("encode"):
            submitted = submit(batch)
        if waiting is not None:
            with stages.measure("encode"):
                features = waiting[1]()
            yield waiting[0], features
        waiting = batch, submitted
    if waiting is not None:
        with stages.measure("encode"):
            features = waiting[1]()
        yield waiting[0], features


def text_blocks(encoder: TextEncoder, texts: Sequence[str], job: Job, pending: list[int]) -> Iterator[Block]:
    """Encodes the pending blocks of `texts`.

    Raises:
        DataError: The encoder gave a value that is not finite, or the wrong shape.
    """
    for index in pending:
        block = job.plan.block(index)
        counts = encoder.num_vectors(texts[block.start : block.stop])
        parts = []
        for batch, features in encoded_texts(encoder, texts, job.plan.batches(index, job.batch_size), job.stages):
            inputs = texts[batch.start : batch.stop]
            of_batch = None if counts is None else counts[batch.start - block.start : batch.stop - block.start]
            parts.append(check_features(features, inputs, encoder, of_batch))
            job.advance(len(batch))
        with job.stages.measure("write"):
            yield Block(index, np.concatenate(parts))


def image_blocks(
    encoder: ImageEncoder, images: Sequence[Paths], root: Path, most: int, job: Job, pending: list[int]
) -> Iterator[Block]:
    """Decodes in workers and encodes the pending blocks of `images`, of each owner at most `most` usable ones.

    A block's note names what is unusable: `missing` (position in the block → reason) and `failures` (path → reason);
    and `lengths` (position → number of vectors) of owners that have less than there is room for. What is left of that
    room is zero and never looked at.

    Raises:
        DataError: The encoder gave a value that is not finite, or the wrong shape.
    """
    for index, batches in decoded_blocks(encoder.preprocess, images, root, job, pending, encoder.draft_side, most):
        block = job.plan.block(index)
        room = image_counts([images[place] for place in block], most, encoder)
        starts = np.concatenate([[0], np.cumsum(room)])
        rows = np.zeros((int(starts[-1]), job.plan.width), np.float32)
        note: dict[str, Any] = {"missing": {}, "failures": {}}
        lengths: dict[str, int] = {}
        ready = ((batch, [image for usable in batch[1].inputs for image in usable]) for batch in batches)
        for (first, decoded), features in encoded_images(encoder, ready, job.batch_size, job.stages):
            counts = encoder.num_patches * np.array([len(usable) for usable in decoded.inputs], np.int64)
            named = [images[block.start + first + place][0] for place in range(len(counts))]
            check_features(features, named, encoder, counts)
            here = np.arange(first, first + len(counts))
            steps = np.arange(len(features)) - np.repeat(np.cumsum(counts) - counts, counts)
            rows[np.repeat(starts[here], counts) + steps] = features
            missed = counts < room[here]
            lengths |= zip(map(str, here[missed]), counts[missed].tolist(), strict=True)
            decoded.report(first, note)
            job.advance(len(decoded.inputs))
        if max(most, encoder.num_patches) > 1:  # else `missing` says it
            note["lengths"] = lengths
        with job.stages.measure("write"):
            yield Block(index, rows, note)


def image_counts(images: Sequence[Paths], most: int, encoder: ImageEncoder) -> NDArray[np.int64]:
    """How many vectors [len(images)] there is room for of each owner's images, of which at most `most` are used."""
    return encoder.num_patches * np.array([min(most, len(paths)) for paths in images], np.int64)


def decoded_blocks(
    preprocess: Callable[[Any], Any],
    images: Sequence[Paths],
    root: Path,
    job: Job,
    pending: list[int],
    draft_side: int | None = None,
    most: int = 1,
) -> Iterator[tuple[int, Iterator[tuple[int, Decoded]]]]:
    """Each pending block with its batches (first position in the block, images). Waiting for them is measured.

    One loader runs through all blocks, so that its workers never wait for a block to be written.
    """
    plan = job.plan
    batches = {index: plan.batches(index, job.batch_size) for index in pending}
    every = [batch for index in pending for batch in batches[index]]
    stream = decoded_batches(images, every, root, preprocess, draft_side, job.num_workers, most)

    def of_block(index: int) -> Iterator[tuple[int, Decoded]]:
        for batch in batches[index]:
            with job.stages.measure("decode"):
                decoded = next(stream)
            yield batch.start - plan.block(index).start, decoded

    return ((index, of_block(index)) for index in pending)
