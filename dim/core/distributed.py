"""One run in several processes (`--trainer.strategy ddp`): each does its share, and all know the whole.

Every process gets the same batch of rows. `encode_together` lets each encode its share and hands the vectors of the
whole batch to all, so that a loss over the batch is the loss of one process. `gathered` does the same for results.
In one process both are what they would be without this module.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist


def num_processes() -> int:
    """The number of processes of the run."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def process_index() -> int:
    """Which of them this one is, from 0."""
    return dist.get_rank() if num_processes() > 1 else 0


def process_of_run() -> int:
    """As `process_index`, also before the processes know of each other.

    Lightning starts them, and knows by their environment: where it is not imported, there is one.
    """
    told = getattr(sys.modules.get("lightning_fabric.utilities.rank_zero"), "rank_zero_only", None)
    return process_index() or int(getattr(told, "rank", None) or 0)


def encode_together(encode: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
    """`encode(rows)` [n, D], of which this process computes its share only.

    Every process must call it with the same rows and then compute the same loss. The gradient of the own share is
    scaled by the number of processes, since DDP will take the mean over them: what comes out is the gradient of one
    process with the whole batch.
    """
    world, rank = num_processes(), process_index()
    if world == 1:
        return encode(rows)
    size = -(-len(rows) // world) * world  # shares of one size: the last rows are filled up from the first
    share = torch.arange(rank, size, world, device=rows.device) % len(rows)
    mine = encode(rows[share])
    if mine.requires_grad:
        mine.register_hook(lambda gradient: gradient * world)
    parts = [torch.empty_like(mine) for _ in range(world)]
    dist.all_gather(parts, mine.detach().contiguous())
    parts[rank] = mine
    return torch.stack(parts, dim=1).flatten(0, 1)[: len(rows)]


def from_first(values: Tensor) -> Tensor:
    """The first process's tensor in all of them: what was drawn must be the same everywhere."""
    if num_processes() > 1:
        values = values.contiguous()
        dist.broadcast(values, 0)
    return values


def gathered(value: Any) -> list[Any]:
    """The value of each process, in order, in all of them."""
    if num_processes() == 1:
        return [value]
    values: list[Any] = [None] * num_processes()
    dist.all_gather_object(values, value)
    return values
