"""A record is one line, and its traceback is shown."""

import io
import logging

import pytest

from dim.display.log import VISIBLE, log


@pytest.fixture
def written() -> io.StringIO:
    logger, file = log("dim.test_log"), io.StringIO()
    logger.handlers, logger.propagate = [logging.StreamHandler(file)], False
    return file


def test_a_record_is_one_line(written: io.StringIO) -> None:
    log("dim.test_log").warning("at %s", "/x\n2026-01-01 ERROR all is lost\x1b[2J")
    assert written.getvalue() == "at /x\\n2026-01-01 ERROR all is lost\\x1b[2J\n"


def test_a_traceback_is_shown(written: io.StringIO) -> None:
    try:
        raise ValueError("\x1b[2J\u202e")
    except ValueError:
        log("dim.test_log").exception("100%% %s", "\r")
    said = written.getvalue()
    assert said.startswith("100% \\r\nTraceback")
    assert said.endswith("ValueError: \\x1b[2J\\u202e\n")


def test_a_logger_is_made_visible_once() -> None:
    assert log("dim.test_log") is log("dim.test_log")
    assert log("dim.test_log").filters == [VISIBLE]
