"""What a linker's folder says of images stays in it: a path of its own choosing is neither followed nor copied."""

import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from demo_run import demo_run, linker_of
from PIL import Image
from small_hub import small_hub, use_hub
from strangers import PRIVATE, holds, leading_out, make_home, naming
from tiny_fit import tiny_options

from dim.__main__ import main
from dim.data.dataset import Dataset
from dim.demo import demo_world
from dim.errors import ConfigError, DataError
from dim.linker import Entity, Linker
from dim.linker.entity_table import KeptImages
from dim.linker.knowledge import knowledge_of
from dim.linker.opening import open_linker
from dim.serve.settings import Settings
from dim.serve.source import Source

NEW = Entity("new1", "Zyxtral Quovane")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demo_run(tmp_path_factory)


@pytest.fixture(scope="module")
def saved(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with copies of its images, that tests copy before they change it."""
    folder = tmp_path_factory.mktemp("linker") / "saved"
    linker_of(run).save(folder, images="copies")
    return folder


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    return make_home(tmp_path / "home")


@pytest.mark.parametrize("how", ["absolute", pytest.param("above", marks=pytest.mark.long)])
def test_what_a_folder_names_outside_of_it_is_not_copied(saved: Path, tmp_path: Path, secrets: Path, how: str) -> None:
    entity_id = naming(saved, tmp_path / "stranger", leading_out(how, secrets))
    linker = Linker.from_pretrained(tmp_path / "stranger", device="cpu")
    (answer,) = linker.link("a", candidates=[entity_id])
    assert not answer.images
    linker.add_entities([NEW])
    linker.save(tmp_path / "mine")
    linker.save(tmp_path / "pushed", images="copies")
    for written in (tmp_path / "mine", tmp_path / "pushed"):
        assert not holds(written, PRIVATE)
        assert not holds(written, (secrets / "photo.png").read_bytes())
        assert len(list((written / "images").iterdir())) == 263  # of the other entities
        assert "new1" in Linker.from_pretrained(written, device="cpu").knowledge


def test_a_link_that_takes_a_pictures_place_is_not_copied(saved: Path, tmp_path: Path, secrets: Path) -> None:
    linker = Linker.from_pretrained(shutil.copytree(saved, tmp_path / "stranger"), device="cpu")
    picture = Path(next(entity for entity in linker.knowledge if entity.images).images[0])
    picture.unlink()
    picture.symlink_to(secrets / "photo.png")
    linker.save(tmp_path / "mine", images="copies")
    assert not holds(tmp_path / "mine", (secrets / "photo.png").read_bytes())


def test_only_what_decodes_is_copied(run: Path, tmp_path: Path, secrets: Path) -> None:
    linker = linker_of(run)
    linker.add_entities([replace(NEW, images=(str(secrets / "photo.png"), f"{secrets / 'photo.png'}#xywh=0,0,9,9"))])
    row = linker.knowledge.row("new1")
    linker.knowledge.entities[row] = replace(
        linker.knowledge.entities[row], images=(*linker.knowledge.entities[row].images, str(secrets / "diary.png"))
    )
    linker.save(tmp_path / "mine", images="copies")
    assert not holds(tmp_path / "mine", PRIVATE)
    again = Linker.from_pretrained(tmp_path / "mine", device="cpu").knowledge
    names = [f"images/{row}-0.png", f"images/{row}-1.png#xywh=0,0,9,9"]
    assert again.entities[row].images == tuple(str(tmp_path / "mine" / name) for name in names)
    assert again.images_elsewhere == {row: (str(secrets / "diary.png"),)}
    assert holds(tmp_path / "mine", (secrets / "photo.png").read_bytes())


@pytest.mark.parametrize("kept", ["paths", None])
def test_images_of_ones_own_dataset_are_there_where_their_folder_is_said(
    run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, kept: KeptImages | None
) -> None:
    linker = linker_of(run)
    entity = next(entity for entity in linker.knowledge if entity.images)
    linker.save(tmp_path / "mine", images=kept)
    bare = Linker.from_pretrained(tmp_path / "mine", device="cpu")
    row = bare.knowledge.row(entity.id)
    assert bare.knowledge.entities[row].images == ()
    with pytest.raises(DataError, match=r"264 entities without; tried .*\n.*open it with image_root"):
        bare.save(tmp_path / "copied", images="copies")
    bare.add_entities([NEW])
    bare.save(tmp_path / "mine")  # nothing is forgotten
    root = Dataset(run.parent / "world").image_root
    again = open_linker(str(tmp_path / "mine"), "cpu", image_root=root)
    assert not caplog.records
    assert again.knowledge.entities[row].images == entity.images
    again.save(tmp_path / "copied", images="copies")
    assert holds(tmp_path / "copied", Path(entity.images[0]).read_bytes())
    with pytest.raises(ConfigError, match="a linker's folder beside --image_root"):
        open_linker(str(run), "cpu", image_root=root)


def test_images_elsewhere_are_told_of_where_they_would_be_shown(
    run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    linker_of(run).save(tmp_path / "mine", images="paths")
    mine, root = tmp_path / "mine", Dataset(run.parent / "world").image_root
    (tmp_path / "asked.csv").write_text("mention\nAda\n")
    alone = ["--model", str(mine), "--device", "cpu"]
    file = ["--input", str(tmp_path / "asked.csv"), "--output"]

    def told() -> int:
        count = caplog.text.count("264 entities name images outside of")
        assert count == caplog.text.count("--image_root FOLDER, or image_root= in Python") == len(caplog.records)
        caplog.clear()
        return count

    assert main(["link", *alone, "--mention", "Ada"]) == 0
    assert main(["annotate", *alone, "--text", "Ada stayed."]) == 0
    assert main(["link", *alone, *file, str(tmp_path / "answers.csv")]) == 0
    assert main(["annotate", *alone, "--text", "Ada stayed.", "--output", str(tmp_path / "found.tsv")]) == 0
    assert told() == 0
    assert main(["link", *alone, "--mention", "Ada", "--as_json", "true"]) == 0
    assert told() == 1
    assert main(["link", *alone, *file, str(tmp_path / "answers.jsonl")]) == 0
    assert told() == 1
    assert main(["annotate", *alone, "--text", "Ada stayed.", "--as_json", "true"]) == 0
    assert told() == 1
    Source(str(mine), "cpu").opened(Settings())
    assert told() == 1
    Source(str(mine), "cpu", image_root=root).opened(Settings())
    assert main(["link", *alone, "--mention", "Ada", "--as_json", "true", "--image_root", str(root)]) == 0
    assert told() == 0


def test_a_runs_images_stay_in_its_datasets_image_folder(run: Path, tmp_path: Path, secrets: Path) -> None:
    (tmp_path / "images").mkdir()
    Image.new("RGB", (9, 9)).save(tmp_path / "images" / "a.png")
    images = [["a.png", "../home/photo.png", str(secrets / "photo.png")]]
    entities = pd.DataFrame(
        {"id": ["Q1"], "name": ["Ada"], "aliases": [[]], "type": [None], "popularity": [None], "images": images}
    )
    knowledge = knowledge_of(entities, [None], tmp_path / "images")
    assert knowledge.entities[0].images == (str(tmp_path / "images" / "a.png"),)
    assert knowledge.images_elsewhere == {0: ("../home/photo.png", str(secrets / "photo.png"))}


def test_copied_images_come_from_a_hub_by_the_links_of_its_cache(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with small_hub() as hub:
        use_hub(monkeypatch, hub.url, tmp_path / "cache")
        hub.publish("someone/pictures", saved)
        linker = Linker.from_pretrained("someone/pictures", device="cpu")
    row, entity = next((row, entity) for row, entity in linker.knowledge.entities.items() if entity.images)
    assert Path(entity.images[0]).is_symlink()
    linker.save(tmp_path / "mine")
    again = Linker.from_pretrained(tmp_path / "mine", device="cpu").knowledge.entities[row]
    assert again.images == (str(tmp_path / "mine" / "images" / f"{row}-0.png"),)


def test_a_run_that_read_captions_of_the_dataset_alone_reads_no_image_of_a_question(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = demo_world(tmp_path / "world", num_entities=180, seed=1)
    assert main(["caption", str(world.root), "--captioner", "TinyCaptioner"]) == 0
    assert main(["fit", *tiny_options(world.root, tmp_path / "run")]) == 0
    linker = Linker.from_checkpoint(tmp_path / "run", device="cpu")
    assert "caption" in linker.towers.task.field_widths[0]
    assert not linker.reads_images
    picture = Image.new("RGB", (32, 32))
    linker.link("Velton", image=picture)
    assert "looks at no image" in caplog.text
    with pytest.raises(DataError, match="an image alone"):
        linker.link("", image=picture)
