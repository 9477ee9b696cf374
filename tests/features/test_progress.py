import io
import time
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from dim.engine import Block, Plan, Workplace
from dim.features.progress import Stages, shown_progress


def test_shares_add_up_to_one_and_name_the_slowest_stage() -> None:
    stages = Stages()
    with stages.measure("decode"):
        time.sleep(0.06)
    with stages.measure("encode"):
        time.sleep(0.02)
    time.sleep(0.02)
    shares = stages.shares()
    assert sum(shares.values()) == pytest.approx(1, abs=0.01)
    assert shares["decode"] > shares["encode"] > 0
    assert shares["other"] > 0.1
    assert shares["transfer"] == shares["write"] == 0
    assert stages.limiting == "decode"


def test_a_stage_that_fails_counts_too() -> None:
    stages = Stages()

    def fail() -> None:
        with stages.measure("write"):
            time.sleep(0.01)
            raise OSError("a full disk")

    with pytest.raises(OSError, match="a full disk"):
        fail()
    assert stages.seconds["write"] >= 0.01


def test_before_any_stage_there_is_no_limit() -> None:
    assert Stages().limiting is None
    assert "limit" not in Stages().summary(0)


def show(work: Workplace) -> str:
    out = io.StringIO()
    with shown_progress("image", work, Console(file=out, width=120)) as (advance, stages):
        for index in work.pending:
            with stages.measure("decode"):
                time.sleep(0.02)
            advance(2)
            work.write(Block(index, np.zeros((2, 1), np.float32)))
    return out.getvalue()


def test_the_summary_counts_what_this_run_did(tmp_path: Path) -> None:
    plan = Plan("key", num_rows=8, width=1, block_size=2)
    work = Workplace(tmp_path / "w", plan)
    work.write(Block(0, np.zeros((2, 1), np.float32)))
    said = show(work)
    assert "8/8" not in said  # a bar is for terminals
    last = said.strip().splitlines()[-1]
    assert last.startswith("image ")
    assert "decode" in last
    assert last.endswith("limit: decode")
    rate, took = float(last.split()[1].removesuffix("/s")), float(last.split()[3])
    assert rate * took == pytest.approx(6, rel=0.6)  # of the rounded figures; not 8


def test_work_that_is_done_shows_nothing(tmp_path: Path) -> None:
    work = Workplace(tmp_path / "w", Plan("key", num_rows=2, width=1, block_size=2))
    work.write(Block(0, np.zeros((2, 1), np.float32)))
    assert show(work) == ""
