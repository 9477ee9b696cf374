import numpy as np
import pandas as pd
import pytest
from run_folders import make_run

from dim.errors import ConfigError
from dim.report.breakdown import BREAKDOWNS, bins_of, break_down
from dim.report.comparison import compare
from dim.report.reading import read_systems


def broken_down(folder, column):
    return break_down(compare(read_systems([folder], "dev").groups[0], None, 300), column)


def test_each_bin_has_the_share_of_its_mentions(tmp_path):
    make_run(tmp_path / "a", [1, 1, 2, 1, 2, 1, 2, 2])
    found = broken_down(tmp_path, "seen_in_train")
    assert [(part.label, part.n) for part in found.bins] == [("yes", 4), ("no", 4)]
    assert [estimate.value for estimate in found.estimates["a"]] == [0.25, 0.75]
    assert all(e.low <= e.value <= e.high for e in found.estimates["a"])
    assert len(found.estimates) == 3  # with floor and frozen vectors


def test_ambiguity_stands_in_four_classes(tmp_path):
    make_run(tmp_path / "a", [1] * 8)
    found = broken_down(tmp_path, "ambiguity")
    assert [(part.label, part.n) for part in found.bins] == [("1", 2), ("2–4", 2), ("≥5", 2), ("0", 2)]


def test_popularity_stands_in_quartiles_and_what_is_not_known_apart():
    values = pd.Series([*np.arange(100.0), np.nan, np.nan])
    parts = bins_of(values, "popularity")
    assert [part.n for part in parts] == [25, 25, 25, 25, 2]
    assert parts[-1].label == "no popularity"
    assert sum(part.chosen.astype(int) for part in parts).tolist() == [1] * 102
    assert [part.n for part in bins_of(pd.Series([3.0] * 5 + [None]), "popularity")] == [5, 1]


def test_many_values_keep_the_most_frequent_and_count_the_others():
    values = pd.Series([f"t{i}" for i in range(20) for _ in range(i + 1)] + [None])
    parts = bins_of(values, "type")
    assert (len(parts), parts[-2].label, parts[-1].label) == (13, "9 others", "no type")
    assert sum(part.n for part in parts) == len(values)


@pytest.mark.parametrize(
    ("column", "changes", "words"),
    [
        ("popularity", {}, "popularity: the KB has none"),
        ("type", {}, "type: the dataset has none"),
        ("ambiguity", {"ambiguity": None}, "ambiguity: the runs have none"),
        ("has_image", {}, "has_image: yes for all 4 mentions"),
    ],
)
def test_a_column_that_the_data_lacks_says_so_in_words(tmp_path, column, changes, words):
    make_run(tmp_path / "a", [1, 2, 1, 2], columns=changes)
    found = broken_down(tmp_path, column)
    assert (found.note, found.bins) == (words, [])


def test_runs_that_tell_the_column_differently_are_named(tmp_path):
    make_run(tmp_path / "a", [1, 2, 1, 2])
    make_run(tmp_path / "b", [1, 2, 1, 2], columns={"seen_in_train": [True, True, True, False]})
    assert broken_down(tmp_path, "seen_in_train").note == "seen_in_train as in a; it differs in b"


def test_any_other_column_can_be_named_and_an_unknown_one_is_refused(tmp_path):
    make_run(tmp_path / "a", [1, 2, 1, 2], columns={"language": ["de", "en", "en", "en"]})
    assert [part.label for part in broken_down(tmp_path, "language").bins] == ["de", "en"]
    with pytest.raises(ConfigError, match=r"all, seen_in_train[\s\S]*language[\s\S]*'smell'[\s\S]*--by"):
        broken_down(tmp_path, "smell")


def test_every_standard_breakdown_runs(tmp_path):
    make_run(tmp_path / "a", [1, 2] * 10)
    assert all(broken_down(tmp_path, column).column == column for column in BREAKDOWNS)
