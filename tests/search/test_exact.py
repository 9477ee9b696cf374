import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dim.search.exact import NUM_LAYERS, Best, top_k
from dim.search.scores import Products


@settings(max_examples=100, deadline=None)
@given(
    *(st.integers(1, 5), st.integers(1, NUM_LAYERS * 12 + 7), st.integers(0, 4), st.integers(1, 1000)),
    *(st.integers(1, NUM_LAYERS * 12 + 7), st.integers(0, 10_000)),
)
def test_the_best_are_those_of_a_stable_sort_over_any_slices(num_rows, num_columns, k, num_levels, size, seed):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randint(0, num_levels, (num_rows, num_columns), generator=generator).float()
    k = min(k, num_columns)
    expected = scores.sort(dim=1, descending=True, stable=True)
    values, columns = top_k(scores, k)
    assert torch.equal(values, expected.values[:, :k])
    assert torch.equal(columns, expected.indices[:, :k])
    best = Best(k)
    for start in range(0, num_columns, size):
        best.add(scores[:, start : start + size], start)
    assert torch.equal(best.values, values)
    assert torch.equal(best.columns, columns)


def test_what_is_no_number_is_among_the_best_and_minus_infinity_is_not():
    scores = torch.full((2, NUM_LAYERS * 12), -torch.inf)
    scores[0, 7], scores[1, 9] = torch.nan, 1.0
    assert top_k(scores, 3)[1].tolist() == [[7, 0, 1], [9, 0, 1]]


def test_the_best_by_dot_products_are_those_of_the_whole_product():
    generator = torch.Generator().manual_seed(0)
    queries, vectors = torch.randn(600, 16, generator=generator), torch.randn(2000, 16, generator=generator)
    best = Best.of(Products(queries, vectors), 20)
    expected = (queries @ vectors.T).topk(20)
    assert torch.allclose(best.values, expected.values, atol=1e-5)
    assert (best.columns == expected.indices).float().mean() > 0.999  # equal up to ties of rounding


def test_as_many_as_there_are_are_all_and_no_query_has_none():
    vectors = torch.eye(3)
    assert Best.of(Products(vectors, vectors), 3).columns.shape == (3, 3)
    assert Best.of(Products(torch.empty(0, 3), vectors), 2).values.shape == (0, 2)
    assert Best.of(Products(vectors, vectors), 1).columns.flatten().tolist() == [0, 1, 2]
