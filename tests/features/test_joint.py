"""Vision-language embedding models: features are those of sentence-transformers, alone as in a batch, or refused."""

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from joint_models import write_joint
from PIL import Image
from sentence_folders import write_encoder, write_folder

from dim.encoders.joint import SentenceTransformersEncoder
from dim.encoders.text import TransformersTextEncoder
from dim.errors import ConfigError

TEXTS = ["anna", "anna sees a town by the sea, and paris", "a"]
PROMPTS = {"query": "find: ", "document": "of "}
SETTINGS = "sentence_bert_config.json"


def encoder(folder: Path, **options: Any) -> SentenceTransformersEncoder:
    return SentenceTransformersEncoder(str(folder), device="cpu", **options)


def oracle(folder: Path) -> Any:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder), device="cpu", local_files_only=True)


def photos() -> list[Image.Image]:
    noise = np.random.default_rng(0)
    return [Image.fromarray(noise.integers(0, 255, (*size, 3), dtype=np.uint8)) for size in ((60, 40), (33, 70))]


@pytest.mark.parametrize("kind", ["qwen3_vl", "embedding_gemma2"])
def test_features_are_those_of_sentence_transformers(kind: str, tmp_path: Path) -> None:
    pooling = {"qwen3_vl": "lasttoken", "embedding_gemma2": "mean"}[kind]
    folder = write_joint(tmp_path / "joint", kind, pooling, PROMPTS)
    theirs, ours = oracle(folder), encoder(folder)
    expected = np.stack([theirs.encode([photo])[0] for photo in photos()])
    images = [ours.preprocess(photo) for photo in photos()]
    np.testing.assert_allclose(ours.encode_image(ours.stack(images)), expected, atol=1e-5)
    assert ours.width == expected.shape[1]
    for owner, encode in (("mention", theirs.encode_query), ("entity", theirs.encode_document)):
        read = ours.reading(owner)
        np.testing.assert_allclose(read.encode_text(TEXTS), [encode([text])[0] for text in TEXTS], atol=1e-5)
        assert pickle.loads(pickle.dumps(read)).fingerprint == read.fingerprint
    assert len({ours.reading("mention").fingerprint, ours.reading("entity").fingerprint, ours.fingerprint}) == 3
    assert not ours.copy_model(folder, tmp_path / "copy")
    copied = encoder(tmp_path / "copy")
    assert copied.fingerprint == ours.fingerprint
    np.testing.assert_array_equal(copied.reading("entity").encode_text(TEXTS), read.encode_text(TEXTS))
    half = encoder(folder, precision="bf16")
    features = half.encode_image(images)
    assert (features * expected).sum(1).min() > 0.99
    small = SentenceTransformersEncoder(ours.path, max_pixels=256, device="cpu")
    assert len({half.fingerprint, small.fingerprint, ours.fingerprint}) == 3


def test_a_folder_without_its_tokenizers_files_is_refused(tmp_path: Path) -> None:
    folder = write_joint(tmp_path / "joint", "qwen3", prompts=PROMPTS)
    for file in [*folder.glob("*token*"), *folder.glob("vocab*")]:
        file.unlink()
    with pytest.raises(ConfigError, match="one without a vocabulary"):
        encoder(folder).encode_text(TEXTS)


def test_a_model_of_texts_with_a_chat_template_reads_them_by_it_and_no_image(tmp_path: Path) -> None:
    folder = write_joint(tmp_path / "chat", "qwen3", prompts=PROMPTS)
    theirs, ours = oracle(folder), encoder(folder)
    expected = [theirs.encode_query([text])[0] for text in TEXTS]
    np.testing.assert_allclose(ours.reading("mention").encode_text(TEXTS), expected, atol=1e-5)
    bare = TransformersTextEncoder(str(folder), "lasttoken", None, True, device="cpu").encode_text(TEXTS)
    assert np.abs(bare - ours.encode_text(TEXTS)).max() > 0.01  # without the template
    with pytest.raises(ConfigError, match="an image encoder at"):
        ours.encode_image([np.zeros((8, 8, 3), np.uint8)])


def test_larger_images_are_scaled_down_and_smaller_ones_stay(tmp_path: Path) -> None:
    few = encoder(tmp_path, max_pixels=1000)
    for size, expected in (((100, 40), (50, 20)), ((20, 30), (20, 30)), ((5000, 1), (2236, 1)), ((1, 1), (1, 1))):
        height, width, _ = few.preprocess(Image.new("RGB", size)).shape
        assert (width, height) == expected
        assert width * height <= 1000 or 1 in size
    with pytest.raises(ConfigError, match="max_pixels of at least 1"):
        encoder(tmp_path, max_pixels=0)


def test_one_class_reads_texts_alone_and_the_other_joint_models(tmp_path: Path) -> None:
    joint = write_joint(tmp_path / "joint", "qwen3_vl")
    with pytest.raises(ConfigError, match="Name it as path of SentenceTransformersEncoder"):
        TransformersTextEncoder(str(joint), device="cpu").encode_text(TEXTS)
    text = write_folder(tmp_path / "st", settings={"modality_config": {"text": {}}})
    with pytest.raises(ConfigError, match="one of text"):
        encoder(text).encode_text(TEXTS)
    with pytest.raises(ConfigError, match=r"with modules\.json"):
        encoder(write_encoder(tmp_path / "plain")).encode_text(TEXTS)
    with pytest.raises(ConfigError, match="a joint model of sentence-transformers at"):
        _ = encoder(tmp_path / "nowhere").width
    inner = joint / "0_Transformer"  # as versions before 2 wrote it: alone it is another model
    inner.mkdir()
    for file in [path for path in joint.iterdir() if path.is_file() and path.name != "modules.json"]:
        shutil.move(file, inner / file.name)
    for path in (joint, inner):
        with pytest.raises(ConfigError, match=r"with modules\.json beside config\.json"):
            encoder(path).encode_text(TEXTS)


@pytest.mark.parametrize(
    ("file", "change", "found"),
    [
        ("modules.json", [{"type": "os.system", "path": ""}], "the modules os.system"),
        (SETTINGS, {"modality_config": {"image": {"method": "save_pretrained"}}}, "read by save_pretrained"),
        (SETTINGS, {"model_args": {"auto_map": 1}}, "model_kwargs with auto_map"),
    ],
)
def test_what_a_folder_may_not_name_is_refused_before_anything_is_loaded(
    file: str, change: Any, found: str, tmp_path: Path
) -> None:
    folder = write_joint(tmp_path / "joint", "qwen3_vl")
    before = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps(change + before if isinstance(change, list) else before | change))
    for use in (lambda: encoder(folder).network, lambda: encoder(folder).fingerprint, lambda: encoder(folder).width):
        with pytest.raises(ConfigError, match=found):
            use()
