"""A report counted again with loops and pandas alone, from runs that are odd but whole.

Their rows stand in orders of their own, some mentions are NIL, some golds were missed, mentions share images, systems
have unequal numbers of seeds, every run has a second split and a second protocol, and names are not ASCII.
"""

import itertools

import numpy as np
import pandas as pd
import pytest
from run_folders import make_run

from dim.cli.report import report

NUM = 64
NIL = (3, 17, 40)
SYSTEMS = {"a": 3, "b": 1, "ü é": 2}
IMAGES = [f"{place // 6}.jpg#xywh={place},0,9,9" if place % 8 else None for place in range(NUM)]
KINDS = [(True, False, None)[place % 3] for place in range(NUM)]
KEPT = np.array([place not in NIL for place in range(NUM)])
CUTOFFS = {"top1": 1, "top3": 3, "top5": 5, "top10": 10, "top20": 20}
#: The mentions of each image, among those that have a gold.
LABELS = [f"{place // 6}" if place % 8 else f"alone {place}" for place in range(NUM)]
CLUSTERS = [
    np.flatnonzero(np.array(LABELS)[KEPT] == label)
    for label in dict.fromkeys(label for label, kept in zip(LABELS, KEPT, strict=True) if kept)
]


def columns_in(order):
    return {
        "mention_id": [f"m{place:04d}" for place in order],
        "gold": [None if place in NIL else f"Q{place}" for place in order],
        "image": [IMAGES[place] for place in order],
        "kind": [KINDS[place] for place in order],
    }


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The ranks by dataset, system and seed, with the folder of the reports."""
    folder, generator = tmp_path_factory.mktemp("recount"), np.random.default_rng(5)
    ranks = {}
    for dataset, quality in (("one", 0.2), ("two", 0.45)):
        for name, seeds in SYSTEMS.items():
            quality += 0.1
            for seed in range(seeds):
                found = np.where(generator.random(NUM) < quality, 1.0, generator.integers(2, 30, NUM))
                found[generator.random(NUM) < 0.05] = np.nan
                ranks[dataset, name, seed] = found
                order = generator.permutation(NUM)
                facts = {"seed": seed, "dataset": dataset, "dataset_hash": dataset, "num_nil": len(NIL)}
                run = folder / "runs" / dataset / name / f"seed{seed}"
                facts |= {"columns": columns_in(order), "candidate_recall": 0.9 + seed / 100}
                make_run(run, found[order], **facts)
                make_run(run, np.ones(NUM), split="test", **facts)
                make_run(run, np.ones(NUM), protocol="candidates(names, 5)", **facts)
    report([folder / "runs"], out=[folder / "r.csv", folder / "r.md"], by="kind", rounds=4000)
    return ranks, folder


@pytest.fixture(scope="module")
def table(written):
    return pd.read_csv(written[1] / "r.csv")


def hits(ranks, dataset, name):
    """The share of seeds that answer each mention with a gold right."""
    each = [ranks[dataset, name, seed] for seed in range(SYSTEMS[name])]
    return np.mean([(found == 1)[KEPT] for found in each], axis=0)


def bounds(values, where=None):
    """Of the mean, by drawing whole clusters in a loop."""
    generator, means = np.random.default_rng(9), []
    where = np.ones(len(values), dtype=bool) if where is None else where
    for _ in range(2000):
        drawn = np.concatenate([CLUSTERS[place] for place in generator.integers(0, len(CLUSTERS), len(CLUSTERS))])
        means.append(values[drawn[where[drawn]]].mean())
    return np.percentile(means, [2.5, 97.5])


def test_every_share_its_spread_and_its_interval(written, table):
    ranks, _ = written
    own = table[(table["kind"] == "run") & table["breakdown"].isna()]
    for dataset, (name, seeds) in itertools.product(("one", "two"), SYSTEMS.items()):
        rows = own[(own["dataset"] == dataset) & (own["system"] == name)].set_index("metric")
        each = [ranks[dataset, name, seed][KEPT] for seed in range(seeds)]
        values = {metric: [np.mean(found <= k) for found in each] for metric, k in CUTOFFS.items()}
        values["mrr"] = [np.mean([0 if np.isnan(rank) else 1 / rank for rank in found]) for found in each]
        assert set(rows.index) == {*values, "candidate_recall"}
        for metric, of_seeds in values.items():
            assert rows.loc[metric, "value"] == pytest.approx(np.mean(of_seeds))
            spread = np.std(of_seeds, ddof=1) if seeds > 1 else np.nan
            assert rows.loc[metric, "std"] == pytest.approx(spread, nan_ok=True)
            assert (rows.loc[metric, "n"], rows.loc[metric, "seeds"]) == (KEPT.sum(), seeds)
        assert rows.loc["candidate_recall", "value"] == pytest.approx(0.9 + np.mean(range(seeds)) / 100)
        found = rows.loc["top1", ["low", "high"]].tolist()
        assert found == pytest.approx(bounds(hits(ranks, dataset, name)), abs=0.025)


def test_every_test_and_the_correction_over_all_of_them(written, table):
    ranks, folder = written
    tests = table[table["kind"] == "difference"]
    assert [tuple(pair) for pair in tests[["dataset", "system", "reference"]].to_numpy()] == [
        ("one", "b", "a"), ("one", "ü é", "a"), ("two", "b", "a"), ("two", "ü é", "a"),
    ]  # fmt: skip
    for _, test in tests.iterrows():
        dataset, name = test["dataset"], test["system"]
        gaps = hits(ranks, dataset, name) - hits(ranks, dataset, "a")
        assert test["value"] == pytest.approx(gaps.mean())
        assert test[["low", "high"]].tolist() == pytest.approx(bounds(gaps), abs=0.035)
        counts = [(gaps > 1e-9).sum(), (np.abs(gaps) <= 1e-9).sum(), (gaps < -1e-9).sum()]
        assert test[["wins", "ties", "losses"]].tolist() == counts
        sums = np.array([gaps[cluster].sum() for cluster in CLUSTERS])
        signs = np.random.default_rng(1).choice([-1, 1], size=(20_000, len(sums)))
        assert test["p"] == pytest.approx(np.mean(np.abs(signs @ sums) >= abs(sums.sum()) - 1e-9), abs=0.025)
    ordered = sorted(tests["p"])
    assert len(set(ordered)) == 4
    for p, adjusted in zip(tests["p"], tests["p_holm"], strict=True):
        place = ordered.index(p)
        assert adjusted == pytest.approx(min(1, max((4 - i) * ordered[i] for i in range(place + 1))))
    text = (folder / "r.md").read_text(encoding="utf-8")
    rows = [part.splitlines()[4:6] for part in text.split("**Top-1 against a**")[1:]]
    for row, (_, test) in zip(itertools.chain(*rows), tests.iterrows(), strict=True):
        assert row.split(" | ")[2:4] == [f"{test['p']:.4f}", f"{test['p_holm']:.4f}"]
    assert "Holm over all 4 tests shown" in text


def test_every_part_of_the_mentions(written, table):
    ranks, _ = written
    parts = table[table["breakdown"] == "kind"]
    for dataset, name, (label, kind) in itertools.product(
        ("one", "two"), SYSTEMS, {"yes": True, "no": False, "no kind": None}.items()
    ):
        where = np.array([each is kind for each in KINDS])[KEPT]
        chosen = (parts["dataset"] == dataset) & (parts["system"] == name) & (parts["part"] == label)
        [(_, row)] = parts[chosen].iterrows()
        own = hits(ranks, dataset, name)
        assert row["part_n"] == where.sum()
        assert row["value"] == pytest.approx(own[where].mean())
        assert row[["low", "high"]].tolist() == pytest.approx(bounds(own, where), abs=0.05)
