"""Linkers, and the encoders in them, that live on a Hugging Face hub: over HTTP, to a small hub on loopback."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from demo_run import demo_run, linker_of
from fit_options import fit_options
from small_hub import NOWHERE, Hub, small_hub, use_hub
from tiny_text import write_bert
from waiting import HANG

from dim.__main__ import main
from dim.demo import demo_world
from dim.errors import ConfigError, DataError
from dim.linker import Answer, Linker

PUSH_AND_LOAD = """
import sys
from dim import Linker
linker = Linker.from_pretrained(sys.argv[1])
print(linker.push_to_hub("someone/bees", private=True, token="hf_of_the_tests"))
again = Linker.from_pretrained("someone/bees", cache_dir=sys.argv[2], token="hf_of_the_tests")
name = next(iter(linker.knowledge)).name
shown = [[(answer.id, answer.score, answer.evidence) for answer in one.link(name)] for one in (linker, again)]
print(shown[0] == shown[1], len(again) == len(linker), any(entity.images for entity in again.knowledge))
print(again.about["hub"])
"""


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with small_hub() as server:
        yield server


@pytest.mark.long
def test_a_linker_is_pushed_to_a_hub_and_loaded_from_it(
    hub: Hub, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    linker_of(demo_run(tmp_path_factory)).save(tmp_path / "saved")
    done = subprocess.run(
        [sys.executable, "-c", PUSH_AND_LOAD, str(tmp_path / "saved"), str(tmp_path / "cache")],
        env=os.environ | {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "0"},
        capture_output=True,
        text=True,
        timeout=HANG,
    )
    assert done.returncode == 0, done.stderr
    repository = hub.repositories["someone/bees"]
    commit = repository.branches["main"]
    expected = [f"{hub.url}/someone/bees/commit/{commit}", "True True False", f"someone/bees@{commit}"]
    assert done.stdout.splitlines() == expected
    sent = {str(path.relative_to(tmp_path / "saved")) for path in (tmp_path / "saved").rglob("*") if path.is_file()}
    assert set(repository.commits[commit]) == sent
    assert repository.created["visibility"] == "private"
    assert hub.tokens == {"Bearer hf_of_the_tests"}


def test_a_linker_takes_the_place_of_another_on_the_hub_whole(
    hub: Hub, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_hub(monkeypatch, hub.url, tmp_path / "cache")
    linker = linker_of(demo_run(tmp_path_factory))
    linker.save(tmp_path / "pictured", images="copies")
    hub.publish("someone/again", {"LICENSE": b"of its owner"})
    Linker.from_pretrained(tmp_path / "pictured").push_to_hub("someone/again")
    linker.push_to_hub("someone/again")
    repository = hub.repositories["someone/again"]
    first, *_, last = (set(repository.commits[commit]) for commit in [*repository.commits][1:])
    assert {path.partition("/")[0] for path in first - last} == {"images"}
    assert "LICENSE" in last
    assert len(Linker.from_pretrained("someone/again")) == 300


def test_a_linker_on_the_hub_is_its_commit_with_the_network_and_without(
    hub: Hub, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_hub(monkeypatch, hub.url, tmp_path / "cache")
    linker = linker_of(demo_run(tmp_path_factory))
    linker.save(tmp_path / "first", images="none")
    first = hub.publish("someone/linker", tmp_path / "first")
    assert Linker.from_pretrained("someone/linker", device="cpu").about["hub"] == f"someone/linker@{first}"
    linker.remove_entities([next(iter(linker.knowledge)).id])
    linker.save(tmp_path / "second", images="none")
    hub.publish("someone/linker", tmp_path / "second")
    assert len(Linker.from_pretrained("someone/linker", revision=first)) == 300
    use_hub(monkeypatch, NOWHERE, tmp_path / "cache")  # the branch is what it was when last asked
    assert len(Linker.from_pretrained("someone/linker")) == 300
    with pytest.raises(DataError, match=r"a linker at someone/other[\s\S]*no connection[\s\S]*dim export RUN FOLDER"):
        Linker.from_pretrained("someone/other")


class Place:
    """A small world, a hub with a text encoder, and what is fitted there."""

    def __init__(self, folder: Path, hub: Hub) -> None:
        self.folder, self.hub = folder, hub
        demo_world(folder / "world", num_entities=120, seed=1, num_images=0)
        self.models = [write_bert(folder / f"bert-{seed}", seed=seed) for seed in (0, 1)]

    def options(self, run: str) -> list[str]:
        encoder = ["--data.text_encoder", "TransformersTextEncoder", "--data.text_encoder.path", "lab/bert"]
        small = ["--model", "DIM", "--model.width", "32", "--trainer.max_epochs", "1"]
        chosen = [*encoder, "--data.text_encoder.device", "cpu", *small]
        return fit_options(self.folder / "world", self.folder / run, *chosen)

    def config(self, run: str) -> dict[str, Any]:
        found: dict[str, Any] = yaml.safe_load((self.folder / run / "config.yaml").read_text())
        return found

    def features(self, run: str, split: str = "dev") -> str:
        metrics = json.loads((self.folder / run / "metrics.json").read_text())["results"][split]["full_kb"]
        return str(metrics["features"]["text_encoder"])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, hub: Hub) -> Iterator[Place]:
    """With a run `old` on the branch's first commit; the branch has moved on since."""
    place = Place(tmp_path_factory.mktemp("pinned"), hub)
    with pytest.MonkeyPatch.context() as monkeypatch:
        use_hub(monkeypatch, hub.url, place.folder / "hub-cache")
        hub.publish("lab/bert", place.models[0])
        assert main(["fit", *place.options("old")]) == 0
        hub.publish("lab/bert", place.models[1])
        yield place


@pytest.fixture
def commits(place: Place) -> tuple[str, str]:
    """The branch's old commit, and where it is now."""
    first, second = place.hub.repositories["lab/bert"].commits
    return first, second


def test_a_run_records_the_commit_and_goes_on_with_it(place: Place, commits: tuple[str, str]) -> None:
    first, second = commits
    assert place.config("old")["data"]["text_encoder"]["init_args"]["revision"] == first
    assert f"lab/bert@{first}" in place.features("old")
    assert main(["test", *place.options("old")]) == 0
    assert f"lab/bert@{first}" in place.features("old", "test")
    assert main(["fit", *place.options("new")]) == 0
    assert place.config("new")["data"]["text_encoder"]["init_args"]["revision"] == second
    assert f"lab/bert@{second}" in place.features("new")
    texts = {path.name for path in (place.folder / "cache" / "features").glob("name-*")}
    assert len(texts) == 2  # nothing of the old commit was taken for the new one


def scores(answers: list[list[Answer]]) -> list[float]:
    return [answer.score for of_one in answers for answer in of_one]


def test_an_exported_linker_loads_the_commit_that_it_was_trained_with(
    place: Place, commits: tuple[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first, _ = commits
    assert main(["export", str(place.folder / "old"), str(tmp_path / "linker"), "--verify", "false"]) == 0
    recorded = json.loads((tmp_path / "linker" / "linker.json").read_text())
    assert recorded["about"]["recipe"]["encoders"]["text_encoder"]["init_args"]["revision"] == first
    assert not (tmp_path / "linker" / "encoders").exists()
    names = [{"mention": entity.name} for entity in list(linker_of(place.folder / "old").knowledge)[:9]]
    expected = scores(linker_of(place.folder / "old").link_batch(names))
    again = Linker.from_pretrained(tmp_path / "linker", device="cpu")
    assert scores(again.link_batch(names)) == pytest.approx(expected, abs=1e-6)
    use_hub(monkeypatch, NOWHERE, place.folder / "hub-cache")
    away = Linker.from_pretrained(tmp_path / "linker", device="cpu")
    assert scores(away.link_batch(names)) == pytest.approx(expected, abs=1e-6)
    use_hub(monkeypatch, NOWHERE, tmp_path / "empty-cache")
    with pytest.raises(ConfigError, match=rf"lab/bert at {first}[\s\S]*no connection to the hub"):
        Linker.from_pretrained(tmp_path / "linker", device="cpu")
