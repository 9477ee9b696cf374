"""MIMIC's units against the paper's formulas, a pair, a token and a patch at a time."""

import math

import pytest
import torch
from torch import Tensor, nn

from dim.methods.mimic.units import CrossUnit, Dual, Side, TextUnit, VisionUnit

LENGTHS = {"mention": [3, 1, 2], "entity": [2, 4, 1, 3]}


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def side(owner: str, whole: int, local: int, lengths: list[int] | None = None) -> Side:
    lengths = LENGTHS[owner] if lengths is None else lengths
    mask = torch.arange(max(1, *lengths)) < torch.tensor(lengths)[:, None]
    return Side(torch.randn(len(lengths), whole), torch.randn(*mask.shape, local) * mask[:, :, None], mask)


def owners(given: Side) -> list[tuple[Tensor, list[Tensor]]]:
    """Each owner's global feature, and its local ones without padding."""
    assert given.mask is not None
    return [(whole, list(local[mask])) for whole, local, mask in zip(*given, strict=True)]


def scattered(unit: nn.Module) -> nn.Module:
    """A unit whose biases and gains are not what they are made with."""
    for parameter in unit.parameters():
        nn.init.normal_(parameter, std=0.5)
    return unit


def norm(vector: Tensor, layer: nn.LayerNorm) -> Tensor:
    mean = sum(vector) / len(vector)
    variance = sum((value - mean) ** 2 for value in vector) / len(vector)
    values = [(value - mean) / math.sqrt(variance + layer.eps) for value in vector]
    return torch.stack(values) * layer.weight + layer.bias


def attended(query: Tensor, keys: list[Tensor], values: list[Tensor], scale: float = 1.0) -> Tensor:
    weights = [math.exp(float(query @ key) * scale) for key in keys]
    return sum(w / sum(weights) * value for w, value in zip(weights, values, strict=True))


@torch.no_grad()
def test_the_text_unit_is_the_papers_formula() -> None:
    unit = scattered(TextUnit(width=6, local_width=5, hidden=4))
    mentions, entities = side("mention", 6, 5), side("entity", 6, 5)
    found = unit(unit.of_mentions(mentions), unit.of_entities(entities))
    for m, (t_m, tokens_m) in enumerate(owners(mentions)):
        for e, (t_e, tokens_e) in enumerate(owners(entities)):
            keys, values = ([layer(token) for token in tokens_m] for layer in (unit.key, unit.value))
            heard = [attended(unit.query(token), keys, values, 1 / math.sqrt(4)) for token in tokens_e]
            context = norm(sum(heard) / len(heard), unit.norm)
            expected = (t_m @ t_e + unit.target(t_e) @ context) / 2
            torch.testing.assert_close(found[m, e], expected, atol=1e-4, rtol=1e-4)


def dual(unit: Dual, query: Tensor, key: Tensor, patches: list[Tensor]) -> Tensor:
    asked, answer = unit.whole(query), unit.whole(key)
    pooled = sum(unit.local(patch) for patch in patches) / len(patches)
    mixed = unit.mix(norm(pooled + asked, unit.norm_sum))
    gated = norm(torch.tanh(unit.gate(mixed)) * mixed + answer, unit.norm)
    return gated @ norm(asked, unit.norm)


@torch.no_grad()
def test_the_vision_unit_is_the_papers_formula_in_both_directions() -> None:
    unit = scattered(VisionUnit(width=5, hidden=4))
    mentions, entities = side("mention", 5, 5), side("entity", 5, 5)
    found = unit(unit.of_mentions(mentions), unit.of_entities(entities))
    for m, (v_m, patches_m) in enumerate(owners(mentions)):
        for e, (v_e, patches_e) in enumerate(owners(entities)):
            expected = (dual(unit.to_mention, v_e, v_m, patches_m) + dual(unit.to_entity, v_m, v_e, patches_e)) / 2
            torch.testing.assert_close(found[m, e], expected, atol=1e-4, rtol=1e-4)


def fused(unit: CrossUnit, text: Tensor, patches: list[Tensor]) -> Tensor:
    said, seen = unit.text(text), [unit.image(patch) for patch in patches]
    return norm(torch.tanh(unit.gate(said)) * said + attended(said, seen, seen), unit.norm)


@torch.no_grad()
def test_the_cross_unit_is_the_papers_formula() -> None:
    unit = scattered(CrossUnit(text_width=6, image_width=5, hidden=4))
    texts = torch.randn(3, 6), torch.randn(4, 6)
    mentions, entities = side("mention", 5, 5), side("entity", 5, 5)
    found = unit(unit.fused(texts[0], mentions), unit.fused(texts[1], entities))
    for m, (_, patches_m) in enumerate(owners(mentions)):
        for e, (_, patches_e) in enumerate(owners(entities)):
            expected = fused(unit, texts[0][m], patches_m) @ fused(unit, texts[1][e], patches_e)
            torch.testing.assert_close(found[m, e], expected, atol=1e-4, rtol=1e-4)


def test_gradients_reach_every_weight_of_each_unit() -> None:
    for kind, text in ((TextUnit, 6), (VisionUnit, 0), (CrossUnit, 6)):
        unit = kind(text, 5, 4) if text else kind(5, 4)
        mentions, entities = side("mention", text or 5, 5), side("entity", text or 5, 5)
        if isinstance(unit, CrossUnit):
            scores = unit(unit.fused(torch.randn(3, 6), mentions), unit.fused(torch.randn(4, 6), entities))
        else:
            scores = unit(unit.of_mentions(mentions), unit.of_entities(entities))
        (scores * torch.randn_like(scores)).sum().backward()
        still = [name for name, weight in unit.named_parameters() if weight.grad is None or not weight.grad.any()]
        # A key's bias adds the same to all logits of a query, and softmax takes it out again.
        assert [name for name in still if name != "key.bias"] == []


def test_padding_and_what_stands_in_it_change_nothing() -> None:
    unit, vision, cross = TextUnit(6, 5, 4), VisionUnit(5, 4), CrossUnit(6, 5, 4)
    texts, images = (side("mention", 6, 5), side("entity", 6, 5)), (side("mention", 5, 5), side("entity", 5, 5))

    def wider(given: Side) -> Side:
        mask = nn.functional.pad(given.mask, (0, 2))
        return Side(given.whole, nn.functional.pad(given.local, (0, 0, 0, 2), value=7.0), mask)

    def scores(texts: tuple[Side, Side], images: tuple[Side, Side]) -> list[Tensor]:
        fused = [cross.fused(text.whole, image) for text, image in zip(texts, images, strict=True)]
        return [
            unit(unit.of_mentions(texts[0]), unit.of_entities(texts[1])),
            vision(vision.of_mentions(images[0]), vision.of_entities(images[1])),
            cross(*fused),
        ]

    padded = scores(tuple(map(wider, texts)), tuple(map(wider, images)))
    for here, there in zip(scores(texts, images), padded, strict=True):
        torch.testing.assert_close(here, there)


def test_sides_without_tokens_or_patches_have_finite_scores() -> None:
    unit, vision, cross = TextUnit(6, 5, 4), VisionUnit(5, 4), CrossUnit(6, 5, 4)
    none = side("mention", 6, 5, [0, 2])
    assert unit(unit.of_mentions(none), unit.of_entities(none)).isfinite().all()
    images = side("mention", 5, 5, [0, 2])
    assert vision(vision.of_mentions(images), vision.of_entities(images)).isfinite().all()
    fused_alone = cross.fused(none.whole, images)[0]
    said = cross.text(none.whole[0])
    torch.testing.assert_close(fused_alone, cross.norm(torch.tanh(cross.gate(said)) * said))
