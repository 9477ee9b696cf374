"""What a caller gives is encoded as if it stood in a dataset."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from embedding import embedded
from PIL import Image

from dim.data.dataset import Dataset, write_dataset
from dim.encoders.base import Features
from dim.encoders.characters import CharacterEncoder
from dim.encoders.tiny import TinyImageEncoder, TinyTextEncoder
from dim.encoders.tiny_captioner import TinyCaptioner
from dim.errors import DataError
from dim.features.embed import FieldFeatures
from dim.features.fields import FIELDS, Choices, ContextReach
from dim.features.live import LiveEncoder, ReadyImage
from dim.images.batches import decoded_batches
from dim.images.given import open_image
from dim.images.reading import UnusableImageError
from dim.linker.images import ImageReader

ENCODERS = {
    "text_encoder": TinyTextEncoder(64),
    "image_encoder": TinyImageEncoder(),
    "name_encoder": CharacterEncoder(128),
    "captioner": TinyCaptioner(),
}
MENTION = ("mention", "context", "caption", "image", "spelling")
ENTITY = ("name", "text", "image", "spelling")
# Texts with and without words, of other scripts and of blanks; more of them than a batch.
NAMES = ["Ada", "Ada", "Zoë Ünal", "محمد", "东京", "O'Neil", "x", "Ada Moreau"]
TEXTS = ["Ada sees Paris.", "", "   ", "🙂", "ذهب محمد", "東京 {mention}", "the of", "Ada sees Paris."]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    root = tmp_path_factory.mktemp("live")
    (root / "images").mkdir()
    for i in range(3):
        spots = np.random.default_rng(i).integers(0, 255, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(spots).resize((64, 48)).save(root / "images" / f"{i}.png")
    images = [["0.png"], [], ["1.png"], ["2.png"], [], ["0.png"], ["1.png"], []]
    ids = [f"e{i}" for i in range(len(NAMES))]
    return write_dataset(
        root / "dataset",
        name="live",
        entities=pd.DataFrame({"id": ids, "name": NAMES, "images": images}),
        texts={"brief": pd.DataFrame({"entity_id": ids[:6], "text": TEXTS[:6]})},
        mentions=pd.DataFrame(
            {"id": ids, "split": "train", "mention": NAMES, "context": TEXTS, "entity_id": ids, "images": images}
        ),
        image_root="../images",
    )


def live(**options: object) -> LiveEncoder:
    return LiveEncoder(Choices(**{**ENCODERS, **options}), batch_size=3)  # type: ignore[arg-type]


def opened(dataset: Dataset, column: pd.Series, wanted: Sequence[str]) -> list[ReadyImage | None]:
    return [live().ready(open_image(dataset.image_root / paths[0]), wanted) if len(paths) else None for paths in column]


@pytest.mark.parametrize(
    ("options", "contexts", "described"),
    [
        ({"context_template": "{mention} [SEP] {context}", "context_reach": None}, 6, 4),
        ({"context_template": "{context}", "context_reach": None}, 6, 4),
        ({"context_template": "{context}", "context_reach": 4}, 6, 4),
        ({"text_template": "{name} . {text}"}, 6, 4),
        ({"context_template": "{mention} . {context}", "text_template": "{name}: {text}", "name_alone": True}, 8, 8),
    ],
)
def test_every_field_is_what_a_dataset_gives(
    dataset: Dataset, tmp_path: Path, options: dict[str, Any], contexts: int, described: int
) -> None:
    stored = embedded(dataset, tmp_path, **options, **ENCODERS)
    encoder, spelled = live(**options), ENCODERS["name_encoder"]
    mentions, entities = dataset.mentions, dataset.entities
    texts = [text or None for text in dataset.texts("brief")]
    asked = encoder.mentions(
        mentions["mention"].tolist(),
        mentions["context"].fillna("").tolist(),
        opened(dataset, mentions["images"], MENTION),
        MENTION,
    )
    known = encoder.entities(entities["name"].tolist(), texts, opened(dataset, entities["images"], ENTITY), ENTITY)
    batches = {"mention": asked, "entity": known}
    found = {field.name: batches[field.owner].fields[field.read_as].mean() for field in FIELDS}
    assert set(found) == set(stored)
    for name, (values, mask) in found.items():
        expected = stored[name]
        matrix = expected.matrix if isinstance(expected, FieldFeatures) else spelled.encode_text(expected.unique)
        assert np.array_equal(mask.numpy(), expected.rows >= 0), name
        assert not values[~mask].any()
        np.testing.assert_allclose(values[mask], matrix[expected.rows[expected.rows >= 0]], atol=1e-5)
    assert found["context"][1].sum() == contexts
    assert found["text"][1].sum() == described
    assert found["image"][1].sum() == found["caption"][1].sum() == 5


class ShortEncoder(TinyTextEncoder):
    """Reads 60 characters."""

    fingerprint = "short"

    def are_cut(self, texts: Sequence[str]) -> list[bool]:
        return [len(text) > 60 for text in texts]

    def encode_text(self, texts: Sequence[str]) -> Features:
        return super().encode_text([text[:60] for text in texts])


@pytest.mark.parametrize("reach", ["auto", 12, None])
def test_a_question_about_a_long_context_has_the_vector_of_its_row(tmp_path: Path, reach: ContextReach) -> None:
    long = "red and green " * 9
    contexts = [f"{long} Ada sees Paris {long}", f"Ada leaves {long} as Ada sees Rome", "Ada sees Oslo", long]
    spans = [None, (contexts[1].rindex("Ada"), contexts[1].rindex("Ada") + 3), None, None]
    mentions = pd.DataFrame({"id": list("abcd"), "split": "train", "mention": "Ada", "context": contexts})
    mentions["start"], mentions["end"] = [[span and span[side] for span in spans] for side in (0, 1)]
    entities = pd.DataFrame({"id": ["Q1"], "name": ["Ada"]})
    dataset = write_dataset(tmp_path / "d", name="d", entities=entities, texts={}, mentions=mentions)
    options = {"text_encoder": ShortEncoder(1024), "context_reach": reach}
    stored = embedded(dataset, tmp_path / "cache", **options)["context"]
    assert isinstance(stored, FieldFeatures)
    asked = LiveEncoder(Choices(**options)).mentions(["Ada"] * 4, contexts, [None] * 4, ("context",), spans)
    values, _ = asked.fields["context"].mean()
    np.testing.assert_allclose(values.numpy(), stored.dense(), atol=1e-6)
    from_start = ShortEncoder(1024).encode_text([f"Ada [SEP] {context}" for context in contexts])
    is_other = ~np.isclose(stored.dense(), from_start).all(axis=1)
    assert is_other.tolist() == ([False] * 4 if reach is None else [True, True, False, False])
    if reach == "auto":
        [paris] = ShortEncoder(1024).encode_text(["Ada [SEP] green red and green  Ada sees Paris red and green"])
        np.testing.assert_allclose(stored.dense()[0], paris, atol=1e-6)


def test_only_wanted_fields_that_have_an_encoder_are_encoded() -> None:
    given = (["Ada"], ["Ada sees Paris."], [None])
    assert set(live().mentions(*given, ("mention", "spelling")).fields) == {"mention", "spelling"}
    assert set(live(name_encoder=None, image_encoder=None).mentions(*given, MENTION).fields) == {
        "mention",
        "context",
        "caption",
    }
    assert set(live(text_encoder=None).entities(["Ada"], [None], [None], ENTITY).fields) == {"image", "spelling"}


def test_without_captioner_or_image_there_is_no_caption() -> None:
    picture = Image.new("RGB", (40, 40), "red")
    for encoder, given in ((live(captioner=None), picture), (live(), None)):
        images = [None if given is None else encoder.ready(given, MENTION)]
        values, mask = encoder.mentions(["Ada"], [""], images, MENTION).fields["caption"]
        assert not mask.any()
        assert not values.any()


def test_no_mentions_give_no_rows() -> None:
    for values, mask in live().mentions([], [], [], MENTION).fields.values():
        assert len(values) == len(mask) == 0


def test_an_image_that_cannot_be_used_says_why(tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 60, 3), dtype=np.uint8)).save(tmp_path / "whole.png")
    whole = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "half.png").write_bytes(whole[: len(whole) // 2])
    with Image.open(tmp_path / "half.png") as half, pytest.raises(UnusableImageError, match="unreadable"):
        open_image(half)
    closed = Image.open(tmp_path / "whole.png")
    closed.close()
    with pytest.raises(UnusableImageError, match="unreadable"):
        open_image(closed)
    for image, reason in (
        (b"", "empty file"),
        (whole[:-60], "unreadable"),
        (tmp_path / "absent.png", "not found"),
        (str(tmp_path), "not a file"),
        (Image.new("RGB", (0, 0)), "too narrow"),
        (Image.new("RGB", (1, 101)), "too narrow"),
    ):
        with pytest.raises(UnusableImageError, match=reason):
            open_image(image)


class Sized(TinyImageEncoder):
    """Has large JPEGs decoded at a part of their size, and gives of an image its size."""

    draft_side = 50

    def preprocess(self, image: Image.Image) -> Any:
        return np.array(image.size)


def test_a_large_jpeg_is_decoded_at_the_size_that_a_datasets_is(tmp_path: Path) -> None:
    path = tmp_path / "large.jpg"
    Image.new("RGB", (800, 400), "red").save(path)
    reader = ImageReader(live(image_encoder=Sized()), ("image",))
    (of_dataset,) = decoded_batches([("large.jpg",)], [[0]], tmp_path, Sized().preprocess, Sized.draft_side)
    for image in (path, str(path), path.read_bytes()):
        ready = reader.open(image)
        assert ready is not None
        assert ready.pixels[0].tolist() == of_dataset.inputs[0][0].tolist() == [100, 50]


def test_of_several_images_the_first_usable_one_is_described(dataset: Dataset) -> None:
    reader = ImageReader(live(num_images=2), ("image", "caption"))
    first, second = (reader.open(dataset.image_root / f"{place}.png") for place in (0, 1))
    both = reader.open([dataset.image_root / name for name in ("gone.png", "0.png", "1.png")])
    assert first is not None
    assert second is not None
    assert both is not None
    assert len(both.pixels) == 2
    assert np.array_equal(both.captioned, first.captioned)
    assert not np.array_equal(both.captioned, second.captioned)


def test_a_disk_that_fails_is_an_error_of_its_image() -> None:
    def fail(*_: object) -> Image.Image:
        raise OSError(5, "Input/output error")

    with pytest.raises(DataError, match=r"(?s)an image that can be read.*a\.png: .*Input/output error"):
        ImageReader(live(), ("image",), fail).open("a.png")


class Poisoned(TinyTextEncoder):
    """Gives NaN for one text, as an encoder in fp16 may."""

    def encode_text(self, texts: Sequence[str]) -> Features:
        found = super().encode_text(texts)
        found[[text == "Ada" for text in texts]] = np.nan
        return found


class Blind(TinyImageEncoder):
    def encode_image(self, pixels: Any) -> Features:
        return np.full_like(super().encode_image(pixels), np.inf)


def test_what_an_encoder_gives_of_an_entity_that_is_no_number_is_refused_by_name(dataset: Dataset) -> None:
    poisoned = live(text_encoder=Poisoned(64))
    with pytest.raises(DataError, match="of the field name\nfound    NaN or infinity for the entity 'Ada'"):
        poisoned.entities(["Bob", "Ada"], ["", ""], [None, None], ("name",))
    assert torch.isfinite(poisoned.entities(["Bob"], [""], [None], ("name",)).fields["name"].vectors).all()
    blind = live(image_encoder=Blind())
    image = blind.ready(open_image(dataset.image_root / "0.png"), ("image",))
    with pytest.raises(DataError, match="of the field image\nfound    NaN or infinity for the entity 'Bob'"):
        blind.entities(["Bob"], [""], [image], ("image",))
