import io
import re

import numpy as np
import pandas as pd
import pytest
from run_folders import FACTS, make_run

from dim.cli.report import report
from dim.errors import ConfigError, DataError


@pytest.fixture
def folder(tmp_path):
    generator = np.random.default_rng(0)
    for name, quality, text in (("a", 0.5, "brief"), ("b", 0.8, "refreshed")):
        for seed in range(2):
            make_run(
                tmp_path / "runs" / name / f"seed{seed}",
                np.where(generator.random(80) < quality, 1, 30),
                seed=seed,
                dataset="WikiMEL",
                protocol="candidates(released, 100, gold injected)",
                candidate_recall=0.97,
                features={"entity_text": text, "text_hash": text},
                config=FACTS["config"] | {"data": {"entity_text": text}},
            )
    (tmp_path / "runs" / "broken").mkdir()
    return tmp_path


def test_the_terminal_names_everything_that_a_number_depends_on(folder, capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)  # which xdist sets
    report([folder / "runs"], by="seen_in_train", rounds=200)
    shown = " ".join(capsys.readouterr().out.split())
    for words in (
        "candidates(released, 100, gold injected)", "KB 9", "kkkkkkkk", "n 80", "names only", "frozen vectors",
        "97.0", "p (Holm)", "win/tie/loss", "reference", "seen in training", "name + refreshed", "Not run: name only",
        "GHMFC (quoted)", "protocol not verified", "broken: empty folder", "one test, so uncorrected",
    ):  # fmt: skip
        assert words in shown, words
    assert re.search(r"\d\d\.\d ± \d+\.\d", shown)
    assert re.search(r"\[\d\d\.\d, \d\d\.\d\]", shown)
    assert "has_image" not in shown


def test_in_a_pipe_no_line_is_folded_and_none_is_padded(folder, capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    report([folder / "runs"], by="seen_in_train", rounds=200)
    whole = capsys.readouterr().out.splitlines()
    monkeypatch.setenv("COLUMNS", "60")
    report([folder / "runs"], by="seen_in_train", rounds=200)
    narrow = capsys.readouterr().out.splitlines()
    tables = [line for line in narrow if "│" in line or "┃" in line]
    assert max(map(len, tables)) <= 60
    rows = [line for line in whole if "GHMFC (quoted)" in line]
    assert rows
    assert len(whole) < len(narrow)
    assert 60 < max(len(line.rstrip()) for line in whole if "│" in line) < 400


def test_the_same_command_gives_the_same_files(folder):
    files = [folder / name for name in ("r.md", "r.csv", "r.html", "r.tex")]
    report([folder / "runs"], out=files, rounds=200)
    first = [path.read_bytes() for path in files]
    report([folder / "runs"], out=files, rounds=200)
    assert [path.read_bytes() for path in files] == first


def test_markdown_has_whole_tables_and_all_breakdowns(folder):
    report([folder / "runs"], out=folder / "r.md", rounds=200)
    text = (folder / "r.md").read_text()
    tables = re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE)
    assert len(tables) >= 6
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1
    assert "popularity: the KB has none" in text
    assert "KB 9<br>kkkkkkkk" in text
    assert "dim report" in text
    assert "c0ffee" in text


def test_csv_gives_every_number_its_own_row(folder):
    report([folder / "runs"], out=[folder / "r.csv"], rounds=200)
    table = pd.read_csv(folder / "r.csv")
    runs = table[(table["kind"] == "run") & table["breakdown"].isna()]
    ranks = (
        pd.read_parquet(folder / "runs" / "b" / "seed0" / "ranks.parquet")["rank"],
        pd.read_parquet(folder / "runs" / "b" / "seed1" / "ranks.parquet")["rank"],
    )
    top1 = runs[(runs["system"] == "b") & (runs["metric"] == "top1")].iloc[0]
    assert top1["value"] == pytest.approx(np.mean([(r <= 1).mean() for r in ranks]))
    assert (top1["kb_size"], top1["kb_hash"], top1["seeds"]) == (9, "k" * 16, 2)
    assert {"baseline", "run", "difference", "text difference", "quoted", "not compared"} == set(table["kind"].dropna())
    difference = table[table["kind"] == "difference"].iloc[0]
    assert difference[["wins", "ties", "losses"]].sum() == 80
    assert table[table["breakdown"] == "seen_in_train"]["part_n"].unique().tolist() == [40]


def test_published_figures_can_be_left_out_and_their_absence_is_one_line(folder, capsys):
    report([folder / "runs"], published=False, rounds=200)
    assert "quoted" not in capsys.readouterr().out
    make_run(folder / "own" / "a", [1, 2])
    report([folder / "own"], rounds=200)
    assert "no published figure under this protocol and KB size" in capsys.readouterr().out


def test_one_run_alone_is_shown_without_tests(tmp_path, capsys):
    make_run(tmp_path / "a", [1, 2, 1])
    report([tmp_path / "a"], rounds=200)
    shown = capsys.readouterr().out
    assert "p (Holm)" not in shown
    assert "66.7" in shown


def test_what_cannot_be_done_is_said_before_anything_is_written(folder):
    with pytest.raises(ConfigError, match=r"\.md, \.csv, \.html[\s\S]*r\.pdf"):
        report([folder / "runs"], out=folder / "r.pdf")
    with pytest.raises(ConfigError, match="at least 100 rounds"):
        report([folder / "runs"], rounds=5)
    with pytest.raises(ConfigError, match=r"one of the systems[\s\S]*'z'"):
        report([folder / "runs"], against="z")
    with pytest.raises(ConfigError, match=r"a column of ranks.parquet[\s\S]*'smell'"):
        report([folder / "runs"], by="smell", rounds=200)
    with pytest.raises(DataError, match="empty folder"):
        report([folder / "runs" / "broken"])


def test_a_generative_run_reads_na_beyond_its_beams(tmp_path, capsys):
    make_run(tmp_path / "a", [1, np.nan], protocol="generative(5 beams)", top10=None, top20=None)
    report([tmp_path / "a"], out=tmp_path / "r.csv", rounds=200)
    make_run(tmp_path / "b", [1, 2], protocol="generative(5 beams)", top10=None, top20=None)
    report([tmp_path / "a", tmp_path / "b"], out=tmp_path / "r.md", rounds=200)
    shown = capsys.readouterr().out
    assert "n/a" in shown
    for text in (shown, (tmp_path / "r.md").read_text()):
        assert "A gold beyond their answers counts 0 in MRR, a lower bound then: a." in text
    table = pd.read_csv(io.StringIO((tmp_path / "r.csv").read_text()))
    assert table[(table["system"] == "a") & (table["metric"] == "top10")]["value"].isna().all()
