import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    AutoModel,
    AutoTokenizer,
    BertConfig,
    BertModel,
    PreTrainedTokenizerFast,
    T5Config,
    T5Model,
)

from dim.encoders.text import TransformersTextEncoder
from dim.errors import ConfigError

TEXTS = ["paris", "anna paris anna sees a very long old town", "", "unknowable"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT with random weights, as save_pretrained writes it."""
    folder = tmp_path_factory.mktemp("bert")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "anna", "paris", "sees", "a", "very", "long", "old", "town"]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    ).save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(vocab_size=len(words), max_position_embeddings=12, **sizes)).save_pretrained(folder)
    return folder


def oracle(folder: Path, text: str, pooling: str, max_length: int = 12) -> np.ndarray:
    """One text at a time, without padding, straight through Transformers."""
    tokens = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt", truncation=True, max_length=max_length)
    with torch.no_grad():
        output = AutoModel.from_pretrained(folder).eval()(**tokens)
    hidden = output.last_hidden_state[0]
    pooled = {"mean": hidden.mean(0), "cls": hidden[0], "pooler": output.pooler_output[0]}
    return pooled[pooling].numpy()


@pytest.mark.parametrize("pooling", ["mean", "cls", "pooler"])
def test_a_padded_batch_gives_what_transformers_gives_one_by_one(folder: Path, pooling: str) -> None:
    features = TransformersTextEncoder(str(folder), pooling=pooling).encode_text(TEXTS)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, [oracle(folder, text, pooling) for text in TEXTS], atol=1e-5)


def test_with_tokens_a_text_has_a_vector_a_token_whose_mean_is_the_pooled_one(folder: Path) -> None:
    encoder = TransformersTextEncoder(str(folder), pooling="tokens")
    counts, features = encoder.num_vectors(TEXTS), encoder.encode_text(TEXTS)
    assert counts.tolist() == [3, 11, 2, 3]
    parts = np.split(features, np.cumsum(counts)[:-1])
    np.testing.assert_allclose([part.mean(0) for part in parts], [oracle(folder, t, "mean") for t in TEXTS], atol=1e-5)
    np.testing.assert_allclose([part[0] for part in parts], [oracle(folder, t, "cls") for t in TEXTS], atol=1e-5)
    long = " ".join(["anna"] * 50)
    assert TransformersTextEncoder(str(folder), pooling="tokens", max_length=4).num_vectors([long]).tolist() == [4]
    assert TransformersTextEncoder(str(folder)).num_vectors(TEXTS) is None
    assert encoder.fingerprint != TransformersTextEncoder(str(folder)).fingerprint


@pytest.mark.parametrize("train", ["full", "lora"])
def test_a_trained_half_of_t5_is_written_so_that_it_loads_again(
    folder: Path, tmp_path: Path, train: str, recwarn: pytest.WarningsRecorder
) -> None:
    if train == "lora":
        pytest.importorskip("peft")
    torch.manual_seed(0)
    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2, "vocab_size": 12}
    T5Model(T5Config(**sizes, pad_token_id=0)).save_pretrained(tmp_path / "t5")
    AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path / "t5")
    encoder = TransformersTextEncoder(str(tmp_path / "t5"), train=train, max_length=8)
    with torch.no_grad():
        for parameter in encoder.network.parameters():
            parameter.add_(0.1)
    options = encoder.write_frozen(tmp_path / "written")
    again = TransformersTextEncoder(str(tmp_path / "written"), **options)
    assert not again.is_trained
    np.testing.assert_allclose(again.encode_text(TEXTS), encoder.encode_text(TEXTS), atol=1e-4)
    assert not [str(each.message) for each in recwarn if "gradient_checkpointing" in str(each.message)]


def test_texts_are_cut_at_max_length_or_at_what_the_model_takes(folder: Path) -> None:
    long = " ".join(["anna"] * 50)
    short = TransformersTextEncoder(str(folder), max_length=4).encode_text([long])
    np.testing.assert_allclose(short[0], oracle(folder, long, "mean", 4), atol=1e-5)
    whole = TransformersTextEncoder(str(folder)).encode_text([long])
    np.testing.assert_allclose(whole[0], oracle(folder, long, "mean", 12), atol=1e-5)


def test_a_folder_without_its_tokenizers_files_is_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    for file in [*(tmp_path / "copy").glob("*token*"), *(tmp_path / "copy").glob("vocab*")]:
        file.unlink()
    with pytest.raises(ConfigError, match="one without a vocabulary"):
        TransformersTextEncoder(str(tmp_path / "copy")).encode_text(TEXTS)  # all of them would have one vector


def test_a_text_that_is_not_read_to_its_end_is_told(folder: Path) -> None:
    texts = ["anna", " ".join(["anna"] * 10), " ".join(["anna"] * 11), "a" * 99]
    assert list(TransformersTextEncoder(str(folder)).are_cut(texts)) == [False, False, True, False]
    assert list(TransformersTextEncoder(str(folder), max_length=4).are_cut(texts)) == [False, True, True, False]
    prompted = TransformersTextEncoder(str(folder), query_prompt="anna anna").reading("mention")
    assert list(prompted.are_cut([" anna" * 8, " anna" * 9])) == [False, True]


def test_normalized_features_have_length_one(folder: Path) -> None:
    features = TransformersTextEncoder(str(folder), normalize=True).encode_text(TEXTS)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, atol=1e-6)


def test_bf16_is_close_and_comes_as_float32(folder: Path) -> None:
    exact = TransformersTextEncoder(str(folder)).encode_text(TEXTS)
    rough = TransformersTextEncoder(str(folder), precision="bf16").encode_text(TEXTS)
    assert rough.dtype == np.float32
    assert 0 < np.abs(rough - exact).max() < 0.1


def test_the_width_is_known_without_loading_weights(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AutoModel, "from_pretrained", None)
    assert TransformersTextEncoder(str(folder)).width == 16


def test_the_fingerprint_follows_content_and_options_but_not_place_or_device(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    first = TransformersTextEncoder(str(folder)).fingerprint
    assert first == TransformersTextEncoder(str(copy), device="cpu").fingerprint
    options = [{"pooling": "cls"}, {"max_length": 8}, {"normalize": True}, {"precision": "bf16"}]
    others = {TransformersTextEncoder(str(folder), **option).fingerprint for option in options}
    assert len(others | {first}) == 5
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        data = bytearray((copy / name).read_bytes())
        data[-2] ^= 1
        (copy / name).write_bytes(data)
        changed = TransformersTextEncoder(str(copy)).fingerprint
        assert changed not in others | {first}
        others.add(changed)


def test_an_encoder_travels_without_its_weights(folder: Path) -> None:
    encoder = TransformersTextEncoder(str(folder), pooling="cls", normalize=True)
    features = encoder.encode_text(TEXTS)
    data = pickle.dumps(encoder)
    assert len(data) < 1000
    assert np.array_equal(pickle.loads(data).encode_text(TEXTS), features)


def refused(encoder: TransformersTextEncoder) -> str:
    with pytest.raises(ConfigError) as caught:
        encoder.encode_text(["anna"])
    return str(caught.value)


def test_a_folder_that_is_not_there_names_what_is(folder: Path) -> None:
    message = refused(TransformersTextEncoder(str(folder.parent / "bertt")))
    assert "no such folder; beside it: " in message
    assert folder.name in message


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    assert "as written by save_pretrained" in refused(TransformersTextEncoder(str(tmp_path)))


def test_truncated_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    data = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(data[: len(data) // 2])
    assert "as written by save_pretrained" in refused(TransformersTextEncoder(str(copy)))


def test_a_max_length_that_the_model_does_not_take_is_refused(folder: Path) -> None:
    assert "max_length between 1 and 12" in refused(TransformersTextEncoder(str(folder), max_length=13))


def test_a_pooling_layer_without_weights_is_refused_and_the_other_poolings_work(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    BertModel.from_pretrained(folder, add_pooling_layer=False).save_pretrained(copy)
    assert "they would be random" in refused(TransformersTextEncoder(str(copy), pooling="pooler"))
    features = TransformersTextEncoder(str(copy)).encode_text(TEXTS)
    np.testing.assert_allclose(features, TransformersTextEncoder(str(folder)).encode_text(TEXTS), atol=1e-6)


def test_a_device_that_is_not_there_is_refused(folder: Path) -> None:
    assert "a device 'cuda:99'" in refused(TransformersTextEncoder(str(folder), device="cuda:99"))


def test_a_batch_is_padded_to_its_own_longest_text(folder: Path) -> None:
    encoder = TransformersTextEncoder(str(folder))
    assert encoder.tokenize(["paris", "anna sees"])["input_ids"].shape == (2, 4)
    assert encoder.tokenize(["anna sees a very long old town"])["input_ids"].shape == (1, 9)


def test_a_compiled_model_gives_the_same_features_under_the_same_fingerprint(
    folder: Path, request: pytest.FixtureRequest
) -> None:
    if not request.config.getoption("--long"):
        pytest.skip("compiling takes up to a minute: --long")
    plain, compiled = (TransformersTextEncoder(str(folder), compile_model=on) for on in (False, True))
    assert plain.fingerprint == compiled.fingerprint
    assert pickle.loads(pickle.dumps(compiled)).compile_model
    for texts in (TEXTS, TEXTS[:1], TEXTS[1:]):
        np.testing.assert_allclose(compiled.encode_text(texts), plain.encode_text(texts), atol=1e-5)
