from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_clip import CONFIG, registered

from benchmarks.embed import bench_embed


@pytest.fixture
def tiny_clip(tmp_path: Path) -> Iterator[str]:
    with registered(tmp_path / "configs", {"tiny-bench": CONFIG}):
        yield "tiny-bench"


@pytest.mark.long
def test_the_bench_measures_texts_and_images_and_prints_its_ratio(
    tiny_clip: str, capsys: pytest.CaptureFixture[str]
) -> None:
    results = bench_embed(
        num_texts=20, num_images=8, image_size=(64, 48), num_large=3, large_size=(480, 320), clip_model=tiny_clip,
        batch_size=8, num_workers=0, rounds=1,
    )  # fmt: skip
    for row in (results["text"], results["image"]):
        assert row["bare"] >= row["ceiling"] > 0
        assert row["ratio"] == pytest.approx(row["embed"] / row["ceiling"])
    printed = capsys.readouterr().out
    assert "20 texts, 8 JPEGs of 64×48" in printed
    assert "ratio" in printed
    for name in ("batching", "duplicates", "draft"):
        assert results[name]["ratio"] == pytest.approx(results[name]["embed"] / results[name]["published"])
    assert results["decoding"]["draft"] > 0
    assert 0 < results["decoding"]["difference"] < 0.5
    assert 0.9 < results["decoding"]["cosine"] <= 1
    assert results["compile"]["compiled"] > 0
    assert "mentions; duplicates: 3 an image; draft: 3 JPEGs of 480×320" in " ".join(printed.split())
