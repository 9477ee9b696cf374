"""Probes that learn: what must not help does not, what must help does, measured in the same test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image
from sklearn.linear_model import LogisticRegression, Ridge

from dim.data.dataset import Dataset
from dim.demo import chance, demo_world
from dim.encoders.tiny import TinyTextEncoder
from dim.encoders.tiny_captioner import TinyCaptioner

Vectors = NDArray[np.float32]
MARGIN = 0.12  # three standard errors of a share near 1/9 or 1/3 among 90 to 140 rows


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return demo_world(tmp_path_factory.mktemp("demo") / "world", num_entities=800, seed=5)


@pytest.fixture(scope="module")
def evidence(world: Dataset) -> dict[str, Vectors]:
    """Rows of features for each mention: of its sentence, of what the captioner sees."""
    captions = []
    for images in world.mentions["images"]:
        captions += TinyCaptioner().caption([Image.open(world.image_root / images[0])]) if len(images) else [""]
    encode = TinyTextEncoder(1024).encode_text
    return {"context": encode(world.mentions["context"].tolist()), "image": encode(captions)}


def probe(world: Dataset, features: Vectors) -> dict[str, float]:
    """Top-1 among namesakes by cell, of a ridge regression from evidence to the gold's text, fitted on train."""
    mentions, entities = world.mentions, world.entities
    texts = TinyTextEncoder(1024).encode_text([text or "" for text in world.texts("refreshed")]).astype(np.float64)
    surnames = entities["name"].str.split().str[-1]
    families = surnames.groupby(surnames).indices
    texts -= np.stack([texts[families[surname]].mean(0) for surname in surnames])
    known = mentions["entity_id"].notna().to_numpy()
    gold = world.entity_index.get_indexer(pd.Index(mentions["entity_id"].where(known, "").to_numpy(dtype=object)))
    train = known & (mentions["split"] == "train").to_numpy()
    model = Ridge(alpha=1.0).fit(features[train], texts[gold[train]])
    held_out = np.flatnonzero(known & mentions["split"].isin(["dev", "test"]).to_numpy())
    right = []
    for row, guess in zip(held_out, model.predict(features[held_out]), strict=True):
        namesakes = families[mentions["mention"].iloc[row].split()[-1]]
        right.append(namesakes[np.argmax(texts[namesakes] @ guess)] == gold[row])
    by_cell = pd.Series(right).groupby(mentions["type"].to_numpy()[held_out]).mean()
    return {str(cell): float(share) for cell, share in by_cell.items()}


def test_the_context_alone_is_at_chance_where_the_image_decides(world: Dataset, evidence: dict[str, Vectors]) -> None:
    top1 = probe(world, evidence["context"])
    assert top1["image"] < chance("image", context=True) + MARGIN
    assert top1["both"] < chance("both", context=True) + MARGIN
    assert top1["context"] > chance("context") + 3 * MARGIN


def test_the_image_alone_is_at_chance_where_the_context_decides(world: Dataset, evidence: dict[str, Vectors]) -> None:
    top1 = probe(world, evidence["image"])
    assert top1["context"] < chance("context", image=True) + MARGIN
    assert top1["both"] < chance("both", image=True) + MARGIN
    assert top1["image"] > chance("image") + 3 * MARGIN


@pytest.mark.parametrize(("part", "cell"), [("context", "context"), ("image", "image")])
def test_shuffled_parts_fall_to_the_floor(world: Dataset, evidence: dict[str, Vectors], part: str, cell: str) -> None:
    mixed = evidence[part][np.random.default_rng(0).permutation(len(world.mentions))]
    assert probe(world, mixed)[cell] < chance(cell) + MARGIN


def numbers_in(texts: pd.Series) -> NDArray[np.float64]:
    """Each text's letters and digits as numbers, all texts being of one length."""
    return np.array([[ord(letter) for letter in text] for text in texts], dtype=np.float64)


def file_numbers(world: Dataset) -> NDArray[np.float64]:
    """File name and size of the mention's image (zeros where there is none)."""
    rows = []
    for images in world.mentions["images"]:
        path = images[0] if len(images) else None
        size = (world.image_root / path).stat().st_size if path else 0
        rows.append([float(ord(letter)) for letter in path or "-" * 23] + [float(size)])
    width = max(map(len, rows))
    return np.array([row + [0.0] * (width - len(row)) for row in rows])


def missing(world: Dataset) -> NDArray[np.float64]:
    mentions = world.mentions
    return np.column_stack([mentions["images"].map(len) == 0, mentions["context"] == ""]).astype(np.float64)


@pytest.mark.parametrize(
    "clue",
    [
        pytest.param(lambda world: numbers_in(world.mentions["id"]), id="mention id"),
        pytest.param(lambda world: np.arange(len(world.mentions), dtype=np.float64)[:, None], id="row order"),
        pytest.param(file_numbers, id="file name and size"),
        pytest.param(missing, id="missing mask"),
    ],
)
def test_clues_of_a_mention_tell_neither_its_cell_nor_whether_it_is_nil(
    world: Dataset, clue: Callable[[Dataset], NDArray[np.float64]]
) -> None:
    values = clue(world)
    values = (values - values.mean(0)) / (values.std(0) + 1e-9)
    train = (world.mentions["split"] == "train").to_numpy()
    for answer in (world.mentions["type"] == "image", world.mentions["entity_id"].isna()):
        wanted = answer.to_numpy()
        model = LogisticRegression(class_weight="balanced").fit(values[train], wanted[train])
        says = model.predict(values[~train])
        balanced = np.mean([(says[wanted[~train] == truth] == truth).mean() for truth in (False, True)])
        assert abs(balanced - 0.5) < MARGIN


def test_id_order_popularity_and_the_missing_mask_do_not_tell_which_entities_are_named(world: Dataset) -> None:
    entities = world.entities
    named = entities["id"].isin(set(world.mentions["entity_id"].dropna())).to_numpy()
    clues = {
        "row order": np.arange(len(entities)),
        "id": entities["id"].str[1:].astype(int).to_numpy(),
        "popularity": entities["popularity"].to_numpy(),
        "no image": (entities["images"].map(len) == 0).to_numpy(),
        "no brief": world.texts("brief").isna().to_numpy(),
        "no refreshed": world.texts("refreshed").isna().to_numpy(),
    }
    rng = np.random.default_rng(0)
    for clue, values in clues.items():
        seen = abs(np.corrcoef(values, named)[0, 1])
        by_luck = [abs(np.corrcoef(values, rng.permutation(named))[0, 1]) for _ in range(400)]
        assert seen <= max(by_luck), clue


def test_the_row_of_a_mention_tells_nothing_of_the_row_of_its_gold(world: Dataset) -> None:
    known = world.mentions.dropna(subset=["entity_id"])
    gold = world.entity_index.get_indexer(pd.Index(known["entity_id"].to_numpy(dtype=object)))
    assert abs(np.corrcoef(known.index.to_numpy(), gold)[0, 1]) < 4 / len(known) ** 0.5


def test_the_world_replaces_what_stood_there(tmp_path: Path) -> None:
    demo_world(tmp_path / "world", num_entities=100)
    again = demo_world(tmp_path / "world", num_entities=120, num_images=0, overwrite=True)
    assert len(again.entities) == 120
    assert not list((tmp_path / "world").rglob("*.png"))
