import numpy as np
import pytest
from run_folders import make_run

from dim.errors import ConfigError
from dim.evaluation.significance import holm, paired_randomization
from dim.report.comparison import adjust, check_reference, compare, find_system
from dim.report.reading import read_systems


@pytest.fixture
def folder(tmp_path):
    generator = np.random.default_rng(0)
    for name, quality in (("a", 0.5), ("b", 0.6), ("c", 0.9)):
        for seed in range(2):
            make_run(tmp_path / name / f"seed{seed}", np.where(generator.random(200) < quality, 1, 5), seed=seed)
    return tmp_path


def compared(folder, against=None, rounds=2000):
    return compare(read_systems([folder], "dev").groups[0], against, rounds)


def test_means_spreads_and_tests_are_those_of_the_seeds(folder):
    comparison = compared(folder)
    a, _, c = comparison.group.systems
    found = comparison.estimates["c"]["top1"]
    shares = [(ranks <= 1).mean() for ranks in c.ranks]
    assert (found.value, found.spread) == pytest.approx((np.mean(shares), np.std(shares, ddof=1)))
    assert found.low < found.value < found.high
    test = comparison.tests["c"]
    assert test.p == paired_randomization(c.hits, a.hits, 2000, clusters=comparison.group.clusters)
    assert test.difference.value == pytest.approx(c.hits.mean() - a.hits.mean())
    assert test.difference.low > 0
    assert test.wins + test.ties + test.losses == 200
    assert comparison.best is c
    assert np.isnan(comparison.estimates["names only (string floor)"]["top1"].spread)


def test_a_system_against_its_copy_is_not_significant(folder):
    reading = read_systems([folder / "a", folder / "a"], "dev")
    test = compare(reading.groups[0], None, 500).tests["a (again)"]
    assert (test.p, test.wins, test.losses) == (1.0, 0, 0)
    assert (test.difference.value, test.difference.low, test.difference.high) == (0.0, 0.0, 0.0)


def test_the_reference_is_chosen_by_name_folder_or_baseline(folder):
    for name in ("c", str(folder / "c"), f"{folder / 'c'}/"):
        comparison = compared(folder, name, 200)
        assert comparison.reference.name == "c"
        assert set(comparison.tests) == {"a", "b"}
    assert set(compared(folder, "floor", 200).tests) == {"a", "b", "c"}
    groups = read_systems([folder], "dev").groups
    assert find_system(groups[0], "nobody") is None
    with pytest.raises(ConfigError, match=r"one of the systems \(names only[\s\S]*a, b, c\)[\s\S]*'nobody'"):
        check_reference(groups, "nobody")
    check_reference(groups, None)


def test_holm_is_over_all_tests_of_the_report_and_counts_a_pair_once(folder):
    forth, back = compared(folder), compared(folder, "c")
    tests = [*forth.tests.values(), *back.tests.values()]  # a–b, a–c and c–a, c–b: three pairs
    assert adjust([tests]) == 3
    expected = holm([forth.tests["b"].p, forth.tests["c"].p, back.tests["b"].p])
    found = [forth.tests["b"].adjusted, forth.tests["c"].adjusted, back.tests["b"].adjusted]
    assert found == pytest.approx(expected)
    assert back.tests["a"].adjusted == forth.tests["c"].adjusted
    assert adjust([[forth.tests["b"]], [back.tests["b"]]]) == 2
    assert adjust([]) == 0


def test_what_the_protocol_does_not_define_has_no_estimate(tmp_path):
    make_run(tmp_path / "a", [1, 2], protocol="generative(5 beams)", top10=None, top20=None)
    estimates = compared(tmp_path, rounds=100).estimates["a"]
    assert set(estimates) == {"top1", "top3", "top5", "mrr"}


def test_what_one_of_several_seeds_does_not_define_has_no_mean(tmp_path):
    for seed, facts in enumerate(({"top10": None, "top20": None}, {"top20": None})):
        make_run(tmp_path / "a" / f"seed{seed}", [1, 2], seed=seed, protocol="generative(5 beams)", **facts)
    assert set(compared(tmp_path, rounds=100).estimates["a"]) == {"top1", "top3", "top5", "mrr"}
