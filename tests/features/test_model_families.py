"""Families of Transformers' models: features are the library's own, of a text alone as beside others, or refused."""

import json
import pickle
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from model_families import IMAGES, REFUSED, TEXTS, TWO_TOWERS, write_family
from model_table import DOCUMENT, row
from PIL import Image
from safetensors.torch import load_file, save_file
from sentence_folders import write_encoder
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

from dim.encoders.image import TransformersImageEncoder
from dim.encoders.text import TransformersTextEncoder
from dim.errors import ConfigError

WORDS = ["anna", "anna sees a town by the sea, and paris", "a"]
READ = [kind for kind in TEXTS if (kind, "text") not in REFUSED]
SEEN = [kind for kind in IMAGES if (kind, "image") not in REFUSED]


def photos() -> list[Image.Image]:
    noise = np.random.default_rng(0)
    return [Image.fromarray(noise.integers(0, 255, (*size, 3), dtype=np.uint8)) for size in ((60, 40), (33, 70))]


def theirs(folder: Path) -> Any:
    return AutoModel.from_pretrained(folder).eval()


@pytest.mark.parametrize("kind", READ)
def test_texts_of_a_batch_are_what_the_library_gives_of_each_alone(kind: str, tmp_path: Path) -> None:
    encoder = TransformersTextEncoder(str(write_family(tmp_path, kind)), device="cpu")
    tokenizer, model = AutoTokenizer.from_pretrained(tmp_path), theirs(tmp_path)
    reads = model.get_encoder() if model.config.is_encoder_decoder else model
    with torch.no_grad():
        tokens = [tokenizer(text, return_tensors="pt", return_token_type_ids=False) for text in WORDS]
        expected = [reads(**each).last_hidden_state[0].mean(0).numpy() for each in tokens]
    np.testing.assert_allclose(encoder.encode_text(WORDS), expected, atol=1e-5)
    assert encoder.width == len(expected[0])


@pytest.mark.parametrize("kind", ["bert", "roberta", "mpnet", "gpt2", "qwen3", "opt"])
@pytest.mark.parametrize("pooling", ["mean", "cls", "lasttoken", "tokens"])
def test_a_folder_that_pads_on_the_left_gives_what_one_that_pads_on_the_right_does(
    kind: str, pooling: Any, tmp_path: Path
) -> None:
    folder = write_family(tmp_path, kind)
    right = TransformersTextEncoder(str(folder), pooling, device="cpu")
    expected = right.encode_text(WORDS)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(config | {"padding_side": "left"}))
    left = TransformersTextEncoder(str(folder), pooling, device="cpu")
    np.testing.assert_array_equal(left.encode_text(WORDS), expected)
    np.testing.assert_allclose(left.encode_text(WORDS[:1]), expected[: len(left.encode_text(WORDS[:1]))], atol=1e-5)
    assert left.fingerprint.endswith(", padding=right)")  # what was cached with padding on the left is not taken


def test_the_last_token_is_the_one_that_the_tokenizer_appends_also_of_a_text_that_is_cut(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path, "qwen3", padding="left", eos=True)
    encoder = TransformersTextEncoder(str(folder), "lasttoken", max_length=5, device="cpu")
    tokens = encoder.tokenize(["anna", "anna sees a town"])
    last = tokens["attention_mask"].sum(1) - 1
    assert tokens["input_ids"].gather(1, last[:, None]).flatten().tolist() == [3, 3]
    with torch.no_grad():
        alone = theirs(folder)(input_ids=tokens["input_ids"][1:]).last_hidden_state[0, -1]
    np.testing.assert_allclose(encoder.encode_text(["anna", "anna sees a town"])[1], alone, atol=1e-5)


@pytest.mark.parametrize("kind", TWO_TOWERS)
def test_texts_and_images_of_two_towers_are_what_the_library_gives_in_their_space(kind: str, tmp_path: Path) -> None:
    folder = write_family(tmp_path, kind)
    texts, images = (
        kind_of(str(folder), device="cpu") for kind_of in (TransformersTextEncoder, TransformersImageEncoder)
    )
    tokenizer, model = AutoTokenizer.from_pretrained(folder), theirs(folder)
    whole = {"max_length": 24, "truncation": True} | ({"padding": "max_length"} if kind == "siglip" else {})
    pixels = AutoImageProcessor.from_pretrained(folder)(images=photos(), return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        given = [tokenizer(text, return_tensors="pt", return_token_type_ids=False, **whole) for text in WORDS]
        asked = [{"input_ids": each["input_ids"]} if kind == "siglip" else each for each in given]
        expected = [model.get_text_features(**each).pooler_output[0].numpy() for each in asked]
        seen = model.get_image_features(pixel_values=pixels).pooler_output
    np.testing.assert_allclose(texts.encode_text(WORDS), expected, atol=1e-5)
    features = images.encode_image(np.stack([images.preprocess(photo) for photo in photos()]))
    np.testing.assert_allclose(features, seen, atol=1e-5)
    assert texts.width == images.width == features.shape[1]
    tokens = TransformersTextEncoder(str(folder), "tokens", device="cpu")  # of the text tower alone
    assert tokens.encode_text(WORDS).shape == (tokens.num_vectors(WORDS).sum(), 16)


@pytest.mark.parametrize("kind", [kind for kind in SEEN if kind not in TWO_TOWERS])
def test_images_are_what_the_library_gives(kind: str, tmp_path: Path) -> None:
    encoder = TransformersImageEncoder(str(write_family(tmp_path, kind)), device="cpu")
    pixels = AutoImageProcessor.from_pretrained(tmp_path)(images=photos(), return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        output = theirs(tmp_path)(pixel_values=pixels)
    ours = np.stack([encoder.preprocess(photo) for photo in photos()])
    features = encoder.encode_image(ours)
    np.testing.assert_allclose(features, output.pooler_output.flatten(1), atol=1e-5)
    assert features.shape == (2, encoder.width)
    assert np.array_equal(pickle.loads(pickle.dumps(encoder)).encode_image(encoder.to_device(ours)), features)
    if output.last_hidden_state.ndim == 3:
        others = {"cls": output.last_hidden_state[:, 0], "mean": output.last_hidden_state.mean(1)}
        for pooling, expected in others.items():
            other = TransformersImageEncoder(str(tmp_path), pooling, normalize=True, device="cpu")  # type: ignore[arg-type]
            unit = torch.nn.functional.normalize(expected, dim=-1)
            np.testing.assert_allclose(other.encode_image(ours), unit, atol=1e-5)
            assert other.fingerprint != encoder.fingerprint
    encoder.copy_model(tmp_path, tmp_path / "copy")
    copy = TransformersImageEncoder(str(tmp_path / "copy"), device="cpu")
    assert copy.fingerprint == encoder.fingerprint
    np.testing.assert_array_equal(copy.encode_image(ours), features)


def test_the_fingerprint_of_images_follows_content_and_each_option_but_not_place_or_device(tmp_path: Path) -> None:
    folder = write_family(tmp_path / "vit", "vit")
    copy = shutil.copytree(folder, tmp_path / "copy")
    first = TransformersImageEncoder(str(folder)).fingerprint
    assert first == TransformersImageEncoder(str(copy), device="cpu").fingerprint
    options: list[dict[str, Any]] = [
        *({"pooling": pooling} for pooling in ("cls", "mean", "pooler")),
        {"normalize": True},
        {"precision": "bf16"},
        {"backend": "onnx"},
    ]
    others = {TransformersImageEncoder(str(folder), **option).fingerprint for option in options}
    assert len(others | {first}) == 7
    for name in ("model.safetensors", "preprocessor_config.json"):
        data = bytearray((copy / name).read_bytes())
        data[-2] ^= 1
        (copy / name).write_bytes(data)
        changed = TransformersImageEncoder(str(copy)).fingerprint
        assert changed not in others | {first}
        others.add(changed)


@pytest.mark.parametrize(("kind", "what"), REFUSED)
def test_what_cannot_be_used_is_refused_before_anything_is_embedded(kind: str, what: str, tmp_path: Path) -> None:
    folder = str(write_family(tmp_path, kind))
    use = {
        "text": lambda: TransformersTextEncoder(folder, device="cpu").encode_text(WORDS[:1]),
        "image": lambda: TransformersImageEncoder(folder, device="cpu").preprocess(photos()[0]),
    }
    with pytest.raises(ConfigError, match=re.escape(REFUSED[kind, what])):
        use[what]()


def test_a_pooling_layer_without_weights_is_never_used(tmp_path: Path) -> None:
    write_family(tmp_path, "vit")
    model = theirs(tmp_path)
    model.pooler = None
    model.save_pretrained(tmp_path)
    encoder = TransformersImageEncoder(str(tmp_path), device="cpu")
    pixels = np.stack([encoder.preprocess(photo) for photo in photos()])
    cls = TransformersImageEncoder(str(tmp_path), "cls", device="cpu").encode_image(pixels)
    np.testing.assert_array_equal(encoder.encode_image(pixels), cls)
    with pytest.raises(ConfigError, match="one without weights"):
        TransformersImageEncoder(str(tmp_path), "pooler", device="cpu").encode_image(pixels)
    with pytest.raises(ConfigError, match="a space that images share with texts"):
        TransformersImageEncoder(str(tmp_path), "projected", device="cpu").encode_image(pixels)


def test_an_image_encoder_that_lacks_weights_is_refused(tmp_path: Path) -> None:
    file = write_family(tmp_path / "vit", "vit") / "model.safetensors"
    weights = load_file(file)
    lost = next(name for name in weights if name.endswith("attention.output.dense.weight"))
    save_file({name: value for name, value in weights.items() if name != lost}, file, {"format": "pt"})
    encoder = TransformersImageEncoder(str(file.parent), device="cpu")
    with pytest.raises(ConfigError, match=r"(?s)all weights of the model at .*they would be random"):
        encoder.encode_image(np.stack([encoder.preprocess(photo) for photo in photos()]))


def test_a_processor_that_gives_arrays_of_several_shapes_is_refused(tmp_path: Path) -> None:
    write_family(tmp_path, "clip_vision_model")
    config = json.loads((tmp_path / "preprocessor_config.json").read_text())
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(config | {"do_center_crop": False}))
    encoder = TransformersImageEncoder(str(tmp_path), device="cpu")
    with pytest.raises(ConfigError, match="arrays of one shape"):
        encoder.encode_image(np.stack([encoder.preprocess(photos()[0])]))


@pytest.mark.parametrize("kind", ["bert", "qwen3", "bart", "fnet", "siglip", "siglip2", "dinov2"])
def test_the_table_of_models_says_what_is_so(kind: str, tmp_path: Path) -> None:
    """`python tests/model_table.py` writes it anew."""
    lines = DOCUMENT.read_text(encoding="utf-8").splitlines()
    for line in row(kind, tmp_path):
        # The last digits of a cosine are the machine's.
        said = [each for each in lines if each.split(" | ")[:2] == line.split(" | ")[:2]]
        assert [re.sub(r"0\.9\d+|1\.0+", "~1", each) for each in said] == [re.sub(r"0\.9\d+|1\.0+", "~1", line)]
