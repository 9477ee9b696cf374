import json
import pickle
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save, save_file
from small_hub import NOWHERE, Hub, small_hub, use_hub
from tiny_clip import CONFIG, registered
from tiny_text import tokenizer

from dim.encoders.clip import OpenClipEncoder
from dim.errors import ConfigError, DataError
from dim.images.reading import load_image

TEXTS = ["a", "Ana Silva [SEP] Ana Silva sings in Belo Horizonte.", "", "word " * 200]


@pytest.fixture(scope="module", autouse=True)
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Registers a tiny architecture under the name `tiny-clip`."""
    with registered(tmp_path_factory.mktemp("configs"), {"tiny-clip": CONFIG}):
        yield


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    state = open_clip.create_model("tiny-clip").state_dict()
    save_file({name: value.contiguous() for name, value in state.items()}, path)
    return path


def clip(file: Path, *more: str, **options: object) -> OpenClipEncoder:
    """An encoder of weights in a file; nothing else says how images are prepared for `tiny-clip`."""
    return OpenClipEncoder("tiny-clip", str(file), *more, preprocess="openai", **options)


def direct(weights: Path) -> tuple[torch.nn.Module, object]:
    model, _, transform = open_clip.create_model_and_transforms("tiny-clip", pretrained=str(weights))
    return model.eval(), transform


def photo(size: tuple[int, int] = (50, 40)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8))


def test_text_features_are_those_of_open_clip_at_full_length(weights: Path) -> None:
    model, _ = direct(weights)
    with torch.no_grad():
        expected = model.encode_text(open_clip.get_tokenizer("tiny-clip")(TEXTS)).numpy()
    encoder = clip(weights)
    np.testing.assert_allclose(encoder.encode_text(TEXTS), expected, atol=1e-5)
    np.testing.assert_allclose(encoder.encode_text(TEXTS[:1]), expected[:1], atol=1e-5)


def test_a_text_that_clip_does_not_read_to_its_end_is_told(weights: Path) -> None:
    texts = ["a cat", "cat " * 75, "cat " * 80, "x" * 60, "cat " * 76]
    assert list(clip(weights).are_cut(texts)) == [False, False, True, False, True]


def test_image_features_are_those_of_open_clip(weights: Path) -> None:
    model, transform = direct(weights)
    images = [photo(), photo((200, 30)), photo((8, 8))]
    inputs = torch.stack([transform(image) for image in images])
    with torch.no_grad():
        expected = model.encode_image(inputs).numpy()
    encoder = clip(weights)
    pixels = np.stack([encoder.preprocess(image) for image in images])
    assert torch.equal(encoder.normalize_pixels(pixels), inputs)
    np.testing.assert_allclose(encoder.encode_image(pixels), expected, atol=1e-6)


def test_without_projection_image_features_are_what_the_vit_pools(weights: Path) -> None:
    model, _ = direct(weights)
    plain, pooled = (clip(weights, projection=value) for value in (True, False))
    pixels = np.stack([plain.preprocess(photo()), plain.preprocess(photo((20, 60)))])
    features = pooled.encode_image(pixels)
    assert features.shape == (2, pooled.width)
    assert pooled.width != plain.width
    projected = features @ model.visual.proj.detach().numpy()
    np.testing.assert_allclose(projected, plain.encode_image(pixels), atol=1e-6)
    assert pooled.fingerprint != plain.fingerprint
    assert pickle.loads(pickle.dumps(pooled)).fingerprint == pooled.fingerprint
    with pytest.raises(ConfigError, match="projection: false, which is for images"):
        pooled.encode_text(TEXTS)


def test_patches_are_the_tokens_that_open_clip_gives_beside_what_it_pools(weights: Path) -> None:
    model, _ = direct(weights)
    encoder = clip(weights, patches=True)
    assert (encoder.num_patches, encoder.width, "model" in vars(encoder)) == (4, 32, False)
    pixels = np.stack([encoder.preprocess(photo()), encoder.preprocess(photo((20, 60)))])
    model.visual.output_tokens = True
    with torch.no_grad():
        _, tokens = model.visual(encoder.normalize_pixels(pixels))
    np.testing.assert_allclose(encoder.encode_image(pixels), tokens.flatten(0, 1), atol=1e-6)
    assert pickle.loads(pickle.dumps(encoder)).fingerprint == encoder.fingerprint
    assert clip(weights).num_patches == 1
    with pytest.raises(ConfigError, match="patches: true, which is for images"):
        encoder.encode_text(TEXTS)


def test_the_class_token_stands_before_the_patches_as_the_vit_pools_it(weights: Path) -> None:
    both, patches = clip(weights, patches=True, class_token=True), clip(weights, patches=True)
    pooled = clip(weights, projection=False)
    pixels = np.stack([both.preprocess(photo()), both.preprocess(photo((20, 60)))])
    found = both.encode_image(pixels).reshape(2, both.num_patches, both.width)
    np.testing.assert_allclose(found[:, 0], pooled.encode_image(pixels), atol=1e-6)
    np.testing.assert_allclose(found[:, 1:].reshape(-1, both.width), patches.encode_image(pixels), atol=1e-6)
    assert (both.gives_whole_first, patches.gives_whole_first, pooled.gives_whole_first) == (True, False, True)
    assert both.fingerprint != patches.fingerprint
    assert pickle.loads(pickle.dumps(both)).fingerprint == both.fingerprint
    with pytest.raises(ConfigError, match="class_token beside patches"):
        clip(weights, class_token=True)


def test_without_projection_another_network_is_refused() -> None:
    with pytest.raises(ConfigError, match="a ViT of open_clip"):
        _ = OpenClipEncoder("RN50", None, random_seed=0, projection=False).width


def test_preprocessing_is_known_without_weights_and_is_that_of_the_model(weights: Path) -> None:
    encoder = clip(weights)
    config = encoder.source.preprocess_config
    assert (encoder.width, "model" in vars(encoder)) == (16, False)
    loaded = encoder.model.visual.preprocess_cfg
    assert {**loaded, "size": 32} == {**config, "size": 32}


def test_a_folder_brings_its_own_architecture(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": CONFIG, "preprocess_cfg": {"mean": [0, 0, 0]}})
    )
    (tmp_path / "open_clip_model.safetensors").write_bytes(weights.read_bytes())
    folder = OpenClipEncoder("ViT-B-32", str(tmp_path))
    named = clip(weights)
    assert np.array_equal(folder.encode_text(TEXTS), named.encode_text(TEXTS))
    assert folder.source.preprocess_config["mean"] == [0, 0, 0]
    assert folder.fingerprint != named.fingerprint


def test_encoders_of_the_same_weights_share_one_model(weights: Path) -> None:
    one, two = (clip(weights) for _ in range(2))
    assert one.model is two.model
    assert one.model is not OpenClipEncoder("tiny-clip", None, random_seed=0).model


def test_random_weights_follow_their_seed_and_leave_the_generator_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, again, other = (OpenClipEncoder("tiny-clip", None, random_seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one.encode_text(["a"]), again.encode_text(["a"]))
    assert not np.array_equal(one.encode_text(["a"]), other.encode_text(["a"]))
    assert one.fingerprint == again.fingerprint != other.fingerprint
    assert "random(1" in one.fingerprint
    assert torch.equal(torch.get_rng_state(), before)


def test_the_fingerprint_follows_weights_and_precision_but_not_place_or_device(weights: Path, tmp_path: Path) -> None:
    copy = tmp_path / weights.name
    copy.write_bytes(weights.read_bytes())
    first = clip(weights).fingerprint
    assert clip(copy, device="cpu").fingerprint == first
    assert clip(weights, precision="bf16").fingerprint != first
    data = bytearray(copy.read_bytes())
    data[-1] ^= 1
    copy.write_bytes(data)
    assert clip(copy).fingerprint != first


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_is_close_and_comes_as_float32(weights: Path, precision: str) -> None:
    exact, rough = (
        clip(weights),
        clip(weights, precision),
    )
    pixels = np.stack([exact.preprocess(photo())])
    for a, b in (
        (exact.encode_text(TEXTS), rough.encode_text(TEXTS)),
        (exact.encode_image(pixels), rough.encode_image(pixels)),
    ):
        assert b.dtype == np.float32
        assert 0 < np.abs(a - b).max() < 0.1 * np.abs(a).max()


def test_an_encoder_travels_without_its_weights(weights: Path) -> None:
    encoder = clip(weights)
    features = encoder.encode_text(["a"])
    data = pickle.dumps(encoder)
    assert len(data) < 1000
    assert np.array_equal(pickle.loads(data).encode_text(["a"]), features)


def refused(*args: object, **options: object) -> str:
    with pytest.raises(ConfigError) as caught:
        OpenClipEncoder(*args, **options).encode_text(["a"])
    return str(caught.value)


def test_a_model_that_open_clip_lacks_names_the_nearest() -> None:
    assert "Did you mean ViT-B-32" in refused("ViT-B-23")
    assert "a model name of open_clip" in refused("local-dir:someone")


def test_random_weights_must_be_asked_for(weights: Path) -> None:
    assert "neither pretrained nor random_seed" in refused("tiny-clip", None)
    assert "pretrained or random_seed" in refused("tiny-clip", str(weights), random_seed=1)


def test_weights_that_do_not_exist_name_the_tags() -> None:
    assert "such as openai" in refused("ViT-B-32-quickgelu", "opnai")
    assert "(this model has none)" in refused("tiny-clip", "missing.safetensors")


def test_weights_of_the_other_activation_are_refused() -> None:
    assert "Set model to ViT-B-32-quickgelu." in refused("ViT-B/32", "openai")


def test_weights_of_another_model_or_truncated_ones_are_refused(weights: Path, tmp_path: Path) -> None:
    assert "weights of ViT-S-32-alt" in refused("ViT-S-32-alt", str(weights), preprocess="openai")
    (tmp_path / "cut.safetensors").write_bytes(weights.read_bytes()[:1000])
    assert "Give an intact local file" in refused("tiny-clip", str(tmp_path / "cut.safetensors"), preprocess="openai")


def test_a_folder_without_a_config_is_refused(tmp_path: Path) -> None:
    assert "a folder with open_clip_config.json" in refused("tiny-clip", str(tmp_path))


def test_a_download_that_fails_asks_for_a_local_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use_hub(monkeypatch, NOWHERE, tmp_path / "cache")
    message = refused("ViT-B-32-quickgelu", "openai")
    assert "no connection to the hub" in message
    assert "local folder" in message


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    with small_hub() as server:
        use_hub(monkeypatch, server.url, tmp_path / "cache")
        yield server


def clip_files(seed: int) -> dict[str, bytes]:
    """What a repository with a model of open_clip holds, and what a download of it brings."""
    torch.manual_seed(seed)
    state = open_clip.create_model("tiny-clip").state_dict()
    weights = save({name: value.contiguous() for name, value in state.items()})
    config = json.dumps({"model_cfg": CONFIG, "preprocess_cfg": {}}).encode()
    other = {"README.md": b"# CLIP", ".gitattributes": b"*.bin filter=lfs", "config.json": b"{}"}
    return {"open_clip_config.json": config, "open_clip_model.safetensors": weights, **other}


@pytest.mark.parametrize("named_by", ["hf-hub", "tag"])
def test_what_is_on_the_hub_is_one_commit(hub: Hub, monkeypatch: pytest.MonkeyPatch, named_by: str) -> None:
    if named_by == "hf-hub":
        model, pretrained = "hf-hub:lab/clip", "openai"
    else:
        model, pretrained = "tiny-clip", "here"
        tags = {"here": open_clip.pretrained._pcfg(hf_hub="lab/clip/")}
        monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "tiny-clip", tags)
    first = hub.publish("lab/clip", clip_files(1))
    old = OpenClipEncoder(model, pretrained)
    assert first in old.fingerprint
    second = hub.publish("lab/clip", clip_files(2))
    features = old.encode_text(TEXTS)
    assert old.pinned_options == {"revision": first}
    new, again = OpenClipEncoder(model, pretrained), OpenClipEncoder(model, pretrained, revision=first)
    assert second in new.fingerprint
    assert again.fingerprint == old.fingerprint == pickle.loads(pickle.dumps(old)).fingerprint
    np.testing.assert_array_equal(again.encode_text(TEXTS), features)
    assert np.abs(new.encode_text(TEXTS) - features).max() > 1e-3
    use_hub(monkeypatch, NOWHERE, Path(huggingface_hub.constants.HF_HUB_CACHE))
    away = OpenClipEncoder(model, pretrained)
    assert away.fingerprint == new.fingerprint
    np.testing.assert_array_equal(away.encode_text(TEXTS), new.encode_text(TEXTS))


def test_its_description_is_that_of_the_commit_too(hub: Hub) -> None:
    files = clip_files(1)
    first = hub.publish("lab/clip", files)
    old = OpenClipEncoder("hf-hub:lab/clip")
    assert old.pinned_options == {"revision": first}  # known, and nothing read of it
    described = {"model_cfg": {**CONFIG, "quick_gelu": True}, "preprocess_cfg": {"mean": [0.1, 0.2, 0.3]}}
    second = hub.publish("lab/clip", files | {"open_clip_config.json": json.dumps(described).encode()})
    new, again = OpenClipEncoder("hf-hub:lab/clip"), OpenClipEncoder("hf-hub:lab/clip", revision=first)
    assert again.fingerprint == old.fingerprint == pickle.loads(pickle.dumps(old)).fingerprint
    assert new.fingerprint.partition("setup=")[2] != old.fingerprint.partition("setup=")[2]
    texts = [encoder.encode_text(TEXTS) for encoder in (old, again, new)]
    images = [encoder.encode_image(np.stack([encoder.preprocess(photo())])) for encoder in (old, again, new)]
    for kind in (texts, images):
        np.testing.assert_array_equal(kind[0], kind[1])
        assert np.abs(kind[0] - kind[2]).max() > 1e-3
    assert all(first in asked or second in asked for asked in hub.asked if "/resolve/" in asked)


def test_a_tokenizer_from_another_place_on_the_hub_is_one_commit_too(hub: Hub, tmp_path: Path) -> None:
    config = {**CONFIG, "text_cfg": {**CONFIG["text_cfg"], "hf_tokenizer_name": "lab/words", "context_length": 20}}
    torch.manual_seed(0)
    state = open_clip.model.CLIP(**{**config, "text_cfg": {**config["text_cfg"], "vocab_size": 100}}).state_dict()
    config["text_cfg"]["vocab_size"] = 100
    weights = save({name: value.contiguous() for name, value in state.items()})
    described = json.dumps({"model_cfg": config}).encode()
    hub.publish("lab/clip", {"open_clip_config.json": described, "open_clip_model.safetensors": weights})
    tokenizer().save_pretrained(tmp_path / "words")
    words = hub.publish("lab/words", tmp_path / "words")
    encoder = OpenClipEncoder("hf-hub:lab/clip")
    assert f"tokenizer=lab/words@{words}" in encoder.fingerprint
    (tmp_path / "words" / "README.md").write_text("moved")
    assert hub.publish("lab/words", tmp_path / "words") != words
    assert encoder.source.tokenize(["anna sees"]).shape == (1, 20)
    assert encoder.pinned_options["tokenizer_revision"] == words
    assert all(words in asked for asked in hub.asked if "/lab/words/resolve" in asked)


def test_what_a_folder_holds_beside_what_open_clip_reads_does_not_count(tmp_path: Path) -> None:
    for name, content in clip_files(1).items():
        (tmp_path / name).write_bytes(content)
    before = OpenClipEncoder(pretrained=str(tmp_path))
    (tmp_path / ".gitattributes").unlink()
    (tmp_path / "open_clip_pytorch_model.bin").write_bytes(b"the same weights, pickled")
    now = OpenClipEncoder(pretrained=str(tmp_path))
    assert now.fingerprint == before.fingerprint
    (tmp_path / "config.json").write_text("{ }")
    assert OpenClipEncoder(pretrained=str(tmp_path)).fingerprint != before.fingerprint


@pytest.mark.parametrize("suffix", ["pt", "pth", "bin"])
def test_a_copy_of_pickled_weights_is_safetensors_and_gives_the_same(
    weights: Path, tmp_path: Path, suffix: str
) -> None:
    file = tmp_path / f"my.weights.{suffix}"
    torch.save({"epoch": 3, "state_dict": {f"module.{k}": v for k, v in load_file(weights).items()}}, file)
    encoder = clip(file)
    assert encoder.copy_model(file, tmp_path / "copy")
    (copy,) = (tmp_path / "copy").iterdir()
    assert copy.name == "my.weights.safetensors"
    copied = clip(copy)
    np.testing.assert_array_equal(copied.encode_text(TEXTS), encoder.encode_text(TEXTS))


@pytest.mark.parametrize("is_pickled", [False, True])
def test_a_copy_of_a_download_gives_the_same(tmp_path: Path, is_pickled: bool) -> None:
    folder = tmp_path / "clip"
    folder.mkdir()
    for name, content in clip_files(1).items():
        (folder / name).write_bytes(content)
    if is_pickled:
        torch.save(load_file(folder / "open_clip_model.safetensors"), folder / "open_clip_pytorch_model.bin")
        (folder / "open_clip_model.safetensors").unlink()
    encoder = OpenClipEncoder(pretrained=str(folder))
    assert encoder.copy_model(folder, tmp_path / "copy") == is_pickled
    names = {path.name for path in (tmp_path / "copy").iterdir()}
    assert names == {"open_clip_config.json", "open_clip_model.safetensors", "config.json"}
    copied = OpenClipEncoder(pretrained=str(tmp_path / "copy"))
    assert (copied.fingerprint == encoder.fingerprint) != is_pickled
    np.testing.assert_array_equal(copied.encode_text(TEXTS), encoder.encode_text(TEXTS))


def test_pickled_weights_that_hold_more_than_tensors_are_not_copied(tmp_path: Path) -> None:
    torch.save({"weights": Path("a")}, tmp_path / "my.pt")
    with pytest.raises(DataError, match=r"torch.load with weights_only[\s\S]*safetensors.torch.save_file"):
        clip(tmp_path / "my.pt").copy_model(tmp_path / "my.pt", tmp_path / "copy")


def test_a_folder_of_transformers_is_sent_to_its_own_encoder(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    assert "This is a model of Transformers (bert)" in refused("tiny-clip", str(tmp_path))


def test_draft_decoding_is_part_of_the_fingerprint_and_close(weights: Path, tmp_path: Path) -> None:
    photo((40, 30)).resize((800, 600), Image.Resampling.BICUBIC).save(tmp_path / "x.jpg")
    full, draft = (clip(weights, draft=draft) for draft in (False, True))
    assert (full.draft_side, draft.draft_side) == (None, 64)
    assert full.fingerprint != draft.fingerprint
    assert "draft" not in full.fingerprint  # what was cached before the option came stays
    assert full.model is draft.model
    assert pickle.loads(pickle.dumps(draft)).fingerprint == draft.fingerprint
    images = [load_image(tmp_path / "x.jpg", tmp_path, encoder.draft_side) for encoder in (full, draft)]
    assert [image.size for image in images] == [(800, 600), (100, 75)]
    exact, close = (full.encode_image(np.stack([full.preprocess(image)]))[0] for image in images)
    assert 0 < np.abs(exact - close).max() < 0.05 * np.abs(exact).max()


def test_a_compiled_model_gives_the_same_features_under_the_same_fingerprint(
    weights: Path, request: pytest.FixtureRequest
) -> None:
    if not request.config.getoption("--long"):
        pytest.skip("compiling takes up to a minute: --long")
    plain, compiled = (clip(weights, compile_model=on) for on in (False, True))
    pixels = np.stack([plain.preprocess(photo()), plain.preprocess(photo((30, 60)))])
    assert plain.fingerprint == compiled.fingerprint
    for batch in (pixels, pixels[:1]):
        np.testing.assert_allclose(compiled.encode_image(batch), plain.encode_image(batch), atol=1e-5)
    for texts in (TEXTS, TEXTS[:1]):
        np.testing.assert_allclose(compiled.encode_text(texts), plain.encode_text(texts), atol=1e-5)


def test_pixels_that_are_on_the_device_already_give_the_same(weights: Path) -> None:
    encoder = clip(weights)
    pixels = np.stack([encoder.preprocess(photo())])
    assert np.array_equal(encoder.submit_image(encoder.to_device(pixels))(), encoder.encode_image(pixels))
