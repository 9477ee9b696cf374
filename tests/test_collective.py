"""`dim collective` on a demo world whose mentions stand in texts, and what its linker does with it."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dim.__main__ import main
from dim.demo import demo_world
from dim.errors import ConfigError
from dim.linker import Linker
from dim.reranker.finder import Finder
from dim.reranker.ranker import Ranker
from dim.training.answered import Answered, unseen_judged
from dim.training.collective_results import Texts
from dim.training.saved_run import open_run
from dim.training.unseen import rows_in_kb, unseen_towers


@pytest.fixture(scope="module")
def ranked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of names with its ranker, over texts of three mentions; test came without golds."""
    folder = tmp_path_factory.mktemp("collective")
    world, run = folder / "world", folder / "run"
    demo_world(world, num_entities=300, seed=1, num_images=0, mentions_a_document=3)
    mentions = pd.read_parquet(world / "mentions.parquet")
    mentions.loc[mentions["split"] == "test", "entity_id"] = None
    mentions.to_parquet(world / "mentions.parquet")
    options = ["--data.root", str(world), "--data.entity_text", "refreshed", "--run", str(run)]
    assert main(["fit", "--config", "baselines/names", *options]) == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dim.reranker.network.LEAST_STEPS", 20)
        assert main(["rank", "--run", str(run), "--folds", "2"]) == 0
    return run


def test_a_split_is_answered_text_by_text_and_the_linker_takes_it_along(
    ranked: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="learned"):
        Linker.from_checkpoint(ranked).annotate("Bob sang.", [(0, 3)], collective=True)
    assert main(["collective", str(ranked), "--learn", "train"]) == 0
    printed = capsys.readouterr().out
    assert "texts of" in printed
    assert "shuffled: texts of mentions drawn at random" in printed
    metrics = json.loads((ranked / "collective" / "metrics.json").read_text())
    assert metrics["system"] == "NamesOnly + ranker + collective"
    beside = metrics["method"]["collective"]["beside_alone"]
    assert beside["shared"]["n"] <= beside["all"]["n"] == metrics["n"]
    assert beside["all"]["top1"]["together"] == metrics["top1"]
    alone = json.loads((ranked / "ranked" / "metrics.json").read_text())
    assert beside["all"]["top1"]["alone"] == alone["top1"]
    assert metrics["method"]["collective"]["learned"]["weights"]["words"] > 0  # those of a text have one employer
    assert main(["collective", str(ranked)]) == 1  # results stand there

    assert main(["export", str(ranked), str(tmp_path / "linker"), "--verify", "false"]) == 0  # it is opened below
    linker = Linker.from_pretrained(tmp_path / "linker")
    mentions = pd.read_parquet(ranked.parent / "world" / "mentions.parquet")
    mentions = mentions[mentions["split"] == "dev"]
    documents = mentions["attributes"].map(lambda cell: json.loads(cell).get("document"))
    one = mentions[documents == documents.dropna().iloc[0]]
    text, spans = "", []
    for row in one.itertuples():
        sentence = row.context or row.mention
        start = len(text) + sentence.index(row.mention)
        spans.append((start, start + len(row.mention)))
        text += sentence + " "
    apart, together = linker.annotate(text, spans), linker.annotate(text, spans, collective=True)
    assert [each.mention for each in together] == one["mention"].tolist()
    assert [len(each.answers) for each in together] == [len(each.answers) for each in apart]
    assert any(a.answers[0].probability != b.answers[0].probability for a, b in zip(apart, together, strict=True))
    for each in together:
        said = [answer.probability for answer in each.answers]
        assert said == sorted(said, reverse=True)
    # Fewer answers are the first of them: as many candidates are looked at together.
    fewer = linker.annotate(text, spans, top_k=1, collective=True)
    assert [each.answers for each in fewer] == [each.answers[:1] for each in together]
    # A mention alone, and each text of several by itself.
    assert linker.annotate(text, spans[:1], collective=True)[0] == apart[0]
    batch = linker.annotate_batch([{"text": text, "spans": spans}, {"text": text, "spans": spans[:1]}], collective=True)
    assert batch == [together, apart[:1]]


@pytest.mark.parametrize(("folds", "is_said"), [(2, False), (3, True)])
def test_a_new_ranker_says_which_results_are_of_the_one_before(
    ranked: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    folds: int,
    is_said: bool,
) -> None:
    monkeypatch.setattr("dim.reranker.network.LEAST_STEPS", 20)
    shutil.copytree(ranked, run := tmp_path / "run")
    assert main(["collective", str(run), "--learn", "train", "--overwrite", "true"]) == 0
    shutil.copytree(run / "collective", run / "judged")
    assert (
        main(
            [
                "rank",
                "--run",
                str(run),
                "--folds",
                str(folds),
                "--overwrite",
                "true",
                "--dataset",
                str(ranked.parent / "world"),
            ]
        )
        == 0
    )
    said = capsys.readouterr().err
    for name, command in (("judged", "judge"), ("collective", "collective")):
        line = f"note: {run / name} is of the ranker that was here before; again: python -m dim {command} {run} "
        assert (line + "--overwrite true --dataset" in said) == is_said


def test_of_a_ranker_that_learned_of_tune_the_networks_count_that_did_not_see_a_mention(ranked: Path) -> None:
    task = open_run(ranked, "cpu")
    made = Ranker.load(ranked / "ranker")
    finder = Finder(task, int(made.facts["num_candidates"]))
    seen = Texts(Answered.to_learn_of(task, finder, made, "tune"))
    made.facts["unseen"] = "tune"
    unseen = Texts(Answered.to_learn_of(task, finder, made, "tune"))
    rows = rows_in_kb(task, "tune")
    expected = iter(unseen_judged(task, made, rows, finder.lists(task, rows)))
    for one, other, gold in zip(unseen.alone, seen.alone, unseen.answered.golds[:, 0], strict=True):
        if gold < 0:
            np.testing.assert_array_equal(one.probabilities, other.probabilities)
        else:
            np.testing.assert_array_equal(one.probabilities, next(expected).probabilities)
            assert not np.allclose(one.probabilities, other.probabilities)


def test_folds_of_what_is_not_trained_are_whole_captions_and_two_at_least(ranked: Path) -> None:
    task = open_run(ranked, "cpu")
    parts = [rows for rows, _ in unseen_towers(ranked, task, 2, "cpu", "folds")]
    captions = [set(task.data.dataset.mentions["context"].iloc[rows]) for rows in parts]
    assert captions[0] & captions[1] <= {""}
    for folds in (0, 1):
        with pytest.raises(ConfigError, match="--folds"):
            list(unseen_towers(ranked, task, folds, "cpu", "folds"))


def test_every_gold_is_right_and_nil_is_not(ranked: Path) -> None:
    task = open_run(ranked, "cpu")
    made = Ranker.load(ranked / "ranker")
    finder = Finder(task, int(made.facts["num_candidates"]))
    firsts = [int(finder.lists(task, np.array([row])).rows[0]) for row in range(len(finder.golds))]
    finder.golds = np.column_stack([finder.golds, firsts])  # another gold, which a list has at its first place
    answered = Answered.of_split(task, finder, made, "dev")
    best = [int(part.rows[said.order[0]]) for part, said in zip(Texts(answered).alone, answered.judged, strict=True)]
    assert answered.hits(answered.judged).tolist() == [
        row in of for row, of in zip(best, answered.golds.tolist(), strict=True)
    ]
    own = Texts(Answered.to_learn_of(task, finder, made, "dev"))
    for part, golds in zip(own.alone, own.answered.golds, strict=True):  # the others are not against the first
        assert golds[0] == golds[1] or golds[1] not in part.rows
    nil = [replace(said, says_nil=True) for said in answered.judged]
    assert not answered.hits(nil).any()


def test_a_run_without_a_ranker_and_splits_without_texts_are_refused(
    ranked: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = ["--out", str(tmp_path / "out")]
    assert main(["collective", str(ranked), "--learn", "dev", *out]) == 1
    assert "two splits" in capsys.readouterr().err
    assert main(["collective", str(ranked), "--top", "1", *out]) == 1
    assert "--top" in capsys.readouterr().err
    assert main(["collective", str(ranked), "--split", "test", *out]) == 1
    assert "golds of the KB in test" in capsys.readouterr().err
    (ranked / "ranker").rename(ranked / "elsewhere")
    try:
        assert main(["collective", str(ranked), *out]) == 1
        assert "dim rank --run" in capsys.readouterr().err
    finally:
        (ranked / "elsewhere").rename(ranked / "ranker")
    assert not (tmp_path / "out").exists()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("three years")
    assert main(["collective", str(ranked), "--overwrite", "true", *out]) == 1
    assert (tmp_path / "out" / "thesis.txt").read_text() == "three years"
