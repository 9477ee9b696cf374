"""What is logged: each record is one line, whatever it quotes."""

from __future__ import annotations

import logging

from dim.display.visible import visible, visible_line


class Visible(logging.Filter):
    """Writes out what steers a terminal or forges a line; for loggers and handlers."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Takes every record, made visible."""
        record.msg, record.args = visible_line(record.getMessage()), None
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        record.exc_text = visible(record.exc_text) if record.exc_text else record.exc_text
        return True


VISIBLE = Visible()


def log(name: str) -> logging.Logger:
    """The logger of this name, whose records are visible wherever they go."""
    logger = logging.getLogger(name)
    logger.addFilter(VISIBLE)  # once: what is there is not added again
    return logger


def quieten(*names: str, level: int = logging.WARNING) -> None:
    """Has libraries log nothing below a level; their loggers go by these names."""
    for name in names:
        logging.getLogger(name).setLevel(level)
