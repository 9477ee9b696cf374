"""One of several processes that answer at the same address; `dim.serve.workers` looks after them."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
from multiprocessing.connection import Connection
from types import FrameType

from fastapi import FastAPI

from dim.core.coroutines import Tasks
from dim.display.log import log
from dim.errors import DimError
from dim.serve.control import AskReload, EndNow, NotOpened, Opened, Reloaded, ReloadNow
from dim.serve.metrics import FOLDER
from dim.serve.problems import Problem, already_reloading
from dim.serve.process_log import set_up_log
from dim.serve.server import BACKLOG, Server
from dim.serve.settings import Settings
from dim.serve.source import Source

LOG = log("dim.serve")
#: A process takes one connection at a time, so that those that have nothing to do get the others.
AT_ONCE = 1


def work(source: Source, settings: Settings, listener: socket.socket, parent: Connection) -> None:
    """Opens the linker and answers, until SIGTERM or until the process at the other end of `parent` is gone."""
    for each in (signal.SIGINT, signal.SIGHUP):  # a terminal sends them to all; the parent says what follows
        signal.signal(each, signal.SIG_IGN)
    set_up_log(has_others=True)
    from dim.serve.app import create_app  # and torch, which the parent does without
    from dim.serve.reload import settle

    link = ParentLink(parent)
    try:
        app = create_app(
            source.opened(settings), settings, lambda: source.opened(settings), link.reload_all, source.changed
        )
    except Exception as error:
        parent.send(NotOpened(sendable(error)))
        return
    settle()
    server = WorkerServer(app, settings, link)
    server.run(sockets=[listener])
    if server.is_orphan:  # nobody else does
        shutil.rmtree(os.environ[FOLDER], ignore_errors=True)


class ParentLink:
    """The connection to the process that looks after this one."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._asked: asyncio.Future[Exception | None] | None = None

    async def reload_all(self) -> None:
        """Has all processes open the linker again.

        Raises:
            DimError: One of them could not.
            Problem: 503, it is being opened already.
        """
        if self._asked is not None:
            raise already_reloading()
        self._asked = asyncio.get_running_loop().create_future()
        try:
            self.connection.send(AskReload())
            if (error := await self._asked) is not None:
                raise error
        finally:
            self._asked = None

    def answer(self, error: Exception | None) -> None:
        """Ends the waiting of `reload_all`."""
        if self._asked is not None and not self._asked.done():
            self._asked.set_result(error)


class WorkerServer(Server):
    """A server that shares its address with others, and ends with the process that looks after it."""

    def __init__(self, app: FastAPI, settings: Settings, link: ParentLink) -> None:
        super().__init__(app, settings)
        self.config.backlog = AT_ONCE
        self.link, self.served, self.own_reload = link, app.state.served, app.state.reload
        self.is_orphan = False
        self._tasks = Tasks()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begins to answer, and says so."""
        await super().startup(sockets)
        for each in sockets or ():
            each.listen(BACKLOG)  # asyncio has made it as short as what it takes at once
        asyncio.get_running_loop().add_reader(self.link.connection.fileno(), self._hear)
        linker = self.served.edition.linker
        self.link.connection.send(Opened(len(linker), linker.calibrated_on))

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begins the end at SIGTERM, however often it comes: systemd sends it to all, and the parent once more.

        Ctrl-C reaches all processes of a terminal, and the parent says by SIGTERM what follows.
        """
        if sig == signal.SIGTERM:
            self.batcher.refuse()

    def _hear(self) -> None:
        try:
            message = self.link.connection.recv()
        except (EOFError, OSError):  # whoever looked after it is gone
            asyncio.get_running_loop().remove_reader(self.link.connection.fileno())
            self.is_orphan = True
            self.batcher.refuse()
            return
        if isinstance(message, ReloadNow):
            self._tasks.begin(self._reload())
        elif isinstance(message, EndNow):
            self.batcher.refuse()
            self.should_exit = self.force_exit = True
        elif isinstance(message, Reloaded):
            self.link.answer(message.error)

    async def _reload(self) -> None:
        try:
            await self.own_reload.reload()
        except Exception as error:  # whatever it is, the old linker goes on
            self.link.connection.send(Reloaded(sendable(error)))
        else:
            self.link.connection.send(Reloaded(None))


def sendable(error: Exception) -> Exception:
    """An error that another process can read; one that nobody foresaw is told in the log."""
    if isinstance(error, DimError | Problem):
        return error
    LOG.error("the linker cannot be opened", exc_info=error)
    return DimError("a linker that can be opened", f"{type(error).__name__}: {error}", "Look into the server's log.")
