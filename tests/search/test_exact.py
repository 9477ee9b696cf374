import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dim.search.exact import NUM_LAYERS, ExactIndex, top_k


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


def test_search_over_chunks_is_the_search_over_the_whole_product():
    generator = torch.Generator().manual_seed(0)
    queries, vectors = torch.randn(600, 16, generator=generator), torch.randn(2000, 16, generator=generator)
    scores, rows = ExactIndex(vectors).search(queries, 20)
    expected = (queries @ vectors.T).topk(20)
    assert torch.allclose(scores, expected.values, atol=1e-5)
    assert (rows == expected.indices).float().mean() > 0.999  # equal up to ties of rounding


def test_k_beyond_the_kb_gives_all_and_no_query_gives_none():
    index = ExactIndex(torch.eye(3))
    assert index.search(torch.eye(3), 20)[1].shape == (3, 3)
    assert index.search(torch.empty(0, 3), 2)[0].shape == (0, 2)
    assert len(index) == 3
    assert index.search(torch.eye(3), 1)[1].flatten().tolist() == pytest.approx([0, 1, 2])
