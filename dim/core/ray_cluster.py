"""Blocks computed on a Ray cluster, of this machine or of many: the executor behind `--engine ray`.

Ray Data sends each pending block's inputs to an actor, and its rows come back to the one process that writes them.
An actor holds what computes a block (an encoder, which loads its weights there), so every node needs dim, the
weights and the image folder under the same path. A worker that dies is replaced by Ray and its blocks are computed
again; a killed driver goes on from the blocks that it had written.
"""

from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dim import errors
from dim.core.excerpts import first_line
from dim.core.jobs import Block, Compute, Executor, Plan, ThisProcess, compute_block
from dim.display.log import quieten
from dim.errors import ConfigError, DataError, DimError, MissingExtraError

Engine = Literal["local", "ray"]
#: What Ray reads when it is imported or started; nothing here changes a result.
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
#: Without it Ray turns 127.0.0.1 into the address that other machines see, and listens there.
_LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}


@contextmanager
def open_executor(engine: Engine, address: str | None = None) -> Iterator[Executor]:
    """The executor of that name, closed at the end; a cluster is reached when the first block is asked for.

    Args:
        engine: `local` is this process.
        address: Of a running Ray cluster; None: one is started on this machine, closed to others, for this run.

    Raises:
        ConfigError: An address without Ray, or no cluster at the address.
        MissingExtraError: Ray is not installed.
    """
    if engine == "local":
        if address is not None:
            raise ConfigError("--engine ray with an --address", "--engine local", "Add --engine ray, or no --address.")
        yield ThisProcess()
        return
    executor = RayCluster(address)
    try:
        yield executor
    finally:
        executor.close()


class RayCluster(Executor):
    """Computes blocks in Ray actors: one a GPU where the cluster has some, else one a processor core.

    Args:
        address: Of a running cluster (`host:port`, or `ray://…`); None: a cluster of this machine, which listens on
            127.0.0.1 only, without dashboard and usage statistics, and ends with `close`.

    Raises:
        MissingExtraError: Ray is not installed.
    """

    def __init__(self, address: str | None = None) -> None:
        is_here = address is None or address.startswith(("127.", "localhost:"))
        for name, value in (_QUIET | _LOOPBACK if is_here else _QUIET).items():
            os.environ.setdefault(name, value)
        try:
            import ray.data  # noqa: F401
        except ImportError as error:
            raise MissingExtraError("ray", "ray") from error
        self.address = address
        self._is_open = False

    def blocks(
        self, compute: Compute, inputs: Sequence[Any], plan: Plan, pending: list[int], advance: Callable[[int], None]
    ) -> Iterator[Block]:
        """The pending blocks as they are finished, each once.

        Raises:
            DimError: As `compute` raised it in an actor.
            DataError: A worker died again and again.
        """
        if not pending:
            return
        self._open()
        import ray.data
        from ray.exceptions import RayError

        rows = (plan.block(index) for index in pending)
        items = [
            {"index": index, "inputs": json.dumps(inputs[of.start : of.stop])}
            for index, of in zip(pending, rows, strict=True)
        ]
        waiting = set(pending)
        try:
            # An item a block of Ray: the unit that it hands out, and does again when a worker dies.
            found = ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
                _Actor,
                fn_constructor_args=(compute, plan.key, plan.width, str(Path.cwd())),
                batch_size=1,
                **self._resources(len(items)),
            )
            for row in found.iter_rows():
                block = _received(row, plan)
                if block.index in waiting:
                    waiting.remove(block.index)
                    advance(len(block.rows))
                    yield block
        except RayError as error:
            raise DataError(
                "Ray workers that live to the end",
                str(error).strip().splitlines()[-1],
                "See Ray's logs; probably the memory was full. Run again: it goes on from here.",
            ) from error
        if waiting:
            raise DataError(
                f"{len(pending)} blocks from Ray", f"{len(waiting)} are lost", "Run again: it goes on from here."
            )

    def close(self) -> None:
        """Leaves the cluster; one that was started here ends."""
        if self._is_open:
            import ray

            ray.shutdown()
            self._is_open = False

    def _open(self) -> None:
        if self._is_open:
            return
        import ray

        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        try:
            if self.address is None:
                ray.init(
                    "local", include_dashboard=False, _node_ip_address="127.0.0.1", num_gpus=_num_gpus_here(), **quiet
                )
            else:
                _check_reachable(self.address)
                ray.init(self.address, **quiet)
        except (OSError, ValueError, RuntimeError) as error:
            raise ConfigError(
                f"a Ray cluster at {self.address or 'this machine'}",
                first_line(error),
                "Start one with `ray start --head`, or leave --address out to use this machine alone.",
            ) from error
        self._is_open = True
        ray.data.DataContext.get_current().enable_progress_bars = False
        quieten("ray.data", level=logging.ERROR)

    def _resources(self, num_items: int) -> dict[str, Any]:
        import ray

        total = ray.cluster_resources()
        num_gpus = int(total.get("GPU", 0))
        num_actors = num_gpus or int(total.get("CPU", 1))
        size = max(1, min(num_actors, num_items))
        return {"compute": ray.data.ActorPoolStrategy(size=size), "num_cpus": 1, "num_gpus": 1 if num_gpus else 0}


class _Actor:
    """Holds what computes blocks: the encoder loads once, at the first of them."""

    def __init__(self, compute: Compute, key: str, width: int, folder: str) -> None:
        os.chdir(folder)  # relative paths mean here what they mean to the driver
        self.compute, self.key, self.width = compute, key, width

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        index, inputs = int(batch["index"][0]), _tuples(json.loads(batch["inputs"][0]))
        try:
            block = compute_block(self.compute, inputs, self.key, self.width, index)
        except DimError as error:
            # Ray would send it home wrapped in its own errors; `_received` raises it there.
            kind, arguments = error.__reduce__()
            reason = json.dumps([kind.__name__, *arguments])
            return {"index": [index], "rows": [b""], "note": [""], "checksum": [0], "error": [reason]}
        rows = np.ascontiguousarray(block.rows, dtype=np.float32).tobytes()
        note = json.dumps(block.note)
        return {"index": [index], "rows": [rows], "note": [note], "checksum": [block.checksum], "error": [""]}


def _received(row: dict[str, Any], plan: Plan) -> Block:
    if row["error"]:
        name, *arguments = json.loads(row["error"])
        raise getattr(errors, name)(*arguments)
    index = int(row["index"])
    rows = np.frombuffer(row["rows"], np.float32).reshape(len(plan.block(index)), plan.width)
    block = Block(index, rows, json.loads(row["note"]))
    if block.checksum != row["checksum"]:
        raise DataError(f"block {index} as the worker sent it", "other bytes", "Run again: it goes on from here.")
    return block


def _tuples(value: Any) -> Any:
    """Inputs as they were before JSON, which knows lists only.

    Example:
        >>> _tuples([["a.jpg", "b.jpg"], ["c.jpg"]])
        [('a.jpg', 'b.jpg'), ('c.jpg',)]
    """
    return [_tuple(item) for item in value]


def _tuple(value: Any) -> Any:
    return tuple(_tuple(item) for item in value) if isinstance(value, list) else value


def _check_reachable(address: str) -> None:
    """Raises OSError where nothing listens: Ray would try for many minutes."""
    host, _, port = address.rpartition(":")
    if host and port.isdecimal() and "/" not in host:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


def _num_gpus_here() -> int:
    import torch

    return torch.cuda.device_count()
