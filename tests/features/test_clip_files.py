"""Weights of CLIP as files: how images are prepared for them, which activation they need, and forms that they have."""

import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from jsonargparse import ArgumentParser
from PIL import Image
from safetensors.torch import save_file
from tiny_clip import CONFIG, registered
from tiny_text import tokenizer

from dim.encoders.clip import OpenClipEncoder
from dim.errors import ConfigError, DataError

TEXTS = ["a", "Ana Silva sings in Belo Horizonte."]
OPENAI = {"mean": (0.48145466, 0.4578275, 0.40821073), "std": (0.26862954, 0.26130258, 0.27577711)}
HALF = {"mean": (0.5,) * 3, "std": (0.5,) * 3, "interpolation": "bicubic", "resize_mode": "squash"}


@pytest.fixture(scope="module", autouse=True)
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Registers `tiny-file` and the same with QuickGELU."""
    configs = {"tiny-file": CONFIG, "tiny-file-quickgelu": CONFIG | {"quick_gelu": True}}
    with registered(tmp_path_factory.mktemp("configs"), configs):
        yield


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    state = {name: value.contiguous() for name, value in open_clip.create_model("tiny-file").state_dict().items()}
    save_file(state, tmp_path / "mine.safetensors")
    return tmp_path / "mine.safetensors"


def tagged(monkeypatch: pytest.MonkeyPatch, **tags: dict[str, Any]) -> None:
    made = {name: open_clip.pretrained._pcfg(**tag) for name, tag in tags.items()}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "tiny-file", made)


def of(file: Path, **options: Any) -> dict[str, Any]:
    return OpenClipEncoder("tiny-file", str(file), **options).source.preprocess_config


@pytest.mark.parametrize("model", ["ViT-B-16-SigLIP2", "PE-Core-B-16", "MobileCLIP2-S0", "ViT-B-32-quickgelu"])
def test_images_are_prepared_for_a_file_as_for_all_tags_of_its_model(model: str, weights: Path) -> None:
    tag = next(iter(open_clip.pretrained._PRETRAINED[model].values()))
    found = OpenClipEncoder(model, str(weights)).source.preprocess_config
    named = OpenClipEncoder(model, open_clip.pretrained.list_pretrained_tags_by_model(model)[0])
    for field in ("mean", "std", "interpolation", "resize_mode"):
        assert tuple(found[field]) == tuple(tag[field])
        assert tuple(found[field]) == tuple(named.source.preprocess_config[field])


def test_of_a_model_without_tags_or_of_two_ways_it_has_to_be_given(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=r"tiny-file, of no tag[\s\S]*Set preprocess"):
        of(weights)
    tagged(monkeypatch, one=dict(OPENAI, url="https://lab/one.pt"), two=dict(HALF, url="https://lab/two-1.2.pt"))
    with pytest.raises(ConfigError, match=r"prepared for in several ways \(one, two"):
        of(weights)
    assert tuple(of(weights, preprocess="two")["mean"]) == HALF["mean"]
    assert tuple(of(weights, preprocess="openai")["mean"]) == OPENAI["mean"]
    with pytest.raises(ConfigError, match="Use two or openai"):
        of(weights, preprocess="twoo")
    published = weights.rename(weights.with_name("two-1.2.safetensors"))  # the tag's own file, as an export names it
    assert of(published)["resize_mode"] == "squash"


def test_fields_win_over_all_else_and_are_checked(weights: Path, tmp_path: Path) -> None:
    given = {"mean": [0.1, 0.2, 0.3], "interpolation": "bilinear"}
    plain, changed = (OpenClipEncoder("tiny-file", str(weights), preprocess=each) for each in ("openai", given))
    assert changed.source.preprocess_config["mean"] == [0.1, 0.2, 0.3]
    assert changed.fingerprint != plain.fingerprint
    assert pickle.loads(pickle.dumps(changed)).fingerprint == changed.fingerprint
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (50, 40, 3), dtype=np.uint8))
    features = [each.encode_image(np.stack([each.preprocess(image)])) for each in (plain, changed)]
    assert np.abs(features[0] - features[1]).max() > 1e-3
    folder = tmp_path / "folder"
    folder.mkdir()
    described = {"model_cfg": CONFIG, "preprocess_cfg": {"mean": [0.7, 0.7, 0.7]}}
    (folder / "open_clip_config.json").write_text(json.dumps(described))
    (folder / "open_clip_model.safetensors").write_bytes(weights.read_bytes())
    assert OpenClipEncoder(pretrained=str(folder)).source.preprocess_config["mean"] == [0.7, 0.7, 0.7]
    assert OpenClipEncoder(pretrained=str(folder), preprocess=given).source.preprocess_config["mean"] == [0.1, 0.2, 0.3]
    wrong = [({"men": 1}, "fields of preprocess"), ({"mean": [1, 2]}, "a number a channel"), ({"std": 3}, "a number a")]
    for fields, match in [*wrong, ({"interpolation": "nearest"}, "interpolation of preprocess: bicubic")]:
        with pytest.raises(ConfigError, match=match):
            of(weights, preprocess=fields)


def test_weights_that_need_the_other_activation_are_refused_as_files_too(
    weights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tagged(monkeypatch, quick=dict(OPENAI, quick_gelu=True, url="https://lab/quick.pt"), plain=OPENAI)
    match = r"the activation that the weights[\s\S]*Set model to tiny-file-quickgelu."
    with pytest.raises(ConfigError, match=match):
        OpenClipEncoder("tiny-file", str(weights), preprocess="quick").encode_text(TEXTS)
    assert OpenClipEncoder("tiny-file", str(weights), preprocess="plain").encode_text(TEXTS).shape == (2, 16)
    assert "QuickGELU" not in capsys.readouterr().err
    weights = weights.rename(weights.with_name("unknown.safetensors"))
    OpenClipEncoder("tiny-file", str(weights)).encode_text(TEXTS)
    assert "by the tags quick were trained with QuickGELU" in capsys.readouterr().err
    with pytest.raises(ConfigError, match=match):
        OpenClipEncoder("tiny-file", str(weights.rename(weights.with_name("quick.safetensors")))).encode_text(TEXTS)


def test_a_folder_brings_its_tokenizer_and_is_named_by_pretrained_alone(weights: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    tokenizer().save_pretrained(folder)
    text = CONFIG["text_cfg"] | {"hf_tokenizer_name": "lab/words", "context_length": 20, "vocab_size": 100}
    config = CONFIG | {"text_cfg": text}
    torch.manual_seed(0)
    model = open_clip.model.CLIP(**{**config, "text_cfg": dict(text)}).eval()
    save_file(
        {name: value.contiguous() for name, value in model.state_dict().items()}, folder / "open_clip_model.safetensors"
    )
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": HALF}))
    encoder = OpenClipEncoder(pretrained=str(folder), device="cpu")
    tokens = open_clip.tokenizer.HFTokenizer(str(folder), context_length=20)(TEXTS)
    with torch.no_grad():
        np.testing.assert_allclose(encoder.encode_text(TEXTS), model.encode_text(tokens), atol=1e-5)
    assert encoder.source.preprocess_config["resize_mode"] == "squash"
    with pytest.raises(ConfigError, match=f"Set pretrained to the folder, {folder}"):
        OpenClipEncoder(f"local-dir:{folder}").encode_text(TEXTS)
    for file in [*folder.glob("*token*"), *folder.glob("vocab*")]:
        file.unlink()
    (folder / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ConfigError, match="one without a vocabulary"):
        OpenClipEncoder(pretrained=str(folder), device="cpu").encode_text(TEXTS)


class _Published(torch.nn.Module):
    """As OpenAI published its models: TorchScript, in half precision, with three numbers beside the tensors."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        for name, value in model.state_dict().items():
            *path, last = name.split(".")
            place: torch.nn.Module = self
            for part in path:
                if part not in place._modules:
                    place.add_module(part, torch.nn.Module())
                place = place._modules[part]  # type: ignore[assignment]
            place.register_buffer(last, value.half())
        for name in ("input_resolution", "context_length", "vocab_size"):
            self.register_buffer(name, torch.tensor(32))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_what_openai_published_loads_and_needs_its_activation(weights: Path, tmp_path: Path) -> None:
    model = open_clip.create_model("tiny-file-quickgelu", pretrained=str(weights))
    file = tmp_path / "theirs.pt"
    torch.jit.script(_Published(model)).save(file)
    encoder = OpenClipEncoder("tiny-file-quickgelu", str(file), preprocess="openai")
    expected = OpenClipEncoder("tiny-file-quickgelu", str(weights), preprocess="openai").encode_text(TEXTS)
    np.testing.assert_allclose(encoder.encode_text(TEXTS), expected, atol=5e-3)  # what half precision rounds
    with pytest.raises(ConfigError, match="Set model to tiny-file-quickgelu"):
        OpenClipEncoder("tiny-file", str(file), preprocess="openai").encode_text(TEXTS)
    assert encoder.copy_model(file, tmp_path / "copy")
    copied = OpenClipEncoder("tiny-file-quickgelu", str(tmp_path / "copy" / "theirs.safetensors"), preprocess="openai")
    np.testing.assert_array_equal(copied.encode_text(TEXTS), encoder.encode_text(TEXTS))


def test_a_training_checkpoint_with_numbers_of_numpy_loads_and_one_with_code_does_not(
    weights: Path, tmp_path: Path
) -> None:
    plain = OpenClipEncoder("tiny-file", str(weights), preprocess="openai")
    state = {f"module.{name}": value for name, value in plain.model.state_dict().items()}
    file = tmp_path / "epoch_3.pt"
    torch.save({"epoch": np.int64(3), "loss": np.float64(0.5), "state_dict": state}, file)
    encoder = OpenClipEncoder("tiny-file", str(file), preprocess="openai")
    np.testing.assert_array_equal(encoder.encode_text(TEXTS), plain.encode_text(TEXTS))
    torch.save({"state_dict": state, "args": _Runs(str(tmp_path / "ran"))}, file)
    with pytest.raises((ConfigError, DataError), match="safetensors"):
        OpenClipEncoder("tiny-file", str(file), preprocess="openai").encode_text(TEXTS)
    assert not (tmp_path / "ran").exists()


class _Runs:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path(self.path),)


def test_preprocess_is_a_tag_or_fields_on_the_command_line_too() -> None:
    parser = ArgumentParser()
    parser.add_subclass_arguments(OpenClipEncoder, "encoder")
    of = ["--encoder", "dim.encoders.clip.OpenClipEncoder", "--encoder.preprocess"]
    for text, value in (("openai", "openai"), ('{"mean": [0.1, 0.2, 0.3]}', {"mean": [0.1, 0.2, 0.3]})):
        assert parser.parse_args([*of, text]).encoder.init_args.preprocess == value
