import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from run_folders import make_run

from dim.cli.report import report
from dim.data.dataset import Dataset
from dim.demo import demo_world
from dim.report.comparison import compare
from dim.report.mistakes import split_context, worst_mistakes
from dim.report.reading import read_systems

VOID = {"meta", "img", "br", "link"}


class Check(HTMLParser):
    """Notes what the page would fetch, and tags that are not closed in order."""

    def __init__(self):
        super().__init__()
        self.open, self.fetched, self.tags, self.ids = [], [], set(), []

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.open += [tag] if tag not in VOID else []
        for key, value in attributes:
            if key in ("src", "href", "xlink:href", "srcset", "poster", "data") and not value.startswith(
                ("data:", "#")
            ):
                self.fetched.append(value)
            self.ids += [value] if key == "id" else []

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        self.open = self.open[:-1] if tag not in VOID else self.open

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page") / "world"
    demo_world(folder, num_entities=300, seed=1)
    return Dataset(folder)


@pytest.fixture
def runs(world, tmp_path):
    mentions = world.split("dev")
    gold = mentions["entity_id"].astype(object).where(mentions["entity_id"].notna(), None)
    ids = world.entities["id"].tolist()
    generator = np.random.default_rng(0)
    for name, quality in (("<weak>", 0.4), ("strong", 0.8)):
        ranks = np.where(generator.random(len(mentions)) < quality, 1, generator.integers(2, 300, len(mentions)))
        columns = {
            "mention_id": mentions["id"].tolist(),
            "gold": gold.tolist(),
            "top_ids": [
                [g if r == 1 and g else ids[i % 300]] for i, (g, r) in enumerate(zip(gold, ranks, strict=True))
            ],
            "image": [images[0] if len(images) else None for images in mentions["images"]],
        }
        facts = {"dataset_hash": world.hash, "kb_hash": world.kb_hash, "kb_size": 300, "system": name}
        folder = str(world.root)
        make_run(tmp_path / "runs" / name.strip("<>"), ranks, columns=columns, dataset_folder=folder, **facts)
    return tmp_path / "runs"


@pytest.fixture
def html(runs):
    report([runs], out=runs / "r.html", rounds=200)
    return (runs / "r.html").read_text(encoding="utf-8")


def test_the_page_is_whole_and_fetches_nothing(html):
    check = Check()
    check.feed(html)
    assert (check.open, check.fetched) == ([], [])
    assert not check.tags & {"script", "link", "iframe", "object"}
    assert not re.search(r"https?://|@import|url\((?!#)", html)
    assert len(set(check.ids)) == len(check.ids)
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', html))
    assert used <= set(check.ids)
    assert "prefers-color-scheme: dark" in html


def test_the_page_holds_tables_plots_mistakes_and_where_it_comes_from(html):
    assert html.count("<svg ") == 3
    for title in ("Top-1 with 95% intervals", "Rank of the gold", "Top-1 over the size of the KB"):
        assert f'aria-label="{title}"' in html
    for words in (
        "Top-1 by seen_in_train",
        "popularity: the KB has none",
        "no published figure",
        "a machine",
        "c0ffee",
    ):
        assert words in html
    assert html.count('<article class="mistake">') == 10
    assert html.count("data:image/jpeg;base64,") > 10
    assert "<mark>" in html
    assert "&lt;weak&gt;" in html
    assert "<weak>" not in html


def test_the_worst_mistakes_are_those_of_the_best_system_with_the_gold_ranked_lowest(runs, world):
    comparison = compare(read_systems([runs], "dev").groups[0], None, 200)
    found = worst_mistakes(comparison)
    assert found.system == "strong"
    ranks = pd.read_parquet(runs / "strong" / "ranks.parquet").dropna(subset="gold").set_index("mention_id")["rank"]
    assert [mistake.rank for mistake in found.found] == sorted(ranks, reverse=True)[:10]
    for mistake in found.found:
        mention = world.mention(mistake.mention_id)
        assert (mistake.gold.id, ranks[mistake.mention_id]) == (mention.entity_id, mistake.rank)
        assert mistake.mention == mention.mention
        assert mistake.gold.name == world.entity(mention.entity_id).name
        assert (mistake.image is not None) == bool(mention.images)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dataset_folder": None}, "does not name its dataset folder"),
        ({"dataset_folder": "/nowhere"}, "the dataset folder /nowhere cannot be read"),
        ({"dataset_hash": "other"}, "now holds the dataset"),
    ],
)
def test_a_dataset_that_is_gone_or_another_is_not_shown_and_said(world, tmp_path, change, words):
    facts = {"dataset_folder": str(world.root), "dataset_hash": world.hash} | change
    make_run(tmp_path / "a", [1, 9, 3], **facts)
    found = worst_mistakes(compare(read_systems([tmp_path], "dev").groups[0], None, 200))
    assert words in found.notes[0]
    assert [(m.mention_id, m.rank, m.gold.id, m.gold.name) for m in found.found] == [
        ("m0001", 9, "e", ""), ("m0002", 3, "e", ""),
    ]  # fmt: skip


def test_a_candidate_run_has_no_curve_and_a_perfect_one_no_mistakes(tmp_path):
    make_run(tmp_path / "a", [1, 1, 1], protocol="candidates(names, 100)")
    report([tmp_path / "a"], out=tmp_path / "r.html", rounds=200)
    html = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert html.count("<svg ") == 2
    assert "No curve over the size of the KB" in html
    assert "It made none." in html


def test_a_curve_over_golds_that_were_not_found_says_that_it_is_a_lower_bound(tmp_path):
    make_run(tmp_path / "a", [1, 2, 3])
    report([tmp_path / "a"], out=tmp_path / "r.html", rounds=200)
    assert "lower bound" not in (tmp_path / "r.html").read_text(encoding="utf-8")
    make_run(tmp_path / "b", [1, 2, np.nan])
    report([tmp_path / "a", tmp_path / "b"], out=tmp_path / "r.html", rounds=200)
    note = "That of b is a lower bound: a gold that was not found counts as missed at every size."
    assert note in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_a_missed_gold_is_the_worst_and_reads_not_found(tmp_path):
    make_run(tmp_path / "a", [1, 9, np.nan], columns={"top_ids": [["e"], ["f"], []]})
    report([tmp_path / "a"], out=tmp_path / "r.html", rounds=200)
    html = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert html.index("not found") < html.index("at rank 9")
    assert "nothing" in html


def test_the_context_is_cut_around_the_mention():
    before, mention, after = split_context("x" * 500 + "Ann" + "y" * 500, "Ann", 500, 503)
    assert (before[0], mention, after[-1]) == ("…", "Ann", "…")
    assert len(before) == len(after) == 181
    assert split_context("no such name", "Ann", None, None) == ("no such name", "", "")
    assert split_context("no name", "", None, None) == ("no name", "", "")
    assert split_context("Die Straße, wo ann sang.", "Ann", None, None) == ("Die Straße, wo ", "ann", " sang.")
