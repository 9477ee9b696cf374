from pathlib import Path

import pytest
from published_page import DATASETS, DOCUMENT, PROTOCOLS, page

import dim.report.published as published
from dim.report.published import family, published_results, quoted

HEAD = {"dataset": "wikimel", "protocol": "full_kb", "kb_size": 109976}


def test_the_file_keeps_its_columns_and_rows():
    lines = Path(published.FILE).read_text(encoding="utf-8").splitlines()
    assert lines[0] == "protocol,dataset,model,kb_size,verified,top1,top3,top5,top10,top20,mrr,source"
    assert len(published_results()) == len(lines) - 1


def test_figures_over_the_whole_kb_need_the_same_kb_size():
    rows = quoted(HEAD)
    assert {"MIMIC", "CLIP", "OT-MEL"} <= set(rows["model"])
    assert rows.set_index("model").loc["MIMIC", "top1"] == pytest.approx(0.8798)
    assert set(rows["protocol_note"]) == {"verified"}
    assert quoted(HEAD | {"kb_size": 18880}).empty


@pytest.mark.parametrize(
    ("protocol", "kind"),
    [
        ("candidates(released, 100, gold injected)", "candidates100"), ("candidates(released, 100)", None),
        ("candidates(names, 100, gold injected)", None), ("candidates(released, 10, gold injected)", None),
        ("generative(5 beams)", "generative"), ("full_kb", "full_kb"), ("full_kb(clean)", None),
    ],
)  # fmt: skip
def test_a_protocol_is_quoted_only_beside_itself(protocol, kind):
    assert family(protocol) == kind
    rows = quoted(HEAD | {"protocol": protocol})
    expected = published_results().query("protocol == @kind and dataset == 'WikiMEL'") if kind else []
    assert len(rows) == len(expected)


def test_dataset_names_match_without_case_and_punctuation_and_other_datasets_never_do():
    assert len(quoted(HEAD | {"dataset": "Wiki-MEL"})) == len(quoted(HEAD)) > 0
    assert quoted(HEAD | {"dataset": "wikimel2"}).empty


def test_protocols_that_nobody_verified_are_marked():
    rows = quoted(HEAD | {"protocol": "candidates(released, 100, gold injected)", "kb_size": 18880})
    assert len(rows) > 5
    assert rows["protocol_note"].str.startswith("protocol not verified (protocol as reported by the source)").all()


def test_a_figure_that_another_source_contradicts_says_so():
    rows = quoted({"dataset": "WikiMEL", "protocol": "generative(5 beams)", "kb_size": 18880}).set_index("model")
    assert rows.loc["GPT-3.5-Turbo", "protocol_note"].startswith("doubtful: another source gives WikiMEL 73.80")
    assert rows.loc["GELR", "protocol_note"] == "protocol not verified (names in the tree not stated)"


def test_the_page_of_published_figures_has_every_figure_of_the_file():
    assert set(published_results()["protocol"]) == set(PROTOCOLS)
    assert set(published_results()["dataset"]) == set(DATASETS)
    assert not published_results().duplicated(["protocol", "dataset", "model"]).any()
    assert DOCUMENT.read_text(encoding="utf-8") == page()
