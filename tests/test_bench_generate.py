import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from benchmarks.generate import agreement, bench_generate, check_agreement
from benchmarks.made_up_mentions import MadeUpMentions
from benchmarks.made_up_names import made_up_names
from benchmarks.published import Published
from benchmarks.random_lm import RandomLanguageModel, setting
from dim.errors import ConfigError, DimError
from dim.methods.generative.examples import RandomExamples
from dim.methods.generative.module import GEMEL
from dim.methods.generative.prompt import pad_left

SMALL = {"size": "tiny", "num_names": 500, "num_mentions": 3, "batch_size": 2, "rounds": 1, "device": "cpu"}


@pytest.fixture
def quick_tokenizer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tokenizer that has seen few words, for tests that do not ask how many tokens a name has."""
    monkeypatch.setattr("benchmarks.random_lm.NUM_WORDS", 4000)


@pytest.mark.long
def test_gemel_is_timed_against_the_published_way_and_writes_the_same_names(capsys: pytest.CaptureFixture[str]) -> None:
    results = bench_generate(**SMALL, num_examples=2)  # fp32: it raises where names differ
    assert results["same_names"] > 0.9
    assert results["different_names"] == 0
    assert results["score_gap"] < 1e-3
    assert results["published_ratio"] == 1
    gains = results["once_gain"] * results["arrays_gain"] * results["batch_gain"]
    assert results["batched_ratio"] == pytest.approx(gains)  # of one turn; medians of more need not multiply
    assert results["batched_seconds"] * results["batched_tokens_a_second"] == pytest.approx(
        results["prompt_tokens"] + results["new_tokens"]
    )
    assert 490 < results["names"] <= 500
    assert 5 * 2 < results["new_tokens"] <= 5 * 8
    shown = " ".join(capsys.readouterr().out.split())
    assert "GEMEL, batches of 2" in shown
    assert "published" in shown
    assert "1 turns of 3 mentions, 2 examples each" in shown
    assert "commit" in shown


@pytest.mark.usefixtures("quick_tokenizer")
def test_the_published_loop_gathers_the_vectors_that_gemel_lays_out(tmp_path) -> None:
    rng = np.random.default_rng(0)
    data = MadeUpMentions(tmp_path, made_up_names(50, rng), 2, rng)
    model = RandomLanguageModel(tmp_path / "model", setting("tiny").config, "fp32", "cpu", 0, rng)
    gemel = GEMEL(model, RandomExamples(3), max_new_tokens=8, train_mapper=False)
    gemel.open_for_scoring(data, None, torch.device("cpu"))
    vectors, last = Published(gemel).assemble(1)
    (prompt,) = gemel.prompts.of(np.array([1]))
    layout = pad_left([prompt], gemel.prefix_length)
    assert vectors.shape == (layout.tokens.shape[1], model.width)
    assert last == layout.tokens[0, -1]
    image = data.linking_data.mention_fields["image"].matrix[prompt.images]
    prefixes = gemel.mapper(image).flatten(0, 1)
    places = (layout.places[:, None] + np.arange(gemel.prefix_length)).ravel()
    torch.testing.assert_close(vectors[places], prefixes)
    text = np.setdiff1d(np.arange(len(vectors)), places)
    torch.testing.assert_close(vectors[text], model.embed(torch.from_numpy(layout.tokens[0, text])))
    # The frame of a question takes as many tokens as in a vocabulary that has read English.
    assert len(model.tokenize(["[Text]\n[Question]What does mentioned in the text refer to?\n[Answer]"])[0]) == 11


@pytest.mark.parametrize(("size", "millions"), [("125m", 124), ("opt-6.7b", 6658)])
def test_the_shapes_are_those_of_the_models_they_are_named_after(size, millions) -> None:
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(setting(size).config)
    assert round(model.num_parameters() / 1e6) == millions


def test_names_that_differ_agree_only_as_a_close_call() -> None:
    first = [[(1, -1.0), (2, -2.0)], [(3, -1.0)]]
    assert agreement(first, first) == (1, 0, 0)
    same, different, gap = agreement(first, [[(2, -1.00005), (1, -2.0)], [(3, -1.0)]])
    assert (same, different, gap) == (pytest.approx(1 / 3), 0, pytest.approx(5e-5))
    same, different, gap = agreement(first, [[(1, -1.0)], [(4, -1.5)]])
    assert (same, different, gap) == (pytest.approx(1 / 3), pytest.approx(2 / 3), 0.5)


def test_ways_that_differ_are_an_error_in_fp32() -> None:
    check_agreement({"different_names": 0, "score_gap": 1e-5})
    for different, gap in ((0.1, 1e-5), (0, 0.01)):
        with pytest.raises(DimError, match="in fp32 GEMEL and the published way agree"):
            check_agreement({"different_names": different, "score_gap": gap})


@pytest.mark.usefixtures("quick_tokenizer")
def test_one_beam_and_prompts_without_room_are_refused() -> None:
    with pytest.raises(ConfigError, match="num_beams of at least 2"):
        bench_generate(**SMALL, num_beams=1)
    with pytest.raises(ConfigError, match="prompts with all their examples, in 1016 tokens"):
        bench_generate(**SMALL, num_examples=30)
