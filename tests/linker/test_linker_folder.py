"""A linker's folder holds all that it needs, is there whole or not at all, and is read only undamaged."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from demo_run import demo_run, linker_of, questions_of
from tiny_text import write_bert

from dim.__main__ import main
from dim.core.sealed import open_sealed, seal
from dim.demo import demo_world
from dim.errors import ConfigError, DataError
from dim.linker import Answer, Entity, Linker
from dim.linker.entity_table import read_entities
from dim.linker.folder import MANIFEST
from dim.methods.contrastive.linker import FORMAT, ContrastiveLinker

NEW = Entity("new1", "Zyxtral Quovane", ("Old Zyx",), "Zyxtral Quovane kept bees.", "person", 2.5)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demo_run(tmp_path_factory)


@pytest.fixture(scope="module")
def saved(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that tests copy before they change it."""
    folder = tmp_path_factory.mktemp("linker") / "saved"
    linker_of(run).save(folder)
    return folder


def assert_same(first: list[list[Answer]], second: list[list[Answer]]) -> None:
    assert len(first) == len(second)
    for ours, theirs in zip(first, second, strict=True):
        assert [answer.id for answer in ours] == [answer.id for answer in theirs]
        assert [answer.score for answer in ours] == pytest.approx([answer.score for answer in theirs], abs=1e-6)
        assert [answer.probability for answer in ours] == [
            None if answer.probability is None else pytest.approx(answer.probability, abs=1e-6) for answer in theirs
        ]


def test_what_is_saved_answers_as_before_and_after_changes(run: Path, tmp_path: Path) -> None:
    linker, questions = linker_of(run), questions_of(run)[:40]
    linker.save(tmp_path / "saved")
    again = Linker.from_pretrained(tmp_path / "saved")
    assert_same(again.link_batch(questions), linker.link_batch(questions))
    for one in (linker, again):
        one.add_entities([NEW])
        one.remove_entities([entity.id for entity in list(one.knowledge)[:9]])
    again.save(tmp_path / "saved")  # over the folder that it maps
    again.add_entities([Entity("new2", "Another One")])
    third = Linker.from_pretrained(str(tmp_path / "saved"), device="cpu")
    assert len(third) == 292
    assert_same(third.link_batch(questions), linker.link_batch(questions))
    assert third.knowledge.entities[300] == NEW
    third.add_entities([Entity("new3", "A Third One")])  # its row was never another's
    assert third.knowledge.row("new3") == linker.knowledge.row("new1") + 1
    np.testing.assert_array_equal(third.names.rows, third.knowledge.rows)


def test_the_folder_holds_no_pickle_and_a_model_card(saved: Path) -> None:
    files = [path for path in saved.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= {".arrow", ".json", ".npy", ".safetensors", ".md"}
    for path in files:
        assert not path.read_bytes().startswith((b"\x80", b"PK")), path
        assert path.stat().st_mode & 0o444 == 0o444 & ~_umask(), path
        if path.suffix == ".npy":
            np.load(path, allow_pickle=False)
    card = (saved / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: dim\n")
    for part in ("300 entities", "from_pretrained", "TinyTextEncoder", "demo · dev · full_kb", "license: cc0-1.0"):
        assert part in card


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_the_folder_stands_alone_with_its_text_encoder(tmp_path: Path) -> None:
    place = tmp_path / "place"
    demo_world(place / "world", num_entities=120, seed=1, num_images=0)
    arguments = [
        "--run", str(place / "run"),
        "--data.root", str(place / "world"),
        "--data.cache_dir", str(place / "cache"),
        "--data.text_encoder", "TransformersTextEncoder",
        "--data.text_encoder.path", str(write_bert(place / "bert")),
        "--data.text_encoder.device", "cpu",
        "--model", "DIM",
        "--model.width", "32",
        "--trainer.max_epochs", "1",
        "--trainer.accelerator", "cpu",
        "--trainer.enable_progress_bar", "false",
    ]  # fmt: skip
    assert main(["fit", *arguments]) == 0
    linker, questions = linker_of(place / "run"), questions_of(place / "run")
    expected = linker.link_batch(questions)
    with pytest.raises(DataError, match="an image alone, which this linker does not read"):
        linker.link("", image=b"an image")
    linker.save(tmp_path / "saved")
    shutil.rmtree(place)
    (tmp_path / "saved").rename(tmp_path / "moved")
    moved = Linker.from_pretrained(tmp_path / "moved", device="cpu")
    assert_same(moved.link_batch(questions), expected)
    moved.add_entities([NEW])
    moved.save(tmp_path / "again")
    shutil.rmtree(tmp_path / "moved")
    again = Linker.from_pretrained(tmp_path / "again", device="cpu")
    assert_same(again.link_batch(questions), moved.link_batch(questions))
    encoder = tmp_path / "again" / "encoders" / "text_encoder"
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {path.name for path in encoder.iterdir()}


# A process that has imported all forks one that saves, each time it is asked to.
SAVING = """
import os, sys
from dim.linker import Entity, Linker
for line in sys.stdin:
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        print("dead", flush=True)
        continue
    old, new = Linker.from_pretrained(sys.argv[1]), Linker.from_pretrained(sys.argv[1])
    new.add_entities([Entity("new1", "Zyxtral Quovane")])
    old.save(sys.argv[1])
    print(os.getpid(), flush=True)
    while True:
        new.save(sys.argv[1])
        old.save(sys.argv[1])
"""


def test_a_save_killed_at_any_moment_leaves_the_old_or_the_new_folder(
    saved: Path, tmp_path: Path, num_kills: int
) -> None:
    folder = shutil.copytree(saved, tmp_path / "saved")
    moments = random.Random(0)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", SAVING, str(folder)], **pipes) as process:  # type: ignore[call-overload]
        for _ in range(num_kills):
            process.stdin.write("save\n")
            process.stdin.flush()
            saving = int(process.stdout.readline())
            time.sleep(moments.uniform(0, 0.5))
            os.kill(saving, signal.SIGKILL)
            assert process.stdout.readline() == "dead\n"
            linker = Linker.from_pretrained(folder)
            assert len(linker) == 300 + ("new1" in linker.knowledge)
            assert len(linker.link("Zyxtral Quovane")) == 5
            if "new1" in linker.knowledge:
                linker.remove_entities(["new1"])
                linker.save(folder)
        process.stdin.close()


def truncated(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flipped(data: bytes) -> bytes:
    place = random.Random(0).randrange(len(data))
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


@pytest.mark.parametrize("damage", [truncated, flipped, None])
def test_damage_to_any_file_is_found(saved: Path, tmp_path: Path, damage: Callable[[bytes], bytes] | None) -> None:
    folder = shutil.copytree(saved, tmp_path / "saved")
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    assert len(files) > 15
    for path in files:
        whole = path.read_bytes()
        if damage is None:
            path.unlink()
        else:
            path.write_bytes(damage(whole))
        with pytest.raises(DataError, match=rf"a linker in [\s\S]*{path.name}[\s\S]*Save the linker again"):
            Linker.from_pretrained(folder)
        path.write_bytes(whole)
    assert len(Linker.from_pretrained(folder)) == 300


def test_a_linker_of_another_version_says_how_it_is_made_anew(saved: Path, tmp_path: Path) -> None:
    def by_another_hash(facts: dict[str, Any]) -> None:
        facts["fingerprints"]["name_encoder"] = "characters:1024:2-4:another"

    folder = reseal(saved, tmp_path / "hashed", by_another_hash)
    with pytest.raises(DataError, match=r"2-4:another\)\nfound .*murmur3\n.*another version .* fit .* export it"):
        Linker.from_pretrained(folder)
    folder = reseal(saved, tmp_path / "older", lambda facts: None, FORMAT - 1)
    with pytest.raises(DataError, match=r"format 2\nfound    format 1\n.*dim export RUN FOLDER"):
        Linker.from_pretrained(folder)


def reseal(folder: Path, target: Path, change: Callable[[dict[str, Any]], None], version: int = FORMAT) -> Path:
    """A copy of a linker's folder with another manifest, whose seal is right."""
    facts = open_sealed(folder, ContrastiveLinker.content, FORMAT, MANIFEST)
    change(facts)
    for name in ("content", "format_version", "files"):
        facts.pop(name)
    shutil.copytree(folder, target, ignore=shutil.ignore_patterns(MANIFEST))
    seal(target, ContrastiveLinker.content, version, facts, MANIFEST)
    return target


def test_the_entities_of_a_folder_are_mapped_and_read_by_pandas_alone(saved: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(saved, tmp_path / "saved")
    before = pa.total_allocated_bytes()
    knowledge = read_entities(folder, 300)
    assert pa.total_allocated_bytes() - before < 40 * len(knowledge)  # of columns of numbers; of texts nothing
    frame = pd.read_feather(folder / "entities.arrow")
    shutil.rmtree(folder)
    found = [(entity.id, entity.name, entity.text or "") for entity in knowledge]
    assert found == list(frame[["id", "name", "text"]].fillna("").itertuples(index=False, name=None))


def test_spelling_by_any_version_of_scikit_learn_is_that_of_today(saved: Path, tmp_path: Path) -> None:
    def as_before(facts: dict[str, Any]) -> None:
        facts["fingerprints"]["name_encoder"] = "characters:1024:2-4:sklearn-1.6.1"

    linker = Linker.from_pretrained(reseal(saved, tmp_path / "before", as_before), device="cpu")
    assert len(linker) == 300


def test_a_folder_of_another_format_is_refused(saved: Path, tmp_path: Path) -> None:
    folder = reseal(saved, tmp_path / "later", lambda facts: None, version=FORMAT + 1)
    with pytest.raises(DataError, match=rf"of format {FORMAT}\nfound    format {FORMAT + 1}\nto do    Save the linker"):
        Linker.from_pretrained(folder)


@pytest.mark.parametrize("part", ["encoder", "model", "option"])
def test_nothing_is_made_of_classes_that_are_not_dims(saved: Path, tmp_path: Path, part: str) -> None:
    made = tmp_path / "made"
    evil = {"class_path": "subprocess.Popen", "init_args": {"args": ["touch", str(made)]}}

    def change(facts: dict[str, Any]) -> None:
        recipe = facts["about"]["recipe"]
        if part == "encoder":
            recipe["encoders"]["text_encoder"] = evil
        elif part == "model":
            recipe["model"] = evil
        else:
            recipe["encoders"]["text_encoder"]["init_args"]["width"] = evil

    refusal = "whose text_encoder.width is a whole number" if part == "option" else "made of dim's classes"
    with pytest.raises(DataError, match=rf"{refusal}\nfound    (subprocess\.Popen|a mapping)"):
        Linker.from_pretrained(reseal(saved, tmp_path / "evil", change))
    assert not made.exists()


@pytest.mark.parametrize("path", ["dim.encoders.tiny.NoSuchEncoder", "dim.cli.link.show", "dim.nothing.X"])
def test_a_class_that_this_version_lacks_is_refused(saved: Path, tmp_path: Path, path: str) -> None:
    def change(facts: dict[str, Any]) -> None:
        facts["about"]["recipe"]["encoders"]["text_encoder"]["class_path"] = path

    with pytest.raises(DataError, match="whose classes this version of dim has"):
        Linker.from_pretrained(reseal(saved, tmp_path / "other", change))


def test_encoders_that_are_not_what_they_were_are_refused(saved: Path, tmp_path: Path) -> None:
    def change(facts: dict[str, Any]) -> None:
        facts["fingerprints"]["text_encoder"] = "TinyTextEncoder-v0-256"

    with pytest.raises(DataError, match=r"trained with \(TinyTextEncoder-v0-256\)\nfound    TinyTextEncoder-v1-256"):
        Linker.from_pretrained(reseal(saved, tmp_path / "other", change))


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no file linker\.json\nto do    Write one \(dim export RUN FOLDER"):
        Linker.from_pretrained(tmp_path)
    with pytest.raises(DataError, match=r"no such folder\nto do    Write one: dim export RUN FOLDER"):
        Linker.from_pretrained(tmp_path / "absent")


def test_images_go_with_the_folder_where_they_are_copied(run: Path, tmp_path: Path) -> None:
    linker = linker_of(run)
    entity = next(entity for entity in linker.knowledge if entity.images)
    linker.add_entities([Entity("new2", "Ada Zyxtral", images=(entity.images[0],))])
    content = Path(entity.images[0]).read_bytes()
    linker.save(tmp_path / "one", images="copies")
    shutil.move(tmp_path / "one", tmp_path / "moved")
    moved = Linker.from_pretrained(tmp_path / "moved")
    moved.save(tmp_path / "moved")  # the images stay, though they stood in what is replaced
    for folder, there in (("moved", True), ("none", False)):
        if not there:
            moved.save(tmp_path / folder, images="none")
        again = Linker.from_pretrained(tmp_path / folder)
        for entity_id in (entity.id, "new2"):
            images = again.knowledge.entities[again.knowledge.row(entity_id)].images
            assert [Path(image).read_bytes() for image in images] == [content] * there
            assert all(Path(image).is_relative_to(tmp_path / folder) for image in images)


def test_an_image_that_is_gone_keeps_its_path(run: Path, tmp_path: Path) -> None:
    linker = linker_of(run)
    row, entity = next((row, entity) for row, entity in linker.knowledge.entities.items() if entity.images)
    linker.knowledge.entities[row] = replace(entity, images=("nowhere.png",))
    linker.save(tmp_path / "one", images="copies")
    gone = str(Path("nowhere.png").absolute())
    assert Linker.from_pretrained(tmp_path / "one").knowledge.images_elsewhere == {row: (gone,)}
    again = Linker.from_pretrained(tmp_path / "one", image_root=Path.cwd())
    assert again.knowledge.entities[row].images == (gone,)
    for row, entity in list(linker.knowledge.entities.items()):
        linker.knowledge.entities[row] = replace(entity, images=tuple(f"{image}.gone" for image in entity.images))
    with pytest.raises(DataError, match=r"entities without; tried .*gone(?s:.*)--images paths"):
        linker.save(tmp_path / "two", images="copies")
    assert not (tmp_path / "two").exists()
    with pytest.raises(ConfigError, match="copies, paths, none"):
        linker.save(tmp_path / "two", images="all")  # type: ignore[arg-type]


def test_a_linker_answers_as_before_while_its_folder_is_replaced(saved: Path, run: Path, tmp_path: Path) -> None:
    folder, questions = shutil.copytree(saved, tmp_path / "saved"), questions_of(run)[:20]
    reader = Linker.from_pretrained(folder, device="cpu")
    before = reader.link_batch(questions[:10])  # the rest reads what was not read yet
    expected = Linker.from_pretrained(saved, device="cpu").link_batch(questions)
    writer = Linker.from_pretrained(folder, device="cpu")
    writer.add_entities([NEW])
    writer.remove_entities([entity.id for entity in list(writer.knowledge)[:200]])
    for kind in ("hnsw", "flat"):
        writer.rebuild_index(kind)
        writer.save(folder)
        assert_same(reader.link_batch(questions[:10]), before)
        assert_same(reader.link_batch(questions), expected)
    assert len(Linker.from_pretrained(folder)) == 101
    with pytest.raises(ConfigError, match="a linker, written before"):
        linker_of(run).save(folder)


def test_copied_images_of_a_linker_are_those_of_the_folder_that_is_there(run: Path, tmp_path: Path) -> None:
    linker = linker_of(run)
    linker.save(tmp_path / "one", images="copies")
    reader = Linker.from_pretrained(tmp_path / "one", device="cpu")
    pictures = {path: Path(path).read_bytes() for entity in reader.knowledge for path in entity.images}
    again = Linker.from_pretrained(tmp_path / "one", device="cpu")
    again.remove_entities([next(entity.id for entity in again.knowledge if entity.images)])
    again.save(tmp_path / "one")
    there = {path: Path(path).read_bytes() for path in pictures if Path(path).exists()}
    assert len(there) == len(pictures) - 1  # an entity that left the KB has none; no picture is another entity's
    assert there.items() <= pictures.items()
