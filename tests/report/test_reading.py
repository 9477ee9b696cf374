import json
import re

import numpy as np
import pandas as pd
import pytest
from run_folders import FACTS, make_run

from dim.errors import DataError
from dim.report.comparison import compare, find_system
from dim.report.reading import read_systems


def names(reading):
    return [[system.name for system in group.systems] for group in reading.groups]


def reasons(reading):
    return {problem.folder.name: problem.reason for problem in reading.problems}


def test_seeds_in_sibling_folders_are_one_system_at_any_depth(tmp_path):
    for seed, ranks in enumerate(([1, 1, 2, 2], [1, 1, 1, 2])):
        make_run(tmp_path / "deep" / "er" / "ours" / f"seed{seed}", ranks, seed=seed)
    make_run(tmp_path / "base", [2, 2, 2, 2])
    reading = read_systems([tmp_path], "dev")
    assert names(reading) == [["base", "deep/er/ours"]]
    base, ours = reading.groups[0].systems
    assert (len(base.runs), len(ours.runs)) == (1, 2)
    assert ours.hits.tolist() == [1.0, 1.0, 0.5, 0.0]
    assert ours.seed_means()[:, 0].tolist() == [0.5, 0.75]
    assert ours.values().shape == (4, 6)
    assert (reading.problems, reading.notes) == ([], [])


def test_what_was_derived_from_the_runs_of_seeds_is_one_system_beside_theirs(tmp_path):
    for seed in (0, 1):
        run = make_run(tmp_path / "ours" / f"seed{seed}", [1, 2, 2, 2], seed=seed)
        make_run(run / "ranked", [1, 1, 1 + seed, 2], seed=seed, system="DIM + ranker")
        make_run(run / "judged", [1, 1, 1, 1 + seed], seed=seed, system="DIM + ranker + judge")
    config = FACTS["config"] | {"seed_everything": 2, "rank": {"folds": 2}}
    make_run(tmp_path / "ours" / "seed2" / "ranked", [1, 1, 1, 2], seed=2, system="DIM + ranker", config=config)
    reading = read_systems([tmp_path], "dev")
    assert names(reading) == [["ours", "DIM + ranker + judge", "DIM + ranker [seed0, seed1]", "DIM + ranker [seed2]"]]
    ours, judged, ranked, other = reading.groups[0].systems
    assert [len(system.runs) for system in (ours, judged, ranked, other)] == [2, 2, 2, 1]
    assert ranked.hits.tolist() == [1, 1, 0.5, 0]
    assert ranked.folder == tmp_path / "ours" / "ranked"
    assert find_system(reading.groups[0], str(ranked.folder)) is ranked
    assert [note for note in reading.notes if "seed2 is not the same system as seed0" in note]


def test_folders_that_hold_no_usable_run_are_named_and_the_rest_is_compared(tmp_path):
    good = make_run(tmp_path / "good", [1, 2])
    (tmp_path / "empty").mkdir()
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "unfinished" / "config.yaml").write_text("run: x")
    for name, change in {
        "older": {"format": 1}, "newer": {"format": 4}, "counts": {"n": 3}, "values": {"top1": 0.9},
    }.items():  # fmt: skip
        make_run(tmp_path / name, [1, 2], **change)
    unversioned = make_run(tmp_path / "unversioned", [1, 2]) / "metrics.json"
    document = json.loads(unversioned.read_text())
    del document["results"]["dev"]["full_kb"]["format"]
    unversioned.write_text(json.dumps(document))
    for name, text in {"zero": "", "garbled": "{", "list": "[]"}.items():
        make_run(tmp_path / name, [1, 2])
        (tmp_path / name / "metrics.json").write_text(text)
    make_run(tmp_path / "rankless", [1, 2])
    (tmp_path / "rankless" / "ranks.parquet").unlink()
    make_run(tmp_path / "torn", [1, 2])
    (tmp_path / "torn" / "ranks.parquet").write_bytes((good / "ranks.parquet").read_bytes()[:100])
    make_run(tmp_path / "columnless", [1, 2])
    columnless = pd.DataFrame({"split": ["dev"], "protocol": ["full_kb"], "rank": [1]})
    columnless.to_parquet(tmp_path / "columnless" / "ranks.parquet")
    make_run(tmp_path / "nobody", [1, 2], identity=None)
    make_run(tmp_path / "twice", [1, 2], columns={"mention_id": ["m1", "m1"]})
    make_run(tmp_path / "elsewhere", [1, 2], split="test")
    make_run(tmp_path / "words", [1, 2], columns={"mention_id": ["m0", "m1"]})
    frame = pd.read_parquet(tmp_path / "words" / "ranks.parquet")
    frame.assign(rank=["first", "second"]).to_parquet(tmp_path / "words" / "ranks.parquet")
    make_run(tmp_path / "golden", [1, 2], columns={"gold": [None, None]})
    reading = read_systems([tmp_path, tmp_path / "absent"], "dev")
    assert names(reading) == [["good"]]
    expected = {
        "empty": "empty folder", "unfinished": "did not finish", "older": r"older format \(1, not 3\)",
        "newer": "newer format", "counts": "speaks of 3 mentions, ranks.parquet holds 2",
        "values": "top1 = 0.9000, ranks.parquet gives 0.5000", "unversioned": "older format", "zero": "is empty",
        "garbled": "cannot be read", "list": "a list of 0 in the place of a mapping", "rankless": "no ranks.parquet",
        "torn": "ranks.parquet cannot be read", "columnless": "lacks the column mention_id",
        "twice": "1 mentions twice", "nobody": "lacks the identity of its run",
        "elsewhere": r"no results on dev \(there are: test\)", "golden": "no mention of dev with a gold",
        "absent": "no such folder", "words": "no column rank of double",
    }  # fmt: skip
    found = reasons(reading)
    assert set(found) == set(expected)
    for name, text in expected.items():
        assert re.search(text, found[name]), (name, found[name])
    assert all(problem.remedy for problem in reading.problems)


def test_only_when_nothing_is_left_is_it_an_error_that_names_the_folders(tmp_path):
    make_run(tmp_path / "a", [1, 2])
    with pytest.raises(DataError, match=r"results on test[\s\S]*a: no results on test[\s\S]*dim test"):
        read_systems([tmp_path / "a"], "test")
    with pytest.raises(DataError, match=r"nothing: no such folder[\s\S]*finished run"):
        read_systems([tmp_path / "nothing"], "dev")


@pytest.mark.parametrize(
    "change", [{"dataset_hash": "other"}, {"kb_hash": "other"}, {"protocol": "candidates(names, 100)"}, {"kb_size": 8}]
)
def test_runs_of_another_question_stand_in_a_table_of_their_own_and_are_named(tmp_path, change):
    make_run(tmp_path / "a", [1, 2])
    make_run(tmp_path / "b", [1, 2], **change)
    reading = read_systems([tmp_path], "dev")
    assert names(reading) == [["a"], ["b"]]
    key, value = next(iter(change.items()))
    assert [note for note in reading.notes if note.startswith("b: ") and f"{key} {value} instead of" in note]


def test_runs_on_other_mentions_or_golds_are_not_compared_in_one_table(tmp_path):
    make_run(tmp_path / "a", [1, 2])
    make_run(tmp_path / "b", [1, 2], columns={"mention_id": ["m0000", "x"]})
    make_run(tmp_path / "c", [1, 2], columns={"gold": ["e", "g"]})
    reading = read_systems([tmp_path], "dev")
    assert names(reading) == [["a"], ["b"], ["c"]]
    assert sum("other mentions or golds" in note for note in reading.notes) == 2


def test_seeds_that_differ_in_more_than_their_seed_are_not_one_system(tmp_path):
    config = FACTS["config"] | {"model": {"init_args": {"width": 256, "seed": 2}}, "seed_everything": 2, "run": "r"}
    make_run(tmp_path / "ours" / "seed0", [1, 2], seed=0)
    make_run(tmp_path / "ours" / "seed1", [1, 2], seed=1, config=FACTS["config"] | {"seed_everything": 1, "run": "q"})
    make_run(tmp_path / "ours" / "seed2", [1, 2], seed=2, config=config)
    reading = read_systems([tmp_path], "dev")
    assert names(reading) == [["ours [seed0, seed1]", "ours [seed2]"]]
    assert [note for note in reading.notes if "seed2 is not the same" in note and "width None → 256" in note]


def test_seeds_that_were_run_on_other_machines_are_one_system(tmp_path):
    here = {"data": {"entity_text": "brief", "resident_gb": 4.0, "engine": "local", "address": None, "root": "d"}}
    there = {"data": {"entity_text": "brief", "resident_gb": 1.0, "engine": "ray", "address": "a:1", "root": "/d"}}
    for seed, config in enumerate((here, there)):
        make_run(tmp_path / "ours" / f"seed{seed}", [1, 2], seed=seed, config=config)
    reading = read_systems([tmp_path], "dev")
    assert (names(reading), reading.notes) == ([["ours"]], [])


def test_a_protocol_that_is_named_is_the_one_that_is_compared(tmp_path):
    for name, ranks in (("a", [1, 2]), ("b", [2, 2])):
        make_run(tmp_path / name, ranks)
        make_run(tmp_path / name, [1, 1], protocol="candidates(names, 5)")
    assert [s.hits.mean() for s in read_systems([tmp_path], "dev").groups[0].systems] == [0.5, 0.0]
    (group,) = read_systems([tmp_path], "dev", "candidates(names, 5)").groups
    assert [system.hits.mean() for system in group.systems] == [1.0, 1.0]
    with pytest.raises(DataError, match=r"no results on dev under other \(there are: full_kb; candidates"):
        read_systems([tmp_path], "dev", "other")


def test_figures_of_other_weights_than_a_run_s_own_are_no_seed_of_it_unless_they_are_named(tmp_path):
    make_run(tmp_path / "ours" / "seed0", [1, 2], split="test")
    (tmp_path / "ours" / "seed1" / "checkpoints").mkdir(parents=True)
    (tmp_path / "ours" / "seed1" / "checkpoints" / "best.ckpt").touch()
    of_last = {"file": "checkpoints/last.ckpt", "weights": "w"}
    make_run(tmp_path / "ours" / "seed1", [1, 2], split="test", seed=1, checkpoint=of_last)
    reading = read_systems([tmp_path], "test")
    assert [[len(system.runs) for system in group.systems] for group in reading.groups] == [[1]]
    [problem] = reading.problems
    assert problem.folder.name == "seed1"
    assert problem.reason == "no results on test of its own weights (there are: full_kb @ checkpoints/last.ckpt)"
    assert problem.remedy == f"Run dim test --config {tmp_path / 'ours' / 'seed1' / 'config.yaml'}."
    reading = read_systems([tmp_path / "ours" / "seed1"], "test", "full_kb @ checkpoints/last.ckpt")
    assert reading.groups[0].systems[0].hits.tolist() == [1, 0]


def test_runs_with_one_seed_under_several_seed_folders_are_pointed_out(tmp_path):
    for name in ("seed0", "seed1"):
        make_run(tmp_path / "ours" / name, [1, 2], seed=7)
    assert [note for note in read_systems([tmp_path], "dev").notes if "the same seed" in note]


def test_a_folder_named_twice_stands_twice_and_one_found_twice_stands_once(tmp_path):
    run = make_run(tmp_path / "a", [1, 2])
    assert names(read_systems([run, run], "dev")) == [["a", "a (again)"]]
    assert names(read_systems([run, tmp_path], "dev")) == [["a"]]


def test_display_names_stand_in_the_place_of_folders_and_stay_unique(tmp_path):
    make_run(tmp_path / "a", [1, 2], system="GEMEL (theirs)")
    make_run(tmp_path / "b", [1, 2], system="GEMEL (theirs)")
    found = names(read_systems([tmp_path], "dev"))[0]
    assert len(set(found)) == 2
    assert all(name.startswith("GEMEL (theirs)") for name in found)


def test_a_system_that_is_called_as_a_baseline_is_gets_a_name_of_its_own(tmp_path):
    make_run(tmp_path / "a", [1, 2], system="names only (string floor)")
    [group] = read_systems([tmp_path], "dev").groups
    assert [row.name for row in group.rows] == [
        "names only (string floor)", "frozen vectors (untrained)", f"names only (string floor) ({tmp_path / 'a'})",
    ]  # fmt: skip
    comparison = compare(group, None, 100)
    assert [comparison.estimates[row.name]["top1"].value for row in group.rows] == [0.0, 0.5, 0.5]


def test_floor_and_frozen_vectors_stand_once_and_say_whose_they_are_where_systems_differ(tmp_path):
    make_run(tmp_path / "a", [1, 2, 1])
    make_run(tmp_path / "b", [1, 2, 2], columns={"frozen_rank": [9.0, 9.0, 9.0]})
    make_run(tmp_path / "c", [1, 2, 2], columns={"frozen_rank": None}, frozen=None)
    baselines = read_systems([tmp_path], "dev").groups[0].baselines
    assert [row.name for row in baselines] == ["names only (string floor)", "frozen vectors (untrained) of a"]
    make_run(tmp_path / "d", [1, 2, 2], columns={"frozen_rank": [9.0, 9.0, 9.0]})
    baselines = read_systems([tmp_path], "dev").groups[0].baselines
    assert baselines[1].name == "frozen vectors (untrained) of b and 1 more"
    [group] = read_systems([tmp_path], "dev").groups
    assert find_system(group, "frozen") is group.baselines[1]
    assert find_system(group, "floor") is group.baselines[0]


def test_a_floor_with_aliases_stands_beside_that_of_names_where_runs_have_it(tmp_path):
    make_run(tmp_path / "old", [1, 2, 1])
    make_run(tmp_path / "new", [1, 2, 2], columns={"alias_floor_rank": [1.0, 1.0, 3.0]})
    [group] = read_systems([tmp_path], "dev").groups
    found = [row.name for row in group.baselines]
    assert found == ["names only (string floor)", "names and aliases (floor)", "frozen vectors (untrained)"]
    assert group.baselines[1].values()[:, 0].tolist() == [1, 1, 0]
    assert find_system(group, "alias_floor") is group.baselines[1]


def test_missed_golds_count_as_misses_and_nil_mentions_are_left_out(tmp_path):
    make_run(tmp_path / "a", [1, np.nan, 1], columns={"gold": ["e", "e", None]}, num_nil=1)
    system = read_systems([tmp_path], "dev").groups[0].systems[0]
    assert system.values().tolist() == [[1.0] * 6, [0.0] * 6]


@pytest.mark.parametrize("regions", [("", ""), ("#xywh=0,0,9,9", "#xywh=9,0,9,9")])
def test_mentions_that_share_an_image_or_are_regions_of_one_are_one_cluster(tmp_path, regions):
    images = [f"x.jpg{regions[0]}", f"x.jpg{regions[1]}", None, ""]
    make_run(tmp_path / "a", [1, 2, 1, 1], columns={"image": images})
    clusters = read_systems([tmp_path], "dev").groups[0].clusters
    assert clusters[0] == clusters[1]
    assert len(set(clusters)) == 3
