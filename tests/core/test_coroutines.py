"""Coroutines that run to their end, also within a loop that runs already, as in a notebook."""

import asyncio
import signal
import sys
import threading
import traceback

import pytest
from waiting import HANG

from dim.core.coroutines import run_to_end


def within_a_loop(work):
    """What becomes of work that a cell of a notebook begins: its thread has a loop, which handles no signal."""

    async def cell():
        return run_to_end(work)

    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(cell())
    finally:
        loop.close()


def functions_of_the_main_thread():
    return {frame.name for frame in traceback.extract_stack(sys._current_frames()[threading.main_thread().ident])}


def test_work_is_done_also_where_a_loop_runs():
    async def work():
        await asyncio.sleep(0)
        return 7

    assert run_to_end(work()) == within_a_loop(work()) == 7


def test_an_interrupt_ends_the_work_and_not_only_the_waiting_for_it():
    ended = []

    async def work():
        while "result" not in functions_of_the_main_thread():  # it waits
            await asyncio.sleep(0.001)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        try:
            await asyncio.sleep(HANG)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    with pytest.raises(KeyboardInterrupt):
        within_a_loop(work())
    assert ended == ["cancelled"]
