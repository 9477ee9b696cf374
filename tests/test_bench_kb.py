import json
from pathlib import Path

import pytest

from benchmarks.kb import ROWS, bench_kb
from benchmarks.kb_linker import make_up
from dim.errors import ConfigError


@pytest.mark.long
def test_a_growing_kb_is_opened_asked_and_added_to(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    results = bench_kb([300, 600], folder=tmp_path / "linkers", out=tmp_path / "out")
    assert [each["size"] for each in results] == [300, 600]
    assert all(set(ROWS) <= set(each) for each in results)
    assert results[0]["ratio"] == 1
    for each in results:
        assert each["recall"] == 1  # below 50,000 vectors, auto is exact
        assert min(each["link_ms"], each["encode_ms"]) > 0
        assert each["resident_mb"] > each["anon_mb"] > 0
        assert 0 < each["bytes"] < 3000
    assert json.loads((tmp_path / "out" / "kb.json").read_text()) == results
    assert (tmp_path / "out" / "kb.png").read_bytes().startswith(b"\x89PNG")
    shown = " ".join(capsys.readouterr().out.split())
    for said in ("300 ┃ 600", "add 1,000 and link, s", "≤ 1.5", "commit", "load at the end"):
        assert said in shown
    with pytest.raises(ConfigError, match="linkers"):
        bench_kb([300], folder=tmp_path / "linkers")


def test_what_is_made_up_is_the_same_again_and_its_golds_are_the_nearest(tmp_path: Path) -> None:
    world, again = make_up(tmp_path, 500, 1), make_up(tmp_path, 500, 1)
    assert world.entities == again.entities
    assert world.mentions == again.mentions
    assert {len(entity.aliases) for entity in world.entities} == {0, 1, 2}
    nearest = (world.asked @ world.dense[:500].T).argmax(axis=1)
    assert (nearest == world.golds).mean() > 0.99
    for mention, context, row in zip(world.mentions, world.contexts, world.golds.tolist(), strict=True):
        entity = world.entities[row]
        assert any(mention in name for name in (entity.name, *entity.aliases))
        assert mention in context


def test_a_kb_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="sizes from 1 up"):
        bench_kb([])
