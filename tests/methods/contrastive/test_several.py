"""Several images of a mention and an entity, and texts by their tokens: trained, saved, opened and asked."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fit_options import fit_options
from tiny_text import write_bert

from dim.__main__ import main
from dim.data.dataset import Dataset, write_dataset
from dim.demo import demo_world
from dim.linker import Linker

SMALL = ["--model", "DIM", "--model.width", "32", "--model.num_heads", "2", "--trainer.max_epochs", "1"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A demo world in which mentions and entities with an image have a second one: of another."""
    root = tmp_path_factory.mktemp("several")
    one = demo_world(root / "one", num_entities=180, seed=1)

    def doubled(images: pd.Series) -> list[list[str]]:
        listed = [list(paths) for paths in images]
        others = [paths[0] for paths in listed if paths]
        following = iter([*others[1:], others[0]])
        return [[*paths, next(following)] if paths else [] for paths in listed]

    return write_dataset(
        root / "world",
        name="several",
        entities=one.entities.assign(images=doubled(one.entities["images"])),
        texts={"brief": pd.DataFrame({"entity_id": one.entities["id"], "text": one.texts("brief").to_numpy()})},
        mentions=one.mentions.assign(images=doubled(one.mentions["images"])),
        image_root=str(one.image_root.absolute()),
    )


def asked(world: Dataset, num_images: int) -> list[dict[str, object]]:
    rows = world.split("dev").head(40)
    return [
        {
            "mention": row.mention,
            "context": row.context or "",
            "image": [str(world.image_root / path) for path in row.images][:num_images] or None,
        }
        for row in rows.itertuples()
    ]


def scores(linker: Linker, questions: Sequence[dict[str, object]]) -> list[list[tuple[str, float]]]:
    return [[(answer.id, answer.score) for answer in answers] for answers in linker.link_batch(questions, top_k=5)]


@pytest.mark.parametrize("several", ["mean", pytest.param("sum", marks=pytest.mark.long), "attention"])
def test_two_images_count_in_training_evaluation_and_answers_alike(
    world: Dataset, tmp_path: Path, several: str
) -> None:
    encoders = ["--data.text_encoder", "TinyTextEncoder", "--data.image_encoder", "TinyImageEncoder"]
    options = ["--data.num_images", "2", "--data.feature_dtype", "float16", "--model.several", several]
    options += [] if several == "mean" else ["--model.fusion", several]
    run = tmp_path / "run"
    assert main(["fit", *fit_options(world.root, run, *encoders, *SMALL, *options)]) == 0
    linker = Linker.from_checkpoint(run, device="cpu")
    found = scores(linker, asked(world, 2))
    ranks = pd.read_parquet(run / "ranks.parquet").query("split == 'dev'").head(40)
    for answers, ids, values in zip(found, ranks["top_ids"], ranks["top_scores"], strict=True):
        np.testing.assert_allclose([score for _, score in answers], values[:5], atol=2e-3)  # what float16 rounds
        assert answers[0][0] in ids[:3]
    assert found != scores(linker, asked(world, 1))
    linker.save(tmp_path / "linker")
    opened = Linker.from_pretrained(tmp_path / "linker", device="cpu")
    assert opened.live.choices.num_images == 2
    assert scores(opened, asked(world, 2)) == found


def test_the_mean_of_tokens_ranks_as_the_pooled_text_does(world: Dataset, tmp_path: Path) -> None:
    bert = write_bert(tmp_path / "bert")
    found = []
    for pooling in ("mean", "tokens"):
        encoder = ["--data.text_encoder", "TransformersTextEncoder", "--data.text_encoder.path", str(bert)]
        more = ["--data.text_encoder.pooling", pooling, "--model.dropout", "0"]
        assert main(["fit", *fit_options(world.root, tmp_path / pooling, *encoder, *SMALL, *more)]) == 0
        linker = Linker.from_checkpoint(tmp_path / pooling, device="cpu")
        found.append(scores(linker, asked(world, 0)))
    for pooled, by_tokens in zip(*found, strict=True):
        np.testing.assert_allclose([score for _, score in pooled], [score for _, score in by_tokens], atol=1e-3)
