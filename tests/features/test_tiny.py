from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dim.demo.drawing import STYLES, Picture, draw
from dim.demo.vocabulary import LOOKS
from dim.encoders.tiny import TinyImageEncoder, TinyTextEncoder
from dim.encoders.tiny_captioner import TinyCaptioner
from dim.errors import ConfigError


def pictures(style: str, count: int = 60) -> list[tuple[dict[str, str], Image.Image]]:
    rng = np.random.default_rng(0)
    result = []
    for _ in range(count):
        codes = tuple(int(rng.integers(len(values))) for values in LOOKS.values())
        looks = {kind: list(values)[code] for (kind, values), code in zip(LOOKS.items(), codes, strict=True)}
        moved = (int(rng.integers(-2, 3)), int(rng.integers(-2, 3)))
        result.append((looks, draw(Picture("x.png", style, codes, moved))))
    return result


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(max_size=40), min_size=1, max_size=8))
def test_a_text_has_the_same_finite_row_alone_and_in_any_batch(texts: list[str]) -> None:
    encoder = TinyTextEncoder(64)
    rows = encoder.encode_text(texts)
    assert rows.shape == (len(texts), 64)
    assert rows.dtype == np.float32
    assert np.isfinite(rows).all()
    for row, text in zip(rows, texts, strict=True):
        assert np.array_equal(row, encoder.encode_text([text])[0])


def test_text_rows_have_length_one_or_zero_where_there_is_no_word() -> None:
    lengths = np.linalg.norm(TinyTextEncoder().encode_text(["Ada Moreau", "a of the", ""]), axis=1)
    assert lengths == pytest.approx([1, 0, 0])


def test_no_texts_give_no_rows() -> None:
    assert TinyTextEncoder(64).encode_text([]).shape == (0, 64)


def test_another_process_with_another_hash_seed_gives_the_same_text_row() -> None:
    code = (
        "from dim.encoders.tiny import TinyTextEncoder;"
        "print(TinyTextEncoder(32).encode_text(['Ada Moreau plays chess'])[0].tolist())"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONHASHSEED": "77"}, capture_output=True, text=True, check=True
    )
    assert json.loads(answer.stdout) == TinyTextEncoder(32).encode_text(["Ada Moreau plays chess"])[0].tolist()


def test_spelling_variants_are_nearer_than_other_names() -> None:
    name, variant, other = TinyTextEncoder().encode_text(["Kaldemont", "Kaldemond", "Versholm"])
    assert name @ variant > name @ other + 0.1


def test_a_pair_of_words_binds_a_colour_to_its_noun() -> None:
    texts = ["green coat blue hat", "green coat blue hat today", "blue coat green hat today"]
    query, same, swapped = TinyTextEncoder().encode_text(texts)
    assert query @ same > query @ swapped


@pytest.mark.parametrize("width", [8, 33])
def test_a_width_that_cannot_be_halved_or_is_too_small_is_refused(width: int) -> None:
    with pytest.raises(ConfigError, match="even width of at least 16"):
        TinyTextEncoder(width)


class _TokensEncoder(TinyTextEncoder):
    def __init__(self, tokens: bool = True, **options: Any) -> None:
        super().__init__(tokens=tokens, **options)


def test_the_options_that_an_encoder_was_made_with_make_it_again() -> None:
    made: list[tuple[TinyTextEncoder, dict[str, Any]]] = [
        (TinyTextEncoder(256, tokens=True), {"width": 256, "tokens": True}),
        (_TokensEncoder(width=256), {"width": 256}),
        (_TokensEncoder(False, width=256), {"tokens": False, "width": 256}),
    ]
    for encoder, stated in made:
        assert encoder.stated == stated
        assert type(encoder)(**stated).fingerprint == encoder.fingerprint


def test_fingerprints_tell_widths_and_encoders_apart() -> None:
    assert len({TinyTextEncoder(32).fingerprint, TinyTextEncoder(64).fingerprint, TinyImageEncoder().fingerprint}) == 3
    assert TinyTextEncoder(32).fingerprint == TinyTextEncoder(32).fingerprint


@pytest.mark.parametrize("size", [(1, 1), (64, 64), (300, 7)])
@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (10, 200, 90)])
def test_an_image_of_any_size_and_colour_has_a_finite_row(size: tuple[int, int], colour: tuple[int, int, int]) -> None:
    encoder = TinyImageEncoder()
    pixels = encoder.preprocess(Image.new("RGB", size, colour))
    rows = encoder.encode_image(np.stack([pixels, pixels]))
    assert pixels.shape == (32, 32, 3)
    assert rows.shape == (2, encoder.width)
    assert rows.dtype == np.float32
    assert np.linalg.norm(rows, axis=1) == pytest.approx([1, 1])


def test_the_same_looks_in_another_style_are_nearer_than_other_looks_in_the_same_style() -> None:
    encoder = TinyImageEncoder()

    def rows(style: str) -> np.ndarray:
        return encoder.encode_image(np.stack([encoder.preprocess(image) for _, image in pictures(style)]))

    found = (rows("pastel") @ rows("flat").T).argmax(axis=1) == np.arange(60)
    assert found.mean() > 10 / 60  # chance is 1/60


@pytest.mark.parametrize("style", STYLES)
def test_the_captioner_names_what_is_drawn(style: str) -> None:
    drawn = pictures(style)
    captions = TinyCaptioner().caption([image for _, image in drawn])
    for kind, noun in (("coat", " coat"), ("hair", " hair"), ("object", ""), ("place", "")):
        named = [looks[kind] + noun in caption for (looks, _), caption in zip(drawn, captions, strict=True)]
        assert np.mean(named) > 0.9, kind
    hats = [(looks["hat"] != "none") == (" hat" in text) for (looks, _), text in zip(drawn, captions, strict=True)]
    glasses = [
        (looks["glasses"] != "none") == ("glasses" in text) for (looks, _), text in zip(drawn, captions, strict=True)
    ]
    assert min(np.mean(hats), np.mean(glasses)) > 0.9


def test_a_picture_of_nothing_still_has_a_caption() -> None:
    caption, *rest = TinyCaptioner().caption([Image.new("RGB", (5, 9), (200, 40, 40))])
    assert caption.startswith("a person with ")
    assert not rest


def test_tokens_are_the_text_and_each_of_its_words_as_they_are_alone() -> None:
    encoder, plain = TinyTextEncoder(64, tokens=True), TinyTextEncoder(64)
    texts = ["Ada Moreau of the plains", "", "chess"]
    counts = encoder.num_vectors(texts)
    assert counts is not None
    assert counts.tolist() == [4, 1, 2]
    parts = [texts[0], "ada", "moreau", "plains", "", "chess", "chess"]
    assert np.array_equal(encoder.encode_text(texts), plain.encode_text(parts))
    assert encoder.fingerprint != plain.fingerprint


def test_patches_are_parts_of_the_image_that_hold_each_column_once() -> None:
    encoder, plain = TinyImageEncoder(patches=True), TinyImageEncoder()
    pixels = np.stack([plain.preprocess(image) for _, image in pictures("flat", 3)])
    found = encoder.encode_image(pixels).reshape(3, encoder.num_patches, encoder.width)
    whole = plain.encode_image(pixels)
    np.testing.assert_allclose(found[:, 0], whole, atol=1e-6)
    in_cells = encoder._in_cells()
    assert in_cells.sum(0).tolist() == [1] * encoder.width
    for cell, own in enumerate(in_cells, start=1):
        part = whole * own
        np.testing.assert_allclose(found[:, cell], part / np.linalg.norm(part, axis=1, keepdims=True), atol=1e-5)
    other = pixels.copy()
    other[:, :8, :8] = 255 - other[:, :8, :8]  # the first cell alone
    changed = np.abs(encoder.encode_image(other).reshape(found.shape) - found).max(axis=(0, 2)) > 1e-6
    assert changed[:2].all()
    assert not changed[2:].any()
