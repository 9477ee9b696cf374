"""Encoders by ONNX Runtime and OpenVINO give what torch gives, and what is not so is refused."""

import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sentence_folders import dense, write_folder

from dim.core.sealed import seal
from dim.encoders import backends
from dim.encoders.exported import BESIDE, CONTENT, FORMAT, SAMPLE
from dim.encoders.int8 import GROUP
from dim.encoders.lengths import by_length
from dim.encoders.onnx_int8 import with_int8_weights
from dim.encoders.onnx_runtime import FILE, OnnxRuntime
from dim.encoders.openvino_runtime import _core, _openvino
from dim.encoders.text import TransformersTextEncoder
from dim.errors import ConfigError, DataError

RUNTIMES = ("onnx", "openvino")
TEXTS = ["anna", "", "anna moreau who plays the violin, in a small town by the sea.", "a b", "paris " * 100]


@pytest.fixture(scope="module", autouse=True)
def caches(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The user's folder of caches, for these tests."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("caches")
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sentence-transformers model with a head and prompts whose tokens are not pooled."""
    told = {"prompts": {"query": "query: ", "document": ""}}
    pooling = {"pooling_mode_mean_tokens": True, "include_prompt": False}
    return write_folder(tmp_path_factory.mktemp("model") / "model", pooling, [dense()], told=told)


def encoder(folder: Path, backend: str, **options: Any) -> TransformersTextEncoder:
    return TransformersTextEncoder(str(folder), device="cpu", backend=backend, **options)


@pytest.mark.parametrize("backend", RUNTIMES)
def test_a_runtime_gives_what_torch_gives_with_heads_prompts_and_every_pooling(folder: Path, backend: str) -> None:
    for options in ({}, {"pooling": "cls"}, {"pooling": "tokens"}, {"truncate_dim": 5}, {"max_length": 7}):
        ours, torchs = (encoder(folder, each, **options) for each in (backend, "torch"))
        np.testing.assert_allclose(ours.encode_text(TEXTS), torchs.encode_text(TEXTS), atol=1e-5)
        np.testing.assert_allclose(ours.encode_text(TEXTS[2:3]), torchs.encode_text(TEXTS[2:3]), atol=1e-5)
        assert ours.are_cut(TEXTS) == torchs.are_cut(TEXTS)
    ours, torchs = (encoder(folder, each).reading("mention") for each in (backend, "torch"))
    np.testing.assert_allclose(ours.encode_text(TEXTS), torchs.encode_text(TEXTS), atol=1e-5)


@pytest.mark.parametrize("backend", RUNTIMES)
def test_the_export_is_made_once_and_no_weights_of_torch_are_loaded_after_it(
    folder: Path, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = encoder(folder, backend).encode_text(TEXTS)
    monkeypatch.setattr(torch.export, "export", None)
    again = encoder(folder, backend)
    np.testing.assert_array_equal(again.encode_text(TEXTS), expected)
    assert "network" not in vars(again.loaded)


def test_backend_and_precision_are_part_of_the_fingerprint_and_torch_is_as_before(folder: Path) -> None:
    found = {backend: encoder(folder, backend).fingerprint for backend in ("torch", *RUNTIMES)}
    assert "backend" not in found["torch"]
    assert all(f"backend={backend}" in found[backend] for backend in RUNTIMES)
    bf16 = encoder(folder, "openvino", precision="bf16").fingerprint
    assert bf16 == found["openvino"].replace("precision=fp32", "precision=bf16")
    assert pickle.loads(pickle.dumps(encoder(folder, "onnx"))).fingerprint == found["onnx"]


def test_auto_takes_the_fastest_that_gives_the_same_and_says_what_it_passes_over(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = encoder(folder, "auto")
    assert chosen.pinned_options["backend"] == "openvino"
    assert chosen.fingerprint == encoder(folder, "openvino").fingerprint
    assert pickle.loads(pickle.dumps(chosen)).backend == "openvino"
    openvino = backends.RUNTIMES["openvino"]
    monkeypatch.setattr(openvino, "opened", _wrong(openvino.opened), raising=False)
    assert encoder(folder, "auto").pinned_options["backend"] == "onnx"
    assert "passes over openvino" in capsys.readouterr().err
    for runtime in backends.RUNTIMES.values():
        monkeypatch.setattr(type(runtime), "is_installed", False)
    assert encoder(folder, "auto").pinned_options["backend"] == "torch"
    assert encoder(folder, "auto").fingerprint == encoder(folder, "torch").fingerprint


@pytest.mark.parametrize("backend", RUNTIMES)
def test_a_runtime_that_gives_other_vectors_is_refused(
    folder: Path, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = backends.RUNTIMES[backend]
    monkeypatch.setattr(runtime, "opened", _wrong(runtime.opened), raising=False)
    with pytest.raises(ConfigError, match=r"(?s)as torch gives them.*a cosine of 0\.9999"):
        encoder(folder, backend).encode_text(TEXTS)


def _wrong(opened: Any) -> Any:
    def wrongly(*args: Any) -> Any:
        run = opened(*args)
        return lambda inputs: run(inputs) + np.float32(0.05) * np.arange(16, dtype=np.float32)

    return wrongly


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"backend": "onnx", "precision": "bf16"}, "a precision of backend onnx .fp32, int8."),
        ({"backend": "openvino", "precision": "fp16"}, "a precision of backend openvino .fp32, bf16, int8."),
        ({"backend": "onnx", "train": "full"}, "train beside backend: torch"),
        ({"backend": "auto", "compile_model": True}, "compile_model beside backend: torch"),
        ({"backend": "onnx", "device": "meta"}, "device: cpu for backend onnx"),
    ],
)
def test_options_that_do_not_go_together_are_refused(folder: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        TransformersTextEncoder(str(folder), **options)


def test_bf16_is_computed_where_it_is_asked_for_and_nowhere_else(folder: Path) -> None:
    if "BF16" not in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this CPU has no BF16")
    expected = encoder(folder, "torch", normalize=True).encode_text(TEXTS)
    fp32, bf16 = (encoder(folder, "openvino", normalize=True, precision=each) for each in ("fp32", "bf16"))
    assert np.abs(fp32.encode_text(TEXTS) - expected).max() < 1e-5
    assert 1e-4 < np.abs(bf16.encode_text(TEXTS) - expected).max() < 0.1
    assert fp32.fingerprint != bf16.fingerprint


def test_onnx_opens_no_file_that_names_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dim.encoders.onnx_runtime.check_whole", lambda path: 1 / (path != tmp_path / FILE))
    with pytest.raises(ZeroDivisionError):  # before ONNX Runtime sees it
        OnnxRuntime().opened(tmp_path, "fp32")


@pytest.mark.parametrize("rows", [64, 150, 256])
def test_int8_of_onnx_has_a_scale_for_each_group_of_a_column(rows: int, tmp_path: Path) -> None:
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    weights = (rng.standard_normal((rows, 5)) * np.logspace(-2, 1, rows)[:, None]).astype(np.float32)
    given = rng.standard_normal((3, rows)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["features"])],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", rows])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", 5])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = with_int8_weights(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10))
    whole, scales = map(numpy_helper.to_array, model.graph.initializer)
    assert (whole.dtype, whole.shape, scales.shape) == (np.int8, (rows, 5), (-(-rows // GROUP), 5))
    rounded = whole * np.repeat(scales, GROUP, axis=0)[:rows]
    assert (np.abs(rounded - weights) <= np.repeat(scales, GROUP, axis=0)[:rows] / 2 + 1e-6).all()
    (tmp_path / FILE).write_bytes(model.SerializeToString())
    found = OnnxRuntime().opened(tmp_path, "int8")({"x": given})
    expected = given @ rounded
    assert np.linalg.norm(found - expected) < 0.02 * np.linalg.norm(expected)  # what is given is rounded, too


def test_bf16_is_refused_on_a_cpu_that_imitates_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import openvino

    encoder(folder, "openvino").encode_text(["anna"])
    monkeypatch.setattr(openvino.Core, "get_property", lambda *_: ["FP32", "INT8"])
    with pytest.raises(ConfigError, match="a CPU that computes in bf16"):
        encoder(folder, "openvino", precision="bf16").encode_text(["anna"])


@pytest.mark.parametrize("backend", RUNTIMES)
def test_a_package_that_is_missing_is_named_with_its_extra(
    folder: Path, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder(folder, backend).encode_text(["anna"])
    monkeypatch.setattr("dim.encoders.onnx_runtime.find_spec", lambda _: None)
    _openvino.cache_clear()
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ConfigError, match=rf"pip install 'dim-linker\[{backend}\]'"):
        encoder(folder, backend).encode_text(["anna"])
    _openvino.cache_clear()


@pytest.mark.parametrize("step", ["torch.export.export", "dim.encoders.openvino_runtime.OpenVinoRuntime.write"])
def test_what_cannot_be_exported_is_refused_by_name_and_leaves_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise RuntimeError("a branch on what a text says")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(step, fails)
    with pytest.raises(ConfigError, match=r"(?s)backend openvino.*a branch on what a text says.*another backend"):
        encoder(folder, "openvino").encode_text(["anna"])
    assert not list((tmp_path / "dim" / "exports").glob("openvino-*"))


@pytest.mark.parametrize("backend", RUNTIMES)
def test_an_export_beside_the_model_is_taken_and_one_that_was_changed_is_refused(
    folder: Path, tmp_path: Path, backend: str
) -> None:
    own, place = tmp_path / "own", tmp_path / "own" / BESIDE / backend
    encoder(folder, backend).copy_model(folder, own)
    assert place.is_dir()
    beside = encoder(own, backend)
    assert beside.fingerprint != encoder(folder, backend).fingerprint  # by the export, not by the weights alone
    np.testing.assert_array_equal(beside.encode_text(TEXTS), encoder(folder, backend).encode_text(TEXTS))
    sample = load_file(place / SAMPLE)
    save_file({key: -value if key.endswith(".") else value for key, value in sample.items()}, place / SAMPLE)
    with pytest.raises(DataError, match=f"a damaged file {SAMPLE}"):
        encoder(own, backend).encode_text(TEXTS)
    manifest = json.loads((place / "index.json").read_text())
    (place / "index.json").unlink()
    seal(place, CONTENT, FORMAT, {key: manifest[key] for key in ("inputs", "most_tokens")})
    with pytest.raises(ConfigError, match="as torch gives them"):  # which the sample says otherwise than the network
        encoder(own, backend).encode_text(TEXTS)


@pytest.mark.long
def test_nothing_is_told_to_the_makers_of_the_runtimes(folder: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from dim.encoders.text import TransformersTextEncoder as T\n"
        "for name in ('onnx', 'openvino'): T(sys.argv[1], device='cpu', backend=name).encode_text(['anna'])\n"
        "sys.exit('openvino_telemetry' in sys.modules)"
    )
    for backend in RUNTIMES:
        encoder(folder, backend).encode_text(["anna"])
    home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "caches")}
    shutil.copytree(Path(os.environ["XDG_CACHE_HOME"]) / "dim", tmp_path / "caches" / "dim")
    told = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"} | home
    done = subprocess.run([sys.executable, "-c", program, str(folder)], env=told, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in (tmp_path / "caches").iterdir()] == ["dim"]  # where what is sent would wait


def test_signals_are_handled_when_networks_have_come_and_gone(folder: Path) -> None:
    """In a process of its own: where they are not, it ends."""
    encoder(folder, "openvino").encode_text(["anna"])
    program = (
        "import gc, os, signal, sys; from dim.encoders.text import TransformersTextEncoder as T\n"
        "opened = [T(sys.argv[1], device='cpu', backend='openvino') for _ in range(3)]\n"
        "for each in opened: each.encode_text(['anna'])\n"
        "signal.signal(signal.SIGUSR1, lambda *_: print('handled', flush=True))\n"
        "while opened: opened.pop(0); each = None; gc.collect(); os.kill(os.getpid(), signal.SIGUSR1)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(folder)], capture_output=True, text=True)
    assert (done.returncode, done.stdout.split()) == (0, ["handled"] * 3), done.stderr


def test_parts_of_like_length_hold_each_row_once_and_nothing_that_counts_is_cut() -> None:
    lengths = torch.tensor([40, 4, 5, 40, 39, 1, 38])
    mask = (torch.arange(40) < lengths[:, None]).long()
    parts = by_length(mask, 16)
    assert sorted(torch.cat([rows for rows, _ in parts]).tolist()) == list(range(7))
    assert [most for _, most in parts] == [5, 40]
    assert all(int(lengths[rows].max()) == most for rows, most in parts)
