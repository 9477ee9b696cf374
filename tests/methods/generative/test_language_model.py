import pickle

import pytest
import torch
from tiny_lm import save_model
from torch.utils._python_dispatch import TorchDispatchMode

from dim.errors import ConfigError
from dim.methods.generative.language_model import LanguageModel, explained_memory
from dim.methods.generative.self_check import check_model
from dim.methods.generative.tokenizer import NameRules
from dim.methods.generative.ways import WAYS


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("lm"), context=64)


def test_what_is_known_of_a_model(folder):
    model = LanguageModel(str(folder))
    assert (model.width, model.context, model.end_token) == (32, 64, 0)
    assert not model.model.training
    assert not any(weight.requires_grad for weight in model.model.parameters())


def test_no_token_starts_or_ends_a_text_and_special_words_are_text(folder):
    model = LanguageModel(str(folder))
    tokens = model.tokenize(["Ada", "<end>", ""])
    assert model.end_token not in tokens[0] + tokens[1]
    assert tokens[2] == []
    assert model.detokenize(tokens[1]) == "<end>"


def test_a_tokenizer_without_a_padding_token_will_do(tmp_path):
    model = LanguageModel(str(save_model(tmp_path / "lm", pad=False)))
    assert model.tokenizer.pad_token is None
    assert model.tokenize(["Ada"])[0]


def test_a_tokenizer_without_an_end_token_is_refused(folder, tmp_path):
    saved = LanguageModel(str(folder))
    saved.model.save_pretrained(tmp_path / "lm")
    tokenizer = pickle.loads(pickle.dumps(saved.tokenizer))
    tokenizer.eos_token = None
    tokenizer.save_pretrained(tmp_path / "lm")
    with pytest.raises(ConfigError, match=r"a tokenizer with an end token \(eos_token\)"):
        _ = LanguageModel(str(tmp_path / "lm")).end_token


def test_the_fingerprint_follows_weights_and_precision(folder, tmp_path):
    other = save_model(tmp_path / "lm", context=64, seed=1)
    prints = {
        LanguageModel(str(folder)).fingerprint,
        LanguageModel(str(other)).fingerprint,
        LanguageModel(str(folder), precision="bf16").fingerprint,
    }
    assert len(prints) == 3
    assert LanguageModel(str(folder)).fingerprint in prints
    assert LanguageModel(str(folder)).tokenizer_hash == LanguageModel(str(other)).tokenizer_hash


def test_a_model_travels_without_its_weights(folder):
    model = LanguageModel(str(folder))
    size = len(pickle.dumps(model))
    _ = model.model
    assert len(pickle.dumps(model)) == size < 1000
    assert pickle.loads(pickle.dumps(model)).width == 32


def test_what_was_settled_of_a_model_travels_with_it(folder):
    model = LanguageModel(str(folder))
    model.rules, model.way = NameRules(True, "line", "behind_prompt"), WAYS[2]
    other = pickle.loads(pickle.dumps(model))
    assert (other.rules, other.way) == (model.rules, model.way)


def test_half_precision_is_loaded_and_computes(folder):
    model = LanguageModel(str(folder), precision="bf16")
    vectors = model.embed(torch.tensor([[5, 6, 7]]))
    assert vectors.dtype == torch.bfloat16
    output = model.run(torch.ones(1, 3, dtype=torch.long), 1, vectors)
    assert output.logits.shape[:2] == (1, 1)


def test_the_head_is_not_copied_for_each_prompt(folder):
    model = LanguageModel(str(folder), precision="bf16")
    mask = torch.ones(3, 5, dtype=torch.int64)
    for num_logits in (1, 2):
        with Sizes() as sizes:
            model.run(mask, num_logits, model.embed(torch.arange(15).reshape(3, 5)), is_last=True)
        assert sizes.largest <= model.model.get_output_embeddings().weight.numel()


class Sizes(TorchDispatchMode):
    """The most numbers of a tensor that an operation computes with, as it is spread over a batch."""

    largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if not func.is_view:
            self.largest = max([self.largest, *(each.numel() for each in args if isinstance(each, torch.Tensor))])
        return func(*args, **kwargs or {})


def test_no_model_there_says_what_stands_beside(tmp_path):
    (tmp_path / "opt-tiny").mkdir()
    with pytest.raises(ConfigError, match="beside it: opt-tiny"):
        _ = LanguageModel(str(tmp_path / "opt-tny")).model


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("llama", r"from one of: \(1\) a `tokenizers` library serialization file"),
        ("gpt2", "one without a vocabulary"),  # which Transformers makes out of nothing
    ],
)
def test_a_folder_without_a_tokenizer_says_so(kind, found, tmp_path):
    for file in save_model(tmp_path / kind, kind).iterdir():
        if "token" in file.name:
            file.unlink()
    with pytest.raises(ConfigError, match=found):
        check_model(LanguageModel(str(tmp_path / kind)))


def test_weights_of_another_kind_of_model_are_refused(tmp_path, folder):
    from transformers import AutoModel

    AutoModel.from_pretrained(folder).save_pretrained(tmp_path / "lm")
    LanguageModel(str(folder)).tokenizer.save_pretrained(tmp_path / "lm")
    model = LanguageModel(str(tmp_path / "lm"))
    # GPT-2's output layer is its input embedding, so that nothing is missing; LLaMA's would be.
    assert model.width == 32


@explained_memory()
def _allocate(size):
    torch.empty(size)


def test_running_out_of_memory_names_what_to_turn_down():
    with pytest.raises(ConfigError, match=r"(?s)enough memory.*Lower --data.batch_size.*num_beams.*examples"):
        _allocate(1 << 46)
    with pytest.raises(RuntimeError, match="another"), explained_memory():
        raise RuntimeError("another")


def test_what_is_not_installed_names_the_extra(folder, monkeypatch):
    monkeypatch.setattr("dim.methods.generative.language_model.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"dim-linker\[quantized\]"):
        _ = LanguageModel(str(folder), quantization="4bit").model
    with pytest.raises(ConfigError, match="the package accelerate for a device_map"):
        _ = LanguageModel(str(folder), device_map="auto").model
