"""Several processes that answer at one address. Each has the linker open, and one that dies is replaced.

A KB's names, texts and vectors are mapped from the linker's folder: the processes share those pages. Weights, and what
is built in memory, each has for itself. They are started anew (spawn), not forked: a fork after torch has computed once
may hang. The socket is bound before, and shared. Uvicorn's own supervisor is not used: it starts from the name of an
app, ends its processes by time, and knows no reload that a client waits for.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from tempfile import TemporaryDirectory

from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from dim.core.cores import usable_cores
from dim.core.coroutines import Tasks
from dim.core.environment import restored
from dim.display.log import log
from dim.errors import ConfigError, MemoryShortageError
from dim.serve.control import AskReload, Ended, EndNow, Message, NotOpened, Opened, Reloaded, ReloadNow
from dim.serve.metrics import FOLDER, num_accepted
from dim.serve.problems import already_reloading
from dim.serve.settings import Settings
from dim.serve.source import Source
from dim.serve.worker import work

LOG = log("dim.serve")
SPAWN = multiprocessing.get_context("spawn")
RETRY_S = 5.0  #: Until another process is tried, where one could not be started.
THREADS = "OMP_NUM_THREADS"
SAFE_PATH = "PYTHONSAFEPATH"  #: No module of the folder that the server is started in.


@dataclass(eq=False)
class _Worker:
    process: SpawnProcess
    connection: Connection
    opened: asyncio.Future[Opened]
    reloaded: asyncio.Future[Exception | None] | None = None

    @property
    def answers(self) -> bool:
        return self.opened.done() and not self.opened.cancelled() and self.opened.exception() is None


class Workers:
    """Starts processes that answer, and looks after them.

    Raises:
        ConfigError: There are none.
    """

    def __init__(self, source: Source, settings: Settings, listener: socket.socket, count: int) -> None:
        if count < 1:
            raise ConfigError("workers of at least 1", str(count), "Raise it.")
        self.source, self.settings, self.listener, self.count = source, settings, listener, count
        self.interrupted = self.forced = self._is_reloading = False
        self.num_died = 0
        self._alive: set[_Worker] = set()
        self._tasks = Tasks()
        self._error: Exception | None = None

    def run(self, begun: Callable[[Opened], None]) -> Ended:
        """Serves until SIGTERM or Ctrl-C; then all that was accepted is answered.

        Args:
            begun: Is called when all processes answer.

        Raises:
            DimError: The linker cannot be opened, or no process answers any more.
        """
        with TemporaryDirectory(prefix="dim-metrics-") as self._metrics:
            try:
                asyncio.run(self._run(begun))
            finally:
                for worker in self._alive:  # none, unless something failed here
                    worker.process.kill()
            return Ended(self._num_accepted(), self.num_died, self.interrupted, self.forced)

    async def _run(self, begun: Callable[[Opened], None]) -> None:
        loop = self._loop = asyncio.get_running_loop()
        self._stopping, self._all_gone = asyncio.Event(), asyncio.Event()
        loop.add_signal_handler(signal.SIGTERM, self._end)
        loop.add_signal_handler(signal.SIGINT, self._interrupt)
        loop.add_signal_handler(signal.SIGHUP, lambda: self._tasks.begin(self._reload_and_log()))
        started = [self._start() for _ in range(self.count)]
        try:
            opened = await asyncio.gather(*(worker.opened for worker in started))
        except Exception as error:
            self._fail(error)
        else:
            begun(opened[0])
        await self._all_gone.wait()
        self._tasks.cancel()
        if self._error is not None:
            raise self._error

    def _start(self) -> _Worker:
        ours, theirs = SPAWN.Pipe()
        process = SPAWN.Process(target=work, args=(self.source, self.settings, self.listener, theirs))
        threads = os.environ.get(THREADS) or str(num_threads(self.count))
        seen = {FOLDER: self._metrics, THREADS: threads, SAFE_PATH: "1"}
        with restored(seen):
            os.environ.update(seen)
            process.start()
        theirs.close()
        worker = _Worker(process, ours, self._loop.create_future())
        self._alive.add(worker)
        self._loop.add_reader(ours.fileno(), self._hear, worker)
        self._loop.add_reader(process.sentinel, self._gone, worker)
        return worker

    def _hear(self, worker: _Worker) -> None:
        try:
            while worker.connection.poll():
                self._take(worker, worker.connection.recv())
        except (EOFError, OSError):  # it ended: `_gone` is called, too
            self._loop.remove_reader(worker.connection.fileno())

    def _take(self, worker: _Worker, message: Message) -> None:
        if isinstance(message, Opened):
            worker.opened.set_result(message)
        elif isinstance(message, NotOpened):
            worker.opened.set_exception(message.error)
        elif isinstance(message, Reloaded) and worker.reloaded is not None:
            worker.reloaded.set_result(message.error)
        elif isinstance(message, AskReload):
            self._tasks.begin(self._reload_for(worker))

    def _gone(self, worker: _Worker) -> None:
        self._loop.remove_reader(worker.process.sentinel)
        self._hear(worker)  # its last words
        self._loop.remove_reader(worker.connection.fileno())
        worker.connection.close()
        worker.process.join()
        code = worker.process.exitcode
        assert worker.process.pid is not None
        mark_process_dead(worker.process.pid, self._metrics)
        self._alive.discard(worker)
        was_answering = worker.answers
        if not worker.opened.done():
            remedy = "Look into the log; where memory is short, take fewer --workers."
            worker.opened.set_exception(MemoryShortageError("a process that opens the linker", _end_of(code), remedy))
        if worker.reloaded is not None and not worker.reloaded.done():
            worker.reloaded.set_result(None)  # the one that takes its place opens the linker anew
        self.num_died += bool(was_answering and code)
        if self._stopping.is_set():
            self._look_whether_all_are_gone()
        elif was_answering:
            LOG.error("a process that answered ended (%s): another takes its place", _end_of(code))
            self._tasks.begin(self._replace())

    async def _replace(self) -> None:
        while not self._stopping.is_set():
            try:
                worker = self._start()  # which fails where the system has no more processes or files
                await worker.opened
            except Exception as error:
                if self._stopping.is_set():
                    return
                if not any(other.answers for other in self._alive):
                    self._fail(error)
                    return
                LOG.error("there is one process less: %s", error)
                await asyncio.sleep(RETRY_S)
            else:
                LOG.warning("process %s takes its place", worker.process.pid)
                return

    async def _reload_for(self, asker: _Worker) -> None:
        error = await self._reload()
        if asker in self._alive:
            with suppress(OSError):  # it has just ended
                asker.connection.send(Reloaded(error))

    async def _reload_and_log(self) -> None:
        if (error := await self._reload()) is None:
            LOG.warning("reloaded, by all processes")
        else:
            LOG.error("not reloaded, the linker of before goes on: %s", error)

    async def _reload(self) -> Exception | None:
        """Has all open the linker again; the first error, or None."""
        if self._is_reloading:
            return already_reloading()
        self._is_reloading = True
        try:
            errors = await asyncio.gather(*(self._reload_one(worker) for worker in self._alive))
        finally:
            self._is_reloading = False
        return next((error for error in errors if error is not None), None)

    async def _reload_one(self, worker: _Worker) -> Exception | None:
        """Has one open the linker again; None: it did, or it ends, and the one that takes its place opens it anew."""
        await asyncio.wait([worker.opened])  # what it opens meanwhile may be what stood there before
        if not worker.answers or worker not in self._alive:
            return None
        worker.reloaded = self._loop.create_future()
        with suppress(OSError):  # it has just ended: `_gone` says so
            worker.connection.send(ReloadNow())
        try:
            return await worker.reloaded
        finally:
            worker.reloaded = None

    def _interrupt(self) -> None:
        self.interrupted = True
        self._end()

    def _fail(self, error: Exception) -> None:
        """Ends it by an error, unless the end is why."""
        if not self._stopping.is_set():
            self._error = error
            self._end()

    def _end(self) -> None:
        """Begins the end; a second time, has the processes end at once."""
        self.forced = self._stopping.is_set()
        for worker in self._alive:
            if self._stopping.is_set() and worker.answers:
                with suppress(OSError):
                    worker.connection.send(EndNow())
            else:
                worker.process.terminate()
        self._stopping.set()
        self._look_whether_all_are_gone()

    def _look_whether_all_are_gone(self) -> None:
        if not self._alive:
            self._all_gone.set()

    def _num_accepted(self) -> int:
        registry = CollectorRegistry()
        MultiProcessCollector(registry, self._metrics)
        return num_accepted(registry)


def num_threads(count: int) -> int:
    """The threads that each of some processes computes with, so that all together have a core each."""
    return max(1, usable_cores() // count)


def _end_of(code: int | None) -> str:
    return f"signal {-code}" if code is not None and code < 0 else f"exit status {code}"
