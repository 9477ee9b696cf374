import math

import pytest
import torch
from pytorch_metric_learning.distances import DotProductSimilarity
from pytorch_metric_learning.losses import (
    AngularLoss,
    ArcFaceLoss,
    NCALoss,
    NPairsLoss,
    NTXentLoss,
    SupConLoss,
    ThresholdConsistentMarginLoss,
    TripletMarginLoss,
    VICRegLoss,
)

from dim.errors import ConfigError
from dim.methods.contrastive.losses import NPair, ReleasedNPair, check_loss, pairs_without


def vectors(seed: int, rows: int = 5, width: int = 6) -> torch.Tensor:
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(seed))


def test_released_npair_is_the_released_formula_written_out_at_three_rows():
    query, gold, negative = (vectors(seed, rows=3, width=2).double() for seed in (0, 1, 2))
    total = 0.0
    for i in range(3):
        margins = [sum(query[i, d] * (negative[j, d] - gold[i, d]) for d in range(2)) for j in range(3)]
        total += math.log(1 + sum(math.exp(margin) for margin in margins)) / 3
        total += 0.02 * sum(query[i, d] ** 2 + gold[i, d] ** 2 for d in range(2)) / 3
    assert float(ReleasedNPair()(query, gold, negative)) == pytest.approx(float(total), abs=1e-9)


def test_released_npair_stays_finite_on_raw_dot_products():
    query = torch.full((2, 512), 10.0)
    assert torch.isfinite(ReleasedNPair()(query, -query, query))


@pytest.mark.parametrize("normalize", [True, False])
def test_npair_equals_the_librarys_loss_on_unique_golds(normalize):
    query, gold = vectors(0), vectors(1)
    labels = torch.arange(5)
    library = NPairsLoss(distance=DotProductSimilarity(normalize_embeddings=normalize))
    # The library finds the pairs (i, 5 + i) itself; indices as a tuple keep its order.
    indices = (labels, labels + 5, torch.empty(0, dtype=torch.long), torch.empty(0, dtype=torch.long))
    expected = library(torch.cat([query, gold]), labels.repeat(2), indices)
    ours = NPair(scale=1.0, learn_scale=False, normalize=normalize)
    assert ours(query, labels, ref_emb=gold, ref_labels=labels.clone()).item() == pytest.approx(
        expected.item(), abs=1e-5
    )


def test_npair_masks_duplicates_of_the_gold_and_uses_further_negatives():
    query, gold = vectors(0, rows=3), vectors(1, rows=3)
    drawn = vectors(2, rows=2)
    labels, others = torch.tensor([7, 7, 8]), torch.tensor([7, 7, 8, 9, 8])
    references = torch.cat([gold, drawn])
    similarity = torch.nn.functional.cosine_similarity(query[:, None], references[None], dim=2)
    total = 0.0
    for i in range(3):
        competitors = [j for j in range(5) if j == i or others[j] != labels[i]]
        total -= 20 * similarity[i, i].item() - math.log(
            sum(math.exp(20 * similarity[i, j].item()) for j in competitors)
        )
    loss = NPair(scale=20.0)(query, labels, ref_emb=references, ref_labels=others)
    assert loss.item() == pytest.approx(total / 3, abs=1e-4)


def test_label_smoothing_mixes_in_the_uniform_target_over_what_is_not_masked():
    query, gold, labels = vectors(0, 3), vectors(1, 3), torch.arange(3)
    plain = NPair(scale=5.0)
    smooth = NPair(scale=5.0, label_smoothing=0.1)
    logits = 5.0 * torch.nn.functional.normalize(query) @ torch.nn.functional.normalize(gold).T
    expected = torch.nn.functional.cross_entropy(logits, labels, label_smoothing=0.1)
    assert torch.allclose(smooth(query, labels, ref_emb=gold, ref_labels=labels.clone()), expected, atol=1e-6)
    assert plain(query, labels, ref_emb=gold, ref_labels=labels.clone()) != expected


def test_the_scale_is_trained_unless_told_otherwise():
    query, gold, labels = vectors(0), vectors(1), torch.arange(5)
    learned, fixed = NPair(), NPair(learn_scale=False)
    for loss in (learned, fixed):
        loss(query.requires_grad_(), labels, ref_emb=gold, ref_labels=labels.clone()).backward()
    assert learned.log_scale.grad is not None
    assert fixed.log_scale.grad is None


def test_a_scale_at_its_bound_comes_down_as_a_clamped_parameter_of_clip_does():
    """Pairs that want a lower scale: the gold is no nearer than the others."""
    query, gold, labels = vectors(0), vectors(1), torch.arange(5)
    loss, reference = NPair(scale=100), torch.tensor(math.log(100.0), requires_grad=True)
    with torch.no_grad():
        loss.log_scale.fill_(math.log(101.0))
    optimizers = [torch.optim.Adam([parameter], lr=1e-2) for parameter in (loss.log_scale, reference)]
    cosines = torch.nn.functional.normalize(query) @ torch.nn.functional.normalize(gold).T
    for _ in range(50):
        value = loss(query, labels, ref_emb=gold, ref_labels=labels.clone())
        expected = torch.nn.functional.cross_entropy(cosines * reference.exp(), labels)
        assert value.item() == pytest.approx(expected.item(), abs=1e-4)
        for optimizer, each in zip(optimizers, (value, expected), strict=True):
            optimizer.zero_grad()
            each.backward()
            optimizer.step()
        with torch.no_grad():
            reference.clamp_(max=math.log(100.0))
    assert reference.exp() < 80
    assert loss.log_scale.item() == pytest.approx(reference.item(), abs=1e-4)


def test_a_fixed_scale_may_be_any():
    query, gold, labels = vectors(0), vectors(1), torch.arange(5)
    values = [
        NPair(scale=scale, learn_scale=False)(query, labels, ref_emb=gold, ref_labels=labels.clone()).item()
        for scale in (100, 150)
    ]
    assert values[1] > values[0] * 1.4


@pytest.mark.parametrize("loss", [NPair(), ReleasedNPair(), NTXentLoss(), TripletMarginLoss()])
def test_losses_that_compare_two_sets_are_taken(loss):
    check_loss(loss)


@pytest.mark.parametrize("loss", [NPairsLoss(), ArcFaceLoss(8, 8), VICRegLoss(), ThresholdConsistentMarginLoss()])
def test_losses_that_cannot_are_refused_by_name(loss):
    with pytest.raises(ConfigError, match=type(loss).__name__):
        check_loss(loss)


LEFT_OUT = torch.tensor([[False, True, False, False], [False] * 4, [True, False, False, True]])


@pytest.mark.parametrize("given", ["CosineSimilarity", {"class_path": "pytorch_metric_learning.distances.Cosine"}])
def test_a_part_that_is_no_object_is_refused_with_a_line_that_makes_one(given):
    with pytest.raises(ConfigError, match="as the distance of NTXentLoss") as raised:
        check_loss(NTXentLoss(distance=given))
    assert "pytorch_metric_learning.distances.CosineSimilarity" in str(raised.value)


def test_npair_masks_negatives_that_are_left_out():
    query, references = vectors(0, rows=3), vectors(1, rows=4)
    labels, others = torch.tensor([7, 8, 9]), torch.tensor([7, 8, 9, 5])
    pairs = pairs_without(labels, others, LEFT_OUT)
    similarity = torch.nn.functional.cosine_similarity(query[:, None], references[None], dim=2)
    total = 0.0
    for i in range(3):
        competitors = [j for j in range(4) if not LEFT_OUT[i, j]]
        total -= 20 * similarity[i, i].item() - math.log(
            sum(math.exp(20 * similarity[i, j].item()) for j in competitors)
        )
    loss = NPair(scale=20.0)(query, labels, pairs, ref_emb=references, ref_labels=others)
    assert loss.item() == pytest.approx(total / 3, abs=1e-4)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_npair_of_all_pairs_is_npair(smoothing):
    query, references, labels = vectors(0), vectors(1, rows=7), torch.tensor([0, 1, 2, 2, 3])
    others = torch.cat([labels, torch.tensor([4, 1])])
    loss = NPair(label_smoothing=smoothing)
    pairs = pairs_without(labels, others, torch.zeros(5, 7, dtype=torch.bool))
    values = [loss(query, labels, each, ref_emb=references, ref_labels=others).item() for each in (None, pairs)]
    assert values[0] == values[1]


def test_released_npair_leaves_out_the_negatives_that_it_is_told():
    query, gold, negative = (vectors(seed, rows=3) for seed in (0, 1, 2))
    left_out = LEFT_OUT[:, :3]
    total = 0.02 * (query.square().sum(1) + gold.square().sum(1)).mean()
    for i in range(3):
        met = [j for j in range(3) if not left_out[i, j]]
        total += torch.log(1 + sum(torch.exp(query[i] @ (negative[j] - gold[i])) for j in met)) / 3
    assert ReleasedNPair()(query, gold, negative, left_out).item() == pytest.approx(total.item(), abs=1e-4)


@pytest.mark.parametrize("loss", [NPair(), ReleasedNPair(), NTXentLoss(), TripletMarginLoss(), SupConLoss()])
def test_losses_that_can_leave_out_pairs_are_taken_for_several_golds(loss):
    check_loss(loss, leaves_out=True)


@pytest.mark.parametrize("loss", [NCALoss(), AngularLoss()])
def test_losses_that_make_pairs_of_their_own_are_refused_for_several_golds(loss):
    check_loss(loss)
    with pytest.raises(ConfigError, match=rf"several golds[\s\S]*{type(loss).__name__}"):
        check_loss(loss, leaves_out=True)
