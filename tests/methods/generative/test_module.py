"""GEMEL on a small demo world, with tiny language models with random weights."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from fit_options import dim_options, gemel_options
from test_configs import instantiated
from tiny_lm import save_model, texts_of
from transformers import AutoModelForCausalLM

from dim.__main__ import main
from dim.data.dataset import Dataset, write_dataset
from dim.demo import demo_world
from dim.errors import CheckpointError, ConfigError, DataError
from dim.evaluation.protocols import NIL_ROW
from dim.methods.generative import network
from dim.methods.generative.decoding import Decoder
from dim.methods.generative.language_model import LanguageModel
from dim.search import scores as sliced
from dim.training.crossfit import cross_fit


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gemel")
    demo_world(folder / "world", num_entities=120, seed=1)
    save_model(folder / "lm", texts=texts_of(Dataset(folder / "world")))
    return folder


def options(place: Path, run: str, *more: str) -> list[str]:
    examples = ["--model.examples", "SimilarExamples", "--model.examples.num_examples", "2"]
    batches = ["--data.batch_size", "4", "--trainer.accumulate_grad_batches", "2"]
    return gemel_options(place / "world", place / run, *batches, *examples, *more)


@pytest.fixture(scope="module")
def run(place):
    assert main(["fit", *options(place, "run", "--trainer.max_epochs", "2")]) == 0
    return place / "run"


def opened(place: Path, *more: str):
    """The task with random weights, and its data."""
    cli = instantiated(*options(place, "other", *more))
    cli.model.open_for_scoring(cli.datamodule, None, torch.device("cpu"))
    return cli.model, cli.datamodule


@pytest.fixture(scope="module")
def plain(place):
    """A task that tests leave as it is."""
    return opened(place)[0]


def test_each_batch_of_prompts_is_told_as_it_is_ranked(place):
    task, datamodule = opened(place, "--model.batch_size", "4")
    told = []
    task.heard = told.append
    rank(task, datamodule.rows("dev")[:10])
    assert told == [4, 4, 2]


def rank(task, rows):
    with torch.inference_mode():
        return task.rank(rows)


def test_fit_trains_the_mapper_alone_and_lowers_its_loss(run, place):
    saved = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    assert set(saved["state_dict"]) == {"mapper.linear.weight", "mapper.linear.bias"}
    assert saved["dim"]["language_model"]
    losses = pd.read_csv(run / "logs" / "version_0" / "metrics.csv")["train/loss"].dropna().tolist()
    assert losses[-1] < losses[0]


def test_metrics_say_what_was_decoded_and_how(run):
    metrics = json.loads((run / "metrics.json").read_text())
    method = metrics["method"]
    assert (metrics["protocol"], metrics["depth"], metrics["model"]) == ("generative", 5, "GEMEL")
    assert metrics["top10"] is None
    assert metrics["top5"] is not None
    assert method["tree"]["source"] == "names and aliases"
    assert method["tree"]["num_names"] > 120
    assert len(method["tree"]["hash"]) > 8
    assert method["equal_names"] == "by popularity, then by id"
    assert method["nil"] == "never answered"
    assert method["kb_name_share"] == 1.0
    assert 0 < method["trained_share"] < 1
    assert metrics["nil"] is None


def test_answers_fall_in_score_and_their_first_has_a_probability(run):
    ranks = pd.read_parquet(run / "ranks.parquet")
    assert all(list(scores) == sorted(scores, reverse=True) for scores in ranks["top_scores"])
    assert ranks["probability"].between(0, 1).all()
    found = ranks[ranks["rank"].notna()]
    for row in found.itertuples():
        assert row.top_ids[int(row.rank) - 1] == row.gold


def test_validate_repeats_the_figures_of_fit(run):
    before = json.loads((run / "metrics.json").read_text())
    assert main(["validate", "--config", str(run / "config.yaml")]) == 0
    after = json.loads((run / "metrics.json").read_text())
    assert [before[k] for k in ("top1", "top5", "mrr")] == [after[k] for k in ("top1", "top5", "mrr")]
    assert before["method"]["prompts"] == after["method"]["prompts"]
    assert after["method"]["prompts"]["mentions"] == len(pd.read_parquet(run / "ranks.parquet"))


def test_a_trained_mapper_can_be_asked_with_other_images(run, place):
    best = str(run / "checkpoints" / "best.ckpt")
    for name, control in (("blank", "--data.blank"), ("shuffled", "--data.shuffle")):
        arguments = options(place, name, control, "[image]", "--ckpt_path", best)
        assert main(["validate", *arguments]) == 0
        assert json.loads((place / name / "metrics.json").read_text())["features"][control[7:]] == "image"


def test_no_mentions_answer_depends_on_the_batch_or_on_the_order(place):
    task, _ = opened(place, "--model.batch_size", "7")
    rows = torch.arange(12)
    together, turned = rank(task, rows), rank(task, rows.flip(0))
    alone = [rank(task, rows[i : i + 1]) for i in range(12)]
    for i in range(12):
        for other, j in ((turned, 11 - i), (alone[i], 0)):
            known = together.rows[i] != -1
            np.testing.assert_allclose(together.scores[i][known], other.scores[j][known], atol=1e-4)
            gaps = -np.diff(together.scores[i][known])
            if (gaps[gaps > 0] > 1e-4).all():
                assert together.rows[i].tolist() == other.rows[j].tolist()


def test_as_many_beams_as_names_rank_the_whole_kb_by_likelihood(place):
    more = ["--model.aliases", "false", "--model.early_stopping", "never"]
    written, _ = opened(place, *more, "--model.num_beams", "121")
    scored, _ = opened(place, *more, "--data.protocol", "FullKB")
    rows = torch.arange(4)
    one, other = rank(written, rows), rank(scored, rows)
    assert one.rows.tolist() == other.rows.tolist()
    np.testing.assert_allclose(one.scores, other.scores, atol=1e-4)
    np.testing.assert_array_equal(one.ranks, other.ranks)


def test_candidates_are_ranked_by_the_likelihood_of_their_names(place):
    task, datamodule = opened(place, "--data.protocol", "Candidates", "--data.protocol.size", "5")
    ranked = rank(task, torch.arange(6))
    candidates = datamodule.linking_data.candidates[:6].numpy()
    for mine, theirs in zip(ranked.rows, candidates, strict=True):
        assert set(mine[mine >= 0]) == set(theirs[theirs >= 0])
    missed = ~(candidates == datamodule.linking_data.gold[:6].numpy()[:, None]).any(1)
    assert np.isnan(ranked.ranks[missed]).all()
    assert task.depth is None


def test_an_image_changes_the_answer_through_the_mapper_and_none_is_left_out(place, plain):
    without, _ = opened(place, "--data.leave_out", "[image]", "--model.train_mapper", "false")
    rows = torch.arange(10)
    a, b = rank(plain, rows), rank(without, rows)
    assert not np.allclose(a.scores, b.scores, atol=1e-3)
    assert without.num_trained == 0


def test_nil_is_written_trained_on_and_measured(place):
    nil = ["--model.nil", "true", "--model.num_beams", "3"]
    assert main(["fit", *options(place, "nil", *nil, "--trainer.max_epochs", "1")]) == 0
    metrics = json.loads((place / "nil" / "metrics.json").read_text())
    assert metrics["method"]["nil"] == "an answer"
    assert set(metrics["nil"]) == {"precision", "recall", "f1"}
    task, _ = opened(place, *nil, "--data.protocol", "FullKB")
    assert all(NIL_ROW in task._score(*encoded_of(task, row))[0].rows for row in range(3))
    golds = task.data.gold.numpy()
    trained = set(task.datamodule.train_rows().tolist())
    nils = np.flatnonzero((golds < 0) & (task.data.dataset.mentions["split"] == "train"))
    assert len(nils)
    assert set(nils.tolist()) <= trained


def test_without_the_tree_answers_that_are_no_names_are_counted(place):
    free, _ = opened(place, "--model.constrained", "false", "--model.max_new_tokens", "4")
    ranked = rank(free, torch.arange(16))
    assert (ranked.rows == -1).all()  # random weights write no name
    assert free.describe()["tree"] is None
    assert not free.describe()["kb_name_share"]


def test_a_loss_of_two_batches_is_their_mean_by_tokens(plain):
    task = plain
    rows = task.datamodule.train_rows()[:6]
    parts = rows.split(3)
    names = [[task._names[gold] for gold in task.data.gold[part].tolist()] for part in parts]
    lengths = [sum(len(tokens) + 1 for tokens in task._tokens(of_part)) for of_part in names]
    with torch.inference_mode():
        whole, halves = task.loss_of(rows), [task.loss_of(part) for part in parts]
    expected = sum(float(half) * n for half, n in zip(halves, lengths, strict=True)) / sum(lengths)
    assert float(whole) == pytest.approx(expected, abs=1e-4)


def test_the_loss_is_the_likelihood_that_decoding_ranks_by(place):
    task, _ = opened(place, "--data.protocol", "FullKB", "--model.aliases", "false")
    row = task.datamodule.train_rows()[:1]
    ranked = rank(task, row)
    gold = int(task.data.gold[row])
    with torch.inference_mode():
        loss = float(task.loss_of(row))
    place_of_gold = np.flatnonzero(ranked.rows[0] == gold)
    assert ranked.ranks[0] >= 1
    if len(place_of_gold):
        assert -loss == pytest.approx(ranked.scores[0][place_of_gold[0]], abs=1e-4)
    else:
        assert -loss <= ranked.scores[0][-1] + 1e-4


def test_the_corrected_schedule_reaches_its_peak_and_the_released_one_does_not(plain):
    num_micro, num_steps = 1600, 100
    corrected = [plain.rate_at(step, num_steps) for step in range(num_steps)]
    released = [plain.rate_at(step, num_micro) for step in range(num_steps)]
    assert max(corrected) == 1.0
    assert corrected[-1] < 0.02
    assert max(released) <= 0.625
    assert released == sorted(released)


@pytest.mark.parametrize("schedule", ["corrected", "released"])
def test_a_number_of_steps_alone_is_what_the_schedule_is_laid_over(place, schedule):
    steps = ["--trainer.max_epochs", "-1", "--trainer.max_steps", "6"]
    cli = instantiated(*options(place, schedule, *steps, "--model.schedule", schedule))
    cli.trainer.fit(cli.model, cli.datamodule)
    assert cli.model.num_scheduled_steps() == {"corrected": 6, "released": 12}[schedule]


def test_a_name_that_is_longer_than_what_is_written_stays_within_the_context(place):
    task, _ = opened(place, "--data.protocol", "FullKB", "--model.max_new_tokens", "16", "--model.aliases", "false")
    row = task.datamodule.train_rows()[:1]
    name = task._names[int(task.data.gold[row])]
    task._known[name] = task._tokens([name])[0] * 9
    assert len(task._known[name]) > 30
    asked = []
    run = task.language_model.run
    task.language_model.run = lambda mask, *given, **more: asked.append(mask.shape) or run(mask, *given, **more)
    with torch.inference_mode():
        loss = float(task.loss_of(row))
        task._score(*encoded_of(task, int(row[0])))
    assert np.isfinite(loss)
    (prompt,) = task.prompts.of(row.numpy())
    assert max(shape[1] for shape in asked) == prompt.length(task.prefix_length) + 16  # for which it leaves room


def test_a_language_model_that_gives_no_numbers_is_said_and_not_taken_for_silence(place):
    task, _ = opened(place)
    with torch.no_grad():
        task.language_model.model.get_input_embeddings().weight[:] = float("nan")
    for answer in (task._write, task._score):
        with pytest.raises(DataError, match="precision bf16 or fp32"):
            answer(*encoded_of(task, 0))


def long_names(place, folder):
    """The world with names of many tokens, and a small language model for it; more options."""
    world = Dataset(place / "world")
    entities = world.entities.assign(name=world.entities["name"] + " of the long and winding river beyond the hills")
    write_dataset(folder / "world", name="long", entities=entities, texts={}, mentions=world.mentions,
                  image_root=str(world.image_root.resolve()))  # fmt: skip
    save_model(folder / "lm", texts=texts_of(world), context=128)
    lm = ["--data.root", str(folder / "world"), "--model.language_model.path", str(folder / "lm")]
    return [*lm, "--model.max_new_tokens", "4", "--model.constrained", "false"]


def test_the_likelier_end_is_asked_behind_names_that_can_be_written(place, tmp_path):
    task, _ = opened(place, *long_names(place, tmp_path), "--model.end", "auto")
    assert task.settled_end == "eos"  # of no name, since all are too long


def test_folds_share_the_language_model_of_the_run(run, place, tmp_path, monkeypatch):
    task, _ = opened(place)
    loaded, load = [], LanguageModel._load
    monkeypatch.setattr(
        LanguageModel, "_load", lambda model, kind, **more: loaded.append(kind) or load(model, kind, **more)
    )
    for _, made in cross_fit(run, task, tmp_path, 2, "cpu"):
        assert made.language_model is task.language_model
    assert AutoModelForCausalLM not in loaded


def test_a_large_kb_that_is_scored_name_by_name_is_told(place, capsys, monkeypatch):
    monkeypatch.setattr(network, "MANY_NAMES", 100)
    opened(place, "--data.protocol", "FullKB")
    assert "--data.protocol Generative" in capsys.readouterr().err
    opened(place)
    assert "--data.protocol Generative" not in capsys.readouterr().err


def test_equal_names_follow_the_tie_break(place, tmp_path):
    world = Dataset(place / "world")
    entities = world.entities.copy()
    entities.loc[1, "name"] = entities.loc[0, "name"]
    entities["aliases"] = [[] for _ in range(len(entities))]
    entities.loc[[0, 1], "popularity"] = [1.0, 9.0]
    mentions = world.mentions.copy()
    write_dataset(tmp_path / "world", name="twins", entities=entities, texts={}, mentions=mentions,
                  image_root=str(world.image_root.resolve()))  # fmt: skip
    task, _ = opened(place, "--data.root", str(tmp_path / "world"), "--data.protocol", "FullKB")
    task.decoder = Decoder()
    ranked = task._score(*encoded_of(task, 0))[0]
    order = ranked.rows.tolist()
    assert order.index(1) == order.index(0) - 1


def encoded_of(task, row):
    rows = np.array([row])
    with torch.inference_mode():
        return task._encode(task.prompts.of(rows))[0], rows


def test_a_contrastive_run_breaks_ties_and_the_report_says_hybrid(place, run, monkeypatch):
    small = ["--model.width", "32", "--trainer.max_epochs", "1"]
    contrastive = dim_options(place / "world", place / "dim", *small)
    assert main(["fit", *contrastive]) == 0
    scorer = ["--model.tie_break", "RunScorer", "--model.tie_break.run", str(place / "dim")]
    task, _ = opened(place, *scorer)
    assert task.describe()["is_hybrid"]
    theirs = task.tie_break._task
    with torch.inference_mode():
        expected = theirs.scores_of(torch.tensor([3, 5])).whole().numpy()
        found = task.tie_break.scores(np.array([3, 5, 3]), np.array([7, 7, 1]))
        monkeypatch.setattr(sliced, "SLICE", 7)
        by_slice = task.tie_break.scores(np.array([3, 5, 3]), np.array([7, 7, 1]))
    assert found.tolist() == [expected[0, 7], expected[1, 7], expected[0, 1]]
    assert by_slice == pytest.approx(found, abs=1e-6)
    with pytest.raises(ConfigError, match="a run with its"):
        opened(place, "--model.tie_break", "RunScorer", "--model.tie_break.run", str(place / "nowhere"))
    with pytest.raises(ConfigError, match="a run that scores the entities of demo"):
        opened(place, "--model.tie_break", "RunScorer", "--model.tie_break.run", str(run))
    monkeypatch.setitem(task.data.dataset.meta, "hash", "another")
    with pytest.raises(ConfigError, match=r"a run that scores the entities of demo \(another\)"):
        task.tie_break.open(task.data)


def test_a_mapper_of_another_language_model_is_refused(run, place):
    save_model(place / "lm2", seed=1)
    cli = instantiated(*options(place, "other", "--model.language_model.path", str(place / "lm2")))
    with pytest.raises(CheckpointError, match="a checkpoint whose language_model is"):
        cli.model.open_for_scoring(cli.datamodule, run / "checkpoints" / "best.ckpt", torch.device("cpu"))


def test_a_context_too_short_for_the_question_says_so(place):
    save_model(place / "short", texts=texts_of(Dataset(place / "world")), context=30)
    task, _ = opened(place, "--model.language_model.path", str(place / "short"), "--model.max_new_tokens", "8")
    with pytest.raises(ConfigError, match="a longer context, or fewer prefix tokens"):
        rank(task, torch.arange(40))
    with pytest.raises(ConfigError, match="whose context has room beside 64 tokens"):
        opened(place, "--model.language_model.path", str(place / "short"), "--model.max_new_tokens", "64")


def test_no_images_leave_nothing_to_train(place):
    with pytest.raises(ConfigError, match="images of mentions, which the mapper is trained on"):
        opened(place, "--data.leave_out", "[image]")


def test_a_contrastive_method_refuses_the_generative_protocol(place):
    with pytest.raises(ConfigError, match="for models that write names"):
        opened(place, "--model", "DIM", "--data.protocol", "Generative")


def test_contexts_that_are_left_out_or_shuffled_are_not_in_the_prompt(place, plain):
    none, other = (opened(place, f"--data.{what}", "[context]")[0] for what in ("leave_out", "shuffle"))
    mentions = plain.data.dataset.mentions
    row = int(np.flatnonzero((mentions["context"].str.len() > 30) & (mentions["split"] == "dev"))[0])
    asked = [
        task.language_model.detokenize(task.prompts.of(np.array([row]))[0].tokens[-1]) for task in (plain, none, other)
    ]
    context = mentions["context"].iloc[row]
    assert context in asked[0]
    assert asked[1].startswith("[Text]\n[Question]")
    assert context not in asked[2]
    assert mentions["mention"].iloc[row] in asked[2]
