import pytest
import torch
from torch import nn
from torch.nn.functional import normalize

from dim.errors import ConfigError
from dim.features.batch import FieldVectors
from dim.methods.contrastive import DIM
from dim.methods.contrastive.fusion import (
    AttentionFusion,
    IdentityTower,
    LinearFusion,
    SpellingPart,
    SumFusion,
    TokenAttention,
)

WIDTH = 8


def field(seed: int, mask: list[bool] | None = None, several: int = 1) -> FieldVectors:
    present = torch.ones(3, dtype=torch.bool) if mask is None else torch.tensor(mask)
    values = torch.randn(3, several, WIDTH, generator=torch.Generator().manual_seed(seed))
    return FieldVectors(values * present[:, None, None], present[:, None].expand(3, several))


def whole(values: torch.Tensor) -> FieldVectors:
    return FieldVectors(values[:, None], torch.ones(len(values), 1, dtype=torch.bool))


def test_sum_is_the_released_query_written_out_at_three_rows():
    torch.manual_seed(0)
    fusion = SumFusion(dict.fromkeys(("mention", "context", "image", "caption"), WIDTH), WIDTH, dropout=0.4).eval()
    fields = {name: field(seed) for seed, name in enumerate(("mention", "context", "image", "caption"))}
    linear, norm, out = fusion.caption[0], fusion.caption[2], fusion.out[1]
    for row in range(3):
        hidden = torch.relu(linear.weight @ fields["caption"].vectors[row, 0] + linear.bias)
        hidden = (hidden - hidden.mean()) / torch.sqrt(hidden.var(unbiased=False) + norm.eps) * norm.weight + norm.bias
        total = sum(fields[name].vectors[row, 0] for name in ("mention", "context", "image")) + hidden
        expected = out.weight @ total + out.bias
        assert torch.allclose(fusion(fields)[row], expected, atol=1e-6)


def test_identity_is_the_text_as_it_is():
    assert torch.equal(IdentityTower()({"text": field(5)}), field(5).vectors[:, 0])


def test_a_field_of_another_width_is_projected_in_a_sum():
    fusion = SumFusion({"mention": 5, "context": WIDTH}, WIDTH, dropout=0.0)
    assert isinstance(fusion.align["context"], nn.Identity)
    assert fusion.align["mention"].weight.shape == (WIDTH, 5)


def test_attention_weighs_present_tokens_only_and_a_missing_token_changes_nothing():
    torch.manual_seed(0)
    fusion = AttentionFusion(dict.fromkeys(("mention", "caption", "image"), WIDTH), WIDTH, 2, 0.0).eval()
    full = {"mention": field(0), "caption": field(1), "image": field(2, [True, False, False])}
    query = fusion(full)
    without = AttentionFusion(dict.fromkeys(("mention", "caption"), WIDTH), WIDTH, 2, 0.0).eval()
    without.load_state_dict(fusion.state_dict(), strict=False)
    assert torch.allclose(query[1:], without({"mention": field(0), "caption": field(1)})[1:], atol=1e-6)
    assert not torch.allclose(query[0], without({"mention": field(0), "caption": field(1)})[0], atol=1e-3)


def test_each_of_several_images_is_a_token_and_one_that_is_missing_changes_nothing():
    torch.manual_seed(0)
    fusion = AttentionFusion(dict.fromkeys(("mention", "image"), WIDTH), WIDTH, 2, 0.0, several=True).eval()
    mention, images = field(0), field(1, several=3)
    mask = torch.tensor([[True, True, True], [True, True, False], [False, False, False]])
    query = fusion({"mention": mention, "image": FieldVectors(images.vectors * mask[:, :, None], mask)})
    start = fusion.project["mention"](normalize(mention.vectors[:, 0]))
    tokens = fusion.project["image"](normalize(images.vectors, dim=2))
    for row, count in enumerate(mask.sum(1).tolist()):
        expected = start[row : row + 1]
        if count:
            seen = torch.ones(1, count, dtype=torch.bool)
            expected = expected + fusion.over_image(start[row : row + 1], tokens[row : row + 1, :count], seen)
        assert torch.allclose(query[row : row + 1], expected, atol=1e-6)


def test_attention_over_nothing_contributes_zero_and_no_nan():
    torch.manual_seed(0)
    attention = TokenAttention(WIDTH, 2)
    tokens = torch.randn(3, 2, WIDTH)
    mask = torch.tensor([[True, True], [False, False], [True, False]])
    result = attention(torch.randn(3, WIDTH), tokens, mask)
    assert torch.equal(result[1], torch.zeros(WIDTH))
    assert torch.allclose(result[2], tokens[2, 0])
    result.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in attention.parameters())


def test_attention_agrees_with_torchs_own_whose_values_pass_through():
    torch.manual_seed(0)
    ours, theirs = TokenAttention(WIDTH, 2), nn.MultiheadAttention(WIDTH, 2, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key.weight, torch.eye(WIDTH)]))
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key.bias, torch.zeros(WIDTH)]))
        theirs.out_proj.weight.copy_(torch.eye(WIDTH))
    query, tokens = torch.randn(4, WIDTH), torch.randn(4, 3, WIDTH)
    mask = torch.tensor([[True, True, True], [True, False, True], [False, True, True], [True, False, False]])
    expected, _ = theirs(query[:, None], tokens, tokens, key_padding_mask=~mask)
    assert torch.allclose(ours(query, tokens, mask), expected[:, 0], atol=1e-6)


def test_one_token_is_passed_on_whole():
    attention = TokenAttention(WIDTH, 2)
    tokens = torch.randn(2, 1, WIDTH)
    result = attention(torch.randn(2, WIDTH), tokens, torch.tensor([[True], [False]]))
    assert torch.equal(result, tokens[:, 0] * torch.tensor([[1.0], [0.0]]))


def test_an_entity_without_text_is_its_name_alone():
    torch.manual_seed(0)
    tower = LinearFusion({"name": WIDTH, "text": WIDTH}, WIDTH, 0.0).eval()
    vectors = tower({"name": field(0), "text": field(1, [True, False, True])})
    assert torch.allclose(vectors[1], tower.project["name"](normalize(field(0).vectors[:, 0]))[1])


def test_untrained_attention_compares_as_the_frozen_vectors_do():
    torch.manual_seed(0)
    widths = dict.fromkeys(("mention", "context"), 6)
    for width in (6, 48):  # the same width, and wider: an isometry
        fusion = AttentionFusion(widths, width, 2, 0.5).eval()
        tower = LinearFusion({"name": 6, "text": 6}, width, 0.5).eval()
        mention, context, name, text = (torch.randn(4, 6) for _ in range(4))
        query = fusion({"mention": whole(mention), "context": whole(context)})
        entity = tower({"name": whole(name), "text": whole(text)})
        frozen = (normalize(mention) / 2 + normalize(context)) @ (normalize(name) + normalize(text)).T
        assert torch.allclose(query @ entity.T, frozen, atol=1e-5)


def test_spelling_adds_a_weighted_cosine_of_ngrams_to_the_fused_one():
    torch.manual_seed(0)
    frequency = torch.tensor([0.5, 0.1, 0.01])
    part = SpellingPart(3)
    part.weigh(frequency)
    part.log_weight.data.fill_(0.7)
    mention, names = torch.tensor([[1.0, 0, 1], [0, 0, 0]]), torch.tensor([[1.0, 1, 0], [0, 0, 2.0]])
    query, entity = torch.randn(2, 4), torch.randn(2, 4)
    scores = part.mention(mention, query) @ part.entity(names, entity).T
    spelling = normalize(mention * -torch.log(frequency)) @ normalize(names * -torch.log(frequency)).T
    expected = torch.tensor(0.7).exp() * spelling + normalize(query) @ normalize(entity).T
    assert torch.allclose(scores, expected, atol=1e-5)
    assert torch.isfinite(scores).all()  # the second mention has no known n-gram


def test_heads_that_cannot_share_a_width_are_refused_before_data_are_read():
    for options in ({"width": 300}, {"num_heads": 0}):
        with pytest.raises(ConfigError, match="heads that share the width"):
            DIM(**options).check()
    DIM(width=300, num_heads=6).check()
    DIM(width=300, fusion="sum").check()
    identity = DIM(width=300, entity_tower="identity")
    identity.check()
    with pytest.raises(ConfigError, match="3 heads of a width of 16"):
        DIM(num_heads=3, entity_tower="identity").make_towers({"mention": 8, "image": 8, "caption": 8}, {"text": 16})
