import io
from pathlib import Path

import numpy as np
import pytest

from dim.core.jobs import Block, Plan, Workplace
from dim.display.terminal import Console
from dim.features.progress import Stages, shown_progress


class Hand:
    """A clock that the test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += seconds


def test_shares_add_up_to_one_and_name_the_slowest_stage() -> None:
    hand = Hand()
    stages = Stages(hand)
    with stages.measure("decode"):
        hand.pass_(6)
    with stages.measure("encode"):
        hand.pass_(2)
    hand.pass_(2)
    assert stages.shares() == pytest.approx({"decode": 0.6, "transfer": 0, "encode": 0.2, "write": 0, "other": 0.2})
    assert stages.limiting == "decode"
    assert stages.summary(50) == "5/s in 10.0 s: decode 60%, encode 20%, other 20%; limit: decode"


def test_a_stage_that_fails_counts_too() -> None:
    hand = Hand()
    stages = Stages(hand)

    def fail() -> None:
        with stages.measure("write"):
            hand.pass_(3)
            raise OSError("a full disk")

    with pytest.raises(OSError, match="a full disk"):
        fail()
    assert stages.seconds["write"] == 3


def test_by_default_seconds_are_those_of_this_machine() -> None:
    stages = Stages()
    with stages.measure("encode"):
        pass
    assert 0 < stages.seconds["encode"] < stages.elapsed


def test_before_any_stage_there_is_no_limit() -> None:
    assert Stages().limiting is None
    assert "limit" not in Stages().summary(0)


def show(work: Workplace) -> str:
    out, hand = io.StringIO(), Hand()
    with shown_progress("image", work, Console(file=out, width=120), hand) as (advance, stages):
        for index in work.pending:
            with stages.measure("decode"):
                hand.pass_(0.5)
            advance(2)
            work.write(Block(index, np.zeros((2, 1), np.float32)))
    return out.getvalue()


def test_the_summary_counts_what_this_run_did(tmp_path: Path) -> None:
    plan = Plan("key", num_rows=8, width=1, block_size=2)
    work = Workplace(tmp_path / "w", plan)
    work.write(Block(0, np.zeros((2, 1), np.float32)))
    said = show(work)
    assert "8/8" not in said  # a bar is for terminals
    # Six of the eight rows are this run's.
    assert said.strip().splitlines()[-1] == "image        4/s in 1.5 s: decode 100%; limit: decode"


def test_work_that_is_done_shows_nothing(tmp_path: Path) -> None:
    work = Workplace(tmp_path / "w", Plan("key", num_rows=2, width=1, block_size=2))
    work.write(Block(0, np.zeros((2, 1), np.float32)))
    assert show(work) == ""
