import pytest

from benchmarks.link import bench_link
from benchmarks.made_up_linker import write_text_encoder
from dim.errors import ConfigError

SMALL = {"num_entities": 1000, "num_mentions": 12, "batch_size": 16, "rounds": 2, "shape": "tiny"}


@pytest.mark.long
def test_a_linker_is_timed_against_encoding_the_same_texts(capsys: pytest.CaptureFixture[str]) -> None:
    results = bench_link(**SMALL, kinds=["exact", "ivf"])
    for p in ("p50", "p99"):
        assert results[f"ratio_{p}"] == pytest.approx(results[f"link_{p}"] / results[f"encoding_{p}"])
    assert results["link_p50"] > results["encoding_p50"] > 0  # it encodes, and more
    assert results["link_p99"] >= results["link_p50"]
    assert 0 < results["batch_ratio"] < 1.5
    parts = [results[f"{name}_p50"] for name in ("encode", "vectors", "names", "rest")]
    assert sum(parts) == pytest.approx(results["link_p50"])
    assert results["recall_exact"] == 1 >= results["recall_ivf"] > 0.9
    shown = " ".join(capsys.readouterr().out.split())
    for said in (
        "1,000 entities, tiny (random), exact index, with ranker",
        "≤ 1.4",
        "≥ 0.85",
        "search by name",
        "search by one vector: exact",
        "commit",
        "2 batches of 16",
    ):
        assert said in shown


@pytest.mark.long
def test_a_text_encoder_of_ones_own_is_timed(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    own = write_text_encoder(tmp_path / "own", ["a text of some words"] * 3, "tiny", 0)
    bench_link(**SMALL, text_encoder=own, ranker=False)
    assert "own, exact index, no ranker" in " ".join(capsys.readouterr().out.split())


def test_nothing_to_measure_is_refused() -> None:
    with pytest.raises(ConfigError, match="mentions, a batch, a round and a kind at least"):
        bench_link(num_mentions=0)
