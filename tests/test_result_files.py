"""Results are kept by split and protocol, and a figure at the top level never changes its meaning."""

import json

import pandas as pd
import pytest

from dim.errors import DataError
from dim.evaluation.result_files import read_results, without_nan, write_identity, write_result


def write(run, split, protocol, ranks, identity=None, checkpoint=None, **options):
    ids = [f"{split}-{place}" for place in range(len(ranks))]
    frame = pd.DataFrame({"mention_id": ids, "split": split, "protocol": protocol, "rank": ranks})
    metrics = {"split": split, "protocol": protocol, "top1": sum(rank == 1 for rank in ranks) / len(ranks)}
    metrics |= {} if checkpoint is None else {"checkpoint": checkpoint}
    write_result(run, frame, metrics, identity, **options)


def top_of(run):
    document = json.loads((run / "metrics.json").read_text())
    return document.get("split"), document.get("protocol"), document.get("top1")


def test_a_result_stays_when_another_split_or_protocol_is_evaluated(tmp_path):
    write(tmp_path, "dev", "full_kb", [1, 1])
    write(tmp_path, "dev", "candidates(names, 5)", [1, 2])
    write(tmp_path, "test", "full_kb", [2, 2])
    results = read_results(tmp_path)
    figures = {key: entry["top1"] for key, entry in results.entries.items()}
    assert figures == {("dev", "full_kb"): 1.0, ("dev", "candidates(names, 5)"): 0.5, ("test", "full_kb"): 0.0}
    assert results.ranks("dev", "full_kb")["rank"].tolist() == [1, 1]
    assert results.ranks("dev", "candidates(names, 5)")["rank"].tolist() == [1, 2]
    assert results.entry("dev")["protocol"] == "full_kb"
    write(tmp_path, "dev", "candidates(names, 5)", [2, 2])
    again = read_results(tmp_path)
    assert again.ranks("dev", "candidates(names, 5)")["rank"].tolist() == [2, 2]
    assert len(pd.read_parquet(tmp_path / "ranks.parquet")) == 6


def test_figures_beside_ranks_of_another_evaluation_are_told(tmp_path):
    write(tmp_path, "dev", "full_kb", [1, 2, 3])
    write(tmp_path, "test", "full_kb", [1])
    before = (tmp_path / "metrics.json").read_bytes()
    write(tmp_path, "dev", "full_kb", [1, 3, 2])
    (tmp_path / "metrics.json").write_bytes(before)  # as a kill between the two files leaves it
    results = read_results(tmp_path)
    with pytest.raises(DataError, match=r"of one evaluation in .*\nfound .*one was killed as it wrote them\nto do"):
        results.ranks("dev")
    assert results.ranks("test")["rank"].tolist() == [1]
    write(tmp_path, "test", "full_kb", [2])  # another result does not make it right
    with pytest.raises(DataError, match="of one evaluation"):
        read_results(tmp_path).ranks("dev")
    write(tmp_path, "dev", "full_kb", [1, 3, 2])
    assert read_results(tmp_path).ranks("dev")["rank"].tolist() == [1, 3, 2]


def test_the_top_level_is_dev_as_fit_evaluated_it_whatever_comes_later(tmp_path):
    write(tmp_path, "dev", "full_kb", [1, 1], of_owner=True)
    write(tmp_path, "dev", "candidates(names, 5)", [1, 2])
    write(tmp_path, "test", "full_kb", [2, 2])
    assert top_of(tmp_path) == ("dev", "full_kb", 1.0)


def test_without_dev_the_top_level_shows_no_figure(tmp_path):
    write(tmp_path, "test", "full_kb", [2, 2])
    assert top_of(tmp_path) == (None, None, None)
    write(tmp_path, "dev", "full_kb", [1, 2])
    assert top_of(tmp_path) == ("dev", "full_kb", 0.5)


def test_what_fit_evaluates_later_leads_over_what_was_evaluated_before(tmp_path):
    write(tmp_path, "dev", "candidates(names, 5)", [1, 2], {"method": "a"})
    write(tmp_path, "dev", "full_kb", [1, 1], {"method": "a"}, of_owner=True)
    assert top_of(tmp_path) == ("dev", "full_kb", 1.0)
    assert set(read_results(tmp_path).entries) == {("dev", "candidates(names, 5)"), ("dev", "full_kb")}


def test_results_of_what_a_run_was_before_do_not_stand_beside_those_of_what_it_is(tmp_path, capsys):
    write(tmp_path, "test", "full_kb", [1, 1], {"ranker": 1}, of_owner=True)
    write(tmp_path, "dev", "full_kb", [1, 2], {"ranker": 2}, of_owner=True)
    assert set(read_results(tmp_path).entries) == {("dev", "full_kb")}
    assert set(pd.read_parquet(tmp_path / "ranks.parquet")["split"]) == {"dev"}
    assert "takes its results along: test under full_kb" in capsys.readouterr().err


def test_figures_of_other_weights_stand_apart_and_never_lead(tmp_path):
    best, last = ({"file": f"checkpoints/{name}.ckpt"} for name in ("best", "last"))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "best.ckpt").touch()
    for split in ("test", "dev"):
        write(tmp_path, split, "full_kb", [3, 3], checkpoint=last)
        assert top_of(tmp_path) == (None, None, None)
        assert read_results(tmp_path).entry(split) is None  # unless they are named
        assert read_results(tmp_path).entry(split, "full_kb @ checkpoints/last.ckpt")["top1"] == 0
    write(tmp_path, "dev", "full_kb", [1, 1], checkpoint=best)
    write(tmp_path, "dev", "full_kb", [2, 2], checkpoint=last)
    assert top_of(tmp_path) == ("dev", "full_kb", 1.0)
    results = read_results(tmp_path)
    assert results.labels("dev") == ["full_kb", "full_kb @ checkpoints/last.ckpt"]
    assert results.entry("dev")["checkpoint"] == best
    assert results.entry("dev", "full_kb @ checkpoints/last.ckpt")["protocol"] == "full_kb"
    assert results.ranks("dev")["rank"].tolist() == [1, 1]
    assert results.ranks("dev", "full_kb @ checkpoints/last.ckpt")["rank"].tolist() == [2, 2]
    write(tmp_path, "test", "full_kb", [1, 1], checkpoint=best)
    assert read_results(tmp_path).ranks("test")["rank"].tolist() == [1, 1]


def test_a_run_without_weights_of_its_own_is_of_those_that_it_was_given(tmp_path):
    write(tmp_path, "dev", "full_kb", [1, 2], checkpoint={"file": "/elsewhere/best.ckpt"})
    assert top_of(tmp_path) == ("dev", "full_kb", 0.5)


def test_the_identity_is_what_the_owner_said(tmp_path):
    write_identity(tmp_path, {"method": "a"})
    write(tmp_path, "test", "full_kb", [1], {"method": "b"})
    assert read_results(tmp_path).identity == {"method": "a"}


@pytest.mark.parametrize(
    ("text", "found"),
    [("", "is empty"), ("{", "cannot be read"), ("[]", "cannot be read"), ("{}", "holds no results by split")],
)
def test_a_damaged_file_is_named_and_nothing_is_written_over_it(tmp_path, text, found):
    (tmp_path / "metrics.json").write_text(text)
    with pytest.raises(DataError, match=rf"metrics.json {found}[\s\S]*evaluate again"):
        write(tmp_path, "dev", "full_kb", [1])
    assert (tmp_path / "metrics.json").read_text() == text


@pytest.mark.parametrize(
    ("folder", "command"), [("run", "dim validate"), ("ranked", "dim rank"), ("judged", "dim judge")]
)
def test_a_damaged_file_is_written_again_by_the_command_that_wrote_it(tmp_path, folder, command):
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "metrics.json").write_text("{")
    with pytest.raises(DataError, match=rf"metrics.json cannot be read[\s\S]*evaluate again: {command}"):
        read_results(tmp_path / folder)


def test_what_is_not_defined_is_null_in_json():
    assert without_nan({"a": {"b": float("nan")}, "c": 1.0}) == {"a": {"b": None}, "c": 1.0}
