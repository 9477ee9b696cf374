"""Another linker takes the place of the one that is served, and no question is lost."""

from __future__ import annotations

import asyncio
import gc
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dim.core.coroutines import Tasks
from dim.display.log import log
from dim.errors import DimError
from dim.serve.problems import Problem, already_reloading
from dim.serve.served import Edition, Served

LOG = log("dim.serve")


class Reload:
    """Opens the linker again, beside the one that answers meanwhile; both are in memory then.

    Args:
        served: Gets it.
        opened: Opens it, from the place where it was opened before.
    """

    def __init__(self, served: Served, opened: Callable[[], Edition]) -> None:
        self.served, self.opened = served, opened
        self._is_running = False
        self._tasks = Tasks()

    async def reload(self) -> None:
        """Has the new linker answer what comes from now on; where it cannot be opened, the old one goes on.

        Raises:
            DimError: It cannot be opened.
            Problem: 503, it is being opened already.
        """
        if self._is_running:
            raise already_reloading()
        self._is_running = True
        try:
            self.served.show(await asyncio.to_thread(self.opened))
            await asyncio.to_thread(settle)
        finally:
            self._is_running = False

    def on_signal(self) -> None:
        """Begins it, and says in the log how it ended."""
        self._tasks.begin(self._logged())

    async def _logged(self) -> None:
        try:
            await self.reload()
            LOG.warning("reloaded: %s entities", f"{len(self.served.edition.linker):,}")
        except Exception as error:  # whatever it is, the old linker goes on
            is_surprise = not isinstance(error, DimError | Problem)
            LOG.error("not reloaded, the linker of before goes on: %s", error, exc_info=is_surprise)


def settle() -> None:
    """Has the garbage collector pass over what is there from now on: looking at a linker it stops all for a second."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()


@contextmanager
def hearing_sighup(reload: Reload | None) -> Iterator[None]:
    """Reloads on SIGHUP meanwhile, where the event loop hears signals."""
    loop = asyncio.get_running_loop()
    hears = reload is not None and threading.current_thread() is threading.main_thread()
    if reload is not None and hears:
        loop.add_signal_handler(signal.SIGHUP, reload.on_signal)
    try:
        yield
    finally:
        if hears:
            loop.remove_signal_handler(signal.SIGHUP)
