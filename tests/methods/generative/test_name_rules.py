"""How prompts begin and names end, on a tokenizer like LLaMA 2's: runs, their linkers, and runs of before."""

import json
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from fit_options import gemel_options
from test_configs import instantiated
from tiny_lm import save_model, texts_of
from tiny_tokenizers import metaspace_bpe
from transformers import LlamaForCausalLM

from dim.__main__ import main
from dim.core.jobs import Plan
from dim.data.dataset import Dataset
from dim.demo import demo_world
from dim.errors import ConfigError
from dim.evaluation.protocols import NUM_ANSWERS
from dim.linker import Linker, Question
from dim.methods.generative.choices import AnyToken, OfNames
from dim.methods.generative.language_model import LanguageModel
from dim.methods.generative.module import GEMEL
from dim.methods.generative.name_end import never_ended
from dim.methods.generative.prompt import pad_left
from dim.methods.generative.tokenizer import NameRules
from dim.training.predict import AnswerBlocks
from dim.training.saved_run import instantiate_run, open_run

BEFORE = ["--model.bos", "never", "--model.end", "eos", "--model.name_tokens", "alone"]
UNTRAINED = ["--model.train_mapper", "false", "--data.leave_out", "[image]"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rules")
    demo_world(folder / "world", num_entities=100, seed=1)
    texts = [f"{text}\n" for text in texts_of(Dataset(folder / "world"))]
    for name in ("lm", "endless"):
        save_model(folder / name, kind="llama", tokens=metaspace_bpe(texts))
    lean_to_ends(folder / "lm", texts)
    return folder


def lean_to_ends(folder: Path, texts: list[str]) -> None:
    """Has random weights, which hardly ever write any one token, write a line's end or the end token now and then."""
    network, model = LlamaForCausalLM.from_pretrained(folder), LanguageModel(str(folder))
    with torch.no_grad():
        states = [network.model(torch.tensor([tokens])).last_hidden_state[0] for tokens in model.tokenize(texts[:50])]
        mean = torch.cat(states).mean(0)
        network.lm_head.weight[[model.tokenizer.eos_token_id, *model.line]] += 8 * mean / mean.dot(mean)
    network.save_pretrained(folder)


def options(place: Path, run: str, *more: str) -> list[str]:
    sizes = ["--data.batch_size", "16", "--model.max_new_tokens", "24", "--model.batch_size", "32"]
    examples = ["--model.examples", "SimilarExamples", "--model.examples.num_examples", "2"]
    return gemel_options(place / "world", place / run, *sizes, *examples, "--trainer.max_epochs", "1", *more)


def fit(place: Path, run: str, *more: str) -> Path:
    assert main(["fit", *options(place, run, *more)]) == 0
    return place / run


def opened(place: Path, *more: str) -> GEMEL:
    cli = instantiated(*options(place, "other", *more))
    cli.model.open_for_scoring(cli.datamodule, None, torch.device("cpu"))
    return cli.model


@pytest.fixture(scope="module")
def line_run(place: Path) -> Path:
    return fit(place, "line", "--model.end", "line")


@pytest.fixture(scope="module")
def former_run(place: Path) -> Path:
    """As a version wrote it that had none of the options."""
    run = fit(place, "former", *BEFORE)
    config = yaml.safe_load((run / "config.yaml").read_text())
    for name in ("bos", "end", "name_tokens"):
        del config["model"]["init_args"][name]
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    return run


def method_of(run: Path) -> dict:
    return json.loads((run / "metrics.json").read_text())["method"]


def assert_answers_as(run: Path, linker: Linker) -> None:
    world = Dataset(run.parent / "world")
    questions = [
        Question(row.mention, row.context or "", str(world.image_root / row.images[0]) if len(row.images) else None)
        for row in world.mentions[world.mentions["split"] == "dev"].itertuples()
    ]
    found = linker.link_batch(questions, top_k=100)
    ranks = pd.read_parquet(run / "ranks.parquet")
    ranks = ranks[ranks["split"] == "dev"]
    for answers, row in zip(found, ranks.itertuples(), strict=True):
        in_kb = [(one, score) for one, score in zip(row.top_ids, row.top_scores, strict=True) if one]
        assert [answer.id for answer in answers[: len(in_kb)]] == [one for one, _ in in_kb]
        scores = [answer.score for answer in answers[: len(in_kb)]]
        np.testing.assert_allclose(scores, [score for _, score in in_kb], atol=1e-4)


def test_metrics_tell_start_end_and_what_became_of_the_names(line_run: Path) -> None:
    method = method_of(line_run)
    assert method["names"] == {
        "bos": {"option": "auto", "token": "<s>"},
        "end": {"option": "line", "value": "line", "token": "\n"},
        "name_tokens": "behind_prompt",
    }
    behind = method["tree"]["behind_prompt"]
    assert behind["tried"] == behind["same"] == behind["same_with_line"] > 100
    assert method["tree"]["written"] == {}
    assert method["ended_share"] == 1.0


@pytest.mark.parametrize(("bos", "start"), [("auto", [1]), ("always", [1]), ("never", [])])
def test_a_prompt_begins_with_the_start_token_before_the_first_image(place: Path, bos: str, start: list[int]) -> None:
    task = opened(place, "--model.bos", bos)
    rows = np.flatnonzero((task.data.mention_fields["image"].rows >= 0).numpy())[-3:]
    prompts = task.prompts.of(rows)
    whole, _ = task._encode(prompts)
    for prompt in prompts:
        assert len(prompt.images) == len(prompt.tokens) == 3 + len(start)
        assert [token for part in prompt.tokens for token in part.tolist()].count(1) == len(start)
        layout = pad_left([prompt], task.prefix_length)
        assert layout.tokens[0, : len(start)].tolist() == start
        assert layout.places[0] == len(start) or prompt.images[len(start)] == -1
    assert whole.mask.sum(1).tolist() == [prompt.length(task.prefix_length) for prompt in prompts]


def test_a_start_takes_a_place_of_the_context(place: Path) -> None:
    fits = max(
        prompt.length(4) for prompt in opened(place, "--model.bos", "never", *UNTRAINED).prompts.of(np.arange(5))
    )
    task = opened(place, "--model.max_prompt_tokens", str(fits), *UNTRAINED)
    assert max(prompt.length(4) for prompt in task.prompts.of(np.arange(5))) <= fits
    counts = task.prompts.counts(np.arange(5))
    assert counts["examples_left_out"] + counts["text_cut"] > 0


def test_a_linker_answers_as_its_run_with_a_lines_end(line_run: Path, tmp_path: Path) -> None:
    linker = Linker.from_checkpoint(line_run, device="cpu")
    assert_answers_as(line_run, linker)
    linker.save(tmp_path / "linker")
    again = Linker.from_pretrained(tmp_path / "linker", device="cpu")
    assert again.task.language_model.rules == NameRules(True, "line", "behind_prompt")
    assert_answers_as(line_run, again)
    again.add_entities([{"id": "new", "name": "Anna Zq Olga"}])
    (row,) = again.knowledge.rows[-1:]
    (tokens,) = again.task.language_model.tokenize_names(["Anna Zq Olga"])
    assert again.writable.tree.rows_of(tokens).tolist() == [row]


def test_another_process_answers_as_the_run_does(line_run: Path) -> None:
    task, datamodule = instantiate_run(line_run)
    task.try_parts()
    blocks = pickle.loads(pickle.dumps(AnswerBlocks(task, datamodule, line_run / "checkpoints" / "best.ckpt")))
    datamodule.needs = task.needs
    _ = datamodule.linking_data
    rows = datamodule.rows("dev").tolist()
    (block,) = blocks(rows, Plan("dev", len(rows), 2 * NUM_ANSWERS, 1024), [0])
    ranks = pd.read_parquet(line_run / "ranks.parquet")
    best = [scores[0] for scores in ranks[ranks["split"] == "dev"]["top_scores"]]
    np.testing.assert_allclose(block.rows[:, NUM_ANSWERS], best, atol=1e-4)


@pytest.mark.parametrize("end", ["line", pytest.param("eos", marks=pytest.mark.long)])
def test_without_a_tree_an_answer_ends_by_its_end_alone(place: Path, end: str) -> None:
    run = fit(place, f"free_{end}", "--model.constrained", "false", "--model.end", end, *UNTRAINED)
    task = open_run(run, device="cpu")
    model = task.language_model
    with torch.inference_mode():
        encoded, _ = task._encode(task.prompts.of(task.datamodule.rows("dev").numpy()))
        written = task.decoder.write(model, encoded, task.choices(None))
    tokens = {token for names in written for name in names for token in name.tokens}
    assert tokens
    assert model.end_token not in tokens
    if end == "line":
        assert not tokens & set(model.broken_lines.tolist())
    choices = task.choices(None)
    assert isinstance(choices, AnyToken)
    assert (choices.barred is not None) == (end == "line")
    assert method_of(run)["ended_share"] == np.mean([bool(names) for names in written])
    assert_answers_as(run, Linker.from_checkpoint(run, device="cpu"))


def test_the_end_that_is_likelier_behind_the_golds_of_tune_is_chosen(place: Path, tmp_path: Path) -> None:
    run = fit(place, "auto", "--model.end", "auto", *UNTRAINED)
    end, task = method_of(run)["names"]["end"], open_run(run, device="cpu")
    model = task.language_model
    tune = task.datamodule.rows("tune").numpy()
    golds = task.data.gold.numpy()[tune]
    tune, golds = tune[golds >= 0], golds[golds >= 0]
    assert len(tune) <= 32
    total = {"eos": 0.0, "line": 0.0}
    for prompt, gold in zip(task.prompts.of(tune), golds.tolist(), strict=True):  # a plain forward, each alone
        name = task.data.dataset.entities["name"].iloc[gold]
        tokens = [*np.concatenate(prompt.tokens).tolist(), *model.tokenize_names([name])[0]]
        with torch.no_grad():
            likelihoods = model.model(torch.tensor([tokens])).logits[0, -1].log_softmax(-1)
        total["eos"] += float(likelihoods[model.tokenizer.eos_token_id])
        total["line"] += float(likelihoods[model.line[0]])
    likelier = max(total, key=total.__getitem__)
    assert (end["option"], end["value"]) == ("auto", likelier)
    assert model.rules.end == likelier
    linker = Linker.from_checkpoint(run, device="cpu")
    linker.save(tmp_path / "linker")  # which has no tune: it says what was chosen
    assert Linker.from_pretrained(tmp_path / "linker", device="cpu").task.end == likelier
    assert_answers_as(run, linker)


@pytest.mark.long
def test_what_auto_chose_is_settled_with_the_run(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def leans_to(end: str) -> None:
        monkeypatch.setattr("dim.methods.generative.network.likelier_end", lambda *_: (end, 1.0))

    def value_of(folder: Path) -> tuple[str, str]:
        end = method_of(folder)["names"]["end"]
        return end["option"], end["value"]

    leans_to("line")
    run = fit(place, "settled", "--model.end", "auto", *UNTRAINED)
    config, other = str(run / "config.yaml"), ["--run", str(tmp_path / "other")]
    identity = json.loads((run / "metrics.json").read_text())["identity"]
    leans_to("eos")  # as after other mentions came into tune, or on another machine
    for command in ("validate", "test"):
        assert main([command, "--config", config]) == 0
        assert value_of(run) == ("auto", "line")
    assert json.loads((run / "metrics.json").read_text())["identity"] == identity
    assert "settled_end" not in identity["method"]["options"]
    assert open_run(run, device="cpu").language_model.rules.end == "line"
    task, datamodule = instantiate_run(run)
    task.try_parts()
    blocks = pickle.loads(pickle.dumps(AnswerBlocks(task, datamodule, None)))
    datamodule.needs = task.needs
    _ = datamodule.linking_data
    assert blocks.opened.language_model.rules.end == "line"
    Linker.from_checkpoint(run, device="cpu").save(tmp_path / "linker")
    assert Linker.from_pretrained(tmp_path / "linker", device="cpu").task.end == "line"
    assert main(["validate", "--config", config, *other, "--model.end", "eos"]) == 0  # what is said counts
    assert value_of(tmp_path / "other") == ("eos", "eos")
    again = ["--run", str(tmp_path / "again")]
    assert main(["fit", "--config", config, *again]) == 0  # a run of its own, which settles its own
    assert value_of(tmp_path / "again") == ("auto", "eos")


def test_where_most_answers_never_end_it_is_said_why(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    endless = ["--model.language_model.path", str(place / "endless"), "--model.constrained", "false"]
    task = opened(place, *endless, "--model.max_new_tokens", "2", *UNTRAINED)
    with torch.inference_mode():
        task.rank(torch.arange(20))
    task.on_scoring_end()
    assert task.describe()["ended_share"] < 0.5
    said = capsys.readouterr().err
    never, asked = task._counts["asked"] - task._counts["answered"], task._counts["asked"]
    assert never_ended(task.language_model, never, asked, 2) in said
    assert f"{never} of 20 answers never ended: within 2 tokens" in said
    assert "the end token </s>" in said
    assert "--model.end line" in said


def test_a_run_that_lacks_the_options_is_read_as_before(former_run: Path, tmp_path: Path) -> None:
    recorded = json.loads((former_run / "metrics.json").read_text())
    task = open_run(former_run, device="cpu")
    assert task.language_model.rules == NameRules(False, "eos", "alone")
    assert isinstance(task.choices(task.tree), OfNames)
    assert all(len(prompt.tokens) <= 3 for prompt in task.prompts.of(np.arange(5)))
    linker = Linker.from_checkpoint(former_run, device="cpu")
    assert_answers_as(former_run, linker)
    linker.save(tmp_path / "linker")
    again = Linker.from_pretrained(tmp_path / "linker", device="cpu")
    assert again.task.language_model.rules == NameRules(False, "eos", "alone")
    assert_answers_as(former_run, again)
    config = str(former_run / "config.yaml")
    assert main(["validate", "--config", config]) == 0
    found = json.loads((former_run / "metrics.json").read_text())
    assert [found[key] for key in ("top1", "top5", "mrr", "identity")] == [
        recorded[key] for key in ("top1", "top5", "mrr", "identity")
    ]
    assert method_of(former_run)["names"]["bos"] == {"option": "never", "token": None}
    other = ["--run", str(tmp_path / "other"), "--ckpt_path", str(former_run / "checkpoints" / "best.ckpt")]
    assert main(["validate", "--config", config, "--model.end", "line", *other]) == 0
    assert method_of(tmp_path / "other")["names"]["end"]["value"] == "line"  # what is said counts
    assert method_of(tmp_path / "other")["names"]["name_tokens"] == "alone"


def test_a_fit_that_lacks_the_options_goes_on_as_it_began(former_run: Path, place: Path) -> None:
    went_on = ["--ckpt_path", "last"]
    found = instantiated(*options(place, "former", *went_on)).model
    assert (found.bos, found.end, found.name_tokens) == ("never", "eos", "alone")
    assert instantiated(*options(place, "former", *went_on, "--model.end", "line")).model.end == "line"


def test_a_start_or_an_end_that_is_no_token_is_refused(place: Path, tmp_path: Path) -> None:
    save_model(tmp_path / "lm", texts=texts_of(Dataset(place / "world")))
    with pytest.raises(ConfigError, match="a start token"):
        opened(place, "--model.language_model.path", str(tmp_path / "lm"), "--model.bos", "always", *UNTRAINED)
