import json
import re
from pathlib import Path

import pytest
from audit_worlds import draw, mention_table, write_world
from releases import write_dim_release

from dim.cli.audit import audit
from dim.data.dataset import Dataset
from dim.errors import ConfigError


@pytest.fixture
def data(tmp_path: Path) -> Path:
    draw(tmp_path / "images")
    mentions = mention_table()
    mentions.loc["dev-0", "context"] = mentions.loc["train-0", "context"]
    return write_world(tmp_path, mentions).root


def words(text: str) -> str:
    return re.sub(r"[\s│]+", " ", text)


def test_the_table_has_a_verdict_a_line_and_the_json_holds_the_same(
    data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    found = audit(data)
    text = capsys.readouterr().out
    lines = [line for line in text.splitlines() if re.match(r"│ (ok|note|warning|leak|not checked) ", line)]
    assert len(lines) == len(found.findings)
    assert "leak dev: captions that stand in train too 1 of 8 The gold of the sibling in train is never" in words(text)
    assert "first: dev-0 ~ train-0" in text
    assert "leak 1 · warning 0 · note 0 · ok 32 · not checked 0" in text
    assert json.loads((data / "audit.json").read_text()) == found.as_json()


def test_subsets_and_json_are_written_where_asked_and_the_original_stays(data: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}
    found = audit(data, out=tmp_path / "a.json", write_clean=tmp_path / "clean", write_hard=tmp_path / "hard")
    assert {path: path.read_bytes() for path in data.rglob("*") if path.is_file()} == before
    assert json.loads((tmp_path / "a.json").read_text()) == found.as_json()
    assert "dev-0" not in set(Dataset(tmp_path / "clean").mentions["id"])
    assert Dataset(tmp_path / "hard").meta["derived_from"]["subset"] == "hard"
    audit(data, out=tmp_path / "clean", image_distance=3)
    assert json.loads((tmp_path / "clean" / "audit.json").read_text())["thresholds"]["image_distance"] == 3


def test_a_release_is_prepared_first(tmp_path: Path) -> None:
    found = audit(write_dim_release(tmp_path / "wikimel"), cache_dir=tmp_path / "cache")
    (path,) = (tmp_path / "cache" / "datasets").glob("*/audit.json")
    assert json.loads(path.read_text())["dataset_hash"] == found.dataset_hash == Dataset(path.parent).hash


def test_what_must_not_be_written_over_is_refused_before_any_work(data: Path, tmp_path: Path) -> None:
    for options in ({"write_clean": data}, {"write_hard": data}, {"write_clean": data, "write_hard": tmp_path / "h"}):
        with pytest.raises(ConfigError, match="the folder itself"):
            audit(data, **options)
    with pytest.raises(ConfigError, match="two folders for --write_clean and --write_hard"):
        audit(data, write_clean=tmp_path / "a", write_hard=tmp_path / "x" / ".." / "a")
    with pytest.raises(ConfigError, match="a new file, or an audit written before"):
        audit(data, out=data / "dataset.json")
    with pytest.raises(ConfigError, match="from 0 to 64 bits"):
        audit(data, image_distance=65)
    assert not (data / "audit.json").exists()
    assert not (tmp_path / "h").exists()


def test_the_command_line_is_the_signature(data: Path, tmp_path: Path) -> None:
    from jsonargparse import auto_cli

    args = [str(data), "--write_clean", str(tmp_path / "clean"), "--image_distance", "2", "--with_tune", "true"]
    auto_cli(audit, args=args, as_positional=True)
    document = json.loads((data / "audit.json").read_text())
    assert document["thresholds"]["image_distance"] == 2
    assert Dataset(tmp_path / "clean").name == "world-clean"
