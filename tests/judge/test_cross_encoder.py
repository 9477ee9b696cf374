"""A cross-encoder: scored against Transformers' own forward, trained, and resumed to the same weights."""

import numpy as np
import pytest
import torch
from tiny_text import LETTERS, WORDS, tokenizer, write_bert
from transformers import BertConfig, BertForSequenceClassification

from dim.errors import ConfigError, DataError
from dim.judge import cross_training
from dim.judge.contract import Candidate, Case
from dim.judge.cross_encoder import CrossEncoderJudge, pair_of
from dim.judge.cross_training import CrossTraining, batches, facts_of, train_cross_encoder


def write_classifier(folder, num_labels=1):
    tokenizer().save_pretrained(folder)
    torch.manual_seed(1)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = BertConfig(
        vocab_size=len(WORDS), max_position_embeddings=64, initializer_range=0.3, num_labels=num_labels, **sizes
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder


def case(number, size=3):
    """A case whose gold is told by a letter that mention and text share."""
    generator = np.random.default_rng(number)
    letters = generator.choice(LETTERS[:20], size, replace=False)
    shown = tuple(Candidate(f"Q{each}", "ada", str(each) * 6) for each in letters)
    gold = int(generator.integers(size))
    return Case(f"m{number}", "ada", str(letters[gold]) * 6, shown), gold


@pytest.mark.parametrize("num_labels", [1, 2])
def test_its_scores_are_those_of_the_model_s_own_forward(tmp_path, num_labels):
    folder = write_classifier(tmp_path / "model", num_labels)
    judge, cases = CrossEncoderJudge(str(folder), device="cpu"), [case(number, 2 + number)[0] for number in range(3)]
    found = judge.decide(cases)
    network, words = BertForSequenceClassification.from_pretrained(folder).eval(), tokenizer()
    for asked, verdict in zip(cases, found, strict=True):
        logits = []
        for each in asked.candidates:
            inputs = words(*pair_of(asked, each), return_tensors="pt", truncation="longest_first", max_length=64)
            with torch.inference_mode():
                own = network(**inputs).logits[0]
            logits.append(own[0] if num_labels == 1 else own[1] - own[0])
        expected = torch.stack(logits).log_softmax(0).numpy()
        assert verdict.scores == pytest.approx(expected, abs=1e-4)
        assert verdict.none is None


def test_a_classifier_of_more_outputs_is_refused(tmp_path):
    judge = CrossEncoderJudge(str(write_classifier(tmp_path / "model", 3)), device="cpu")
    with pytest.raises(ConfigError, match="a classifier of pairs with one output or two"):
        judge.decide([case(0)[0]])


def test_a_long_context_is_read_around_the_mention():
    text = "x " * 5000 + "here Ada spoke" + " y" * 5000
    left, right = pair_of(Case("m", "Ada", text, ()), Candidate("1", "Ada L", None))
    assert "here Ada spoke" in left
    assert len(left) < 700
    assert right == "Ada L"


def test_of_two_places_of_a_name_the_mention_s_own_is_read():
    text = "first Ada sang" + " x" * 500 + " then Ada spoke"
    start = text.rindex("Ada")
    left, _ = pair_of(Case("m", "Ada", text, (), span=(start, start + 3)), Candidate("1", "Ada L"))
    assert "then Ada spoke" in left
    assert "first Ada sang" not in left


def trained(tmp_path, name, num=12, **options):
    start = tmp_path / "bert"
    if not start.exists():
        write_bert(start)
    cases, gold = zip(*(case(number) for number in range(num)), strict=True)
    how = CrossTraining(**{"top_k": 3, "epochs": 2, **options})
    return train_cross_encoder(str(start), tmp_path / name, cases, gold, how, seed=0, device="cpu")


def weights_of(folder):
    return BertForSequenceClassification.from_pretrained(folder).state_dict()


def marked(number):
    """A case whose gold is told by what its text says, and nothing else."""
    gold = number % 3
    shown = tuple(Candidate(f"Q{place}", "ada", "zzz" if place == gold else "aaa") for place in range(3))
    return Case(f"m{number}", "ada", "", shown), gold


def test_it_learns_what_tells_the_gold(tmp_path):
    cases, gold = zip(*(marked(number) for number in range(96)), strict=True)
    how = CrossTraining(top_k=3, learning_rate=1e-2)
    folder = train_cross_encoder(str(write_bert(tmp_path / "bert")), tmp_path / "made", cases, gold, how, device="cpu")
    judge = CrossEncoderJudge(str(folder), device="cpu")
    assert [verdict.chosen for verdict in judge.decide(cases[:6])] == list(gold[:6])


def test_killed_it_goes_on_and_ends_with_the_weights_of_an_undisturbed_training(tmp_path, monkeypatch):
    whole = weights_of(trained(tmp_path, "whole"))
    monkeypatch.setattr(cross_training, "SAVED_EVERY", 2)
    losses = []

    def killed(*args, before=cross_training._loss):
        losses.append(1)
        if len(losses) == 5:
            raise KeyboardInterrupt
        return before(*args)

    monkeypatch.setattr(cross_training, "_loss", killed)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path, "resumed")
    assert not (tmp_path / "resumed").exists()
    resumed = weights_of(trained(tmp_path, "resumed"))
    assert len(losses) == 5 + 2  # of six steps those since the last state
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)
    assert not (tmp_path / "resumed.partial").exists()


def test_a_loss_that_is_no_number_is_an_error_and_another_training_begins_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(cross_training, "SAVED_EVERY", 2)
    before, losses = cross_training._loss, []

    def broken(*args):
        losses.append(before(*args))
        return losses[-1] * (torch.nan if len(losses) == 3 else 1.0)

    monkeypatch.setattr(cross_training, "_loss", broken)
    with pytest.raises(DataError, match="a loss that is a number"):
        trained(tmp_path, "made")
    other = weights_of(trained(tmp_path, "made", learning_rate=2e-4))
    assert len(losses) == 3 + 6  # none of the state that is there
    fresh = weights_of(trained(tmp_path, "fresh", learning_rate=2e-4))
    assert all(torch.equal(other[name], fresh[name]) for name in fresh)


def test_a_stranger_s_folder_is_not_replaced_and_its_own_is(tmp_path):
    made = trained(tmp_path, "made", num=4)
    assert facts_of(trained(tmp_path, "made", num=5))["num_lists"] == 5
    (made / "thesis.txt").write_text("three years")
    with pytest.raises(ConfigError, match=r"with files that it did not write: thesis\.txt"):
        trained(tmp_path, "made", num=4)


def test_a_round_has_every_list_once_in_batches_of_like_length():
    lengths = np.random.default_rng(0).integers(1, 100, 1000)
    found = list(batches(lengths, 8, np.random.default_rng(1)))
    assert sorted(np.concatenate(found).tolist()) == list(range(1000))
    apart = np.mean([np.ptp(lengths[batch]) for batch in found])
    assert apart < np.ptp(lengths) / 4


def test_without_lists_there_is_nothing_to_learn(tmp_path):
    with pytest.raises(DataError, match="lists whose best candidates hold the gold"):
        train_cross_encoder("x", tmp_path / "made", [], [], CrossTraining())
    with pytest.raises(ConfigError, match="top_k of at least 2"):
        CrossTraining(top_k=1)
