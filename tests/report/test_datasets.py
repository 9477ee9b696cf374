"""One table over datasets and texts, beside the tables of each dataset."""

import numpy as np
import pytest
from run_folders import make_run

from dim.cli.report import report
from dim.report.contents import gather
from dim.report.datasets import datasets_grids
from dim.report.reading import read_systems

QUALITY = {
    ("wikimel", "brief"): 0.5,
    ("wikimel", "refreshed"): 0.8,
    ("diverse", "brief"): 0.4,
    ("diverse", "refreshed"): 0.6,
}


def write_runs(folder, *, model="DIM", fusion="attention", protocol="full_kb", quality=QUALITY, suffix=""):
    for (dataset, text), share in quality.items():
        generator = np.random.default_rng(int(100 * share))
        for seed in range(2):
            ranks = np.where(generator.random(120) < share, 1, 3)
            make_run(
                folder / f"{dataset}_{text}{suffix}" / f"seed{seed}",
                ranks,
                # the untrained vectors read the text, too
                columns={"frozen_rank": [1.0 if i % (2 if text == "brief" else 4) else 5.0 for i in range(120)]},
                seed=seed,
                model=model,
                dataset=dataset,
                dataset_hash=f"hash of {dataset}",
                protocol=protocol,
                features={"entity_text": text, "text_hash": text},
                config={
                    "data": {"entity_text": text},
                    "model": {"class_path": model, "init_args": {"fusion": fusion} if fusion else {}},
                },
            )


def grids(folder):
    return datasets_grids(gather(read_systems([folder], "dev"), None, [], False, 500, "dim report"))


def test_columns_are_datasets_and_texts_and_rows_baselines_and_models(tmp_path):
    write_runs(tmp_path)
    write_runs(tmp_path, model="BM25", fusion=None, suffix="_bm25", quality={("wikimel", "brief"): 0.3})
    (grid,) = grids(tmp_path)
    assert [head.split("\n")[:2] for head in grid.head[1:]] == [
        ["diverse", "name + brief"], ["diverse", "name + refreshed"],
        ["wikimel", "name + brief"], ["wikimel", "name + refreshed"],
    ]  # fmt: skip
    assert all("n 120" in head and "KB 9" in head for head in grid.head[1:])
    labels = [row[0].split("\n")[0] for row in grid.rows]
    assert labels == [
        "names only (string floor)", "frozen vectors (untrained)", "DIM (attention)", "Δ to the original text",
        "p (Holm)", "BM25",
    ]  # fmt: skip
    by_label = dict(zip(labels, grid.rows, strict=True))
    assert by_label["BM25"][1:3] == ["not run", "not run"]
    assert by_label["BM25"][3].startswith("3")
    frozen = [cell.split("\n") for cell in by_label["frozen vectors (untrained)"][1:]]
    assert [value for value, _ in frozen] == ["50.0", "75.0"] * 2
    for value, bounds in frozen:
        low, high = map(float, bounds.strip("[]").split(", "))
        assert low <= float(value) <= high
    assert all("±" in cell and "[" in cell for cell in by_label["DIM (attention)"][1:])
    assert by_label["Δ to the original text"][1] == by_label["Δ to the original text"][3] == "reference"
    assert by_label["Δ to the original text"][4].startswith("+")
    assert "diverse_brief, diverse_refreshed, wikimel_brief" in by_label["DIM (attention)"][0]


def test_two_systems_of_one_model_are_rows_of_their_own(tmp_path):
    write_runs(tmp_path)
    write_runs(tmp_path, suffix="_z", quality={("diverse", "brief"): 0.2})
    (grid,) = grids(tmp_path)
    rows = [row for row in grid.rows if row[0].startswith("DIM")]
    assert [row[0] for row in rows][1] == "DIM (attention)\ndiverse_brief_z"
    assert rows[1][2:] == ["not run"] * 3


def test_a_row_holds_one_ablation_and_not_another_of_another_dataset(tmp_path):
    ran = {"wikimel": (None, "context", "spelling"), "diverse": (None, "spelling")}
    for dataset, ablations in ran.items():
        for place, left_out in enumerate(ablations):
            features = {"entity_text": "brief", "text_hash": "t"} | ({"leave_out": left_out} if left_out else {})
            make_run(
                tmp_path / f"{dataset}{f'+no_{left_out}' if left_out else ''}",
                [1] * (5 - place) + [3] * place,
                dataset=dataset,
                dataset_hash=f"hash of {dataset}",
                features=features,
                config={"data": {"entity_text": "brief", "leave_out": [left_out] if left_out else []}},
            )
    (grid,) = grids(tmp_path)
    rows = {row[0].split("\n")[1]: [cell.split("\n")[0] for cell in row[1:]] for row in grid.rows if "DIM" in row[0]}
    assert rows == {
        "diverse, wikimel": ["100.0", "100.0"],
        "diverse+no_spelling, wikimel+no_spelling": ["80.0", "60.0"],
        "wikimel+no_context": ["not run", "80.0"],
    }


def test_untrained_vectors_of_two_kinds_say_whose_they_are(tmp_path):
    write_runs(tmp_path)
    one = {("diverse", "brief"): 0.3}
    write_runs(tmp_path, suffix="_z", quality=one)
    columns = {"frozen_rank": [1.0] * 30 + [5.0] * 90}
    for name in ("x", "y"):
        facts = {"dataset": "diverse", "dataset_hash": "hash of diverse", "columns": columns}
        make_run(tmp_path / name, [1] * 120, **facts, features={"entity_text": "brief", "text_hash": "brief"})
    (grid,) = grids(tmp_path)
    row = next(row for row in grid.rows if row[0].startswith("frozen vectors"))
    assert row[1].startswith("50.0\n")
    assert row[1].endswith("\nof diverse_brief and 1 more")
    assert [cell.count("\n") for cell in row[2:]] == [1, 1, 1]


def test_what_has_a_name_of_its_own_is_no_row_of_its_class(tmp_path):
    write_runs(tmp_path)
    for dataset in ("wikimel", "diverse"):
        facts = {"dataset": dataset, "dataset_hash": f"hash of {dataset}", "system": "DIM + ranker"}
        features = {"entity_text": "brief", "text_hash": "brief"}
        make_run(tmp_path / f"ranked_{dataset}", [1] * 60 + [3] * 60, features=features, **facts)
    (grid,) = grids(tmp_path)
    labels = [row[0] for row in grid.rows]
    assert labels.count("DIM (attention)\ndiverse_brief, diverse_refreshed, wikimel_brief, wikimel_refreshed") == 1
    assert labels.count("DIM + ranker") == 1


def test_a_single_dataset_and_other_protocols_have_no_such_table(tmp_path):
    write_runs(tmp_path / "a", quality={key: share for key, share in QUALITY.items() if key[0] == "diverse"})
    assert grids(tmp_path / "a") == []
    write_runs(tmp_path / "a", protocol="candidates(names, 9)", suffix="_c", quality={("wikimel", "brief"): 0.5})
    assert grids(tmp_path / "a") == []


@pytest.mark.parametrize("suffix", ["md", "html"])
def test_it_ends_the_report_in_every_form(tmp_path, suffix, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    write_runs(tmp_path / "runs")
    report([tmp_path / "runs"], out=[tmp_path / f"report.{suffix}"], rounds=200)
    shown, written = capsys.readouterr().out, (tmp_path / f"report.{suffix}").read_text()
    for text in (shown, written):
        assert text.rindex("Datasets and texts") > text.rindex("over entity texts")
        assert text.rindex("Datasets and texts") < text.rindex("percentile bootstrap")
