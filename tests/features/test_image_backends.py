"""Image encoders by ONNX Runtime and OpenVINO give what torch gives."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from model_families import write_family
from PIL import Image
from tiny_clip import write_clip

from dim.core.sealed import MANIFEST, seal
from dim.encoders.base import ImageEncoder
from dim.encoders.clip import OpenClipEncoder
from dim.encoders.exported import BESIDE, CONTENT, FORMAT
from dim.encoders.image import TransformersImageEncoder
from dim.encoders.openvino_runtime import _core
from dim.errors import ConfigError

pytestmark = pytest.mark.usefixtures("own_caches")
RUNTIMES = ("onnx", "openvino")
TRANSFORMERS = [("clip", {}), ("siglip", {"pooling": "mean"}), ("vit", {"normalize": True}), ("convnext", {})]
CLIPS: list[dict[str, Any]] = [{}, {"projection": False}, {"patches": True}]


def each(ways: list[Any], first: str) -> Any:
    """Every way by both runtimes; in make test the first way alone, by one of them."""
    return [
        pytest.param(way, backend, marks=[] if (place, backend) == (0, first) else [pytest.mark.long])
        for place, way in enumerate(ways)
        for backend in RUNTIMES
    ]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny CLIP of open_clip."""
    return write_clip(tmp_path_factory.mktemp("images") / "clip")


def pictures(count: int) -> list[Image.Image]:
    drawn = np.random.default_rng(1)
    return [Image.fromarray(drawn.integers(0, 255, (40, 30 + each, 3), dtype=np.uint8)) for each in range(count)]


def features(encoder: ImageEncoder, count: int) -> Any:
    return encoder.encode_image(encoder.stack([encoder.preprocess(image) for image in pictures(count)]))


@pytest.mark.parametrize(("way", "backend"), each(TRANSFORMERS, "onnx"))
def test_a_model_of_transformers(tmp_path: Path, backend: str, way: tuple[str, dict[str, Any]]) -> None:
    kind, options = way
    folder = str(write_family(tmp_path / kind, kind))
    ours, torchs = (
        TransformersImageEncoder(folder, device="cpu", backend=each, **options)  # type: ignore[arg-type]
        for each in (backend, "torch")
    )
    for count in (1, 3):
        np.testing.assert_allclose(features(ours, count), features(torchs, count), atol=2e-5)
    assert "_loaded" not in vars(ours)
    assert ours.fingerprint == torchs.fingerprint.replace(")", f", backend={backend})")
    assert pickle.loads(pickle.dumps(ours)).fingerprint == ours.fingerprint


@pytest.mark.parametrize(("options", "backend"), each(CLIPS, "openvino"))
def test_a_model_of_open_clip(clip: Path, tmp_path: Path, backend: str, options: dict[str, Any]) -> None:
    ours, torchs = (
        OpenClipEncoder(pretrained=str(clip), device="cpu", backend=each, **options)  # type: ignore[arg-type]
        for each in (backend, "torch")
    )
    for count in (1, 3):
        np.testing.assert_allclose(features(ours, count), features(torchs, count), atol=2e-5)
    with pytest.raises(ConfigError, match="a CLIP text encoder"):
        ours.encode_text(["anna"])
    ours.copy_model(clip, tmp_path / "copy")
    assert (tmp_path / "copy" / BESIDE / backend).is_dir()
    copied = OpenClipEncoder(pretrained=str(tmp_path / "copy"), backend=backend, **options)  # type: ignore[arg-type]
    np.testing.assert_array_equal(features(copied, 2), features(ours, 2))
    weights = clip / "open_clip_model.safetensors"  # those of texts do not go along
    assert sum(path.stat().st_size for path in (tmp_path / "copy" / BESIDE).rglob("*")) < weights.stat().st_size / 5


def test_an_export_of_another_pooling_is_not_taken_for_ones_own(clip: Path, tmp_path: Path) -> None:
    vit = write_family(tmp_path / "vit", "vit")
    for kind, option, model, ways in (
        (TransformersImageEncoder, "path", vit, ({"pooling": "cls"}, {"pooling": "mean"})),
        (OpenClipEncoder, "pretrained", clip, ({}, {"projection": False})),
    ):
        copy = tmp_path / f"copy of {model.name}"
        kind(**{option: str(model)}, **ways[0], device="cpu", backend="onnx").copy_model(model, copy)
        for way in ways:
            given: dict[str, Any] = {option: str(copy), **way, "device": "cpu"}
            ours, torchs = (kind(**given, backend=backend) for backend in ("onnx", "torch"))
            np.testing.assert_allclose(features(ours, 2), features(torchs, 2), atol=2e-5)
            is_beside = "@" in ours.fingerprint.rpartition("backend=")[2]
            assert is_beside == (way == ways[0])


def test_vectors_of_another_backend_are_scaled_to_length_1_where_that_is_asked(tmp_path: Path) -> None:
    encoder = TransformersImageEncoder(str(write_family(tmp_path / "vit", "vit")), normalize=True, backend="onnx")
    np.testing.assert_allclose(np.linalg.norm(features(encoder, 3), axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("kind", ["open_clip", "transformers"])
def test_images_are_read_in_bf16(clip: Path, tmp_path: Path, kind: str) -> None:
    if "BF16" not in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this CPU has no BF16")

    def encoder(**options: Any) -> ImageEncoder:
        if kind == "open_clip":
            return OpenClipEncoder(pretrained=str(clip), device="cpu", **options)
        return TransformersImageEncoder(str(tmp_path / "vit"), device="cpu", **options)

    write_family(tmp_path / "vit", "vit")
    ours, torchs = encoder(backend="openvino", precision="bf16"), encoder()
    for count in (1, 3):
        found, expected = features(ours, count), features(torchs, count)
        assert 1e-5 < np.abs(found - expected).max() < 0.1 * np.abs(expected).max()


def test_an_export_that_does_not_say_its_pooling_is_taken_as_it_stands(tmp_path: Path) -> None:
    folder, copy = write_family(tmp_path / "vit", "vit"), tmp_path / "copy"
    TransformersImageEncoder(str(folder), pooling="cls", backend="onnx").copy_model(folder, copy)
    beside = copy / BESIDE / "onnx"
    facts = json.loads((beside / MANIFEST).read_text())
    (beside / MANIFEST).unlink()
    seal(beside, CONTENT, FORMAT, {name: facts[name] for name in ("inputs", "most_tokens")})
    assert "@" in TransformersImageEncoder(str(copy), backend="onnx").fingerprint
    features(TransformersImageEncoder(str(copy), backend="onnx"), 1)


def test_auto_says_what_it_chose(clip: Path, tmp_path: Path) -> None:
    folder = str(write_family(tmp_path / "vit", "vit"))
    for chosen in (
        TransformersImageEncoder(folder, backend="auto"),
        OpenClipEncoder(pretrained=str(clip), backend="auto"),
    ):
        assert chosen.pinned_options == {"backend": "openvino" if not torch.cuda.is_available() else "torch"}
        assert pickle.loads(pickle.dumps(chosen)).backend == chosen.backend_name


def test_options_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(ConfigError, match="a precision of backend onnx"):
        TransformersImageEncoder("x", backend="onnx", precision="bf16")
    with pytest.raises(ConfigError, match="compile_model beside backend: torch"):
        OpenClipEncoder(backend="onnx", compile_model=True)
