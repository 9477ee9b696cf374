"""A server that is one process."""

from __future__ import annotations

import socket
from collections.abc import Callable

from dim.serve.app import create_app
from dim.serve.control import Ended, Opened
from dim.serve.metrics import num_accepted
from dim.serve.process_log import set_up_log
from dim.serve.reload import settle
from dim.serve.server import run
from dim.serve.settings import Settings
from dim.serve.source import Source


def serve_alone(source: Source, settings: Settings, listener: socket.socket, begun: Callable[[Opened], None]) -> Ended:
    """Opens the linker, says so to `begun`, and serves until SIGTERM or Ctrl-C; then all that was accepted is answered.

    Raises:
        DimError: The linker cannot be opened.
    """
    set_up_log()
    app = create_app(source.opened(settings), settings, lambda: source.opened(settings), changed=source.changed)
    settle()
    linker = app.state.served.edition.linker
    begun(Opened(len(linker), linker.calibrated_on))
    del linker  # a reload lets go of it
    server = run(app, settings, listener)
    return Ended(num_accepted(app.state.served.metrics.registry), 0, server.interrupted, server.force_exit)
