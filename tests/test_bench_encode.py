from pathlib import Path

import pytest

from benchmarks.encode import bench_encode
from dim.errors import ConfigError


@pytest.mark.long
def test_each_backend_is_timed_against_torch_and_its_vectors_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    chosen = ["onnx", "openvino", "onnx_int8"]
    results = bench_encode(backends=chosen, num_mentions=12, batch_size=8, rounds=2, shape="tiny")
    assert list(results) == ["torch", *chosen]
    assert results["torch"]["one_ratio"] == results["torch"]["batch_ratio"] == 1
    for name, row in results.items():
        assert row["one_p99"] >= row["one_p50"] > 0
        assert row["batch"] > 0
        assert row["cosine"] == pytest.approx(1, abs=0.02 if name == "onnx_int8" else 1e-5)
    shown = " ".join(capsys.readouterr().out.split())
    assert "tiny (random), batches of 8" in shown
    assert "commit" in shown


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(ConfigError, match="of torch, onnx, openvino, openvino_bf16"):
        bench_encode(backends=["tensorrt"])
