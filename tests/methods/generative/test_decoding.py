import numpy as np
import pytest
import torch
from tiny_lm import save_model
from torch import Tensor
from transformers import PrefixConstrainedLogitsProcessor

from dim.errors import ConfigError
from dim.methods.generative.choices import AnyToken, OfNames
from dim.methods.generative.decoding import Decoder
from dim.methods.generative.language_model import LanguageModel
from dim.methods.generative.name_tree import NameTree
from dim.methods.generative.ways import WAYS, Encoded

NAMES = ["Leto", "Leto Alba", "Ada", "Olga Petra", "Adam", "Zeno"]  # some begin others
CPU = torch.device("cpu")
PROMPTS = ["Leto sings in a long sentence. [Answer]", "x [Answer]", "[Answer]"]


@pytest.fixture(scope="module", params=["gpt2", "opt", "llama", "qwen"])
def model(request, tmp_path_factory) -> LanguageModel:
    return LanguageModel(str(save_model(tmp_path_factory.mktemp(request.param), request.param)))


def encode(model: LanguageModel, prompts: list[str]) -> Encoded:
    """Left-padded, by a loop."""
    tokens = model.tokenize(prompts)
    longest = max(map(len, tokens))
    padded = torch.tensor([[0] * (longest - len(row)) + row for row in tokens])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in tokens])
    return Encoded(model.embed(padded), mask, padded[:, -1])


def likelihood(model: LanguageModel, prompt: str, name: list[int]) -> float:
    """Of one name, by one plain forward pass over prompt, name and end token; the mean a token."""
    tokens = model.tokenize([prompt])[0]
    whole = torch.tensor([[*tokens, *name, model.end_token]])
    logs = model.model(whole).logits.log_softmax(-1)[0]
    answer = range(len(tokens), whole.shape[1])
    return sum(float(logs[place - 1, whole[0, place]]) for place in answer) / len(answer)


def tree_of(model: LanguageModel, names: list[str] = NAMES) -> NameTree:
    return NameTree.build(names, np.arange(len(names)), model.tokenize, model.end_token, model.vocab_size, 32)


def names_of(model: LanguageModel, names: list[str] = NAMES) -> OfNames:
    return tree_of(model, names).choices(CPU)


@torch.inference_mode()
def test_as_many_beams_as_names_find_every_name_in_the_order_of_its_full_likelihood(model):
    decoder = Decoder(num_beams=len(NAMES) + 2, early_stopping="never")
    written = decoder.write(model, encode(model, PROMPTS), names_of(model))
    for prompt, found in zip(PROMPTS, written, strict=True):
        expected = {tuple(name): likelihood(model, prompt, name) for name in model.tokenize(NAMES)}
        assert [name.tokens for name in found] == sorted(expected, key=lambda tokens: -expected[tokens])
        assert [name.score for name in found] == pytest.approx([expected[name.tokens] for name in found], abs=1e-4)


@torch.inference_mode()
@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_given_names_are_scored_by_their_full_likelihood_whatever_the_batch(model, batch_size):
    names = [model.tokenize(NAMES), model.tokenize(NAMES[:1]), model.tokenize(NAMES[2:5])]
    scores = Decoder().score(model, encode(model, PROMPTS), names, batch_size)
    for prompt, of_prompt, found in zip(PROMPTS, names, scores, strict=True):
        assert found == pytest.approx([likelihood(model, prompt, name) for name in of_prompt], abs=1e-4)


@torch.inference_mode()
def test_padding_and_the_other_prompts_change_no_answer(model):
    names, decoder = names_of(model), Decoder(num_beams=3)
    together = decoder.write(model, encode(model, PROMPTS), names)
    turned = decoder.write(model, encode(model, PROMPTS[::-1]), names)[::-1]
    alone = [decoder.write(model, encode(model, [prompt]), names)[0] for prompt in PROMPTS]
    for other in (turned, alone):
        for mine, theirs in zip(together, other, strict=True):
            assert [name.tokens for name in mine] == [name.tokens for name in theirs]
            assert [name.score for name in mine] == pytest.approx([name.score for name in theirs], abs=1e-4)


@torch.inference_mode()
@pytest.mark.parametrize("way", WAYS, ids=str)
def test_the_slow_ways_write_and_score_the_same(model, way, monkeypatch):
    decoder, prompts, names = Decoder(num_beams=4), encode(model, PROMPTS), [model.tokenize(NAMES)] * 3
    written = decoder.write(model, prompts, names_of(model))
    scores = decoder.score(model, prompts, names, 4)
    monkeypatch.setattr(model, "way", way)
    for expected, found in zip(written, decoder.write(model, prompts, names_of(model)), strict=True):
        assert [name.tokens for name in found] == [name.tokens for name in expected]
        assert [name.score for name in found] == pytest.approx([name.score for name in expected], abs=1e-4)
    assert np.allclose(decoder.score(model, prompts, names, 4), scores, atol=1e-4)


@torch.inference_mode()
@pytest.mark.parametrize("num_beams", [1, 4])
@pytest.mark.parametrize("early_stopping", [False, True, "never"])
@pytest.mark.parametrize("length_penalty", [1.0, pytest.param(0.0, marks=pytest.mark.long)])
@pytest.mark.parametrize("constrained", [True, False])
def test_the_search_is_that_of_transformers(model, num_beams, early_stopping, length_penalty, constrained):
    prompts, longest, end = encode(model, PROMPTS), 10, model.end_token
    head = model.model.get_output_embeddings()
    # A random model writes no end token by itself.
    likely_end = head.register_forward_hook(lambda *parts: parts[2].index_add(-1, torch.tensor([end]), more(parts[2])))
    names = [f"{one} {other}" for one in NAMES for other in NAMES] + NAMES
    texts = [[*name, end] for name in model.tokenize(names)]

    def more(logits: Tensor) -> Tensor:
        return torch.full_like(logits[..., :1], 8.0 * (not constrained))

    def going_on(_: int, written: Tensor) -> list[int]:
        before = written.tolist()
        return [text[len(before)] for text in texts if text[: len(before)] == before and text != before] or [end]

    decoder = Decoder(num_beams, longest, length_penalty, early_stopping)
    found = decoder.write(model, prompts, names_of(model, names) if constrained else AnyToken())
    output = model.model.generate(
        inputs_embeds=prompts.vectors,
        attention_mask=prompts.mask,
        max_new_tokens=longest,
        num_beams=num_beams,
        num_return_sequences=num_beams,
        length_penalty=length_penalty if num_beams > 1 else None,
        early_stopping=early_stopping if num_beams > 1 else None,
        eos_token_id=end,
        pad_token_id=end,
        do_sample=False,
        return_dict_in_generate=True,
        output_scores=True,
        logits_processor=[PrefixConstrainedLogitsProcessor(going_on, num_beams)] if constrained else [],
    )
    likely_end.remove()
    scores = output.sequences_scores.tolist() if num_beams > 1 else [0.0] * len(PROMPTS)
    written = list(zip(output.sequences.tolist(), scores, strict=True))
    for place, mine in enumerate(found):
        expected = {
            tuple(tokens[: tokens.index(end)]): score
            for tokens, score in written[place * num_beams : (place + 1) * num_beams]
            if end in tokens and score > -1e6
        }
        tokens = [name.tokens for name in mine]
        if constrained and early_stopping is True:
            tokens = [one for one in tokens if one in expected]  # theirs ends where beams stand for nothing
        assert tokens == list(expected)
        if num_beams > 1:
            of_mine = {name.tokens: name.score for name in mine}
            assert [of_mine[one] for one in expected] == pytest.approx(list(expected.values()), abs=1e-4)


@torch.inference_mode()
@pytest.mark.parametrize("way", WAYS[::2], ids=str)
def test_beams_that_were_few_can_be_many_again(model, way, monkeypatch):
    monkeypatch.setattr(model, "way", way)
    x, y, a, b, *others = range(10, 19)
    names = [(x,), (y,), *((a, b, other) for other in others)]
    prompts = encode(model, PROMPTS)
    written = Decoder(num_beams=7, early_stopping="never").write(model, prompts, _names(names, model))
    for prompt, found in zip(PROMPTS, written, strict=True):
        expected = sorted((likelihood(model, prompt, list(name)) for name in names), reverse=True)
        assert [name.score for name in found] == pytest.approx(expected, abs=1e-4)


def _names(names, model):
    tree = NameTree.build(
        [str(place) for place in range(len(names))],
        np.arange(len(names)),
        lambda texts: [names[int(text)] for text in texts],
        model.end_token,
        model.vocab_size,
        32,
    )
    return tree.choices(CPU)


@torch.inference_mode()
def test_one_beam_is_scored_by_the_full_likelihood_too(model):
    written = Decoder(num_beams=1).write(model, encode(model, PROMPTS), names_of(model))
    for prompt, found in zip(PROMPTS, written, strict=True):
        assert len(found) == 1
        assert found[0].score == pytest.approx(likelihood(model, prompt, list(found[0].tokens)), abs=1e-4)


@torch.inference_mode()
@pytest.mark.parametrize("early_stopping", [False, True, "never"])
def test_fewer_names_than_beams_are_found_once_each(model, early_stopping):
    decoder = Decoder(num_beams=5, early_stopping=early_stopping)
    written = decoder.write(model, encode(model, PROMPTS), names_of(model, ["Ada"]))
    assert [[name.tokens for name in found] for found in written] == [[tuple(model.tokenize(["Ada"])[0])]] * 3


@torch.inference_mode()
def test_without_a_mask_what_does_not_end_is_no_name(model):
    # A random model writes no end token within three tokens, unless by chance; what it writes then ends.
    written = Decoder(num_beams=2, max_new_tokens=3).write(model, encode(model, PROMPTS), AnyToken())
    assert all(model.end_token not in name.tokens and len(name.tokens) <= 2 for found in written for name in found)


@torch.inference_mode()
def test_the_length_penalty_divides_by_its_power(model):
    prompts = encode(model, PROMPTS[:1])
    plain, whole = (Decoder(length_penalty=power) for power in (1.0, 0.0))
    names = [model.tokenize(NAMES)]
    lengths = [len(name) + 1 for name in names[0]]
    means, sums = (decoder.score(model, prompts, names, 8)[0] for decoder in (plain, whole))
    assert sums == pytest.approx([mean * length for mean, length in zip(means, lengths, strict=True)], abs=1e-4)
    best = whole.write(model, prompts, names_of(model))[0][0]
    assert best.score == pytest.approx(max(sums), abs=1e-4)


@pytest.mark.parametrize("copied", ["for_beams", "repeated"])
def test_where_memory_ends_as_prompts_are_copied_the_error_says_what_makes_less_of_them(model, copied, monkeypatch):
    def too_much(*_):
        raise RuntimeError("CUDA out of memory. Tried to allocate 16.00 GiB")

    monkeypatch.setattr(f"dim.methods.generative.passes.{copied}", too_much)
    prompts, names = encode(model, PROMPTS), [model.tokenize(NAMES)] * len(PROMPTS)
    ways = {"for_beams": lambda: Decoder().write(model, prompts, names_of(model))}
    answer = ways.get(copied, lambda: Decoder().score(model, prompts, names, 64))
    with pytest.raises(ConfigError, match=r"16.00 GiB[\s\S]*--model.batch_size[\s\S]*--model.score_batch_size"):
        answer()
