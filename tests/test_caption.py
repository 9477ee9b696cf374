import json
import multiprocessing
import random
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from chat_models import write_chat
from finished_files import finished_files
from lacking import small_files
from PIL import Image
from tiny_blip2 import make_blip2
from waiting import let_work

import dim.features.captions
from dim.cli.caption import caption
from dim.cli.commands import Command
from dim.core.tables import frame_hash
from dim.data.dataset import Dataset, write_dataset
from dim.demo import demo_world
from dim.encoders.base import Captioner
from dim.encoders.blip2 import QUESTION, Blip2Captioner
from dim.encoders.chat_captioner import TransformersCaptioner
from dim.encoders.tiny_captioner import TinyCaptioner
from dim.errors import ConfigError, DataError, StorageError
from dim.features.caption_store import read_answers
from dim.images.reading import load_image
from dim.releases.prepare import open_dataset

COMMAND = Command("dim.cli.caption", ("caption",), "")


def run(*args: str | Path) -> None:
    COMMAND.run("caption", [str(arg) for arg in args])


@pytest.fixture(scope="module")
def blip2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_blip2(tmp_path_factory.mktemp("models") / "tiny-blip2")


class Echo(Captioner):
    """Says the question and the image's first pixel, and counts what it was asked."""

    fingerprint = "echo"

    def __init__(self, question: str = "Who? {mention}") -> None:
        self.question = question
        self.asked: list[str] = []

    def caption(self, images: Sequence[Image.Image], questions: Sequence[str]) -> list[str]:
        self.asked += questions
        return [f"{question} {image.getpixel((0, 0))[0]}" for image, question in zip(images, questions, strict=True)]


def make_dataset(root: Path, images: Sequence[Sequence[str]], **columns: Sequence[object]) -> Dataset:
    """Mention i, a name of three, has images[i]; <n>.png has the red value n."""
    (root / "images").mkdir(parents=True, exist_ok=True)
    for name in {name for names in images for name in names if name.removesuffix(".png").isdigit()}:
        Image.new("RGB", (32, 32), (int(name.removesuffix(".png")), 0, 0)).save(root / "images" / name)
    count = len(images)
    mentions = {
        "id": [f"m{i}" for i in range(count)],
        "split": ["train"] * count,
        "mention": [f"Ana {i % 3}" for i in range(count)],
        "context": [f"Ana {i % 3} sings" for i in range(count)],
        "images": [list(names) for names in images],
    } | columns
    return write_dataset(
        root / "dataset",
        name="tiny",
        entities=pd.DataFrame({"id": ["e1", "e2"], "name": ["Ana", "Bo"]}),
        texts={},
        mentions=pd.DataFrame(mentions),
        image_root="../images",
    )


def captions(dataset: Dataset) -> list[str | None]:
    column = Dataset(dataset.root).mentions["caption"].tolist()
    return [said if isinstance(said, str) else None for said in column]


def test_the_command_writes_blip2s_answers_into_the_dataset_folder(
    blip2: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = make_dataset(tmp_path, [["1.png"], ["200.png"], [], ["1.png"]])
    before = Dataset(dataset.root)
    run(dataset.root, "--captioner", "Blip2Captioner", "--captioner.path", blip2, "--cache_dir", tmp_path / "cache")
    captioner = Blip2Captioner(str(blip2))
    first, second = (
        captioner.caption([captioner.preprocess(load_image(dataset.image_root / name, dataset.image_root))], [QUESTION])
        for name in ("1.png", "200.png")
    )
    assert captions(dataset) == [*first, *second, None, *first]
    after = Dataset(dataset.root)
    assert after.hash == before.hash
    assert after.kb_hash == before.kb_hash
    assert after.meta["hashes"]["mentions"] == frame_hash(after.mentions) != before.meta["hashes"]["mentions"]
    assert {**after.meta, "hashes": 0} == {**before.meta, "hashes": 0}
    assert after.mentions.drop(columns="caption").equals(before.mentions.drop(columns="caption"))
    said = capsys.readouterr().out
    assert "2 questions about images, for 3 mentions; 0 mentions keep" in said
    assert "captions  3 of 4 mentions" in said
    assert "left: 1 without an image" in said


def test_a_model_with_a_chat_template_is_asked_what_it_was_not_asked_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dim.features.captions, "BLOCK_SIZE", 2)
    model = write_chat(tmp_path / "tiny-llava")
    dataset = make_dataset(tmp_path, [[f"{number}.png"] for number in (1, 90, 170, 250)] + [[], ["1.png"]])
    options = ["--captioner", "TransformersCaptioner", "--captioner.path", model, "--captioner.max_new_tokens", "9"]
    options += [
        "--captioner.question",
        "Is {mention} here?",
        "--captioner.device",
        "cpu",
        "--cache_dir",
        tmp_path / "c",
    ]
    asked: list[str] = []
    answer = TransformersCaptioner.caption

    def until_two(self: TransformersCaptioner, images: Sequence[Any], questions: Sequence[str]) -> list[str]:
        if len(asked) == 2:
            raise KeyboardInterrupt
        asked.extend(questions)
        return answer(self, images, questions)

    def on(self: TransformersCaptioner, images: Sequence[Any], questions: Sequence[str]) -> list[str]:
        asked.extend(questions)
        return answer(self, images, questions)

    monkeypatch.setattr(TransformersCaptioner, "caption", until_two)
    with pytest.raises(KeyboardInterrupt):
        run(dataset.root, *options, "--num_workers", "0")
    monkeypatch.setattr(TransformersCaptioner, "caption", on)
    run(dataset.root, *options)
    assert len(asked) == 5  # 1.png is asked of Ana 0 and of Ana 2
    captioner = TransformersCaptioner(str(model), "Is {mention} here?", max_new_tokens=9, device="cpu")
    expected = [
        answer(
            captioner, [captioner.preprocess(load_image(dataset.image_root / images[0], dataset.image_root))], [said]
        )[0]
        if len(images)
        else None
        for images, said in zip(
            dataset.mentions["images"], [f"Is {name} here?" for name in dataset.mentions["mention"]], strict=True
        )
    ]
    assert captions(dataset) == expected
    assert len(set(expected)) > 3
    record = read_answers(dataset, "tiny-llava")
    assert set(record["fingerprint"]) == {captioner.fingerprint}
    assert json.loads(record["parameters"][0]) == {"max_new_tokens": 9, "max_pixels": 262144, "precision": "fp32"}


def test_each_answer_is_recorded_with_its_model_prompt_options_and_date(blip2: Path, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, [["1.png"], ["2.png"]])
    captioner = Blip2Captioner(str(blip2), max_new_tokens=4)
    start = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    caption(dataset.root, captioner, cache_dir=tmp_path / "cache")
    record = read_answers(dataset, "tiny-blip2")
    assert [list(images) for images in record["images"]] == [["1.png"], ["2.png"]]
    assert record["answer"].tolist() == captions(dataset)
    assert set(record["question"]) == {QUESTION}
    assert set(record["model"]) == {str(blip2)}
    assert set(record["fingerprint"]) == {captioner.fingerprint}
    assert json.loads(record["parameters"][0]) == {"max_new_tokens": 4, "num_beams": 1, "precision": "fp32"}
    assert all(start <= date <= time.strftime("%Y-%m-%dT%H:%M:%S%z") for date in record["date"])
    caption(dataset.root, Blip2Captioner(str(blip2), question="Who?"), overwrite=True, cache_dir=tmp_path / "cache")
    both = read_answers(dataset, "tiny-blip2")
    assert both["question"].tolist() == [QUESTION] * 2 + ["Who?"] * 2
    assert both["prompt_hash"].nunique() == 2
    assert both["date"].notna().all()
    log = (dataset.root / "captions/tiny-blip2.log.jsonl").read_text()
    caption(dataset.root, Blip2Captioner(str(blip2), question="Who?"), overwrite=True, cache_dir=tmp_path / "cache")
    assert (dataset.root / "captions/tiny-blip2.log.jsonl").read_text() == log


def test_the_same_command_again_counts_the_images_that_have_a_caption_by_now(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, [["1.png"], ["2.png"], ["3.png"], ["4.png"], ["5.png"]])
    (dataset.image_root / "5.png").write_bytes(b"no image")
    for _ in range(2):
        caption(dataset.root, Echo(), cache_dir=tmp_path / "cache")
    assert sum(said is not None for said in captions(dataset)) == 4


def test_captions_are_not_written_into_mentions_that_were_written_anew_meanwhile(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, [["1.png"], ["2.png"]])

    class Slow(Echo):
        def caption(self, images: Sequence[Image.Image], questions: Sequence[str]) -> list[str]:
            make_dataset(tmp_path, [["2.png"], ["1.png"]])
            return super().caption(images, questions)

    with pytest.raises(
        DataError, match=r"the mentions that were captioned in .*\nfound    others: it was written anew"
    ):
        caption(dataset.root, Slow(), cache_dir=tmp_path / "cache", num_workers=0)
    assert captions(dataset) == [None, None]
    caption(dataset.root, Echo(), cache_dir=tmp_path / "cache", num_workers=0)
    assert captions(dataset) == ["Who? Ana 0 2", "Who? Ana 1 1"]


def test_an_image_is_asked_a_question_once(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, [["1.png"], ["2.png"], ["1.png"], ["1.png"], ["1.png"]])
    captioner = Echo()
    caption(dataset.root, captioner, cache_dir=tmp_path / "cache", num_workers=0)
    # m0 and m3 bear one name, so do m1 and m4; all but m1 have one image
    assert sorted(captioner.asked) == ["Who? Ana 0", "Who? Ana 1", "Who? Ana 1", "Who? Ana 2"]
    assert captions(dataset) == ["Who? Ana 0 1", "Who? Ana 1 2", "Who? Ana 2 1", "Who? Ana 0 1", "Who? Ana 1 1"]
    plain = Echo("Who?")
    caption(dataset.root, plain, overwrite=True, cache_dir=tmp_path / "cache", num_workers=2)
    assert captions(dataset) == ["Who? 1", "Who? 2", "Who? 1", "Who? 1", "Who? 1"]


def test_where_no_mention_names_an_image_no_model_is_asked_for(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, [[], []])
    with pytest.raises(DataError, match="none in tiny that names one"):
        caption(dataset.root, Blip2Captioner(str(tmp_path / "absent")), cache_dir=tmp_path / "cache")


def test_a_question_may_name_the_mention_and_nothing_else(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, [["1.png"]])
    with pytest.raises(ConfigError, match=r"a question of \{mention\}.*\nfound.*KeyError: 'context'(?s:.*)twice"):
        caption(dataset.root, Echo("{context}?"), cache_dir=tmp_path / "cache")
    with pytest.raises(ConfigError, match=r"a question of \{mention\}"):
        caption(dataset.root, Echo("Who { is it?"), cache_dir=tmp_path / "cache")
    with pytest.raises(ConfigError, match=r"a question of \{mention\}"):
        caption(dataset.root, Echo("{mention.__class__}"), cache_dir=tmp_path / "cache")
    caption(dataset.root, Echo("{{x}} {mention}?"), cache_dir=tmp_path / "cache")
    assert captions(dataset) == ["{x} Ana 0? 1"]


def test_captions_of_the_release_are_kept_unless_overwritten(tmp_path: Path) -> None:
    given = ["as released", None, "also as released", " "]
    dataset = make_dataset(tmp_path, [["1.png"], ["2.png"], [], ["3.png"]], caption=given)
    caption(dataset.root, Echo("Who?"), cache_dir=tmp_path / "cache")
    assert captions(dataset) == ["as released", "Who? 2", "also as released", "Who? 3"]
    caption(dataset.root, Echo("What?"), overwrite=True, cache_dir=tmp_path / "cache")
    assert captions(dataset) == ["What? 1", "What? 2", "also as released", "What? 3"]


def test_hostile_images_are_counted_as_missing_and_the_first_usable_image_stands_for_its_mention(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["cut.jpg", "empty.png", "text.jpg", "folder.jpg", "../secret.png", "link.png", "absent.png", "x.svg"]
    images = [[name] for name in names] + [["text.jpg", "7.png"], ["7.png"]]
    dataset = make_dataset(tmp_path, images)
    root = dataset.image_root
    Image.new("RGB", (64, 64), "red").save(tmp_path / "secret.png")
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(root / "whole.jpg")
    (root / "cut.jpg").write_bytes((root / "whole.jpg").read_bytes()[:900])
    (root / "empty.png").write_bytes(b"")
    (root / "text.jpg").write_text("no image")
    (root / "folder.jpg").mkdir()
    (root / "link.png").symlink_to(tmp_path / "secret.png")
    (root / "x.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    with pytest.raises(DataError, match="8 of 10 mentions without theirs"):
        caption(dataset.root, Echo("Who?"), cache_dir=tmp_path / "cache")
    assert captions(dataset) == [None] * 10
    capsys.readouterr()
    caption(dataset.root, Echo("Who?"), cache_dir=tmp_path / "cache", max_missing_images=1)
    assert captions(dataset) == [None] * len(names) + ["Who? 7", "Who? 7"]
    said = capsys.readouterr().out
    for line in ("1 empty file: empty.png", "1 not a file: folder.jpg", "2 outside the image folder: ../secret.png"):
        assert f"unusable  {line}" in said
    assert "3 unreadable: cut.jpg, text.jpg, x.svg" in said
    assert "1 not found: absent.png" in said
    assert f"captions  2 of 10 mentions in {dataset.root} (0 before); left: 8 with an image" in said


def test_an_empty_answer_is_no_caption(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Silent(Echo):
        def caption(self, images: Sequence[Image.Image], questions: Sequence[str]) -> list[str]:
            return ["" for _ in images]

    dataset = make_dataset(tmp_path, [["1.png"]])
    caption(dataset.root, Silent(), cache_dir=tmp_path / "cache")
    assert captions(dataset) == [None]
    assert "empty     1 answers" in capsys.readouterr().out


def test_a_captioner_that_loses_an_answer_is_an_error(tmp_path: Path) -> None:
    class Careless(Echo):
        def caption(self, images: Sequence[Image.Image], questions: Sequence[str]) -> list[str]:
            return super().caption(images, questions)[1:]

    dataset = make_dataset(tmp_path, [["1.png"], ["2.png"]])
    with pytest.raises(DataError, match="2 answers from the captioner\nfound    1"):
        caption(dataset.root, Careless("Who?"), cache_dir=tmp_path / "cache")


def test_a_release_is_prepared_first_and_its_folder_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    release = tmp_path / "release"
    release.mkdir()
    pd.DataFrame({"id": ["a", "b"], "name": ["Ana", "Bo"]}).to_csv(release / "entities.csv", index=False)
    rows = {"mention": ["Ana"] * 12, "context": ["Ana sings"] * 12, "entity_id": ["a"] * 12, "image": ["1.png"] * 12}
    pd.DataFrame(rows).to_csv(release / "mentions.csv", index=False)
    Image.new("RGB", (32, 32), (1, 0, 0)).save(release / "1.png")
    written = caption(release, Echo("Who?"), cache_dir=tmp_path / "cache")
    assert written.root.is_relative_to(tmp_path / "cache" / "datasets")
    assert f"captions  12 of 12 mentions in {written.root}" in capsys.readouterr().out
    assert captions(open_dataset(release, tmp_path / "cache")) == ["Who? 1"] * 12
    assert not (release / "captions").exists()


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_users_captions_are_imported_by_mention_and_unknown_ids_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], suffix: str
) -> None:
    dataset = make_dataset(tmp_path, [["1.png"], ["2.png"], [], ["3.png"]], caption=["kept", None, None, None])
    rows = {
        "mention_id": ["m0", "m1", "m2", "ghost", "m3", "m1"],
        "caption": ["new", "a man, smiling", "no image here", "boo", "", "other"],
    }
    path = tmp_path / f"mine{suffix}"
    table = pd.DataFrame(rows)
    if suffix == ".csv":
        table.to_csv(path, index=False)
    elif suffix == ".jsonl":
        table.to_json(path, orient="records", lines=True)
    else:
        table.to_parquet(path)
    run(dataset.root, "--import_from", path, "--cache_dir", tmp_path / "cache")
    assert captions(dataset) == ["kept", "a man, smiling", "no image here", None]
    said = capsys.readouterr().out
    assert "imported  3 mentions' captions" in said
    assert "1 unknown to the dataset, left out: ghost" in said
    assert "1 without a caption, left out: m3" in said
    assert "1 given twice with another caption, the first is used: m1" in said
    assert sorted(read_answers(dataset, "mine")["answer"]) == ["a man, smiling", "new", "no image here"]
    run(dataset.root, "--import_from", path, "--overwrite", "true", "--cache_dir", tmp_path / "cache")
    assert captions(dataset)[0] == "new"


def test_a_users_captions_are_imported_by_image(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, [["1.png"], ["9.png", "2.png"], ["1.png"], ["3.png"]])
    rows = {"image": ["1.png", "some/where/2.png", "2.png"], "caption": ["one", "lost", "two"]}
    pd.DataFrame(rows).to_csv(tmp_path / "mine.csv", index=False)
    caption(dataset.root, import_from=tmp_path / "mine.csv", cache_dir=tmp_path / "cache")
    assert captions(dataset) == ["one", "two", "one", None]


def test_captions_and_the_dataset_s_hash_stay_together_on_a_full_disk(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, [["1.png"]] * 40)
    rows = {"mention_id": dataset.mentions["id"], "caption": [f"a caption {place}" for place in range(40)]}
    pd.DataFrame(rows).to_csv(tmp_path / "mine.csv", index=False)
    for size in (200, 3000):
        with small_files(size), pytest.raises(StorageError):
            caption(dataset.root, import_from=tmp_path / "mine.csv", cache_dir=tmp_path / "cache")
        assert captions(dataset) == [None] * 40
        assert frame_hash(Dataset(dataset.root).mentions) == Dataset(dataset.root).meta["hashes"]["mentions"]
    caption(dataset.root, import_from=tmp_path / "mine.csv", cache_dir=tmp_path / "cache")
    assert captions(dataset) == rows["caption"]


def test_what_was_recognized_in_a_file_of_captions_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = make_dataset(tmp_path, [["1.png"]])
    (tmp_path / "mine.csv").write_text("Image;Caption\n1.png;one\n")
    run(dataset.root, "--import_from", tmp_path / "mine.csv", "--cache_dir", tmp_path / "cache")
    said = capsys.readouterr().out
    assert captions(dataset) == ["one"]
    assert "note      columns of mine.csv: 'Image' is read as 'image'" in said
    assert "note      " in said.replace("the column", "")


def test_a_file_that_holds_no_captions_of_this_dataset_is_refused(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, [["1.png"]])
    for rows, message in (
        ({"image": ["x.png"], "caption": ["x"]}, r"1 unknown, such as x.png(?s:.*)such as 1.png"),
        ({"id": ["m0"], "caption": ["x"]}, r"columns caption and mention_id or image(?s:.*)id, caption"),
        ({"mention_id": ["m0"], "caption": [""]}, "1 without a caption"),
    ):
        pd.DataFrame(rows).to_csv(tmp_path / "mine.csv", index=False)
        with pytest.raises(DataError, match=message):
            caption(dataset.root, import_from=tmp_path / "mine.csv", cache_dir=tmp_path / "cache")
    (tmp_path / "mine.xlsx").write_bytes(b"PK\x03\x04")
    with pytest.raises(DataError, match="an Excel workbook at"):
        caption(dataset.root, import_from=tmp_path / "mine.xlsx", cache_dir=tmp_path / "cache")
    with pytest.raises(ConfigError, match="import first"):
        caption(dataset.root, Echo(), tmp_path / "mine.csv", cache_dir=tmp_path / "cache")
    with pytest.raises(DataError, match=r"a record of captions at .*mine.parquet"):
        read_answers(dataset, "mine")


def test_what_a_kill_between_the_two_files_left_is_mended(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, [["1.png"], ["2.png"]])
    old = (dataset.root / "dataset.json").read_bytes()
    caption(dataset.root, Echo("Who?"), cache_dir=tmp_path / "cache")
    new = (dataset.root / "dataset.json").read_bytes()
    assert old != new
    (dataset.root / "dataset.json").write_bytes(old)
    caption(dataset.root, Echo("Who?"), cache_dir=tmp_path / "cache")
    assert (dataset.root / "dataset.json").read_bytes() == new


def test_the_demo_captioner_captions_the_demo_world(tmp_path: Path) -> None:
    demo_world(tmp_path / "world", num_entities=100, num_mentions=200)
    run(tmp_path / "world", "--captioner", "TinyCaptioner", "--cache_dir", tmp_path / "cache")
    world = Dataset(tmp_path / "world")
    expected = [
        TinyCaptioner().caption([load_image(world.image_root / images[0], world.image_root)])[0]
        if len(images)
        else None
        for images in world.mentions["images"]
    ]
    assert captions(world) == expected
    assert any(expected)


def start(task: Callable[[], object]) -> multiprocessing.process.BaseProcess:
    process = multiprocessing.get_context("fork").Process(target=task)
    process.start()
    return process


@pytest.mark.long  # test_writers.py kills each command
@pytest.mark.slow
def test_killed_at_any_moment_it_ends_byte_identical_to_an_undisturbed_run(
    blip2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_kills: int
) -> None:
    monkeypatch.setattr(dim.features.captions, "BLOCK_SIZE", 8)
    dataset = make_dataset(tmp_path, [[f"{i % 59}.png"] for i in range(177)])
    options = ["--captioner", "Blip2Captioner", "--captioner.path", blip2, "--captioner.device", "cpu"]
    options += ["--captioner.question", "Is {mention} here?", "--batch_size", "4", "--name", "answers"]

    def copy(name: str) -> Path:
        (tmp_path / name).mkdir()
        (tmp_path / name / "images").symlink_to(tmp_path / "images")
        return Path(shutil.copytree(dataset.root, tmp_path / name / "dataset"))

    def work(folder: Path) -> None:
        torch.set_num_threads(1)  # a forked process has none of the threads that its OpenMP believes in
        run(folder, *options, "--cache_dir", folder.parent / "cache", "--num_workers", "1")

    undisturbed = copy("undisturbed")
    assert finish(start(lambda: work(undisturbed))) == 0

    def num_blocks(folder: Path) -> int:
        left = folder.parent.glob("cache/features/.captions-*/progress.jsonl")
        return sum(len(path.read_text().splitlines()) for path in left)

    moments, partial_work = random.Random(0), 0
    for kill in range(num_kills):  # one in each part of the work, of 23 blocks
        folder = copy(f"killed{kill}")
        process = start(lambda folder=folder: work(folder))
        let_work(process, lambda folder=folder: num_blocks(folder), 20 * kill // num_kills)
        process.join(moments.uniform(0, 0.05))
        process.kill()
        process.join()
        partial_work += num_blocks(folder) > 0
        assert finish(start(lambda folder=folder: work(folder))) == 0
        assert finished_files(folder) == finished_files(undisturbed)
    assert partial_work > 0
    assert len(set(captions(Dataset(undisturbed)))) > 20


def finish(process: multiprocessing.process.BaseProcess) -> int | None:
    process.join()
    return process.exitcode
