import gzip
import json
import os
from pathlib import Path

import pytest

from benchmarks.dump import bench_dump, memory_of
from benchmarks.made_up_dump import write_dump
from dim.errors import ConfigError


@pytest.mark.long
def test_a_dump_is_timed_against_json_loads(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    results = bench_dump(num_lines=2000, classes="Q5", folder=tmp_path / "dump")
    assert results["ratio"] == pytest.approx(results["prepare_seconds"] / results["load_seconds"])
    assert results["load_seconds"] < results["load_and_unpack_seconds"]
    assert 0 < results["entities_per_second"] < results["lines_per_second"] / 3
    assert results["memory"] > 100  # pandas and two workers
    shown = capfd.readouterr().out
    assert "2,000 lines" in shown
    assert "goals: ratio ≤ 2.5, memory ≤ 500 MB" in shown
    with pytest.raises(ConfigError):
        bench_dump(num_lines=10, folder=tmp_path / "dump")


def test_the_dump_is_the_same_every_time_and_of_wikidatas_shape(tmp_path: Path) -> None:
    sizes = [write_dump(tmp_path / name, 1000) for name in ("a.json.gz", "b.json")]
    text = gzip.decompress((tmp_path / "a.json.gz").read_bytes())
    assert text == (tmp_path / "b.json").read_bytes()
    assert sizes == [len(text)] * 2
    items = json.loads(text)
    assert len(items) == 1000
    assert [item["type"] for item in items].count("property") == 1
    human = sum(
        item["claims"]["P31"][0]["mainsnak"]["datavalue"]["value"]["id"] == "Q5" for item in items if item["claims"]
    )
    assert 150 < human < 250


def test_memory_is_that_of_children_too() -> None:
    assert memory_of(os.getpid()) > 50
    assert memory_of(2**22 + 1) == 0
