"""The images of many owners, decoded ahead by worker processes, in batches."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from dim.core.excerpts import first_line
from dim.errors import DataError
from dim.images.reading import UnusableImageError, load_image

Paths = tuple[str, ...]  #: The images of one owner, in order.
Failures = dict[str, str]  #: Path → why it is unusable.


@dataclass(frozen=True)
class Decoded:
    """A batch of decoded inputs: of each owner its usable images, and each failure on the way to them."""

    inputs: list[list[Any]]
    failures: list[Failures]

    def report(self, first: int, note: dict[str, Any]) -> None:
        """Adds what is unusable to a block's note; `first` is the batch's position in the block."""
        for position, (usable, failures) in enumerate(zip(self.inputs, self.failures, strict=True), first):
            note["failures"] |= failures
            if not usable:
                note["missing"][str(position)] = next(iter(failures.values()))


class _Images(Dataset[tuple[list[Any], Failures]]):
    def __init__(
        self, images: Sequence[Paths], root: Path, preprocess: Callable[[Any], Any], draft_side: int | None, most: int
    ) -> None:
        self.images, self.root, self.preprocess = images, root, preprocess
        self.draft_side, self.most = draft_side, most

    def __getitem__(self, index: int) -> tuple[list[Any], Failures]:
        usable: list[Any] = []
        failures: Failures = {}
        for path in self.images[index]:
            if len(usable) == self.most:
                break
            try:
                usable.append(self.preprocess(load_image(self.root / path, self.root, self.draft_side)))
            except UnusableImageError as error:
                failures[path] = error.reason
        return usable, failures


def decoded_batches(
    images: Sequence[Paths],
    batches: Sequence[Sequence[int]],
    root: Path,
    preprocess: Callable[[Any], Any],
    draft_side: int | None = None,
    num_workers: int = 0,
    most: int = 1,
) -> Iterator[Decoded]:
    """Each batch of owners, decoded while the ones before it are worked on.

    Args:
        images: Of all owners.
        batches: Which owners, batch by batch.
        root: The image folder.
        preprocess: Applied to each decoded image, in the worker.
        draft_side: See `dim.images.reading.load_image`.
        num_workers: Processes that decode; 0 decodes in this one.
        most: Usable images an owner at most; those behind them are not looked at.

    Raises:
        DataError: A worker died.
    """
    num_workers = min(num_workers, len(batches))
    loader: DataLoader[Any] = DataLoader(
        _Images(images, root, preprocess, draft_side, most),
        batch_sampler=[list(batch) for batch in batches],
        num_workers=num_workers,
        collate_fn=_collate,
        worker_init_fn=partial(_start_worker, os.getpid()) if num_workers else None,
        generator=torch.Generator(),  # of its own: the run's random numbers do not depend on what was cached
    )
    try:
        yield from loader
    except RuntimeError as error:  # how DataLoader tells that a worker died
        raise DataError(
            "image workers that live to the end",
            first_line(error),
            "Probably the memory was full: lower num_workers and run again; it goes on from here.",
        ) from error


def _collate(samples: list[tuple[list[Any], Failures]]) -> Decoded:
    return Decoded([usable for usable, _ in samples], [failures for _, failures in samples])


def _start_worker(parent: int, _: int) -> None:
    # Decoding has slack while its queue is full; an encoder that shares a core with it has none.
    os.nice(5)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    # A worker whose parent was killed would wait for ever to hand on what it decoded, and keep its memory.
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
