"""The KB's parts, kept and compared some at a time, against all at once; the loss against its formula."""

import math

import pytest
import torch
from torch import Tensor

from dim.features.batch import FieldVectors
from dim.methods.mimic.entity_cache import EntityCache, joined
from dim.methods.mimic.interactions import Interactions, joint
from dim.methods.mimic.matcher import UNITS, Matcher, Unit
from dim.methods.mimic.module import _contrast

TEXTS, IMAGES = [4, 1, 3, 0, 4, 2, 1], [3, 3, 0, 3, 3, 3, 0]  # tokens and patches of seven owners


def field(lengths: list[int], width: int) -> FieldVectors:
    mask = torch.arange(max(1, *lengths)) < torch.tensor(lengths)[:, None]
    return FieldVectors(torch.randn(*mask.shape, width) * mask[:, :, None], mask)


@pytest.fixture
def matcher() -> Matcher:
    torch.manual_seed(0)
    return Matcher(UNITS, 6, 5, 8, 4, 0.0, "mean", "first").eval()


@pytest.fixture
def fields(matcher: Matcher) -> tuple[dict[str, FieldVectors], dict[str, FieldVectors]]:
    mentions = {"text": field(TEXTS[::-1], 6), "image": field(IMAGES, 5)}
    return mentions, {"text": field(TEXTS, 6), "image": field(IMAGES[::-1], 5)}


def parts_of(fields: dict[str, FieldVectors], rows: slice) -> dict[str, FieldVectors]:
    return {name: FieldVectors(*(each[rows] for each in values)) for name, values in fields.items()}


def whole(matcher: Matcher, fields: tuple[dict[str, FieldVectors], dict[str, FieldVectors]]) -> Tensor:
    """All scores at once, with padding."""
    with torch.no_grad():
        return joint(matcher(matcher.of_mentions(fields[0]), matcher.of_entities(fields[1])))


def interactions(matcher: Matcher, fields: tuple[dict[str, FieldVectors], ...], kind: str) -> Interactions:
    with torch.no_grad():
        batches = [matcher.of_entities(parts_of(fields[1], rows)) for rows in (slice(0, 3), slice(3, 7))]
        return Interactions(matcher, matcher.of_mentions(fields[0]), [EntityCache.of(batches, kind)])  # type: ignore[arg-type]


@pytest.mark.parametrize("most", [1, 5, 4096])
def test_scores_in_chunks_are_those_of_all_at_once(
    matcher: Matcher, fields: tuple[dict[str, FieldVectors], ...], most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dim.methods.mimic.entity_cache.TOKENS_AT_ONCE", {"cpu": most})
    expected, scores = whole(matcher, fields), interactions(matcher, fields, "float32")
    rows = torch.tensor([[3, 0, 6]] * 7)
    torch.testing.assert_close(scores.at(rows), expected.gather(1, rows), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(scores.whole(), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(scores.of(slice(2, 6)), expected[:, 2:6], atol=1e-5, rtol=1e-5)
    assert torch.equal(scores.at(rows), scores.whole().gather(1, rows))  # held by now


@pytest.mark.parametrize("units", [("text",), ("vision",), ("cross",), ("vision", "cross")])
def test_units_alone_are_compared_as_all_are(
    fields: tuple[dict[str, FieldVectors], ...], units: tuple[Unit, ...]
) -> None:
    some = Matcher(units, 6, 5, 8, 4, 0.0, "mean", "first").eval()
    expected, scores = whole(some, fields), interactions(some, fields, "float32")
    torch.testing.assert_close(scores.whole(), expected, atol=1e-5, rtol=1e-5)


def test_of_a_larger_kb_some_mentions_have_to_the_last_digit_what_all_have(
    matcher: Matcher, fields: tuple[dict[str, FieldVectors], ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = whole(matcher, fields)
    for name in ("dim.methods.mimic.interactions.SLICE", "dim.search.scores.SLICE"):
        monkeypatch.setattr(name, 3)
    scores = interactions(matcher, fields, "float32")
    some, parts = torch.tensor([5, 2]), list(scores.slices())
    assert len(parts) == 3
    for part in parts:
        torch.testing.assert_close(scores.of(part), expected[:, part], atol=1e-5, rtol=1e-5)
        assert torch.equal(scores.of_some(part, some), scores.of(part)[some])


@pytest.mark.parametrize(("kind", "error"), [("float16", 2e-3), ("int8", 2e-2)])
def test_a_rounded_cache_is_smaller_and_near(
    matcher: Matcher, fields: tuple[dict[str, FieldVectors], ...], kind: str, error: float
) -> None:
    expected, scores, exact = (
        whole(matcher, fields),
        interactions(matcher, fields, kind),
        interactions(matcher, fields, "float32"),
    )
    torch.testing.assert_close(scores.whole(), expected, atol=error * float(expected.abs().max()), rtol=0)
    assert scores.caches[0].nbytes < exact.caches[0].nbytes
    assert not torch.equal(scores.whole(), expected)


def test_caches_side_by_side_joined_and_taken_from_score_alike(
    matcher: Matcher, fields: tuple[dict[str, FieldVectors], ...]
) -> None:
    with torch.no_grad():
        mentions = matcher.of_mentions(fields[0])
        caches = [
            EntityCache.of([matcher.of_entities(parts_of(fields[1], rows))], "int8")
            for rows in (slice(0, 3), slice(3, 4), slice(4, 7))
        ]
    kept = torch.tensor([1, 3, 4, 6])
    beside = Interactions(matcher, mentions, caches, kept).whole()
    together = Interactions(matcher, mentions, [joined(caches)], kept).whole()
    taken = Interactions(matcher, mentions, [joined(caches).take(kept)]).whole()
    assert torch.equal(together, taken)
    torch.testing.assert_close(beside, together)


def test_a_method_of_the_text_unit_alone_scores_by_it(fields: tuple[dict[str, FieldVectors], ...]) -> None:
    torch.manual_seed(0)
    matcher = Matcher(("text",), 6, 0, 8, 4, 0.0, "last", "first").eval()
    scores = interactions(matcher, fields, "float32")
    torch.testing.assert_close(scores.whole(), whole(matcher, fields), atol=1e-5, rtol=1e-5)
    assert set(scores.caches[0].vectors) == {"text_whole", "text_target"}


@pytest.mark.parametrize(("kind", "places"), [("first", [0, 0, 0]), ("last", [2, 0, 0])])
def test_a_text_stands_for_itself_by_one_of_its_vectors(kind: str, places: list[int]) -> None:
    torch.manual_seed(0)
    matcher = Matcher(("text",), 6, 0, 6, 4, 0.0, kind, "first")  # type: ignore[arg-type]
    given = field([3, 1, 0], 6)
    found = matcher.of_mentions({"text": given}).text
    assert found is not None
    assert matcher.texts is not None
    vectors = torch.stack([given.vectors[row, place] for row, place in enumerate(places)])
    expected = matcher.texts.norm_whole(matcher.texts.whole(vectors))
    torch.testing.assert_close(found.whole[:2], expected[:2])
    assert not found.whole[2].any()  # without a text there is nothing


def test_the_loss_is_the_papers_and_leaves_out_what_is_no_negative() -> None:
    torch.manual_seed(0)
    scores, left_out = torch.randn(3, 3), torch.tensor([[0, 1, 0], [1, 0, 0], [0, 0, 0]]).bool()
    expected = 0.0
    for row in range(3):
        others = [column for column in range(3) if not left_out[row, column]]
        expected -= math.log(math.exp(scores[row, row]) / sum(math.exp(scores[row, column]) for column in others))
    torch.testing.assert_close(_contrast(scores, left_out), torch.tensor(expected / 3))
