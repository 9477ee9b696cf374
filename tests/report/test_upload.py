import json
import re

from run_folders import make_run
from waiting import wait_until

from dim.cli.report import report


def test_tables_plots_and_ranks_are_logged_offline(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_SILENT", "true")
    make_run(tmp_path / "runs" / "a", [1, 2, 1, 1])
    make_run(tmp_path / "runs" / "b", [1, 1, 1, 1])
    report([tmp_path / "runs"], wandb="dim-test", rounds=200)
    place = re.search(r"logged to Weights & Biases: (.*)", capsys.readouterr().out)
    assert place is not None
    (run,) = (tmp_path / "wandb").glob("offline-run-*")
    media = run / "files" / "media"
    assert len(list(media.rglob("*.png"))) == 3
    tables = [json.loads(path.read_text()) for path in media.rglob("*.table.json")]
    comparison = next(table for table in tables if table["columns"][0] == "system" and "seeds" in table["columns"])
    assert [row[0] for row in comparison["data"]][-2:] == ["a", "b"]
    (log,) = run.glob("*.wandb")
    wait_until(lambda: b"ranks-" in log.read_bytes())  # another process writes it, to its end after `finish` returned
