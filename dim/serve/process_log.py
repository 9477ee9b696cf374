"""The log of a server's process, on stderr."""

from __future__ import annotations

import logging

from dim.display.log import VISIBLE, quieten

FORMAT = "%(asctime)s %(levelname)s %(message)s"
FORMAT_OF_MANY = "%(asctime)s %(process)d %(levelname)s %(message)s"


def set_up_log(has_others: bool = False) -> None:
    """Has warnings and errors told, a line each.

    Args:
        has_others: Whether further processes write there: lines have the number of theirs.
    """
    logging.basicConfig(level=logging.WARNING, format=FORMAT_OF_MANY if has_others else FORMAT)
    for handler in logging.root.handlers:
        handler.addFilter(VISIBLE)
    quieten("python_multipart", "uvicorn.error", level=logging.ERROR)  # they warn of each client's mistake
