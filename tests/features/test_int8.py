"""Encoders in int8 by ONNX Runtime and OpenVINO: near to torch, the same alone as beside others, refused where not."""

import pickle
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from model_families import write_family
from sentence_folders import dense, write_folder

from dim.encoders import int8
from dim.encoders.device import EncoderPrecision
from dim.encoders.encoder_check import LEAST_BESIDE, LEAST_OF_BACKENDS, pictures
from dim.encoders.exported import BESIDE
from dim.encoders.image import TransformersImageEncoder
from dim.encoders.int8 import quantized
from dim.encoders.onnx_int8 import with_int8_weights
from dim.encoders.openvino_runtime import multiplies_int8
from dim.encoders.text import TransformersTextEncoder
from dim.errors import ConfigError

pytestmark = pytest.mark.usefixtures("own_caches")
RUNTIMES = ("onnx", pytest.param("openvino", marks=pytest.mark.skipif(not multiplies_int8(), reason="no such CPU")))
TEXTS = ["anna", "anna moreau who plays the violin, in a small town by the sea.", "a b", "paris " * 30]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sentence-transformers model with a head."""
    return write_folder(tmp_path_factory.mktemp("model") / "model", {"pooling_mode_mean_tokens": True}, [dense()])


def encoder(folder: Path, backend: Any, **options: Any) -> TransformersTextEncoder:
    return TransformersTextEncoder(str(folder), device="cpu", backend=backend, **{"precision": "int8"} | options)


def cosines(found: Any, expected: Any) -> Any:
    return (found * expected).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(expected, axis=1)


@pytest.mark.parametrize("backend", RUNTIMES)
def test_vectors_are_near_to_torchs_and_those_of_a_text_alone(folder: Path, backend: str) -> None:
    ours, torchs = encoder(folder, backend), encoder(folder, "torch", precision="fp32")
    found, expected = ours.encode_text(TEXTS), torchs.encode_text(TEXTS)
    assert (near := cosines(found, expected).min()) >= LEAST_OF_BACKENDS["int8"]
    assert near < 0.9999999  # something was rounded
    alone = np.concatenate([ours.encode_text([text]) for text in TEXTS])
    assert cosines(found, alone).min() >= LEAST_BESIDE
    assert "network" not in vars(ours.loaded)


@pytest.mark.parametrize("backend", RUNTIMES)
def test_weights_of_int8_have_an_export_and_a_fingerprint_of_their_own(
    folder: Path, tmp_path: Path, backend: str
) -> None:
    ours, whole = encoder(folder, backend), encoder(folder, backend, precision="fp32")
    assert "precision=int8" in ours.fingerprint
    assert int8.RECIPE in ours.fingerprint
    assert ours.fingerprint != whole.fingerprint
    assert pickle.loads(pickle.dumps(ours)).fingerprint == ours.fingerprint
    expected = ours.encode_text(TEXTS)
    ours.copy_model(folder, tmp_path / "own")
    assert [path.name for path in (tmp_path / "own" / BESIDE).iterdir()] == [f"{backend}_int8"]
    np.testing.assert_array_equal(encoder(tmp_path / "own", backend).encode_text(TEXTS), expected)


@pytest.mark.long  # in tests/linker/test_int8_linker.py it is, too
@pytest.mark.parametrize("backend", RUNTIMES)
def test_weights_that_are_rounded_too_coarsely_are_refused(
    folder: Path, tmp_path: Path, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(int8, "LEVELS", 1)
    with pytest.raises(ConfigError, match=r"(?s)as torch gives them.*a cosine of 0\.98"):
        encoder(folder, backend).encode_text(TEXTS)


@pytest.mark.long
def test_images_are_read_in_int8(tmp_path: Path) -> None:
    folder = str(write_family(tmp_path / "vit", "vit"))
    for backend in ("onnx", "openvino") if multiplies_int8() else ("onnx",):
        ours = TransformersImageEncoder(folder, precision="int8", backend=backend)  # type: ignore[arg-type]
        torchs = TransformersImageEncoder(folder)
        pixels = torchs.stack([torchs.preprocess(image) for image in pictures()])
        assert LEAST_OF_BACKENDS["int8"] <= cosines(ours.encode_image(pixels), torchs.encode_image(pixels)).min() < 1


@pytest.mark.parametrize("backend", ["torch", "auto"])
def test_int8_is_of_a_backend_that_is_named(folder: Path, backend: str) -> None:
    with pytest.raises(ConfigError, match=r"(?s)another backend than torch for precision int8.*onnx or openvino"):
        encoder(folder, backend)


def test_openvino_refuses_a_cpu_without_products_of_int8(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"cpu_name": "an old one", "avx2": True})
    with pytest.raises(ConfigError, match=r"(?s)a CPU that multiplies int8.*an old one"):
        encoder(folder, "openvino").encode_text(["anna"])


def test_every_precision_has_bounds() -> None:
    assert set(LEAST_OF_BACKENDS) == set(get_args(EncoderPrecision))


def test_a_row_of_weights_is_rounded_by_its_own_scale() -> None:
    weights = np.random.default_rng(0).normal(size=(5, 70)) * np.array([[1e-6], [1.0], [1e6], [0.0], [3.0]])
    whole, scales = quantized(weights)
    assert whole.dtype == np.int8
    assert (np.abs(whole).max(1) == [127, 127, 127, 0, 127]).all()
    assert (np.abs(whole * scales.astype(float) - weights) <= scales * 0.5001).all()


@pytest.mark.parametrize("rows", [16, 64, 100, 130])
def test_onnx_multiplies_the_blocks_back(rows: int) -> None:
    """As ONNX's own reference does it, whatever is left of the last block."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    from onnx.reference import ReferenceEvaluator

    weights = np.random.default_rng(0).normal(size=(rows, 3)).astype(np.float32)
    given, product = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", width]) for name, width in
                      (("given", rows), ("product", 3)))  # fmt: skip
    graph = helper.make_graph([helper.make_node("MatMul", ["given", "weights"], ["product"])], "one", [given],
                              [product], [numpy_helper.from_array(weights, "weights")])  # fmt: skip
    model = with_int8_weights(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)]))
    assert [node.op_type for node in model.graph.node] == ["DequantizeLinear", "MatMul"]
    onnx.checker.check_model(model, full_check=True)
    found = ReferenceEvaluator(model).run(None, {"given": np.eye(rows, dtype=np.float32)})[0]
    np.testing.assert_allclose(found, weights, atol=0.51 * np.abs(weights).max() / 127)


def test_onnx_runtime_makes_products_of_int8_of_them(folder: Path, tmp_path: Path) -> None:
    import onnx
    import onnxruntime

    encoder(folder, "onnx").copy_model(folder, tmp_path / "own")
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 3
    file = tmp_path / "own" / BESIDE / "onnx_int8" / "model.onnx"
    onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    kinds = [node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node]
    assert kinds.count("MatMulNBits") == 12  # of each layer: query, key, value, and three behind them
