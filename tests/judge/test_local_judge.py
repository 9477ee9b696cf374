"""A judge that is a model of Transformers here: the letters' log-probabilities are its verdict."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from chat_models import write_chat
from PIL import Image
from tiny_lm import save_model, tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

from dim.errors import ConfigError
from dim.judge.contract import Candidate, Case
from dim.judge.folder import open_stage, save_stage
from dim.judge.local import LocalModelJudge
from dim.judge.question import Asked
from dim.judge.stage import JudgeStage
from dim.judge.weights import JudgeWeights
from dim.refresh.answers import AnswerLog
from dim.reranker.shipped import shipped

TEMPLATE = (
    "{% for message in messages %}<{{ message['role'] }}>{{ message['content'] }}<end>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def case(number=0, image=None, mention="Ada"):
    shown = tuple(Candidate(f"Q{place}", f"Ada {place}", f"born in {1800 + place}") for place in range(3))
    return Case(f"mention-{number}", mention, f"Ada spoke in town {number}.", shown, image)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    tokens = tokenizer()
    tokens.chat_template = TEMPLATE
    return save_model(tmp_path_factory.mktemp("lm") / "tiny", "llama", context=2048, tokens=tokens)


def test_its_verdict_is_the_softmax_over_the_letters_as_the_next_token(model):
    judge, asked = LocalModelJudge(str(model), device="cpu"), Asked.of(case(), 0)
    [found] = judge.decide([case()])
    prompt = asked.prompt(judge.prompts)
    text = f"<system>{prompt.system}<end><user>{prompt.user}<end><assistant>"
    tokens, network = AutoTokenizer.from_pretrained(model), AutoModelForCausalLM.from_pretrained(model)
    with torch.inference_mode():
        logits = network(**tokens(text, add_special_tokens=False, return_tensors="pt")).logits[0, -1]
    letters = [tokens(letter, add_special_tokens=False)["input_ids"][0] for letter in "ABCD"]
    shares = logits[letters].softmax(-1).numpy()
    assert np.exp(found.scores)[asked.order] == pytest.approx(shares[:3], rel=1e-4)
    assert np.exp(found.none) == pytest.approx(shares[3], rel=1e-4)
    assert found.tokens_in == tokens(text, add_special_tokens=False, return_tensors="pt")["input_ids"].shape[1]


def test_a_template_of_its_own_stays_at_home_and_the_linker_is_opened_all_the_same(model, tmp_path, caplog):
    (tmp_path / "mine.txt").write_text(
        "{{ mention }} {% for each in options %}{{ each.letter }}{% endfor %} {{ none }}"
    )
    mine, ranker = LocalModelJudge(str(model), template=tmp_path / "mine.txt", device="cpu"), shipped("names")
    save_stage(JudgeStage(mine, JudgeWeights(), 0.5, 3), ranker, tmp_path / "judge", with_model=True)
    opened = open_stage(tmp_path / "judge", ranker, device="cpu")
    assert opened.is_muted
    assert "a template of its own, which does not travel" in caplog.text
    save_stage(opened, ranker, tmp_path / "again", with_model=True)
    assert open_stage(tmp_path / "again", ranker, device="cpu").is_muted
    assert not open_stage(tmp_path / "again", ranker, mine).is_muted


def test_what_is_in_the_record_is_not_worked_out_again(model, tmp_path, monkeypatch):
    judge, cases = LocalModelJudge(str(model), device="cpu"), [case(number) for number in range(3)]
    before = judge.decide(cases[:2], tmp_path)
    answers, _ = AnswerLog(tmp_path, "judge-tiny").read()
    assert [answer.entity_id for answer in answers] == ["mention-0", "mention-1"]
    worked = []
    monkeypatch.setattr(judge, "_answer", lambda asked, made=judge._answer: worked.append(asked) or made(asked))
    after = judge.decide([*cases, cases[2]], tmp_path)
    assert len(worked) == 1
    assert [verdict.scores.tolist() for verdict in after[:2]] == [verdict.scores.tolist() for verdict in before]


def test_what_another_model_said_or_of_another_text_or_image_is_no_answer(model, tmp_path):
    tokens = AutoTokenizer.from_pretrained(model)
    other = save_model(tmp_path / "other" / "tiny", "llama", context=2048, tokens=tokens, seed=1)  # the record's name
    first, second = (LocalModelJudge(str(path), device="cpu") for path in (model, other))
    asked = case()
    texts = replace(asked, candidates=tuple(replace(each, text="a name") for each in asked.candidates))
    for judge, each in ((first, asked), (second, asked), (second, texts)):
        (found,), (alone,) = judge.decide([each], tmp_path), judge.decide([each])
        assert found.scores.tolist() == alone.scores.tolist()
    sees = LocalModelJudge(str(write_chat(tmp_path / "chat", "llava")), sees_images=True, device="cpu")
    for colour in ("red", "blue"):
        each = case(image=Image.new("RGB", (60, 40), colour))
        (found,), (alone,) = sees.decide([each], tmp_path), sees.decide([each])
        assert found.scores.tolist() == alone.scores.tolist()


def test_a_mention_that_is_called_as_a_special_token_ends_no_message(model):
    judge = LocalModelJudge(str(model), device="cpu")
    inputs = judge._inputs(Asked.of(case(mention="Ada<end>"), 0).prompt(judge.prompts), case())
    end = judge._tokenizer.convert_tokens_to_ids("<end>")
    assert (inputs["input_ids"] == end).sum() == 2  # those of the template: system and user


@pytest.mark.parametrize("family", ["llava"])
def test_a_vision_language_model_sees_the_image(tmp_path, family):
    judge = LocalModelJudge(str(write_chat(tmp_path / "chat", family)), sees_images=True, device="cpu")
    red, blue = (Image.new("RGB", (60, 40), colour) for colour in ("red", "blue"))
    found = judge.decide([case(image=red), case(image=blue), case(image=red), case()])
    shares = [np.exp(verdict.scores) for verdict in found]
    assert shares[0] == pytest.approx(shares[2])
    assert shares[0] != pytest.approx(shares[1])
    assert shares[0] != pytest.approx(shares[3])


def test_without_a_chat_template_it_is_no_judge(tmp_path):
    plain = save_model(tmp_path / "plain", "llama")
    with pytest.raises(ConfigError, match="a chat template at"):
        LocalModelJudge(str(plain), device="cpu").decide([case()])


def test_its_fingerprint_tells_weights_and_prompt(model, tmp_path):
    template = tmp_path / "mine.txt"
    template.write_text("{{ mention }}?")
    one, other = LocalModelJudge(str(model)), LocalModelJudge(str(model), template=template)
    assert one.fingerprint != other.fingerprint
    assert one.fingerprint == LocalModelJudge(str(model), device="cpu").fingerprint
