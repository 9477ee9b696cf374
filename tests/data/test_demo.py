from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dim.data.dataset import SPLITS, Dataset, add_texts
from dim.demo import chance, demo_world, solve
from dim.demo.vocabulary import surnames
from dim.errors import ConfigError
from dim.features.caption_store import write_captions


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return demo_world(tmp_path_factory.mktemp("demo") / "world", num_entities=600, seed=3)


def styles(mentions: pd.DataFrame) -> set[str]:
    return {json.loads(text)["style"] for text in mentions["attributes"]} - {None}


def test_the_same_seed_writes_the_same_world_and_another_seed_another(tmp_path: Path) -> None:
    one, again, other = (
        demo_world(tmp_path / name, num_entities=100, seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert one.hash == again.hash != other.hash
    for first, second in zip(
        sorted(one.image_root.rglob("*.png")), sorted(again.image_root.rglob("*.png")), strict=True
    ):
        assert first.name == second.name
        assert first.read_bytes() == second.read_bytes()


def test_the_number_of_images_changes_no_text(tmp_path: Path) -> None:
    whole = demo_world(tmp_path / "whole", num_entities=100)
    bare = demo_world(tmp_path / "bare", num_entities=100, num_images=0)
    some = demo_world(tmp_path / "some", num_entities=100, num_images=17)
    columns = ["id", "split", "mention", "context", "entity_id", "type"]
    pd.testing.assert_frame_equal(whole.mentions[columns], bare.mentions[columns])
    assert whole.kb_hash == bare.kb_hash
    assert bare.mentions["images"].map(len).sum() == bare.entities["images"].map(len).sum() == 0
    assert len(list(some.image_root.rglob("*.png"))) == 17


def test_every_split_but_tune_holds_every_cell_from_the_smallest_size_on(tmp_path: Path) -> None:
    mentions = demo_world(tmp_path / "small", num_entities=100, num_images=0).mentions
    assert set(mentions["split"]) == set(SPLITS)
    for split in ("train", "dev", "test"):
        assert set(mentions.loc[mentions["split"] == split, "type"]) == {"name", "context", "image", "both", "nil"}


def test_splits_share_no_gold_and_no_surname(world: Dataset) -> None:
    for column in ("entity_id", "surname"):
        table = world.mentions.assign(surname=world.mentions["mention"].str.split().str[-1]).dropna(subset=[column])
        assert (table.groupby(column)["split"].nunique() == 1).all()


def test_train_dev_test_and_kb_share_no_drawing_style(world: Dataset) -> None:
    train, tune, dev, test = (styles(world.split(split)) for split in SPLITS)
    assert not train & dev
    assert not train & test
    assert not dev & test
    assert tune <= train


def test_half_or_more_of_the_kb_is_never_named(world: Dataset) -> None:
    assert world.mentions["entity_id"].dropna().nunique() <= len(world.entities) / 2


def test_nil_mentions_and_only_they_have_no_gold(world: Dataset) -> None:
    assert (world.mentions["entity_id"].isna() == (world.mentions["type"] == "nil")).all()
    names = set(world.entities["name"])
    assert not names & set(world.mentions.loc[world.mentions["type"] == "nil", "mention"])


def test_a_world_of_millions_has_a_surname_for_each_family() -> None:
    names = surnames(270_500)
    assert len(set(names)) == len(names) >= 270_500
    assert names[:270_000] == surnames(2_000)  # smaller worlds stay what they are


def test_full_names_are_unique_and_surnames_are_not(world: Dataset) -> None:
    assert world.entities["name"].is_unique
    assert world.entities["name"].str.split().str[-1].value_counts().median() == 9


def test_the_mention_stands_where_start_and_end_say(world: Dataset) -> None:
    told = world.mentions[world.mentions["context"] != ""]
    found = [text[int(a) : int(b)] for text, a, b in zip(told["context"], told["start"], told["end"], strict=True)]
    assert found == told["mention"].tolist()
    assert world.mentions.loc[world.mentions["context"] == "", "start"].isna().all()


def test_some_images_contexts_and_texts_are_missing(world: Dataset) -> None:
    assert 0.02 < (world.mentions["images"].map(len) == 0).mean() < 0.12
    assert 0.01 < (world.mentions["context"] == "").mean() < 0.08
    assert 0.06 < (world.entities["images"].map(len) == 0).mean() < 0.2
    for variant in ("brief", "refreshed"):
        assert 0.01 < world.texts(variant).isna().mean() < 0.08


def test_all_image_files_have_one_size_and_exist(world: Dataset) -> None:
    paths = [path for table in (world.mentions, world.entities) for images in table["images"] for path in images]
    assert len({(world.image_root / path).stat().st_size for path in paths}) == 1
    assert len(set(paths)) == len(paths)
    assert Image.open(world.image_root / paths[0]).size == (64, 64)


@pytest.mark.parametrize("context", [False, True])
@pytest.mark.parametrize("image", [False, True])
@pytest.mark.parametrize("cell", ["context", "image", "both", "name"])
def test_the_true_facts_give_exactly_the_stated_chance(world: Dataset, cell: str, context: bool, image: bool) -> None:
    rows = world.mentions[(world.mentions["type"] == cell) & (world.mentions["context"] != "")]
    rows = rows[rows["images"].map(len) > 0]
    right = solve(world.entities, rows, context=context, image=image)
    assert np.allclose(right, chance(cell, context=context, image=image))


def test_the_ceiling_is_near_one_with_what_is_missing(world: Dataset) -> None:
    right = pd.Series(solve(world.entities, world.mentions)).groupby(world.mentions["type"]).mean()
    assert right.min() > 0.9


@pytest.mark.parametrize(
    ("part", "cell"), [("looks", "image"), ("looks", "both"), ("facts", "context"), ("facts", "both")]
)
def test_shuffled_evidence_falls_to_the_floor(world: Dataset, part: str, cell: str) -> None:
    rows = world.mentions[world.mentions["type"] == cell]
    told = [json.loads(text) for text in rows["attributes"]]
    order = np.random.default_rng(0).permutation(len(told))
    mixed = [json.dumps(own | {part: told[i][part]}) for own, i in zip(told, order, strict=True)]
    # A namesake's evidence may come back to its own family: a few hits remain.
    assert solve(world.entities, rows.assign(attributes=mixed)).mean() < chance(cell) + 0.1


def test_refreshed_says_what_brief_does_not(world: Dataset) -> None:
    brief, refreshed = (world.texts(variant).dropna() for variant in ("brief", "refreshed"))
    assert refreshed.str.contains(" coat").mean() > 0.85
    assert not brief.str.contains(" coat").any()
    assert refreshed.str.len().mean() > 2 * brief.str.len().mean()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_entities": 99}, "between 100 and 1,000,000 entities"),
        ({"num_entities": 1_000_001}, "1,000,001"),
        ({"num_images": -1}, "images from 0 on"),
        ({"num_mentions": 3}, "at least 143 mentions"),
    ],
)
def test_sizes_out_of_range_are_refused(tmp_path: Path, arguments: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        demo_world(tmp_path / "world", **arguments)
    assert not (tmp_path / "world").exists()


def test_what_models_said_of_a_world_is_not_dropped_unasked(tmp_path: Path) -> None:
    world = demo_world(tmp_path / "world", num_entities=100, num_images=0)
    record = world.root / "answers" / "new.jsonl"
    record.parent.mkdir()
    record.write_text("paid for")
    add_texts(world.root, "new", world.text_table("brief"), model="mine")
    with pytest.raises(ConfigError, match="a demo world, written before"):
        demo_world(world.root, num_entities=100, num_images=0)
    for overwrite in (True, False):  # the record is kept, and is none of the texts that stand there
        world = demo_world(world.root, num_entities=100, num_images=0, overwrite=overwrite)
        assert (world.variants, record.exists()) == (["brief", "refreshed"], True)
    write_captions(world, ["A portrait."] * len(world.mentions), overwrite=False)
    with pytest.raises(ConfigError, match="a demo world, written before"):
        demo_world(world.root, num_entities=100, num_images=0)
