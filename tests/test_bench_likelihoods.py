"""What a language model adds to a run: `dim bench likelihoods`."""

from pathlib import Path

import numpy as np
import pytest
import torch
from fit_options import dim_options
from tiny_lm import save_model, texts_of
from torch import nn

from benchmarks.likelihoods import WEIGHTS, ReadOnce, _drawn, bench_likelihoods, weigh
from dim.__main__ import main
from dim.data.dataset import Dataset
from dim.demo import demo_world
from dim.errors import ConfigError
from dim.methods.generative.choices import AnyToken, OfNames
from dim.methods.generative.decoding import Decoder
from dim.methods.generative.language_model import LanguageModel
from dim.methods.generative.ways import Encoded
from dim.reranker.features import FEATURES
from dim.reranker.lists import Lists
from dim.training.saved_run import open_run


def lists(names: list[float], vectors: list[float], gold: list[int]) -> Lists:
    """Two candidates a mention."""
    features = np.zeros((len(names), len(FEATURES)), np.float32)
    features[:, list(FEATURES).index("name")], features[:, list(FEATURES).index("vectors")] = names, vectors
    return Lists(features, np.arange(len(names)), np.arange(0, len(names) + 1, 2), np.array(gold))


def test_a_weight_is_chosen_on_tune_and_ties_count_against_the_gold() -> None:
    tune = lists([0.5, 0.5, 0.5, 0.5], [0.9, 0.1, 0.1, 0.9], [0, 1])
    dev = lists([0.5, 0.5, 0.7, 0.7], [0.9, 0.1, 0.9, 0.1], [0, -1])
    likely = np.array([-1.0, -2.0, -2.0, -1.0])
    found = {each["system"]: each for each in weigh(tune, dev, likely, np.array([-1.0, -2.0, -1.0, -2.0]))}
    assert found["likelihood alone"]["hits"] == [1, 0]  # the second list has no gold
    assert found["string similarity"]["hits"] == [0, 0]
    assert found["string similarity + likelihood"]["hits"] == [1, 0]
    assert found["string similarity + likelihood"]["weight"] == WEIGHTS[1]  # the least that is as good as any
    assert found["DIM vectors + likelihood"]["weight"] == 0


@torch.inference_mode()
def test_prompts_are_read_once_for_all_ways_to_write_and_each_writes_what_it_writes_alone(tmp_path: Path) -> None:
    folder = str(save_model(tmp_path / "lm", "llama"))
    plain, once, read = LanguageModel(folder), ReadOnce(folder), []

    def count(_: nn.Module, __: tuple[()], given: dict[str, torch.Tensor]) -> None:
        read.append(given["inputs_embeds"].shape[1])

    once.model.register_forward_pre_hook(count, with_kwargs=True)

    def prompts(text: str) -> Encoded:  # anew each time, as each way has them
        tokens = torch.tensor(plain.tokenize([text]))
        return Encoded(plain.embed(tokens), torch.ones_like(tokens), tokens[:, -1])

    decoder, names = Decoder(max_new_tokens=3), plain.tokenize(["Leto", "Ada"])
    ways = [AnyToken(), OfNames.few(names, plain.end_token, torch.device("cpu")), AnyToken()]
    for text in ("Leto sings.", "Olga sings.", "Leto sings."):
        for way in ways:
            assert decoder.write(once, prompts(text), way) == decoder.write(plain, prompts(text), way)
    assert sum(length > 1 for length in read) == 3


@pytest.mark.long
def test_a_run_is_asked_once_and_its_results_are_found_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world, run = tmp_path / "world", tmp_path / "run"
    demo_world(world, num_entities=200, num_images=0, seed=1)
    small = ["--data.text_encoder.width", "64", "--model.width", "16", "--trainer.max_epochs", "1"]
    assert main(["fit", *dim_options(world, run, *small)]) == 0
    model = save_model(tmp_path / "lm", "llama", texts_of(Dataset(world)), context=1024)
    asked = {"num_mentions": 6, "num_tuned": 4, "examples": [0, 1], "scored_examples": 1, "device": "cpu"}
    first = bench_likelihoods(run, str(model), tmp_path / "out", **asked)
    assert len(first["written"]) == 8
    assert all(each["kb_name_share"] == 1 for each in first["written"] if each["tree"])
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("[ws][rc]*.json")}
    assert bench_likelihoods(run, str(model), tmp_path / "out", **asked) == first
    assert {path: path.stat().st_mtime_ns for path in files} == files
    alone = {"examples": [1], "trees": [True], "ends": ["line"], "score": False}
    (way,) = bench_likelihoods(run, str(model), tmp_path / "alone", **asked | alone)["written"]
    beside = next(
        each for each in first["written"] if (each["examples"], each["tree"], each["end"]) == (1, True, "line")
    )
    timed = {"seconds": 0, "cpu_seconds": 0}
    assert way | timed == beside | timed
    assert "Names written" in capsys.readouterr().out
    task = open_run(run, "cpu")
    fewer, more = (set(_drawn(task, "dev", number, 0).tolist()) for number in (3, 6))
    assert fewer < more
    with pytest.raises(ConfigError, match="Name another --out"):
        bench_likelihoods(run, str(model), tmp_path / "out", **asked | {"num_mentions": 5})
