import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dim.search.exact import NUM_LAYERS, Best, top_k
from dim.search.scores import Products


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5), st.integers(1, NUM_LAYERS * 12 + 7), st.integers(1, 4), st.integers(0, 10_000))
def test_top_k_gives_the_scores_of_torch_topk_and_columns_that_have_them(num_rows, num_columns, k, seed):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randint(0, 50, (num_rows, num_columns), generator=generator).float()
    k = min(k, num_columns)
    values, columns = top_k(scores, k)
    assert torch.equal(values, scores.topk(k).values)
    assert torch.equal(scores.gather(1, columns), values)
    assert all(len(set(row)) == k for row in columns.tolist())


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
