"""A report shows what a judge gains by the share of mentions that it reads."""

import pytest
from run_folders import make_run

from dim.cli.report import report
from dim.report.comparison import compare
from dim.report.judged import judged_rows
from dim.report.plots import figures
from dim.report.reading import read_systems

STEP = {"calibration_error": 0.012}
JUDGE = {
    "judge": "tiny | judge", "share": 0.2, "p": 0.0123, "requests": 50, "tokens_in": 9000, "tokens_out": 100,
    "cost": 0.5, "before": {"top1": 0.5, **STEP}, "after": {"top1": 0.75, **STEP},
    "curve": [{"share": share, "top1": top1, **STEP} for share, top1 in ((0.0, 0.5), (0.1, 0.6), (0.2, 0.75))],
    "control": {"top1": 0.4, **STEP, "p": 0.5, "requests": 50, "tokens_in": 8000, "tokens_out": 0, "cost": None},
}  # fmt: skip


@pytest.fixture
def runs(tmp_path):
    plain = make_run(tmp_path / "plain", [1, 2, 1, 2])
    judged = make_run(tmp_path / "judged", [1, 1, 1, 2], method={"judge": JUDGE}, system="DIM + ranker + judge")
    return [plain, judged]


def comparison_of(runs):
    [group] = read_systems(runs, "dev").groups
    return compare(group, None, 100)


def test_each_share_has_its_row_and_the_control_its_own(runs):
    rows = judged_rows(comparison_of(runs))
    assert [row[2:6] for row in rows] == [
        ["0%", "50.0", "", "0.012"],
        ["10%", "60.0", "+10.0", "0.012"],
        ["20%", "75.0", "+25.0\np 0.0123", "0.012"],
        ["20%", "40.0", "-10.0\np 0.5000", "0.012"],
    ]
    assert rows[2][6:] == ["50", "9,100", "0.5000"]
    assert rows[3][1] == "tiny | judge, others' texts"


def test_of_several_seeds_the_one_whose_curve_it_is_is_named(tmp_path):
    for seed in range(2):
        facts = {"method": {"judge": JUDGE}, "system": "DIM + ranker + judge", "seed": seed}
        make_run(tmp_path / "judged" / f"seed{seed}", [1, 1, 1, 2 - seed], **facts)
    comparison = comparison_of([tmp_path])
    assert {row[0] for row in judged_rows(comparison)} == {"DIM + ranker + judge, seed0 of 2"}
    axes = figures(comparison)["Top-1 over the share of mentions judged"].axes[0]
    assert next(line.get_label() for line in axes.get_lines()) == "DIM + ranker + judge, seed0 of 2"


def test_every_format_has_the_table_and_pages_have_the_plot(runs, tmp_path):
    for name in ("r.md", "r.html", "r.tex", "r.csv"):
        report(runs, out=tmp_path / name)
    for name in ("r.md", "r.html", "r.tex"):
        assert "the share of mentions that a judge reads" in (tmp_path / name).read_text(), name
    assert "mentions judged, those of which the ranker is least sure" in (tmp_path / "r.html").read_text()
    assert "tiny \\| judge" in (tmp_path / "r.md").read_text()


def test_without_a_judge_there_is_neither(runs):
    comparison = comparison_of(runs[:1])
    assert judged_rows(comparison) == []
    assert "Top-1 over the share of mentions judged" not in figures(comparison)
