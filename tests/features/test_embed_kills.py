"""`dim embed`, killed again and again at random moments: the bytes at the end are those of an undisturbed run."""

import multiprocessing
import random
from contextlib import suppress
from pathlib import Path

import pytest
from finished_files import finished_files
from waiting import let_work

import dim.features.embed
from dim.__main__ import main
from dim.demo import demo_world

FORK = multiprocessing.get_context("fork")  # the command as it is, without seconds of imports


def contents(cache: Path) -> dict[str, bytes]:
    return finished_files(cache / "features", cache)


def written(cache: Path) -> int:
    """Grows with each finished block."""
    size = 0
    for path in cache.glob("features/.*/progress.jsonl"):
        with suppress(FileNotFoundError):  # published in this moment
            size += path.stat().st_size
    return size + sum(1_000_000 for _ in cache.glob("features/*/manifest.json"))


@pytest.mark.long  # make test has one kill, in test_embed.py
@pytest.mark.parametrize("num_workers", [0, 2])
def test_killed_at_random_moments_it_ends_with_the_bytes_of_an_undisturbed_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_kills: int, num_workers: int
) -> None:
    monkeypatch.setattr(dim.features.embed, "BLOCK_SIZE", {"text": 100, "image": 50})
    demo_world(tmp_path / "world", num_entities=4000, num_images=1200)

    def embed(cache: str) -> multiprocessing.process.BaseProcess:
        encoders = ["--text_encoder=TinyTextEncoder", "--image_encoder=TinyImageEncoder"]
        place = [str(tmp_path / "world"), f"--cache_dir={tmp_path / cache}", f"--num_workers={num_workers}"]
        process = FORK.Process(target=main, args=(["embed", *place, "--batch_size=16", *encoders],))
        process.start()
        return process

    undisturbed = embed("undisturbed")
    undisturbed.join()
    assert undisturbed.exitcode == 0

    moments = random.Random(num_workers)
    for _ in range(num_kills):
        process = embed("killed")
        for _ in range(moments.randint(1, 3)):  # blocks that are finished, and a part of the next one
            let_work(process, lambda: written(tmp_path / "killed"), written(tmp_path / "killed") + 1)
        process.join(moments.uniform(0, 0.01))
        assert process.exitcode is None, "the work was done before the last kill"
        process.kill()
        process.join()
    last = embed("killed")
    last.join()
    assert last.exitcode == 0
    assert contents(tmp_path / "killed") == contents(tmp_path / "undisturbed")
    logs = [path.read_text() for path in (tmp_path / "killed").rglob("log.jsonl")]
    assert any("resumed" in log for log in logs), "no kill fell into the work"
