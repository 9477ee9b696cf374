import json

import numpy as np
import pandas as pd
import pytest

from dim.__main__ import main
from dim.errors import DataError
from dim.evaluation.foreign import GAP, REPEATED_ENTITY, UNKNOWN_ENTITY, read_ranks
from dim.records import write_dataset

NAN = float("nan")


@pytest.fixture
def dataset(tmp_path):
    golds = ["e1", "e2", None, "e3"]
    return write_dataset(
        tmp_path / "d",
        name="d",
        entities=pd.DataFrame({"id": ["e1", "e2", "e3", "e4"], "name": ["Ann", "Bob", "Cid", "Dan"]}),
        texts={},
        mentions=pd.DataFrame(
            {
                "id": [f"dev-{i}" for i in range(4)],
                "split": "dev",
                "mention": ["Ann", "Bo", "Zoe", "Cid"],
                "context": [f"sentence {i}" for i in range(4)],
                "entity_id": golds,
            }
        ),
    )


def ranks_of(dataset, rows, path, suffix=".jsonl"):
    file = path / f"ranks{suffix}"
    if suffix == ".parquet":
        pd.DataFrame(rows).to_parquet(file)
    elif suffix == ".csv":
        pd.DataFrame(rows).to_csv(file, index=False)
    else:
        file.write_text("\n".join(json.dumps(row) for row in rows))
    return file, read_ranks(file, dataset, dataset.split("dev"))


LISTS = [
    {"mention_id": "dev-0", "entity_ids": ["e2", "e1"]},
    {"mention_id": "dev-1", "entity_ids": ["e2", "e1", "e3"]},
    {"mention_id": "dev-2", "entity_ids": ["e4"]},
    {"mention_id": "dev-3", "entity_ids": ["e1", "e2"]},
]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_lists_give_ranks_whatever_the_format(dataset, tmp_path, suffix):
    rows = [row | {"entity_ids": "|".join(row["entity_ids"])} for row in LISTS] if suffix == ".csv" else LISTS
    _, found = ranks_of(dataset, rows, tmp_path, suffix)
    np.testing.assert_array_equal(found.ranked.ranks, [2, 1, NAN, NAN])
    assert found.depth == 3
    assert found.ranked.answers(dataset)[0][1] == ["e2", "e1", "e3"]
    assert found.problems.total == 0


def test_equal_scores_count_against_the_gold(dataset, tmp_path):
    rows = [
        {"mention_id": "dev-0", "entity_ids": ["e1", "e2", "e3"], "scores": [0.9, 0.9, 0.1]},
        {"mention_id": "dev-1", "entity_ids": ["e2", "e1"], "scores": [0.9, 0.8]},
    ]
    _, found = ranks_of(dataset, rows, tmp_path)
    assert found.ranked.ranks[:2].tolist() == [2, 1]
    assert found.ranked.ties.tolist() == [1, 0, 0, 0]
    assert found.problems.counts == {GAP: 2}


def test_ranks_alone_do_and_an_empty_one_is_a_miss(dataset, tmp_path):
    rows = [{"mention_id": f"dev-{i}", "rank": rank} for i, rank in enumerate([3, 1, "", ""])]
    _, found = ranks_of(dataset, rows, tmp_path, ".csv")
    np.testing.assert_array_equal(found.ranked.ranks, [3, 1, NAN, NAN])
    assert found.depth is None


def test_unknown_and_repeated_entities_are_counted_and_keep_their_places(dataset, tmp_path):
    rows = [{"mention_id": "dev-0", "entity_ids": ["zz", "e2", "e2", "e1"]}, *LISTS[1:]]
    _, found = ranks_of(dataset, rows, tmp_path)
    assert found.ranked.ranks[0] == 3
    assert found.problems.as_json() == {
        REPEATED_ENTITY: {"count": 1, "examples": ["dev-0: e2"]},
        UNKNOWN_ENTITY: {"count": 1, "examples": ["dev-0: zz"]},
    }


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"mention_id": "dev-9", "rank": 1}], r"mention ids of d\nfound    'dev-9' in row 1[\s\S]*such as dev-0"),
        ([{"mention_id": "dev-0", "rank": 1}] * 2, r"every mention once[\s\S]*row 2"),
        ([{"mention_id": "dev-0", "rank": 0}], "a whole rank of 1 or more"),
        ([{"mention_id": "dev-0", "rank": 1.5}], "a whole rank of 1 or more"),
        ([{"mention_id": "dev-0", "place": 1}], r"the columns mention_id and entity_ids \(or rank\)"),
        ([{"mention_id": "dev-0", "entity_ids": ["e1", "e2"], "scores": [1]}], "a score for each of 2 ids"),
        ([{"mention_id": "dev-0", "entity_ids": ["e1", "e2"], "scores": [0.1, 0.2]}], "scores that fall"),
        ([{"mention_id": "dev-0", "entity_ids": ["e1"], "scores": ["nan"]}], "a number or nothing"),
    ],
)
def test_a_table_that_cannot_be_scored_names_the_row(dataset, tmp_path, rows, message):
    with pytest.raises(DataError, match=message):
        ranks_of(dataset, rows, tmp_path)


def test_the_command_scores_a_foreign_system_into_a_run_folder(dataset, tmp_path, capsys):
    file, _ = ranks_of(dataset, LISTS, tmp_path)
    arguments = ["evaluate", "--ranks", str(file), "--dataset", str(dataset.root)]
    arguments += ["--run", str(tmp_path / "theirs")]
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    assert "names only (string floor)" in shown
    assert "1 golds are in no list (at most 3 answers): missed, so MRR is a lower bound" in shown
    metrics = json.loads((tmp_path / "theirs" / "metrics.json").read_text())
    assert metrics["top1"] == pytest.approx(1 / 3)
    assert metrics["top3"] == pytest.approx(2 / 3)
    assert metrics["top5"] is None
    assert (metrics["system"], metrics["n"], metrics["frozen"]) == ("theirs", 3, None)
    ranks = pd.read_parquet(tmp_path / "theirs" / "ranks.parquet")
    assert ranks["ambiguity"].tolist() == [1, 0, 0, 1]
    assert main(arguments) == 1
    assert "--overwrite true" in capsys.readouterr().err


def test_our_own_ranks_scored_again_give_the_same_figures(dataset, tmp_path):
    file, _ = ranks_of(dataset, LISTS, tmp_path)
    data = ["--dataset", str(dataset.root)]
    assert main(["evaluate", "--ranks", str(file), *data, "--run", str(tmp_path / "one")]) == 0
    again = tmp_path / "one" / "ranks.parquet"
    assert main(["evaluate", "--ranks", str(again), *data, "--run", str(tmp_path / "two")]) == 0
    one, two = (json.loads((tmp_path / run / "metrics.json").read_text()) for run in ("one", "two"))
    assert all(one[key] == two[key] for key in ("top1", "top3", "mrr", "n", "depth"))
