import sys
from importlib.util import find_spec

import pytest

from benchmarks.serve import bench_serve
from dim.errors import ConfigError, MissingExtraError

loads = pytest.mark.skipif(find_spec("locust") is None, reason="pip install -e '.[bench]'")


@pytest.mark.long
@loads
def test_a_server_is_loaded_with_batches_and_without_and_asked_too_much(capsys: pytest.CaptureFixture[str]) -> None:
    found = bench_serve(num_entities=1000, clients=4, seconds=0.5, rounds=1, shape="tiny")
    for mode in ("single", "batched"):
        assert 0 < found[f"{mode}_p50"] <= found[f"{mode}_p99"]
        assert found[f"{mode}_rate"] > 0 < found[f"{mode}_idle_ms"]
    assert found["ratio"] == pytest.approx(found["batched_rate"] / found["single_rate"])
    assert found["single_batch"] == 1 <= found["batched_batch"] <= 4  # no more than clients
    assert found["closed_refused"] == 0
    assert found["open_wanted"] == pytest.approx(3 * found["batched_rate"])
    assert found["open_sent"] == int(found["open_wanted"])  # for a second
    assert found["open_answered"] > 0
    assert found["open_other"] == 0
    assert found["open_answered"] + found["open_busy"] == found["open_sent"]
    assert 0 < found["open_p50"] <= found["open_p99"]
    assert 50 < found["memory_before"] <= found["memory_highest"] < 2 * found["memory_before"]
    assert found["accepted"] == found["answered"] == 2 * 4 * 8
    assert 0 <= found["in_flight"] <= found["accepted"]
    shown = " ".join(capsys.readouterr().out.split())
    for said in (
        "1,000 entities, tiny (random), 4 clients",
        "batches of ≤ 32",
        "503 with Retry-After",
        "accepted 64, answered 64 (goal: all)",
        "ms a question",
        "commit",
        "1 turns of 0.5 s",
    ):
        assert said in shown


@pytest.mark.long
@loads
def test_several_processes_are_measured_against_one(capsys: pytest.CaptureFixture[str]) -> None:
    found = bench_serve(num_entities=1000, clients=4, seconds=0.5, rounds=1, shape="tiny", workers=2)
    for server in ("one", "many"):
        assert found[f"{server}_start_s"] > 0 < found[f"{server}_rate"]
        assert 0 < found[f"{server}_p50"] <= found[f"{server}_p99"]
    assert found["ratio"] == pytest.approx(found["many_rate"] / found["one_rate"])
    assert 50 < found["one_memory_mb"] < found["many_memory_mb"]
    assert found["closed_refused"] == 0
    shown = " ".join(capsys.readouterr().out.split())
    for said in ("one process", "2 processes", "memory, MB", "1,000 entities, tiny (random), 4 clients", "commit"):
        assert said in shown


@pytest.mark.long
@loads
def test_a_backend_is_measured_against_torch(capsys: pytest.CaptureFixture[str]) -> None:
    found = bench_serve(num_entities=1000, clients=4, seconds=0.5, rounds=1, shape="tiny", backend="onnx")
    for server in ("torch", "backend"):
        assert found[f"{server}_rate"] > 0 < found[f"{server}_cpu_ms"]
        assert 0 < found[f"{server}_p50"] <= found[f"{server}_p99"]
    assert found["ratio"] == pytest.approx(found["backend_rate"] / found["torch_rate"])
    assert found["closed_refused"] == 0
    shown = " ".join(capsys.readouterr().out.split())
    for said in ("onnx fp32", "processor an answer, ms", "1,000 entities, tiny (random), 4 clients", "load"):
        assert said in shown


def test_one_thing_is_compared_at_a_time() -> None:
    with pytest.raises(ConfigError, match="one thing to compare: workers, or a backend"):
        bench_serve(workers=2, backend="onnx")


def test_nothing_to_measure_is_refused() -> None:
    for wrong in ({"rounds": 0}, {"seconds": 0.1}, {"clients": 33}):
        with pytest.raises(ConfigError, match="a round, half a second and 1 to 32 clients"):
            bench_serve(**wrong)  # type: ignore[arg-type]


def test_without_locust_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.serve.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"the package locust\n.*\n.*pip install 'dim-linker\[bench\]'"):
        bench_serve()
    assert "locust" not in sys.modules  # it would replace this process's sockets
