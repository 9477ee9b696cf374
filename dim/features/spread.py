"""Blocks of features or captions by any executor: here, or on a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dim.core.jobs import Block, Executor, Plan
from dim.features.blocks import Job


def spread(
    executor: Executor, blocks: Callable[..., Iterator[Block]], inputs: Sequence[Any], job: Job, pending: list[int]
) -> Iterator[Block]:
    """The pending blocks, in any order, each once.

    Args:
        executor: Where they are computed.
        blocks: Takes `inputs`, `job` and `pending`: `partial(text_blocks, encoder)`, or
            `partial(image_blocks, encoder, root=root)` with a root that every node sees under this path.
        inputs: All of them.
        job: How; on a cluster each actor decodes in its own process.
        pending: The blocks.
    """
    return executor.blocks(_Work(blocks, job), inputs, job.plan, pending, job.advance)


@dataclass(frozen=True)
class _Work:
    blocks: Callable[..., Iterator[Block]]
    job: Job

    def __call__(self, inputs: Sequence[Any], plan: Plan, pending: list[int]) -> Iterator[Block]:
        return self.blocks(inputs, job=replace(self.job, plan=plan), pending=pending)

    def __reduce__(self) -> tuple[Any, ...]:
        # Elsewhere there is no bar to move and no clock to read.
        return _Work, (self.blocks, Job(self.job.plan, self.job.batch_size))
