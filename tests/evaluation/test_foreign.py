import json

import numpy as np
import pandas as pd
import pytest

from dim.__main__ import main
from dim.data.dataset import write_dataset
from dim.errors import DataError
from dim.evaluation.foreign import GAP, REPEATED_ENTITY, UNKNOWN_ENTITY, read_ranks
from dim.evaluation.foreign_ids import MentionIds
from dim.evaluation.result_files import read_results, write_identity

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
                "attributes": [json.dumps({"key": f"9-{i}"}) for i in range(4)],
            }
        ),
    )


def ranks_of(dataset, rows, path, suffix=".jsonl"):
    file = path / f"ranks{suffix}"
    if suffix == ".parquet":
        pd.DataFrame(rows).to_parquet(file)
    elif suffix in (".csv", ".tsv"):
        pd.DataFrame(rows).to_csv(file, index=False, sep="," if suffix == ".csv" else "\t")
    else:
        file.write_text("\n".join(json.dumps(row) for row in rows))
    return file, read_ranks(file, dataset, dataset.split("dev"))


LISTS = [
    {"mention_id": "dev-0", "entity_ids": ["e2", "e1"]},
    {"mention_id": "dev-1", "entity_ids": ["e2", "e1", "e3"]},
    {"mention_id": "dev-2", "entity_ids": ["e4"]},
    {"mention_id": "dev-3", "entity_ids": ["e1", "e2"]},
]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_lists_give_ranks_whatever_the_format(dataset, tmp_path, suffix):
    rows = [row | {"entity_ids": "|".join(row["entity_ids"])} for row in LISTS] if suffix in (".csv", ".tsv") else LISTS
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
    rows[2] = {"mention_id": "dev-2", "entity_ids": ["e1", "e2", "e3", "e4"]}  # one of 13 is unknown
    _, found = ranks_of(dataset, rows, tmp_path)
    assert found.ranked.ranks[0] == 3
    assert found.problems.as_json() == {
        REPEATED_ENTITY: {"count": 1, "examples": ["dev-0: e2"]},
        UNKNOWN_ENTITY: {"count": 1, "examples": ["dev-0: zz"]},
    }


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [{"mention_id": "dev-9", "rank": 1}],
            r"mention ids of d\nfound    'dev-9' in row 1[\s\S]*such as dev-0\), or the release's keys \(such as 9-0",
        ),
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


def test_answers_to_another_split_are_left_aside(dataset, tmp_path):
    more = dataset.mentions.assign(
        id=[f"test-{i}" for i in range(4)],
        split="test",
        attributes=[json.dumps({"key": key}) for key in ("9-0", *"bcd")],
    )
    both = write_dataset(
        tmp_path / "both",
        name="both",
        entities=dataset.entities,
        texts={},
        mentions=pd.concat([more, dataset.mentions]),
    )
    rows = [{"mention_id": name, "entity_ids": ["e3"]} for name in ("test-0", "b")]
    rows += [LISTS[0] | {"mention_id": "9-0"}, LISTS[1]]  # a key of both splits is of the one that is evaluated
    _, found = ranks_of(both, rows, tmp_path)
    np.testing.assert_array_equal(found.ranked.ranks, [2, 1, NAN, NAN])
    assert found.problems.counts == {GAP: 2}


def test_a_release_s_own_keys_are_mention_ids(dataset, tmp_path):
    rows = [row | {"mention_id": row["mention_id"].replace("dev", "9")} for row in LISTS]
    _, found = ranks_of(dataset, rows, tmp_path)
    np.testing.assert_array_equal(found.ranked.ranks, [2, 1, NAN, NAN])
    assert not found.problems.total


def test_a_key_of_several_mentions_is_none(dataset, tmp_path):
    mentions = dataset.mentions.assign(attributes=json.dumps({"key": "9"}))
    with pytest.raises(DataError, match=r"a key of one mention in row 1[\s\S]*ids of mentions.parquet"):
        MentionIds(dataset, mentions).find("9", "row 1")


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (",".join, r"such as 'e2,e1': ids with a comma between them\nto do    Write the lists as JSON"),
        (", ".join, "ids with a comma between them"),
        (";".join, "ids with a semicolon between them"),
        (" ".join, "ids with a space between them"),
        (lambda ids: "|".join(f"http://kb.org/entity/{i}" for i in ids), "addresses that end in the id"),
        (lambda ids: "|".join(ids).upper(), "ids in upper case"),
        (lambda ids: "|".join("Ann" for _ in ids), "names of entities"),
        (lambda ids: "|".join(f"other-{i}" for i in ids), r"6 of 8[\s\S]*Name the dataset that was answered|8 of 8"),
    ],
)
def test_ids_that_the_kb_lacks_are_an_error_that_names_their_shape(dataset, tmp_path, write, message):
    rows = [{"mention_id": row["mention_id"], "entity_ids": write(row["entity_ids"])} for row in LISTS]
    with pytest.raises(DataError, match=message):
        ranks_of(dataset, rows, tmp_path, ".csv")


def test_a_system_of_a_larger_kb_is_scored_when_the_user_says_so(dataset, tmp_path):
    rows = [row | {"entity_ids": ["x1", "x2", *row["entity_ids"]]} for row in LISTS]
    file = tmp_path / "ranks.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    arguments = ["evaluate", "--ranks", str(file), "--dataset", str(dataset.root), "--run", str(tmp_path / "theirs")]
    assert main(arguments) == 1
    assert not (tmp_path / "theirs").exists()
    assert main([*arguments, "--max_unknown", "0.6"]) == 0
    assert read_results(tmp_path / "theirs").entry("dev")["top3"] == pytest.approx(1 / 3)


def test_an_answer_that_the_kb_lacks_is_the_first_answer_and_no_nil(dataset, tmp_path, capsys):
    rows = [*LISTS[:2], {"mention_id": "dev-2", "entity_ids": ["zz", "NIL", "e1"], "scores": [3, 2, 1]}, LISTS[3]]
    file, one = tmp_path / "ranks.jsonl", tmp_path / "one"
    file.write_text("\n".join(map(json.dumps, rows)))
    arguments = ["evaluate", "--dataset", str(dataset.root), "--max_unknown", "0.5", "--run"]
    assert main([*arguments, str(one), "--ranks", str(file)]) == 0
    frame = pd.read_parquet(one / "ranks.parquet")
    assert list(frame["top_ids"][2]) == ["zz", "NIL", "e1"]
    assert list(frame["top_scores"][2]) == [3, 2, 1]
    entry = read_results(one).entry("dev")
    assert entry["nil"] == {"precision": None, "recall": 0.0, "f1": 0.0}  # the mention is NIL, and zz was answered
    assert main([*arguments, str(tmp_path / "two"), "--ranks", str(one / "ranks.parquet")]) == 0
    again = read_results(tmp_path / "two").entry("dev")
    assert all(entry[key] == again[key] for key in ("top1", "top3", "mrr", "nil", "depth", "problems"))
    capsys.readouterr()
    assert main(["show", "dev-2", str(dataset.root), "--run", str(one)]) == 0
    assert "3.0000  zz  (the KB lacks it)" in capsys.readouterr().out


def test_ranks_alone_are_the_same_when_they_are_scored_again(dataset, tmp_path):
    file, one = tmp_path / "ranks.csv", tmp_path / "one"
    file.write_text("mention_id,rank\ndev-0,3\ndev-1,1\ndev-2,\ndev-3,\n")
    arguments = ["evaluate", "--dataset", str(dataset.root), "--run"]
    assert main([*arguments, str(one), "--ranks", str(file)]) == 0
    assert main([*arguments, str(tmp_path / "two"), "--ranks", str(one / "ranks.parquet")]) == 0
    first, second = (read_results(tmp_path / run).entry("dev") for run in ("one", "two"))
    assert first["top1"] == pytest.approx(1 / 3)
    assert all(first[key] == second[key] for key in ("top1", "top3", "mrr", "n", "depth"))


def test_json_rows_that_leave_a_field_out_have_it_empty(dataset, tmp_path):
    rows = [{"mention_id": "dev-0", "entity_ids": ["e1", "e2"], "scores": [2, 1]}, {"mention_id": "dev-1"}, *LISTS[2:]]
    _, found = ranks_of(dataset, rows, tmp_path)
    np.testing.assert_array_equal(found.ranked.ranks, [1, NAN, NAN, NAN])


def test_answers_to_another_dataset_are_noticed_by_its_hash_and_by_its_golds(dataset, tmp_path, capsys):
    file, _ = ranks_of(dataset, LISTS, tmp_path)
    run = ["--run", str(tmp_path / "one")]
    assert main(["evaluate", "--ranks", str(file), "--dataset", str(dataset.root), *run]) == 0
    other = write_dataset(
        tmp_path / "other",
        name="other",
        entities=dataset.entities,
        texts={},
        mentions=dataset.mentions.assign(entity_id=["e2", "e3", None, "e1"]),
    )
    ours = tmp_path / "one" / "ranks.parquet"
    arguments = ["evaluate", "--dataset", str(other.root), "--run", str(tmp_path / "two"), "--ranks"]
    assert main([*arguments, str(ours)]) == 1
    error = capsys.readouterr().err
    assert f"answers to d (hash {dataset.hash})" in error
    assert f"--dataset {dataset.root}" in error
    alone = tmp_path / "alone.parquet"
    alone.write_bytes(ours.read_bytes())
    assert main([*arguments, str(alone)]) == 1
    assert "other golds of 3 of 4 mentions; of dev-0: e1, not e2" in capsys.readouterr().err


@pytest.mark.parametrize("write", ["|".join, json.dumps, str, lambda ids: str(np.array(ids))])
def test_lists_are_read_as_pandas_writes_them_too(dataset, tmp_path, write):
    rows = [{"mention_id": row["mention_id"], "entity_ids": write(row["entity_ids"])} for row in LISTS]
    _, found = ranks_of(dataset, rows, tmp_path, ".csv")
    np.testing.assert_array_equal(found.ranked.ranks, [2, 1, NAN, NAN])


def test_of_our_own_ranks_one_protocol_is_scored(dataset, tmp_path, capsys):
    file, _ = ranks_of(dataset, LISTS, tmp_path)
    arguments = ["evaluate", "--dataset", str(dataset.root), "--run", str(tmp_path / "one"), "--ranks"]
    assert main([*arguments, str(file)]) == 0
    assert main([*arguments, str(file), "--protocol", "candidates(own, 3)"]) == 0
    ours = str(tmp_path / "one" / "ranks.parquet")
    arguments[4] = str(tmp_path / "two")
    assert main([*arguments, ours, "--protocol", "candidates(own, 3)"]) == 0
    assert main([*arguments, ours, "--protocol", "other"]) == 1
    assert "those under full_kb; candidates(own, 3)" in capsys.readouterr().err


def test_names_alone_stand_beside_those_that_were_ranked_against_the_whole_kb_as_they_are(dataset, tmp_path, capsys):
    file, _ = ranks_of(dataset, LISTS, tmp_path)
    run = tmp_path / "one"
    arguments = ["evaluate", "--dataset", str(dataset.root), "--run", str(run), "--ranks", str(file), "--protocol"]
    for protocol in ("full_kb", "generative(5 beams)"):
        assert main([*arguments, protocol]) == 0
        assert read_results(run).entry("dev", protocol)["floor"]["top1"] == 1
    capsys.readouterr()
    for folder in (run, tmp_path / "two"):
        arguments[4] = str(folder)
        assert main([*arguments, "candidates(own, 3)"]) == 0
        shown = capsys.readouterr().out
        assert "names only (string floor)" not in shown
        assert "does not stand beside candidates(own, 3)" in shown
        assert "floor" not in read_results(folder).entry("dev", "candidates(own, 3)")
        assert main(["report", str(folder), "--protocol", "candidates(own, 3)", "--rounds", "100"]) == 0
        assert "names only" not in capsys.readouterr().out
        assert main(["show", "dev-0", str(dataset.root), "--run", str(folder), "--protocol", "candidates(own, 3)"]) == 0
        assert "rank by name only" not in capsys.readouterr().out


def test_a_trained_run_takes_no_results_of_others(dataset, tmp_path, capsys):
    file, _ = ranks_of(dataset, LISTS, tmp_path)
    write_identity(tmp_path / "run", {"method": {"class": "DIM"}})
    arguments = ["evaluate", "--ranks", str(file), "--dataset", str(dataset.root), "--run", str(tmp_path / "run")]
    assert main([*arguments, "--overwrite", "true"]) == 1
    assert "found    a run: metrics.json" in capsys.readouterr().err


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


def test_the_encoding_of_the_table_is_named_and_what_was_recognized_is_told(dataset, tmp_path, capsys):
    file = tmp_path / "ranks.csv"
    lines = ["Mention_ID;entity_ids;system", *(f"dev-{place};e{place + 1};Müller" for place in range(4))]
    file.write_bytes("\n".join(lines).encode("cp1252"))
    arguments = ["evaluate", "--ranks", str(file), "--dataset", str(dataset.root), "--run", str(tmp_path / "theirs")]
    assert main(arguments) == 1
    assert "--encoding" in capsys.readouterr().err
    assert main([*arguments, "--encoding", "cp1252"]) == 0
    assert "note: " in capsys.readouterr().out
