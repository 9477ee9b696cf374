"""A field of an owner may have several vectors: images, tokens, patches."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from embedding import embedded
from numpy.typing import NDArray
from PIL import Image

from dim.core.jobs import Block, Plan, Workplace
from dim.data.dataset import Dataset, write_dataset
from dim.encoders.base import Features, TextEncoder
from dim.encoders.tiny import TinyImageEncoder, TinyTextEncoder
from dim.errors import ConfigError, DataError
from dim.features.batch import FeatureTable
from dim.features.cache import FieldFeatures
from dim.features.fields import Choices
from dim.features.live import LiveEncoder, ReadyImage
from dim.linker.images import ImageReader

BROKEN = "broken.png"
TEXTS = ["ada sees paris", "", "x", "ada", "one two three four five"]


class Words(TextEncoder):
    """A vector a word."""

    width = 16
    fingerprint = "Words:1"

    def num_vectors(self, texts: Sequence[str]) -> NDArray[np.int64]:
        return np.array([len(text.split()) for text in texts], np.int64)

    def encode_text(self, texts: Sequence[str]) -> Features:
        words = [word for text in texts for word in text.split()]
        return TinyTextEncoder(16).encode_text(words) if words else np.zeros((0, 16), np.float32)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    root = tmp_path_factory.mktemp("many")
    (root / "images").mkdir()
    for i in range(3):
        spots = np.random.default_rng(i).integers(0, 255, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(spots).resize((64, 48)).save(root / "images" / f"{i}.png")
    (root / "images" / BROKEN).write_bytes(b"no image")
    images = [
        ["0.png", "1.png", "2.png"],
        [BROKEN, "1.png"],
        [],
        [BROKEN],
        ["2.png", BROKEN, "0.png"],
    ]
    ids = [f"e{i}" for i in range(len(TEXTS))]
    return write_dataset(
        root / "dataset",
        name="many",
        entities=pd.DataFrame({"id": ids, "name": ids, "images": [[]] * 5}),
        texts={"brief": pd.DataFrame({"entity_id": ids, "text": TEXTS})},
        mentions=pd.DataFrame(
            {"id": ids, "split": "train", "mention": ids, "context": "", "entity_id": ids, "images": images}
        ),
        image_root="../images",
    )


def table_of(features: FieldFeatures) -> FeatureTable:
    parts = (features.matrix, features.rows, features.starts, features.lengths)
    return FeatureTable(*(None if part is None else torch.from_numpy(np.array(part)) for part in parts))


def features_of(dataset: Dataset, cache: Path, **options: object) -> dict[str, FieldFeatures]:
    return embedded(dataset, cache, **{"max_missing_images": 1.0, "batch_size": 2, **options})


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 0), ("float16", 1e-3)])
def test_a_text_has_a_vector_a_word(dataset: Dataset, tmp_path: Path, dtype: str, tolerance: float) -> None:
    features = features_of(dataset, tmp_path, text_encoder=Words(), dtype=dtype)["text"]
    assert features.matrix.dtype == np.dtype(dtype)
    assert features.manifest["num_vectors"] == len(features.matrix) == 10
    vectors, mask = table_of(features).take(torch.arange(5))
    assert mask.sum(1).tolist() == [3, 0, 1, 1, 5]
    assert vectors.dtype == torch.float32
    for row, text in enumerate(TEXTS):
        expected = Words().encode_text([text])
        np.testing.assert_allclose(vectors[row, : len(expected)].numpy(), expected, atol=tolerance)
        assert not vectors[row, len(expected) :].any()


def test_an_owners_usable_images_count_up_to_the_number_that_is_asked_for(dataset: Dataset, tmp_path: Path) -> None:
    encoder = TinyImageEncoder()
    alone = [
        encoder.encode_image(
            np.stack([encoder.preprocess(Image.open(dataset.image_root / f"{i}.png").convert("RGB"))])
        )[0]
        for i in range(3)
    ]
    for most, of_owners in (
        (1, [[0], [1], [], [], [2]]),
        (2, [[0, 1], [1], [], [], [2, 0]]),
        (5, [[0, 1, 2], [1], [], [], [2, 0]]),
    ):
        features = features_of(dataset, tmp_path, image_encoder=encoder, num_images=most)["image"]
        vectors, mask = table_of(features).take(torch.arange(5))
        assert mask.sum(1).tolist() == [len(images) for images in of_owners]
        for row, images in enumerate(of_owners):
            for place, image in enumerate(images):
                np.testing.assert_allclose(vectors[row, place].numpy(), alone[image], atol=1e-6)
        live = LiveEncoder(Choices(image_encoder=encoder, num_images=most))
        reader = ImageReader(live, ("image",))
        asked: list[ReadyImage | None] = []
        for paths in dataset.mentions["images"]:
            try:
                asked.append(reader.open([dataset.image_root / path for path in paths]))
            except DataError:
                asked.append(None)
        given = live.mentions([""] * 5, [""] * 5, asked, ("image",)).fields["image"]
        assert torch.equal(given.mask.sum(1), mask.sum(1))
        np.testing.assert_allclose(
            given.mean()[0].numpy(), table_of(features).take(torch.arange(5)).mean()[0], atol=1e-6
        )
    with pytest.raises(ConfigError, match="at least 1 image an owner"):
        features_of(dataset, tmp_path, image_encoder=encoder, num_images=0)


def test_one_of_each_is_the_mean(dataset: Dataset, tmp_path: Path) -> None:
    table = table_of(features_of(dataset, tmp_path, text_encoder=Words())["text"])
    one, owners = table.one_each(), torch.arange(5)
    assert one.starts is None
    np.testing.assert_allclose(one.take(owners).mean()[0], table.take(owners).mean()[0], atol=1e-7)


def test_killed_between_blocks_of_many_sizes_it_goes_on(tmp_path: Path) -> None:
    plan, counts = Plan("k", 5, 2, 2), np.array([3, 0, 1, 2, 4])
    values = np.arange(20, dtype=np.float16).reshape(10, 2)
    work = Workplace(tmp_path / "work", plan, counts, "float16")
    work.write(Block(1, values[3:6].astype(np.float32)))
    again = Workplace(tmp_path / "work", plan, counts, "float16")
    assert again.pending == [0, 2]
    again.write(Block(2, values[6:]))
    again.write(Block(0, values[:3]))
    again.publish(tmp_path / "done")
    assert np.array_equal(np.load(tmp_path / "done" / "matrix.npy"), values)
    with pytest.raises(DataError, match="as float16 holds"):
        Workplace(tmp_path / "other", plan, counts, "float16").write(Block(0, np.full((3, 2), 1e6, np.float32)))


def test_what_it_takes_on_the_disk_is_said_before(
    dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    features_of(
        dataset, tmp_path, text_encoder=Words(), progress=True, leave_out=["mention", "context", "caption", "name"]
    )
    said = " ".join(capsys.readouterr().err.split())
    assert said.index("text 10 vectors of 16 float32, 0 MB on the disk") < said.index("text embedded")
