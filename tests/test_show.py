import os
import re
from pathlib import Path

import pandas as pd
import pytest
from releases import write_dim_release, write_image, write_table, write_tables

from dim.cli.show import show
from dim.data.dataset import Dataset, write_dataset
from dim.errors import DataError
from dim.evaluation.result_files import write_result
from dim.releases.prepare import prepare


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return prepare(write_dim_release(tmp_path / "wikimel", images=True), tmp_path / "out")


def shown(capsys: pytest.CaptureFixture[str], *args: object, **options: object) -> str:
    capsys.readouterr()
    show(*args, **options)  # type: ignore[arg-type]
    return re.sub(r"[ \n]+", " ", capsys.readouterr().out)


def write_run(
    run: Path, dataset_hash: str, mention_id: str = "train-000001", score: float = 0.9, protocol: str = "full_kb"
) -> Path:
    split = mention_id.partition("-")[0]
    rows = {
        "mention_id": [mention_id],
        "split": [split],
        "protocol": [protocol],
        "gold": ["Q101"],
        "rank": [2.0],
        "floor_rank": [4.0],
        "top_ids": [["Q100", "Q101"]],
        "top_scores": [[score, 0.25]],
    }
    metrics = {"split": split, "protocol": protocol, "dataset_hash": dataset_hash}
    write_result(run, pd.DataFrame(rows), metrics, None)
    return run


def test_a_mention_is_shown_with_every_field(
    dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = shown(capsys, "train-000001", dataset.root, runs=tmp_path / "runs")
    for line in (
        "mention train-000001",
        "mention Turing",
        "context Lovelace and Turing at meeting 0",
        "characters 13 to 19",
        "gold Q101 Alan Turing",
        "text 'brief' Occupation: scientist Q101.",
        "text 'brief_long' A long text of Q101.",
        "candidates 2 Q101 Alan Turing Q100 Ada Lovelace",
        "key 0-1",
        "no run on this dataset yet",
    ):
        assert line in text
    assert "0.jpg(isthere)" in text.replace(" ", "")


def test_ranks_by_names_and_aliases_are_shown_where_the_run_has_them(
    dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path / "runs/a", dataset.hash)
    assert "aliases" not in shown(capsys, "train-000001", dataset.root, run=run)
    path = run / "ranks.parquet"
    pd.read_parquet(path).assign(alias_floor_rank=[1.0]).to_parquet(path)
    assert "rank by name only 4 rank by names and aliases 1" in shown(capsys, "train-000001", dataset.root, run=run)


def test_an_image_without_a_file_is_shown_as_such(
    dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "wikimel" / "images" / "0.jpg").unlink()
    assert "nosuchfile" in shown(capsys, "train-000001", dataset.root).replace(" ", "")


def test_an_entity_is_shown_with_its_mentions(dataset: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "Q107", dataset.root)
    assert "entity Q107 name Tony Hoare" in text
    assert "text 'brief' - text 'brief_long' A long text of Q107." in text
    assert "train-000007, train-000015" in text


def test_an_entity_of_own_tables_shows_its_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = prepare(write_tables(tmp_path / "mine"), tmp_path / "out")
    text = shown(capsys, "1", own.root)
    assert "aliases Turing, Professor Turing" in text
    assert "popularity 10.5" in text
    assert "born 1901" in text


def test_a_nil_mention_with_many_candidates_is_shown_in_short(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entities = [{"id": n, "name": f"Name {n}"} for n in range(15)]
    candidates = "|".join(str(n) for n in range(12))
    mentions = [{"mention": "A", "context": c, "entity_id": "nil", "candidates": candidates} for c in "ab"]
    mentions.append({"mention": "B", "context": "b", "entity_id": 14, "candidates": candidates})
    write_table(tmp_path / "mine" / "entities.csv", entities)
    write_table(tmp_path / "mine" / "mentions.csv", mentions)
    own = prepare(tmp_path / "mine", tmp_path / "out")
    text = shown(capsys, "mention-000000", own.root)
    assert "gold NIL" in text
    assert "candidates 12 0 Name 0" in text
    assert "9 Name 9 … and 2 more" in text
    assert "candidates 12, the gold not among them" in shown(capsys, "mention-000002", own.root)
    assert "gold of no mention" in shown(capsys, "5", own.root)


def test_the_newest_run_on_this_dataset_answers(
    dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = tmp_path / "runs"
    old = write_run(runs / "old", dataset.hash, score=0.1)
    os.utime(old / "ranks.parquet", (1, 1))
    write_run(runs / "new", dataset.hash)
    other = write_run(runs / "other", "of another dataset", score=0.2)
    os.utime(other / "ranks.parquet", (2**32, 2**32))
    text = shown(capsys, "train-000001", dataset.root, runs=runs)
    assert "rank of the gold 2 rank by name only 4" in text
    assert "answer 1 0.9000 Q100 Ada Lovelace answer 2 0.2500 Q101 Alan Turing ← gold" in text
    assert "0.1000 Q100" in shown(capsys, "train-000001", dataset.root, run=old)


def test_the_answer_under_another_protocol_is_shown_when_it_is_named(
    dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path / "run", dataset.hash, score=0.9)
    write_run(run, dataset.hash, score=0.3, protocol="candidates(names, 5)")
    assert "protocol full_kb rank of the gold" in shown(capsys, "train-000001", dataset.root, run=run)
    text = shown(capsys, "train-000001", dataset.root, run=run, protocol="candidates(names, 5)")
    assert "answer 1 0.3000" in text
    text = shown(capsys, "train-000001", dataset.root, run=run, protocol="generative")
    assert "did not evaluate this mention under generative (it holds train under full_kb; train under cand" in text


def test_a_mention_that_the_run_did_not_evaluate_is_no_error(
    dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path / "run", dataset.hash, mention_id="dev-000000")
    assert "did not evaluate this mention (it holds dev under full_kb)" in shown(
        capsys, "train-000001", dataset.root, run=run
    )


def test_a_run_on_another_dataset_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", "0123")
    with pytest.raises(DataError, match=r"expected a run on wikimel \(hash .*\nfound    a run on the dataset 0123"):
        show("train-000001", dataset.root, run=run)
    with pytest.raises(DataError, match=r"found    no metrics.json and ranks.parquet"):
        show("train-000001", dataset.root, run=tmp_path)


@pytest.mark.parametrize(
    ("wanted", "near"),
    [
        ("train-1", "train-000001"),
        ("Q10", "Q10"),
        ("alan turing", "Q101"),
        ("§", "Ids are such as train-000000 and Q1"),
    ],
)
def test_an_unknown_id_names_the_nearest(dataset: Dataset, wanted: str, near: str) -> None:
    with pytest.raises(DataError) as caught:
        show(wanted, dataset.root)
    assert f"found    '{wanted}'" in str(caught.value)
    assert near in str(caught.value).splitlines()[2]


def test_a_release_can_be_shown_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_dim_release(tmp_path / "release")
    assert "name Alan Turing" in shown(capsys, "Q101", root, cache_dir=tmp_path / "cache")


def test_a_region_is_shown_as_its_file_and_box(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_image(tmp_path / "images" / "a.jpg")
    write_image(tmp_path / "secret.jpg")
    images = [["a.jpg#xywh=1.5,2,3,4"], ["b.jpg#xywh=0,0,3,4", "../secret.jpg"]]
    dataset = write_dataset(
        tmp_path / "d",
        name="d",
        entities=pd.DataFrame({"id": ["Q1"], "name": ["Ada"]}),
        texts={},
        mentions=pd.DataFrame({"id": ["m0", "m1"], "split": "train", "mention": "", "context": "", "images": images}),
        image_root=str(tmp_path / "images"),
    )
    assert "a.jpg (is there, box at 1.5, 2 of 3 × 4 pixels)" in shown(capsys, "m0", dataset.root)
    said = shown(capsys, "m1", dataset.root)
    assert "b.jpg (no such file, box at 0, 0 of 3 × 4 pixels)" in said
    assert "secret.jpg (outside the image folder)" in said
