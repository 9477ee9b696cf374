import json
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from embedding import embedded
from finished_files import finished_files
from PIL import Image
from releases import write_dim_release

import dim.features.embed
from dim.cli.caption import caption
from dim.data.dataset import Dataset, write_dataset
from dim.demo import demo_world
from dim.encoders.base import Captioner, Features, ImageEncoder, TextEncoder
from dim.errors import ConfigError, DataError, StorageError
from dim.features.embed import embed
from dim.releases.prepare import prepare

FORK = multiprocessing.get_context("fork")


class LengthEncoder(TextEncoder):
    """(length, first character); writes down each call in a file, for tests that count work."""

    width, fingerprint = 2, "length"

    def __init__(self, calls: Path | None = None, seconds: float = 0) -> None:
        self.calls, self.seconds = calls, seconds

    def encode_text(self, texts: Sequence[str]) -> Features:
        note(self.calls, len(texts), self.seconds)
        return np.array([[len(text), ord(text[0])] for text in texts], dtype=np.float32)


class ColourEncoder(ImageEncoder):
    """The mean colour."""

    width, fingerprint = 3, "colour"

    def __init__(self, calls: Path | None = None, seconds: float = 0) -> None:
        self.calls, self.seconds = calls, seconds

    def preprocess(self, image: Image.Image) -> np.ndarray:
        return np.asarray(image.resize((1, 1)))[0, 0]

    def encode_image(self, pixels: np.ndarray) -> Features:
        note(self.calls, len(pixels), self.seconds)
        return pixels.astype(np.float32)


class ColourCaptioner(Captioner):
    fingerprint = "colour captioner"

    def caption(self, images: Sequence[Image.Image], questions: Sequence[str]) -> list[str]:
        return [f"a picture in {image.getpixel((0, 0))}" for image in images]


def note(calls: Path | None, count: int, seconds: float) -> None:
    if calls is not None:
        with calls.open("a") as file:
            file.write(f"{count}\n")
    if seconds:
        time.sleep(seconds)  # a slow model, so that a kill finds it at work


def count(calls: Path) -> int:
    return sum(map(int, calls.read_text().split())) if calls.exists() else 0


def make_dataset(root: Path, num: int = 6, **changes: list[object]) -> Dataset:
    """Entity i has the image <i mod 4>.png, of red value 10·i; `broken.png` is no image and `absent.png` not there."""
    (root / "images").mkdir(exist_ok=True, parents=True)
    for i in range(4):
        if not (root / f"images/{i}.png").exists():
            Image.new("RGB", (8, 8), (10 * i, 0, 0)).save(root / f"images/{i}.png")
    (root / "images/broken.png").write_bytes(b"no image")
    mentions = {
        "id": [f"m{i}" for i in range(num)],
        "split": ["train"] * num,
        "mention": [f"Ana {i % 3}" for i in range(num)],
        "context": [f"Ana {i % 3} sings in Rome" if i else " " for i in range(num)],
        "images": [[f"{i % 4}.png"] if i % 2 else [] for i in range(num)],
    } | changes
    entities = {
        "id": [f"e{i}" for i in range(num)],
        "name": [f"Ana {i}" for i in range(num)],
        "images": [[f"{i % 4}.png"] for i in range(num)],
    }
    text = {"entity_id": [f"e{i}" for i in range(1, num)], "text": [f"born in {1900 + i}" for i in range(1, num)]}
    return write_dataset(
        root / "dataset",
        name="tiny",
        entities=pd.DataFrame(entities),
        texts={"brief": pd.DataFrame(text)},
        mentions=pd.DataFrame(mentions),
        image_root="../images",
    )


def run(dataset: Dataset, cache: Path, **options: object) -> dict[str, dim.features.embed.FieldFeatures]:
    given = {"text_encoder": LengthEncoder(), "image_encoder": ColourEncoder(), "max_missing_images": 1}
    return embedded(dataset, cache, **given | options)


def test_each_field_follows_the_rows_of_its_owners(tmp_path: Path) -> None:
    features = run(make_dataset(tmp_path), tmp_path / "cache")
    assert list(features) == ["mention", "context", "caption", "image", "name", "text", "entity_image"]
    assert features["mention"].dense().tolist() == [[5, 65]] * 6
    assert len(features["mention"].matrix) == 3
    assert features["context"].mask.tolist() == [False] + [True] * 5
    assert features["context"].dense()[1].tolist() == [len("Ana 1 [SEP] Ana 1 sings in Rome"), 65]
    assert features["image"].dense()[:, 0].tolist() == [0, 10, 0, 30, 0, 10]
    assert features["image"].mask.tolist() == [False, True] * 3
    assert features["text"].mask.tolist() == [False] + [True] * 5
    assert features["entity_image"].dense()[:, 0].tolist() == [0, 10, 20, 30, 0, 10]
    assert not features["caption"].mask.any()


def test_a_field_without_an_encoder_is_absent(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path)
    assert list(run(dataset, tmp_path / "cache", text_encoder=None)) == ["image", "entity_image"]
    assert "image" not in run(dataset, tmp_path / "cache", image_encoder=None)


def test_the_first_usable_image_stands_for_its_owner_and_the_others_are_counted(tmp_path: Path) -> None:
    images = [["broken.png", "1.png"], ["absent.png"], ["2.png", "broken.png"], ["broken.png", "absent.png"], []]
    images.append(["../dataset/dataset.json"])
    features = run(make_dataset(tmp_path, images=images), tmp_path / "cache")["image"]
    assert features.dense()[:, 0].tolist() == [10, 0, 20, 0, 0, 0]
    assert features.mask.tolist() == [True, False, True, False, False, False]
    assert features.manifest["missing"] == {
        "no image": 1, "not found": 1, "outside the image folder": 1, "unreadable": 1,
    }  # fmt: skip
    assert features.manifest["unusable_files"]["unreadable"] == {"count": 1, "examples": ["broken.png"]}


@pytest.mark.parametrize("num_workers", [1, 2])
def test_workers_give_what_one_process_gives(tmp_path: Path, num_workers: int) -> None:
    dataset = make_dataset(tmp_path, num=20)
    alone = run(dataset, tmp_path / "a", batch_size=3)
    helped = run(dataset, tmp_path / "b", batch_size=3, num_workers=num_workers)
    assert all(np.array_equal(alone[name].dense(), helped[name].dense()) for name in alone)


def test_captions_come_from_the_dataset_then_from_the_captioner(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, caption=[None, "given", None, None, "given too", None])
    given = run(dataset, tmp_path / "cache")["caption"]
    assert given.mask.tolist() == [False, True, False, False, True, False]
    both = run(dataset, tmp_path / "cache", captioner=ColourCaptioner())["caption"]
    assert both.mask.tolist() == [False, True, False, True, True, True]
    table = pd.read_parquet(next(tmp_path.glob("cache/features/captions-*/captions.parquet")))
    assert table["answer"].tolist() == ["a picture in (10, 0, 0)", "a picture in (30, 0, 0)"]
    assert both.dense()[3].tolist() == [len("a picture in (30, 0, 0)"), ord("a")]


def test_finished_work_is_found_without_encoding_or_reading_tables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, calls = make_dataset(tmp_path), tmp_path / "calls"
    first = run(dataset, tmp_path / "cache", progress=True)
    assert "embedded: 5 of 6 mention rows (missing: 1 no text)" in capsys.readouterr().err
    monkeypatch.setattr(Dataset, "_read", None)
    monkeypatch.setattr(Dataset, "_read_columns", None)
    encoders = {"text_encoder": LengthEncoder(calls), "image_encoder": ColourEncoder(calls)}
    again = run(Dataset(dataset.root), tmp_path / "cache", progress=True, **encoders)
    assert all(np.array_equal(first[name].dense(), again[name].dense()) for name in first)
    assert not calls.exists()
    assert "context      found in cache: 5 of 6 mention rows (missing: 1 no text)" in capsys.readouterr().err


def test_a_table_that_changed_elsewhere_costs_nothing_again(tmp_path: Path) -> None:
    run(make_dataset(tmp_path), tmp_path / "cache")
    calls = tmp_path / "calls"
    changed = make_dataset(tmp_path, type=["person"] * 6)
    run(changed, tmp_path / "cache", text_encoder=LengthEncoder(calls), image_encoder=ColourEncoder(calls))
    assert not calls.exists()


def test_a_table_that_was_changed_by_hand_spoils_no_other_dataset(tmp_path: Path) -> None:
    dataset, cache = make_dataset(tmp_path / "mine"), tmp_path / "cache"
    shutil.copytree(tmp_path / "mine", tmp_path / "copy")
    table = pd.read_parquet(dataset.root / "entities.parquet")
    other = tmp_path / "copy" / dataset.root.relative_to(tmp_path / "mine")
    table.assign(name=[f"{name} and a half" for name in table["name"]]).to_parquet(other / "entities.parquet")
    changed = run(Dataset(other), cache)["name"].matrix
    assert (changed[:, 0] > run(dataset, cache)["name"].matrix[:, 0]).all()
    table.head(3).to_parquet(other / "entities.parquet")
    with pytest.raises(DataError, match=r"entities in .*, as its dataset\.json says\nfound +3"):
        _ = Dataset(other).entities


def test_features_of_another_encoder_are_none_of_its_own(tmp_path: Path) -> None:
    class Negated(LengthEncoder):
        fingerprint = "negated"

        def encode_text(self, texts: Sequence[str]) -> Features:
            return -super().encode_text(texts)

    class Inverted(ColourEncoder):
        fingerprint = "inverted"

        def encode_image(self, pixels: np.ndarray) -> Features:
            return 255 - super().encode_image(pixels)

    dataset, cache = make_dataset(tmp_path), tmp_path / "cache"
    before = run(dataset, cache)
    after = run(dataset, cache, text_encoder=Negated(), image_encoder=Inverted())
    assert np.array_equal(after["name"].dense(), -before["name"].dense())
    assert np.array_equal(after["entity_image"].dense(), 255 - before["entity_image"].dense())


def test_a_table_of_another_dataset_is_told_from_one_of_its_size_and_time(tmp_path: Path) -> None:
    found = []
    for name in ("Ana", "Bob"):
        dataset = make_dataset(tmp_path / name, mention=[f"{name} {i}" for i in range(6)])
        table = dataset.root / "mentions.parquet"
        os.utime(table, (1, 1))
        found.append((table.stat().st_size, run(dataset, tmp_path / "cache")["mention"].dense()[0, 1]))
    assert found == [(found[0][0], ord("A")), (found[0][0], ord("B"))]


def test_an_image_that_changed_is_encoded_and_captioned_again(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path)
    run(dataset, tmp_path / "cache", captioner=ColourCaptioner())
    Image.new("RGB", (8, 8), (200, 0, 0)).save(tmp_path / "images/1.png")
    os.utime(tmp_path / "images/1.png", ns=(1, 1))
    features = run(dataset, tmp_path / "cache", captioner=ColourCaptioner())
    assert features["image"].dense()[1, 0] == 200
    assert features["caption"].dense()[1, 0] == len("a picture in (200, 0, 0)")


def test_an_image_that_may_be_read_now_is_encoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its size and its time are as they were; root may read everything, so that the system's word is made up."""
    dataset, locked = make_dataset(tmp_path), (tmp_path / "images/1.png").resolve()
    read, access = Path.read_bytes, os.access

    def read_bytes(path: Path) -> bytes:
        if path == locked:
            raise PermissionError
        return read(path)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", read_bytes)
        patch.setattr(os, "access", lambda path, mode: access(path, mode) and Path(path).resolve() != locked)
        before = run(dataset, tmp_path / "cache", max_missing_images=1.0)["image"]
    assert before.manifest["unusable_files"] == {"no permission": {"count": 1, "examples": ["1.png"]}}
    after = run(dataset, tmp_path / "cache")["image"]
    assert (after.mask[1], after.dense()[1, 0]) == (True, 10)


def test_another_template_is_another_context(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path)
    features = run(dataset, tmp_path / "cache", context_template="{{{context}}} {mention}")
    assert features["context"].dense()[1].tolist() == [len("{Ana 1 sings in Rome} Ana 1"), ord("{")]
    with pytest.raises(ConfigError, match=r"a context_template of \{mention\} and \{context\}(?s:.*)KeyError"):
        run(dataset, tmp_path / "other", context_template="{sentence}")


def test_another_template_is_another_text_and_a_name_stands_alone_where_it_may(tmp_path: Path) -> None:
    mentions = pd.DataFrame({"id": ["m1", "m2"], "split": "train", "mention": ["Ana", " "], "context": [None, None]})
    entities = pd.DataFrame({"id": ["Q1", "Q2"], "name": ["Ana", "Bo"]})
    texts = {"brief": pd.DataFrame({"entity_id": ["Q1"], "text": ["sings"]})}
    dataset = write_dataset(tmp_path / "d", name="d", entities=entities, texts=texts, mentions=mentions)
    options = {"image_encoder": None, "text_template": "{name} ({text})"}
    found = run(dataset, tmp_path / "cache", **options)
    assert [found["text"].rows.tolist(), found["context"].rows.tolist()] == [[0, -1], [-1, -1]]
    assert found["text"].dense()[0].tolist() == [len("Ana (sings)"), ord("A")]
    found = run(dataset, tmp_path / "cache", **options, name_alone=True)
    assert found["text"].dense().tolist() == [[len("Ana (sings)"), ord("A")], [2, ord("B")]]
    assert found["context"].rows.tolist() == [0, -1]
    with pytest.raises(ConfigError, match=r"a text_template of \{name\} and \{text\}(?s:.*)KeyError"):
        run(dataset, tmp_path / "other", text_template="{description}")


def test_a_context_is_read_around_the_mention_that_is_meant(tmp_path: Path) -> None:
    text = "Ana " + "sang and " * 200 + "Bo saw Ana in the rain " + "for hours " * 200
    start = text.index("Ana in")
    mentions = pd.DataFrame(
        {"id": ["m1", "m2", "m3"], "split": "train", "mention": ["Ana", "Ana", "Eve"], "context": text}
    )
    mentions["start"], mentions["end"] = [start, pd.NA, pd.NA], [start + 3, pd.NA, pd.NA]
    entities = pd.DataFrame({"id": ["Q1"], "name": ["Ana"]})
    dataset = write_dataset(tmp_path / "d", name="d", entities=entities, texts={}, mentions=mentions)
    options = {"context_template": "{context}", "leave_out": ["text"], "image_encoder": None}
    near = run(dataset, tmp_path / "cache", context_reach=12, **options)["context"].dense()
    expected = ["and Bo saw Ana in the rain", "Ana sang and", text]
    assert near.tolist() == [[len(part), ord(part[0])] for part in expected]
    assert run(dataset, tmp_path / "cache", **options)["context"].dense()[:, 0].tolist() == [len(text)] * 3
    with pytest.raises(ConfigError, match="at least 1 character"):
        run(dataset, tmp_path / "cache", context_reach=0)


class ShortEncoder(LengthEncoder):
    """Reads 140 characters."""

    fingerprint = "short"
    seen: ClassVar[set[str]] = set()

    def encode_text(self, texts: Sequence[str]) -> Features:
        self.seen.update(texts)
        return super().encode_text(texts)

    def are_cut(self, texts: Sequence[str]) -> list[bool]:
        return [len(text) > 140 for text in texts]


@pytest.fixture
def far(tmp_path: Path) -> Dataset:
    """Mentions at the start, behind what `ShortEncoder` reads, and nowhere in their contexts."""
    context = "long ago " * 20 + "Ana sang here " + "and there " * 20
    contexts = [context, f"Ana, {context}", "Ana sang", f"no one {context}", context, f"Ana, {context}", None]
    mentions = pd.DataFrame({"id": [f"m{n}" for n in range(7)], "split": "train", "mention": "Ana"})
    mentions["context"], mentions["start"], mentions["end"] = contexts, pd.NA, pd.NA
    mentions.loc[4, "mention"] = "x"  # stands nowhere
    mentions.loc[5, ["start", "end"]] = [contexts[5].rindex("Ana"), contexts[5].rindex("Ana") + 3]
    entities = pd.DataFrame({"id": ["Q1"], "name": ["Ana"]})
    return write_dataset(tmp_path / "d", name="d", entities=entities, texts={}, mentions=mentions)


SHORT = {"leave_out": ["text"], "image_encoder": None, "text_encoder": ShortEncoder()}


def test_a_context_is_cut_around_its_mention_where_the_encoder_would_not_read_it_and_nowhere_else(
    far: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = ShortEncoder.seen
    seen.clear()
    found = run(far, tmp_path / "cache", **SHORT, progress=True)["context"]
    said = " ".join(capsys.readouterr().err.split())
    assert "5 contexts are longer than the text encoder reads; 3 mentions stand behind that: cut around" in said
    window = f"Ana [SEP] {'long ago ' * 7}Ana sang here {'and there ' * 5}and"  # 64 characters on a side are read
    contexts = far.mentions["context"].tolist()
    given = [window, f"Ana [SEP] {contexts[1]}", "Ana [SEP] Ana sang", window, f"x [SEP] {contexts[4]}", window, None]
    assert found.mask.tolist() == [text is not None for text in given]
    assert seen >= {text for text in given if text}
    assert found.dense()[:6].tolist() == [[len(text), ord(text[0])] for text in given if text]
    assert found.num_around == 3
    seen.clear()
    again = run(far, tmp_path / "cache", **SHORT)["context"]
    assert not seen
    assert again.num_around == 3
    assert again.dense().tolist() == found.dense().tolist()


def test_without_a_reach_contexts_are_read_from_their_start_and_mentions_behind_it_are_counted(
    far: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = run(far, tmp_path / "cache", **SHORT, progress=True, context_reach=None)["context"]
    said = " ".join(capsys.readouterr().err.split())
    assert "3 mentions stand behind that: not read: leave out context_reach, and they are" in said
    rows = far.mentions.head(6)
    whole = [f"{name} [SEP] {context}" for name, context in zip(rows["mention"], rows["context"], strict=True)]
    assert found.dense()[:6, 0].tolist() == [len(text) for text in whole]
    assert found.num_around == 0


def test_a_context_that_is_read_whole_is_the_same_input_whatever_the_reach(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path)
    options = {"leave_out": ["text"], "image_encoder": None}
    before = run(dataset, tmp_path / "cache", **options, text_encoder=ShortEncoder(), context_reach=None)["context"]
    folders = set((tmp_path / "cache/features").glob("context-*"))
    ShortEncoder.seen.clear()
    after = run(dataset, tmp_path / "cache", **options, text_encoder=ShortEncoder())["context"]
    assert not ShortEncoder.seen
    assert set((tmp_path / "cache/features").glob("context-*")) == folders
    assert after.num_around == 0
    assert after.manifest == before.manifest


def test_a_dataset_without_the_entity_text_names_those_it_has(tmp_path: Path) -> None:
    calls, dataset = tmp_path / "calls", make_dataset(tmp_path)
    with pytest.raises(DataError, match=r"the variants brief\n.*or go on without: --data.leave_out '\[text\]'"):
        run(dataset, tmp_path / "cache", entity_text="long", text_encoder=LengthEncoder(calls))
    assert not calls.exists()  # nothing was encoded before
    found = run(dataset, tmp_path / "cache", entity_text="long", leave_out=["text"])
    assert "mention" in found
    assert "text" not in found


def test_a_value_that_is_not_finite_names_the_first_bad_input(tmp_path: Path) -> None:
    class Broken(LengthEncoder):
        def encode_text(self, texts: Sequence[str]) -> Features:
            return np.array([[np.nan, 0] if text == "Ana 2" else [0, 0] for text in texts], dtype=np.float32)

    with pytest.raises(DataError, match="from the encoder Broken\nfound    NaN or infinity for 'Ana 2'"):
        run(make_dataset(tmp_path), tmp_path / "cache", text_encoder=Broken())
    assert not list((tmp_path / "cache" / "features").glob("[!.]*-*/matrix.npy"))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_not_finite_in_an_older_cache_is_named_by_its_owner(tmp_path: Path, value: float) -> None:
    dataset = make_dataset(tmp_path)
    run(dataset, tmp_path / "cache", text_encoder=LengthEncoder())
    folder = next((tmp_path / "cache" / "features").glob("mention-*"))
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["checksums"]  # as a version before them wrote it
    (folder / "manifest.json").write_text(json.dumps(manifest))
    matrix = np.load(folder / "matrix.npy")
    matrix[0, 1] = value
    np.save(folder / "matrix.npy", matrix)
    owner = int(np.flatnonzero(np.load(folder / "rows.npy") == 0)[0])
    named = f"of mention {dataset.mentions['id'].iloc[owner]}\nto do    Remove that folder"
    for _ in range(2):  # once is not enough
        with pytest.raises(DataError, match=f"finite features of mention by .*\n.*block 1, row 0, {named}"):
            run(dataset, tmp_path / "cache", text_encoder=LengthEncoder())


def test_an_encoder_that_gives_the_wrong_shape_is_refused(tmp_path: Path) -> None:
    class Broken(LengthEncoder):
        width = 3

    with pytest.raises(DataError, match=r"features of shape \(3, 3\)(?s:.*)shape \(3, 2\)"):
        run(make_dataset(tmp_path), tmp_path / "cache", text_encoder=Broken())


def test_a_worker_that_dies_is_an_error_with_its_remedy(tmp_path: Path) -> None:
    class Fatal(ColourEncoder):
        def preprocess(self, image: Image.Image) -> np.ndarray:
            os._exit(9)

    with pytest.raises(DataError, match="lower num_workers"):
        run(make_dataset(tmp_path), tmp_path / "cache", image_encoder=Fatal(), num_workers=1)


def test_the_command_asks_for_an_encoder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="neither --text_encoder nor --image_encoder"):
        embed(tmp_path)


def test_the_command_opens_a_dataset_folder_and_fills_the_cache(tmp_path: Path) -> None:
    embed(make_dataset(tmp_path).root, text_encoder=LengthEncoder(), cache_dir=tmp_path / "cache")
    assert next(tmp_path.glob("cache/features/text-*/matrix.npy")).stat().st_size > 128


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dim.features.embed, "BLOCK_SIZE", {"text": 10, "image": 2})


def start(task: Callable[[], object]) -> multiprocessing.process.BaseProcess:
    process = FORK.Process(target=task)
    process.start()
    return process


def contents(cache: Path) -> dict[str, bytes]:
    return finished_files(cache / "features", cache)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [pytest.param(0, marks=pytest.mark.long), 1, pytest.param(2, marks=pytest.mark.long)])
def test_killed_at_any_moment_it_redoes_at_most_one_block_and_ends_byte_identical(
    tmp_path: Path, small_blocks: None, seed: int
) -> None:
    dataset = make_dataset(tmp_path, num=60, mention=[f"{'x' * (i % 7)} Ana {i}" for i in range(60)])
    run(dataset, tmp_path / "undisturbed", batch_size=2, captioner=ColourCaptioner())
    calls, undisturbed = tmp_path / "calls", tmp_path / "undisturbed-calls"
    run(dataset, tmp_path / "again", batch_size=2, text_encoder=LengthEncoder(undisturbed))

    def work() -> None:
        slow = {"text_encoder": LengthEncoder(calls, 0.004), "image_encoder": ColourEncoder(seconds=0.05)}
        run(dataset, tmp_path / "killed", batch_size=2, num_workers=seed % 2, captioner=ColourCaptioner(), **slow)

    moments, kills = random.Random(seed), 0
    while True:
        process = start(work)
        process.join(moments.uniform(0.02, 0.7) + 0.05 * kills)  # a slow machine comes to an end, too
        if process.exitcode is not None:
            break
        process.kill()
        process.join()
        kills += 1
    assert process.exitcode == 0
    assert kills > 0
    assert contents(tmp_path / "killed") == contents(tmp_path / "undisturbed")
    # The captions of this run are 3 texts more. A kill may fall into a block of 10.
    assert count(calls) <= count(undisturbed) + 3 + 10 * kills


def test_two_processes_at_once_do_the_work_once(tmp_path: Path, small_blocks: None) -> None:
    dataset, calls = make_dataset(tmp_path, num=40), tmp_path / "calls"

    def work() -> None:
        run(dataset, tmp_path / "cache", batch_size=2, text_encoder=LengthEncoder(calls, 0.002))

    both = [start(work), start(work)]
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    run(dataset, tmp_path / "alone", batch_size=2, text_encoder=LengthEncoder(tmp_path / "calls-alone"))
    assert contents(tmp_path / "cache") == contents(tmp_path / "alone")
    assert count(calls) == count(tmp_path / "calls-alone")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 400 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting needs root; test_engine.py injects a full disk instead")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)  # a mapped file may wait to be collected


def test_a_full_disk_is_an_error_with_its_remedy_and_the_next_run_goes_on(tmp_path: Path, small_disk: Path) -> None:
    class Wide(LengthEncoder):
        width, fingerprint = 2000, "wide"

        def encode_text(self, texts: Sequence[str]) -> Features:
            return np.repeat(super().encode_text(texts), 1000, axis=1)

    dataset, calls = make_dataset(tmp_path, num=60), tmp_path / "calls"
    with pytest.raises(StorageError, match=r"a full disk.*MiB free(?s:.*)Free some space"):
        run(dataset, small_disk, text_encoder=Wide(calls))
    before = count(calls)
    assert before > 0
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    features = run(dataset, small_disk, text_encoder=Wide(calls))
    assert features["name"].dense()[3, :2].tolist() == [5, 5]
    run(dataset, tmp_path / "cache", text_encoder=Wide(tmp_path / "calls-alone"))
    assert count(calls) == count(tmp_path / "calls-alone")


ONE_SIDE = {"image_encoder": ColourEncoder()}


def test_most_images_gone_stop_before_anything_is_encoded(tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    dataset = make_dataset(tmp_path, images=[["absent.png"]] * 2 + [["1.png"]] * 4)
    with pytest.raises(DataError, match=r"2 of 6 mentions without theirs \(2 not found\); tried .*absent.png"):
        embedded(dataset, tmp_path / "cache", text_encoder=LengthEncoder(calls), **ONE_SIDE)
    assert not calls.exists()
    features = embedded(dataset, tmp_path / "cache", max_missing_images=0.4, **ONE_SIDE)
    assert features["image"].mask.tolist() == [False] * 2 + [True] * 4
    # Found in the cache, they are as missing.
    with pytest.raises(DataError, match="2 of 6 mentions"):
        embedded(dataset, tmp_path / "cache", **ONE_SIDE)
    embedded(dataset, tmp_path / "cache", leave_out=["image"], **ONE_SIDE)


def test_images_of_the_kb_that_are_no_images_count_as_missing(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path)
    for number in (0, 1):
        (tmp_path / f"images/{number}.png").write_text("<html>404</html>")
    with pytest.raises(DataError, match=r"entities without theirs \(4 unreadable\); tried .*0.png, .*1.png"):
        embedded(dataset, tmp_path / "cache", leave_out=["image"], **ONE_SIDE)


def test_paths_that_were_dropped_for_want_of_a_folder_are_not_forgotten(tmp_path: Path) -> None:
    root = write_dim_release(tmp_path / "release")
    dataset = prepare(root, tmp_path / "out", audit=False)
    assert dataset.meta["images_dropped"] == {"mention": {"no image folder": 28}}
    with pytest.raises(DataError, match=r"28 of 28 mentions without theirs \(28 no image folder\)(?s:.*)Unpack"):
        embedded(dataset, tmp_path / "cache", **ONE_SIDE)


def test_captions_are_not_asked_for_images_that_are_gone(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, images=[["absent.png"]] * 2 + [["1.png"]] * 4)
    with pytest.raises(DataError, match="2 of 6 mentions"):
        caption(dataset.root, ColourCaptioner(), cache_dir=tmp_path / "cache", num_workers=0)
    assert not (dataset.root / "captions").exists()


@pytest.mark.parametrize(
    "asked",
    [
        ["embed", "--text_encoder=TinyTextEncoder", "--name_encoder=CharacterEncoder"],
        pytest.param(["caption", "--captioner=TinyCaptioner"], marks=pytest.mark.long),
    ],
)
def test_a_process_that_knows_nothing_yet_takes_encoders_by_their_short_names(tmp_path: Path, asked: list[str]) -> None:
    demo_world(tmp_path / "world", num_entities=100)
    line = [sys.executable, "-m", "dim", asked[0], str(tmp_path / "world"), f"--cache_dir={tmp_path / 'cache'}"]
    done = subprocess.run([*line, *asked[1:]], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
