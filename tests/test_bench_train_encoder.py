import pytest

from benchmarks.train_encoder import ONE, OURS, PLAIN, bench_train_encoder
from dim.errors import ConfigError


@pytest.mark.long
def test_a_step_is_timed_against_a_plain_loop_with_its_memory(capsys: pytest.CaptureFixture[str]) -> None:
    results = bench_train_encoder(batch_sizes=[16, 96], rounds=1, shape="tiny", precision="bf16")
    assert list(results) == [(PLAIN, 16), (OURS, 16), (ONE, 16), (OURS, 96), (ONE, 96)]
    for row in results.values():
        assert row["seconds"] > 0
        assert row["peak_mb"] >= row["before_mb"] > 100
    shown = " ".join(capsys.readouterr().out.split())
    assert "tiny (random)" in shown
    assert "1 rounds" in shown


def test_no_batch_is_refused() -> None:
    with pytest.raises(ConfigError, match="a batch size and a round at least"):
        bench_train_encoder(batch_sizes=[])
