import numpy as np
import pandas as pd
import pytest

from benchmarks.modalities import Modalities, bench_modalities
from benchmarks.search_curve import World
from dim.errors import ConfigError


def test_the_two_modalities_lie_in_cones_as_the_law_says():
    rng = np.random.default_rng(0)
    law = Modalities.draw(World.draw(500, 512, rng), 2000, 1.0, 2.0, rng)
    texts = law.texts(1000, rng)
    np.testing.assert_allclose(np.linalg.norm(law.images, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(texts, axis=1), 1, atol=1e-5)
    assert np.median(law.images[:1000] @ law.images[1000:].T) == pytest.approx(0.5, abs=0.02)
    assert np.median(texts[:500] @ texts[500:].T) == pytest.approx(1 / 6, abs=0.02)
    assert np.median(texts @ law.images.T) == pytest.approx(0, abs=0.02)
    assert np.median((texts @ law.images.T).max(axis=1)) == pytest.approx(1 / np.sqrt(12), abs=0.05)


def test_an_index_that_was_tuned_on_images_misses_what_texts_ask_for(capsys, tmp_path):
    points = bench_modalities(
        num_entities=3000, width=32, num_centres=50, storages=["float16", "int4"], batch=16, repeats=1, out=tmp_path
    )
    shown = " ".join(capsys.readouterr().out.split())
    assert "float16 tuned on images: " in shown
    assert "not met" in shown.split("float16 tuned on images")[1].split("float16 tuned on texts")[0]
    for storage in ("float16", "int4"):
        own = [point for point in points if point.storage == storage]
        assert own[0].of_texts < own[0].of_images - 0.1
        assert [point.effort for point in own[:3]] == [1, 2, 4]
        assert own[-1].of_texts > 0.99
    table = pd.read_csv(tmp_path / "modalities.csv")
    assert table["of_texts"].tolist() == pytest.approx([point.of_texts for point in points])
    assert (tmp_path / "modalities.png").read_bytes().startswith(b"\x89PNG")
    bench_modalities(num_entities=500, width=8, num_centres=9, storages=["int8"], batch=8, repeats=1, out=tmp_path)
    (tmp_path / "modalities.csv").write_text("mine")
    with pytest.raises(ConfigError, match="a curve"):
        bench_modalities(num_entities=500, width=8, out=tmp_path)


def test_a_law_of_nothing_is_refused():
    with pytest.raises(ConfigError, match="cone and noise from 0 up"):
        bench_modalities(noise=-1)
