"""`dim rank --cross_encoder` and `dim judge` on a run of the demo world, and the linker that has the judge."""

import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from demo_run import demo_run, questions_of, world_of
from llm_servers import FaultyServer, completion, question_of, set_environment
from tiny_text import write_bert
from transformers import AutoModelForSequenceClassification

from dim.__main__ import main
from dim.cli.judge import judge
from dim.cli.rank import rank
from dim.errors import ConfigError, DataError
from dim.evaluation.result_files import read_results
from dim.judge.cross_encoder import CrossEncoderJudge
from dim.judge.cross_training import CrossTraining
from dim.judge.server import ServerJudge
from dim.judge.stage import top_probability
from dim.linker import Linker, Question
from dim.linker.judged import case_of
from dim.reranker.lists import Lists
from dim.reranker.ranker import Ranker
from dim.training.answered import unseen_judged
from dim.training.cases import hardest
from dim.training.ranked_run import open_ranked
from dim.training.unseen import rows_in_kb


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("judged")
    shutil.copytree(demo_run(tmp_path_factory).parent / "world", folder / "world")
    made = shutil.copytree(demo_run(tmp_path_factory), folder / "run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dim.reranker.network.LEAST_STEPS", 20)
        start = write_bert(folder / "bert")
        rank(made, folds=2, unseen="tune", cross_encoder=str(start), cross_lists=24, cross_candidates=3)
    assert main(["judge", str(made), "--share=0.3", "--top_k=3", "--num_learned=40"]) == 0
    return made


def summary_of(run, folder="judged"):
    return json.loads((run / folder / "metrics.json").read_text())["method"]["judge"]


def test_results_say_before_and_after_with_the_curve_the_costs_and_the_control(run):
    found, ranked = summary_of(run), json.loads((run / "ranked" / "metrics.json").read_text())
    assert found["before"]["top1"] == pytest.approx(ranked["top1"])
    metrics = json.loads((run / "judged" / "metrics.json").read_text())
    assert metrics["top1"] == pytest.approx(found["after"]["top1"])
    assert metrics["system"] == "DIM + ranker + judge"
    assert [step["share"] for step in found["curve"]] == [0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0]
    assert found["curve"][0]["top1"] == pytest.approx(found["before"]["top1"])
    assert found["curve"][4]["top1"] == pytest.approx(found["after"]["top1"])
    assert found["requests"] == 0
    assert {"top1", "p", "verdicts"} <= set(found["control"])
    assert found["wins"] - found["losses"] == round((found["after"]["top1"] - found["before"]["top1"]) * metrics["n"])


def test_only_mentions_that_the_ranker_is_least_sure_of_are_changed(run):
    before, after = (pd.read_parquet(run / name / "ranks.parquet") for name in ("ranked", "judged"))
    num = summary_of(run)["judged"]
    least = before["probability"].sort_values(kind="stable").index[:num]
    others = before.index.difference(least)
    assert (before.loc[others, "rank"].eq(after.loc[others, "rank"]) | before.loc[others, "rank"].isna()).all()
    assert after.loc[others, "probability"].tolist() == pytest.approx(before.loc[others, "probability"].tolist())
    assert num == -(-3 * len(before) // 10)


def test_it_answers_the_same_again_and_results_stay_until_they_may_be_replaced(run):
    with pytest.raises(ConfigError, match="results of dim judge, written before"):
        judge(run)
    judge(run, share=0.3, top_k=3, num_learned=40, out=run.parent / "again", overwrite=True)
    again = json.loads((run.parent / "again" / "metrics.json").read_text())["method"]["judge"]
    assert again == summary_of(run)


def test_the_cross_encoder_was_trained_and_learned_its_lists(run):
    facts = json.loads((run / "cross_encoder" / "cross_encoder.json").read_text())
    assert facts["num_lists"] == 24
    assert facts["learned_of"] == "train, by the run's own vectors"  # tune is for the weights
    assert not (run / "cross_encoder.partial").exists()
    assert AutoModelForSequenceClassification.from_pretrained(run / "cross_encoder").config.num_labels == 1


def test_a_cross_encoder_never_learns_of_tune_and_learns_of_those_that_the_ranker_is_least_sure_of(run, tmp_path):
    copy, told = shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("judge*")), {}

    def learned(_start, folder, cases, gold, *_):
        told.update(cases=cases, gold=gold)
        return folder

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dim.reranker.network.LEAST_STEPS", 20)
        patch.setattr("dim.training.cases.train_cross_encoder", learned)
        options = {"folds": 2, "unseen": "tune", "cross_encoder": "any", "cross_lists": 24, "cross_candidates": 3}
        rank(copy, dataset=run.parent / "world", overwrite=True, **options)
    mentions = world_of(run).mentions.set_index("id")
    asked = mentions.loc[[each.key for each in told["cases"]]]
    assert set(asked["split"]) == {"train"}
    places = zip(asked["start"], asked["end"], strict=True)
    assert [each.span for each in told["cases"]] == [None if pd.isna(start) else (start, end) for start, end in places]
    meant = [each.candidates[place].id for each, place in zip(told["cases"], told["gold"], strict=True)]
    assert meant == asked["entity_id"].tolist()


def test_the_lists_that_teach_most_are_the_least_sure_whose_gold_is_among_the_best():
    scores, gold = [[9, 0, 0], [1, 0, 0], [3, 2, 0], [0.1, 0, 0], [5.0]], [0, 0, 2, 1, 0]
    parts = [(np.arange(len(own)), np.zeros((len(own), 1)), place) for own, place in zip(scores, gold, strict=True)]
    how = CrossTraining(top_k=2, most_lists=2)
    assert hardest(Lists.join(parts), np.concatenate(scores).astype(np.float64), 1.0, how) == [3, 1]


def test_whom_it_asks_is_settled_by_what_the_ranker_says_of_mentions_that_it_did_not_learn_of(run):
    task, ranker, finder = open_ranked(run, "cpu", None, ())
    rows = rows_in_kb(task, "tune")
    lists = finder.lists(task, rows)
    told, seen = (
        float(np.quantile([top_probability(said) for said in judged], 0.3))
        for judged in (unseen_judged(task, ranker, rows, lists), ranker.judge(lists))
    )
    assert told != pytest.approx(seen)
    assert summary_of(run)["threshold"] == pytest.approx(told)


def test_a_linker_of_the_run_asks_the_judge_where_the_ranker_is_not_sure(run):
    linker, alone = Linker.from_checkpoint(run, device="cpu"), Linker.from_checkpoint(run, device="cpu", judge=None)
    assert linker.judge is not None
    assert alone.judge is None
    linker.judge.threshold = 0.6
    questions = questions_of(run)[:40]
    both = list(zip(linker.link_batch(questions), alone.link_batch(questions, top_k=300), strict=True))
    asked = [(judged, ranked) for judged, ranked in both if "ranker_probability" in judged[0].evidence]
    assert 0 < len(asked) < len(both)
    for judged, ranked in both:
        in_kb = sum(answer.probability for answer in ranked)  # the rest is that of NIL
        sure = ranked[0].probability / in_kb >= linker.judge.threshold
        assert sure == ("ranker_probability" not in judged[0].evidence)
        if sure:
            assert [(a.id, a.score) for a in judged] == [(a.id, a.score) for a in ranked[:5]]
        else:
            before = {answer.id: answer.probability / in_kb for answer in ranked}
            said = {answer.id: answer.evidence["ranker_probability"] for answer in judged}
            assert said == pytest.approx({name: before[name] for name in said})
            shares = [answer.evidence["judge"] for answer in judged if "judge" in answer.evidence]
            assert len(shares) == linker.judge.top_k
            assert sum(shares) == pytest.approx(1)
    assert set(asked[0][0][0].evidence) <= set(linker.evidence)
    marked = Question("Ada", "Ada met Ada", span=(8, 11))
    assert case_of(linker.judge, marked, []).span == (8, 11)


def test_a_linker_s_folder_has_the_judge_and_its_model(run, tmp_path):
    linker = Linker.from_checkpoint(run, device="cpu")
    linker.judge.threshold = 2.0
    linker.save(tmp_path / "linker")
    questions = questions_of(run)[:10]
    here = linker.link_batch(questions)
    shutil.move(run / "cross_encoder", run / "hidden")  # it needs nothing of the run
    try:
        opened = Linker.from_pretrained(tmp_path / "linker", device="cpu")
        there = opened.link_batch(questions)
        with pytest.raises(ConfigError, match="a cross-encoder at"):
            Linker.from_checkpoint(run, device="cpu")
    finally:
        shutil.move(run / "hidden", run / "cross_encoder")
    assert [[a.id for a in each] for each in here] == [[a.id for a in each] for each in there]
    assert "judge" in there[0][0].evidence
    figures = [figure["system"] for figure in linker.about["figures"]]
    assert figures == [
        "this linker: ranker, and a judge of 30% of the mentions",
        "its vectors and ranker",
        "its vectors alone",
    ]
    assert (
        "CrossEncoderJudge cross_encoder, where the best candidate is"
        in (tmp_path / "linker" / "README.md").read_text()
    )
    opened.save(tmp_path / "again")
    assert Linker.from_pretrained(tmp_path / "again", device="cpu").judge.weights == linker.judge.weights
    assert Linker.from_pretrained(tmp_path / "again", device="cpu", judge=None).judge is None
    with pytest.raises(ConfigError, match="a judge behind a server beside a URL"):
        Linker.from_pretrained(tmp_path / "again", device="cpu", judge="http://localhost:1/v1")


@pytest.mark.parametrize("options", [{"top_k": 2}, {"num_learned": 5}])
def test_figures_of_a_judge_that_was_set_up_otherwise_are_none_of_this_linker(run, tmp_path, options):
    copy = shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("ranker-folds"))
    world = run.parent / "world"
    judge(copy, dataset=world, control=False, curve=0.3, out=tmp_path / "out", **({"share": 0.3, "top_k": 3} | options))
    figures = Linker.from_checkpoint(copy, device="cpu", dataset=world).about["figures"]
    assert [figure["system"] for figure in figures] == ["its vectors and ranker", "its vectors alone"]


def test_facts_of_a_cross_encoder_that_are_none_are_said(run, tmp_path, capsys):
    facts = run / "cross_encoder" / "cross_encoder.json"
    kept = facts.read_text()
    facts.write_text(kept.replace('"max_length": ', '"max_length": "x", "was": '))
    try:
        assert main(["judge", str(run), "--out", str(tmp_path / "out")]) == 1
    finally:
        facts.write_text(kept)
    assert "max_length of" in capsys.readouterr().err


def test_a_judge_of_another_ranker_is_not_asked(run, tmp_path, caplog):
    other = shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("cross_encoder"))
    made = Ranker.load(other / "ranker")
    with torch.no_grad():
        made.network.first.mul_(2)  # with the same temperature
    made.save(other / "ranker")
    assert Linker.from_checkpoint(other, device="cpu", dataset=run.parent / "world").judge is None
    assert "was set up with another ranker" in caplog.text
    linker = Linker.from_checkpoint(run, device="cpu")
    linker.save(tmp_path / "linker")
    (tmp_path / "linker" / "judge" / "judge.json").write_text("{}")
    with pytest.raises(DataError, match=r"damaged file judge\.json"):
        Linker.from_pretrained(tmp_path / "linker", device="cpu")


def test_another_judge_does_not_get_the_weights(run, tmp_path):
    other = CrossEncoderJudge(str(run / "cross_encoder"), max_length=32, device="cpu")
    with pytest.raises(ConfigError, match="the judge whose weights were learned"):
        Linker.from_checkpoint(run, device="cpu", judge=other)


def test_a_stage_for_a_linker_without_a_ranker_is_refused(run, tmp_path_factory):
    stage = Linker.from_checkpoint(run, device="cpu").judge
    with pytest.raises(ConfigError, match="a linker with a ranker"):
        Linker.from_checkpoint(demo_run(tmp_path_factory), device="cpu", judge=stage)
    assert Linker.from_checkpoint(run, device="cpu", judge=stage).judge is stage


def test_identity_tells_the_judge(run):
    identity = read_results(run / "judged").identity
    assert identity["judge"]["share"] == 0.3
    assert "ranker" in identity


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"share": 0.0}, "--share above 0"),
        ({"curve": 1.5}, "--curve above 0"),
        ({"top_k": 1}, "--top_k between 2"),
        ({"num_learned": 0}, "--num_learned of at least 1"),
        ({"split": "tune"}, "another split than tune"),
    ],
)
def test_options_out_of_range_are_refused(run, options, message):
    with pytest.raises(ConfigError, match=message):
        judge(run, out=run.parent / "elsewhere", **options)


def test_without_ranker_or_cross_encoder_the_remedy_is_named(run, tmp_path, tmp_path_factory):
    plain = demo_run(tmp_path_factory)
    with pytest.raises(ConfigError, match=r"(?s)a judge, or a cross-encoder at.*--overwrite true"):
        judge(plain, out=tmp_path / "out")
    own = CrossEncoderJudge(str(run / "cross_encoder"), device="cpu")
    with pytest.raises(ConfigError, match="a run with a ranker"):
        judge(plain, own, out=tmp_path / "out")


def test_a_text_encoder_without_a_head_is_no_judge(tmp_path):
    with pytest.raises(ConfigError, match="all weights of the sequence classifier"):
        _ = CrossEncoderJudge(str(write_bert(tmp_path / "bert")), device="cpu").network
    torch.manual_seed(0)


GOLD = re.compile(r"^([A-Z])\) ", re.MULTILINE)


def first_letter(_number, _name, body):
    return 200, {}, completion(GOLD.findall(question_of(body))[0], usage=(90, 1))


@pytest.fixture
def served(run, tmp_path, monkeypatch):
    """A copy of the run that a model behind a server judged, the server, and what that was asked."""
    set_environment(monkeypatch)
    copy = shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("judge", "judged", "ranker-folds"))
    (tmp_path / "world").symlink_to(run.parent / "world")
    with FaultyServer(first_letter) as server:
        yield copy, server


def args_of(copy, server, *more):
    line = ["judge", str(copy), "--judge=ServerJudge", "--judge.model=tiny", f"--judge.base_url={server.url}"]
    return [*line, "--share=0.1", "--top_k=3", "--num_learned=5", "--overwrite=true", *more]


def test_a_model_behind_a_server_judges_within_its_budget_and_goes_on_where_it_stood(served, capfd):
    copy, server = served
    assert main(args_of(copy, server, "--judge.max_requests=7", "--judge.price_in=1", "--judge.price_out=1")) == 0
    said = " ".join(capfd.readouterr().out.split())
    found = summary_of(copy)
    assert len(server.requests) == 7
    learned = sum(found["learned"]["verdicts"].values())
    assert found["verdicts"] == {"a candidate": 7 - learned, "not asked": found["judged"] - 7 + learned}
    assert found["control"]["verdicts"] == {"not asked": found["judged"]}
    assert found["cost"] == pytest.approx((7 - learned) * 91 / 1e6)
    assert f"verdicts: {7 - learned} a candidate, " in said
    assert main(args_of(copy, server, "--control=false")) == 0
    assert len(server.requests) == learned + found["judged"]  # nothing twice
    assert summary_of(copy)["verdicts"] == {"a candidate": found["judged"]}
    assert "control" not in summary_of(copy)
    lines = (copy / "answers" / "judge-tiny.jsonl").read_text().splitlines()
    assert len({json.loads(line)["request_hash"] for line in lines}) == len(lines) == len(server.requests)


def test_a_folder_with_a_server_s_judge_asks_it_only_where_its_url_is_named(served, tmp_path, caplog):
    copy, server = served
    assert main(args_of(copy, server, "--control=false")) == 0
    Linker.from_checkpoint(copy, device="cpu").save(tmp_path / "linker")
    assert server.url not in (tmp_path / "linker" / "judge" / "judge.json").read_text()
    num, questions = len(server.requests), questions_of(copy)[:30]
    quiet = Linker.from_pretrained(tmp_path / "linker", device="cpu")
    assert "is asked where you name its URL" in caplog.text
    quiet.judge.threshold = 2.0
    alone = quiet.link_batch(questions)
    assert len(server.requests) == num
    asking = Linker.from_pretrained(tmp_path / "linker", device="cpu", judge=server.url)
    asking.judge.threshold = 2.0
    judged = asking.link_batch(questions)
    assert len(server.requests) > num
    assert all("judge_none" in answers[0].evidence for answers in judged)
    asking.save(tmp_path / "again")  # what it is opened with stays out of what it writes
    assert server.url not in (tmp_path / "again" / "judge" / "judge.json").read_text()
    assert [a.id for a in alone[0]] == [a.id for a in quiet.link_batch(questions[:1])[0]]
    gone = Linker.from_pretrained(tmp_path / "linker", device="cpu", judge="http://127.0.0.1:9/v1")
    gone.judge.threshold, gone.judge.judge = 2.0, ServerJudge("tiny", "http://127.0.0.1:9/v1", retries=0)
    without = gone.link_batch(questions)
    assert [[a.id for a in each] for each in without] == [[a.id for a in each] for each in alone]
    assert all(each[0].evidence["judge_abstained"] == 1 for each in without)
    assert "cannot be asked, so the ranker's answers stand" in caplog.text
    gone.judge.judge = ServerJudge("tiny", server.url)
    assert "judge_abstained" in gone.link_batch(questions[:1])[0][0].evidence  # it is left alone for a minute
    gone.judge.rests_until = 0.0
    assert "judge_none" in gone.link_batch(questions[:1])[0][0].evidence
