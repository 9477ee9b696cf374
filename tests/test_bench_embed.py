import json
from collections.abc import Iterator
from pathlib import Path

import open_clip
import pytest
from open_clip import factory

from benchmarks.embed import bench_embed


@pytest.fixture
def tiny_clip(tmp_path: Path) -> Iterator[str]:
    path = tmp_path / "tiny-bench.json"
    vision = {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16}
    text = {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
    path.write_text(json.dumps({"embed_dim": 16, "vision_cfg": vision, "text_cfg": text}))
    open_clip.add_model_config(path)
    yield "tiny-bench"
    factory._MODEL_CONFIG_PATHS.remove(path)
    factory._rescan_model_configs()


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
