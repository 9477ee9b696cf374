"""Today's build beside an earlier one: `dim bench earlier`."""

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
from demo_in_dim_layout import write_in_dim_layout
from tiny_lm import save_model, texts_of

from benchmarks import clock
from benchmarks.clock import say_measured, wait_until_quiet
from benchmarks.earlier import LINKS, Row, bench_earlier
from benchmarks.made_up_linker import write_text_encoder
from benchmarks.start import HERE
from dim.demo import demo_world
from dim.errors import ConfigError, DimError

NONE = Path("none")


@pytest.mark.long
@pytest.mark.skipif(find_spec("locust") is None, reason="pip install -e '.[bench]'")
def test_both_builds_are_measured_on_the_same_rows_and_what_they_made_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = demo_world(tmp_path / "world", num_entities=200, seed=1)
    package = write_in_dim_layout(world, tmp_path / "package")
    encoder = write_text_encoder(tmp_path / "encoder", texts_of(world), "tiny", 0)
    model = save_model(tmp_path / "lm", "llama", texts_of(world), context=1024)
    few = {"num_mentions": 3, "batch_size": 4, "num_batches": 1, "clients": 2, "seconds": 0.5, "num_generated": 5}
    folder = tmp_path / "kept"

    def measured(model: Path | None) -> list[Row]:
        rows = bench_earlier(HERE, package, encoder, folder, model, ["fp32"], rounds=1, examples=1, max_load=1e3, **few)
        assert all(value > 0 for row in rows for value in (*row.before, *row.now))
        return rows

    rows = measured(model)
    assert [row.name for row in rows] == [*LINKS, "generated"]
    assert rows[-1].same == [1]
    found = {row.name: row.now[0] for row in rows}
    assert found["p99"] >= found["p50"]
    shown = " ".join(capsys.readouterr().out.split())
    for said in (
        "│ dim link, CPU s │ fp32 │",
        "200 entities",
        "GEMEL in fp32: 100.0% of its",
        "1 turn · load",
    ):
        assert said in shown
    assert len(json.loads((folder / "earlier.json").read_text())["rows"]) == len(rows)
    made = {path: path.stat().st_mtime_ns for path in folder.glob("*/*/*.json")}
    assert len(measured(None)) == len(LINKS)
    assert made == {path: path.stat().st_mtime_ns for path in made}


def test_what_cannot_be_measured_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a round at least"):
        bench_earlier(HERE, NONE, NONE, tmp_path, rounds=0)
    with pytest.raises(ConfigError, match="a checkout of dim at"):
        bench_earlier(tmp_path, NONE, NONE, tmp_path)


def test_a_command_that_fails_is_told_with_what_it_said(tmp_path: Path) -> None:
    with pytest.raises(DimError, match=r"prepare .* to end\nfound    exit 1\nto do    error: expected"):
        bench_earlier(HERE, tmp_path / "no_package", NONE, tmp_path / "kept")


def test_a_busy_machine_is_waited_for_and_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    loads = iter([(1.0, 0, 0), (0.5, 0, 0), (0.2, 0, 0), *[(4.0, 0, 0)] * 9])
    monkeypatch.setattr(clock.os, "getloadavg", lambda: next(loads))
    monkeypatch.setattr(clock, "_LOOK_S", 0)
    assert wait_until_quiet() == 0.2
    with pytest.raises(DimError, match=r"a load below 0.3 within 0 s\nfound    4.0\nto do    End what else runs"):
        wait_until_quiet(patience_s=0)
    monkeypatch.setattr(clock, "LOAD_BEFORE", 0.1)
    say_measured("3 turns")
    monkeypatch.setattr(clock, "LOAD_BEFORE", 2.5)
    say_measured()
    quiet, busy = capsys.readouterr().out.splitlines()
    assert quiet.endswith("3 turns · load 0.10 before")
    assert busy.endswith("load 2.50 before: busy, so that ratios in turns say more than seconds")
