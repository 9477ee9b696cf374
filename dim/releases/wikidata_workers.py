"""Processes that turn blocks of a dump into rows, several at a time, answered in the order of the blocks."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from queue import SimpleQueue

from dim.core.cores import usable_cores
from dim.data.skipped import Skipped
from dim.errors import DataError
from dim.images.decoder_process import same_imports
from dim.releases.dump_lines import Block
from dim.releases.wikidata_items import Extracted, Wanted, read_message, write_message

_PROGRAM = "from dim.releases.wikidata_items import serve; serve()"
MOST = 8  #: Processes; more would wait for the one that reads.


def num_workers() -> int:
    """A process a core, at most 8."""
    return min(MOST, usable_cores())


def extracted(blocks: Iterable[Block], wanted: Wanted, workers: int) -> Iterator[tuple[Block, Extracted]]:
    """Each block with its rows, in order; as many blocks are in memory as there are workers, and two.

    Raises:
        DataError: A worker ended (such as for want of memory).
    """
    with ExitStack() as stack:
        idle: SimpleQueue[_Worker] = SimpleQueue()
        for _ in range(workers):
            worker = _Worker(wanted)
            stack.callback(worker.end)
            idle.put(worker)
        threads = stack.enter_context(ThreadPoolExecutor(workers))
        pending: deque[tuple[Block, Future[Extracted]]] = deque()

        def ask(block: Block) -> Extracted:
            worker = idle.get()
            try:
                return worker.ask(block)
            finally:
                idle.put(worker)

        for block in blocks:
            pending.append((block, threads.submit(ask, block)))
            if len(pending) > workers + 1:
                first, answer = pending.popleft()
                yield first, answer.result()
        for first, answer in pending:
            yield first, answer.result()


class _Worker:
    """One process; it ends when its input does, also where this process is killed."""

    def __init__(self, wanted: Wanted) -> None:
        command = [sys.executable, "-P", "-c", _PROGRAM]
        environment = same_imports() | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        told = {"languages": wanted.languages, "classes": wanted.classes}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input, self._output = self._process.stdin, self._process.stdout
        write_message(self._input, json.dumps(told).encode())

    def ask(self, block: Block) -> Extracted:
        """The rows of a block."""
        try:
            write_message(self._input, str(block.first_line).encode())
            write_message(self._input, block.data)
            answer = read_message(self._output)
        except BrokenPipeError:
            answer = None
        if answer is None:
            raise DataError(
                "a process that reads lines of the dump",
                f"it ended with {self._process.wait()}",
                "Free some memory, and run the same command again: it goes on where it stood.",
            )
        told = json.loads(answer)
        left = Skipped()
        left.add_all(told["left"])
        return Extracted(told["columns"], told["texts"], left, told["newest"])

    def end(self) -> None:
        """Ends it at once."""
        self._process.kill()
        self._process.communicate()
