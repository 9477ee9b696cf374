"""What came into a dataset after a run was fitted is no field of the run."""

import json
from pathlib import Path

import pytest
import torch
from fit_options import dim_options

from dim.__main__ import main
from dim.data.dataset import Dataset, write_dataset
from dim.demo import demo_world
from dim.training.saved_run import open_run

SMALL = ["--data.text_encoder.width", "64", "--model.width", "16", "--trainer.max_epochs"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fields")
    demo_world(folder / "world", num_entities=200, num_images=0, seed=1)
    assert main(["fit", *dim_options(folder / "world", folder / "run", *SMALL, "1")]) == 0
    return folder / "run"


def give_captions(world: Path, what: str = "a portrait", *more: str) -> None:
    ids = Dataset(world).mentions["id"]
    lines = [json.dumps({"mention_id": each, "caption": f"{what}, number {place}"}) for place, each in enumerate(ids)]
    (world.parent / "captions.jsonl").write_text("\n".join(lines))
    assert main(["caption", str(world), "--import_from", str(world.parent / "captions.jsonl"), *more]) == 0
    assert Dataset(world).mentions["caption"].notna().all()


@pytest.mark.usefixtures("quick_ranker")
def test_captions_that_came_later_change_nothing_of_a_run(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = run.parent / "world"
    task = open_run(run, device="cpu")
    assert "caption" not in task.data.mention_fields
    rows = torch.arange(20)
    with torch.inference_mode():
        before = task.rank(rows)
    give_captions(world)
    with torch.inference_mode():  # a run is opened under it, too
        after = open_run(run, device="cpu").rank(rows)
    assert (after.rows == before.rows).all()
    assert (after.scores == before.scores).all()
    assert main(["validate", "--config", str(run / "config.yaml")]) == 0
    assert main(["rank", "--run", str(run), "--folds", "2", "--num_candidates", "4"]) == 0
    assert main(["export", str(run), str(run.parent / "linker"), "--verify", "false"]) == 0
    capsys.readouterr()
    assert main(["fit", *dim_options(world, run, "--ckpt_path", "last", *SMALL, "2")]) == 0


def test_a_new_run_reads_them(tmp_path: Path) -> None:
    world = demo_world(tmp_path / "world", num_entities=200, num_images=0, seed=1).root
    give_captions(world)
    assert main(["fit", *dim_options(world, tmp_path / "new", *SMALL, "1")]) == 0
    assert "caption" in open_run(tmp_path / "new", device="cpu").data.mention_fields


def test_weights_of_captions_that_changed_since_are_refused_and_other_mentions_have_their_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world, run = tmp_path / "world", tmp_path / "runs/seed0"
    demo_world(world, num_entities=200, num_images=0, seed=1)
    give_captions(world)
    assert main(["fit", *dim_options(world, run, *SMALL, "1")]) == 0
    before = Dataset(world)
    give_captions(world, "a landscape", "--overwrite", "true")
    assert before.hash == Dataset(world).hash
    config = ["--config", str(run / "config.yaml")]
    commands = (
        ["validate", *config],
        ["fit", *dim_options(world, run, "--ckpt_path", "last", *SMALL, "2")],
        ["export", str(run), str(tmp_path / "linker")],
    )
    for command in commands:
        capsys.readouterr()
        assert main(command) == 1
        assert "a checkpoint whose captions is " in capsys.readouterr().err
    again = ["--overwrite", "true", "--seed_everything", "1"]
    assert main(["fit", *dim_options(world, tmp_path / "runs/seed1", *SMALL, "1", *again)]) == 0
    capsys.readouterr()
    assert main(["report", str(tmp_path / "runs"), "--rounds", "100"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "seed1 is not the same system as seed0 and stands alone: features.captions" in said
    texts = {name: before.text_table(name) for name in before.variants}
    mentions = before.mentions[before.mentions["split"] == "dev"]
    write_dataset(tmp_path / "dev", name="dev", entities=before.entities, texts=texts, mentions=mentions)
    elsewhere = ["--data.root", str(tmp_path / "dev"), "--run", str(tmp_path / "on_dev")]
    best = ["--ckpt_path", str(run / "checkpoints/best.ckpt")]
    assert main(["validate", *config, *elsewhere, *best]) == 0
