import json
from pathlib import Path

import pytest

from benchmarks.convert import MAX_MEMORY, bench_convert, write_release
from dim.errors import ConfigError
from dim.releases.mimic import Mimic


@pytest.mark.long
def test_conversion_is_timed_against_a_plain_load(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    results = bench_convert(num_entities=2000, num_mentions=300, folder=tmp_path / "release", rounds=1)
    assert results["ratio"] == pytest.approx(results["convert_seconds"] / results["load_seconds"])
    assert 5 < results["load_memory"] < results["convert_memory"] < MAX_MEMORY
    assert results["audit_seconds"] > 0
    # In MB: an interpreter with nothing but json and the data is far below pandas.
    assert results["load_memory"] < 100 < results["audit_memory"]
    shown = capfd.readouterr().out
    assert "2,000 entities, 300 mentions" in shown
    assert "goal < 2,000" in shown
    assert "dim prepare, once" in shown
    assert "commit" in shown
    assert json.loads((tmp_path / "release" / "qid2id.json").read_text())["Q2000"] == 1999


def test_the_release_is_one_that_the_converter_reads_in_full(tmp_path: Path) -> None:
    num_bytes = write_release(tmp_path / "a", num_entities=500, num_mentions=100)
    release = Mimic().read(tmp_path / "a")
    assert num_bytes == sum(path.stat().st_size for path in (tmp_path / "a").glob("*.json"))
    assert release.name == "RichpediaMEL-MIMIC"
    assert (len(release.entities), len(release.mentions), release.skipped.total) == (500, 100, 0)
    assert release.mentions["split"].value_counts().to_dict() == {"train": 70, "test": 20, "dev": 10}
    assert release.mentions["entity_id"].isna().sum() == 2
    assert 200 < release.texts["brief"]["text"].str.len().mean() < 400
    assert not release.entities["name"].str.contains("%").any()
    assert (release.entities["images"].map(len) > 0).any()
    write_release(tmp_path / "b", num_entities=500, num_mentions=100)
    for path in (tmp_path / "a").glob("*.json"):
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    with pytest.raises(ConfigError, match="a new or empty folder"):
        bench_convert(num_entities=10, num_mentions=10, folder=tmp_path)
