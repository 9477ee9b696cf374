"""What is missing of features or captions, computed by any executor: here, or on a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dim.core.jobs import Block, Executor, Plan, Workplace
from dim.display.terminal import Console
from dim.features.blocks import Job
from dim.features.progress import shown_progress


@dataclass(frozen=True)
class Means:
    """By what blocks are computed.

    Attributes:
        executor: Where; on a cluster each actor decodes in its own process.
        batch_size: Inputs an encoder call.
        num_workers: Processes that decode images; 0 decodes in this one.
        console: Where progress is shown.
    """

    executor: Executor
    batch_size: int
    num_workers: int
    console: Console

    def compute(
        self, name: str, work: Workplace, blocks: Callable[..., Iterator[Block]], inputs: Sequence[Any]
    ) -> Iterator[Block]:
        """The pending blocks of a workplace, in any order, each once, with a bar.

        Args:
            name: Of the field.
            work: The workplace; whoever asks writes the blocks into it.
            blocks: Takes `inputs`, `job` and `pending`: `partial(text_blocks, encoder)`, or
                `partial(image_blocks, encoder, root=root)` with a root that every node sees under this path.
            inputs: All of them.
        """
        with shown_progress(name, work, self.console) as (advance, stages):
            job = Job(work.plan, self.batch_size, self.num_workers, advance, stages)
            yield from self.executor.blocks(_Work(blocks, job), inputs, work.plan, work.pending, advance)


@dataclass(frozen=True)
class _Work:
    blocks: Callable[..., Iterator[Block]]
    job: Job

    def __call__(self, inputs: Sequence[Any], plan: Plan, pending: list[int]) -> Iterator[Block]:
        return self.blocks(inputs, job=replace(self.job, plan=plan), pending=pending)

    def __reduce__(self) -> tuple[Any, ...]:
        # Elsewhere there is no bar to move and no clock to read.
        return _Work, (self.blocks, Job(self.job.plan, self.job.batch_size))
