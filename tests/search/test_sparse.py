"""Sparse columns beside dense ones score as both together."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dim.errors import ConfigError, DataError
from dim.search import sparse, sparse_rows
from dim.search.scores import Products, Summed
from dim.search.sparse import SparseKB, SparseProducts
from dim.search.sparse_rows import SparseRows
from dim.search.vector_index import VectorIndex

NUM_SPARSE, WIDTH = 40, 16


def vectors(count: int, seed: int = 0) -> np.ndarray:
    """Unit vectors with sparse columns first; some have no sparse ones, some no others, the last nothing."""
    generator = np.random.default_rng(seed)
    is_there = generator.random((count, NUM_SPARSE)) < 0.1
    parts = [generator.normal(size=(count, NUM_SPARSE)) * is_there, generator.normal(size=(count, WIDTH)) * 0.3]
    parts[0][::7], parts[1][::5] = 0, 0
    both = np.concatenate(parts, axis=1).astype(np.float32)
    both[-1] = 0
    return both / np.linalg.norm(both, axis=1, keepdims=True).clip(1e-9)


@pytest.mark.parametrize("size", [3, 1000])
def test_the_sum_of_both_products_is_that_of_all_columns(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sparse, "SLICE", size)
    queries, kb = vectors(9, 1), vectors(50)
    products = SparseProducts(
        sp.csr_matrix(queries[:, :NUM_SPARSE]), SparseKB(sp.csr_matrix(kb[:, :NUM_SPARSE].T)), "cpu"
    )
    dense = Products(torch.from_numpy(queries[:, NUM_SPARSE:]), torch.from_numpy(kb[:, NUM_SPARSE:]))
    scores, expected = Summed(dense, products), torch.from_numpy(queries @ kb.T)
    assert torch.allclose(scores.whole(), expected, atol=1e-6)
    assert torch.allclose(scores.of(slice(2, 31)), expected[:, 2:31], atol=1e-6)
    some, rows = torch.tensor([4, 0]), torch.tensor([[49, 3, 3], [0, 35, 20]]).repeat(5, 1)[:9]
    assert torch.equal(scores.of_some(slice(2, 31), some), scores.of(slice(2, 31))[some])
    assert torch.allclose(scores.at(rows), expected.gather(1, rows), atol=1e-6)
    assert torch.equal(products.at(rows), products.whole().gather(1, rows))
    assert scores.at(rows[:, :0]).shape == (9, 0)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 19), st.integers(1, 3)), max_size=12), st.integers(0, 99))
def test_rows_that_come_and_go_score_as_a_matrix_of_those_that_are_there(steps: list, seed: int) -> None:
    made = vectors(60, seed)[:, :NUM_SPARSE]
    known = np.zeros((60, NUM_SPARSE), np.float32)
    known[:10] = made[:10]
    rows, last = SparseRows(sp.csr_matrix(known[:10].T)), 10
    for is_added, place, count in steps:
        if is_added and last + count <= 60:
            here = np.arange(last, last + count)
            rows.add(here, sp.csr_matrix(made[here]))
            known[here], last = made[here], last + count
        else:
            here = np.arange(place, place + count)
            rows.remove(here)
            known[here] = 0
    queries = vectors(4, seed + 1)[:, :NUM_SPARSE]
    assert rows.num_rows == last
    products = rows.products(sp.csr_matrix(queries))
    np.testing.assert_allclose(products, queries @ known[:last].T, atol=1e-6)
    asked = np.array([last - 1, 0, 5, 5])
    np.testing.assert_array_equal(rows.at(sp.csr_matrix(queries[:1]), asked), products[0][asked])


def test_few_rows_are_scored_to_the_last_digit_as_many_are(monkeypatch: pytest.MonkeyPatch) -> None:
    made = sp.csr_matrix(vectors(200)[:, :NUM_SPARSE])
    rows = SparseRows(made.T.tocsr())
    at_once = rows.products(made)
    monkeypatch.setattr(sparse_rows, "FEW", 0)
    np.testing.assert_array_equal(rows.products(made), at_once)


def test_saved_rows_are_read_as_they_were_and_damaged_ones_refused(tmp_path) -> None:
    made = sp.csr_matrix(vectors(30)[:, :NUM_SPARSE])
    rows = SparseRows(made[:28].T.tocsr())
    rows.add([28, 29], made[28:])
    rows.remove([3])
    rows.save(tmp_path / "rows")
    loaded = SparseRows.load(tmp_path / "rows", 30)
    np.testing.assert_array_equal(loaded.products(made), rows.products(made))
    assert (loaded.width, loaded.num_rows) == (NUM_SPARSE, 30)
    with pytest.raises(DataError, match=r"sparse rows in .* of 20 rows\nfound    damaged arrays"):
        SparseRows.load(tmp_path / "rows", 20)
    (tmp_path / "rows" / "values.npy").write_bytes(b"")
    with pytest.raises(DataError, match="damaged"):
        SparseRows.load(tmp_path / "rows", 30)


@pytest.mark.parametrize("num", [5, 40])
@pytest.mark.parametrize("kind", ["exact", "flat"])
def test_an_exact_index_with_sparse_columns_beside_it_finds_the_best_by_both(kind: str, num: int) -> None:
    kb, queries = vectors(400), vectors(num, 1)
    dense, sparse_columns = kb[:, NUM_SPARSE:], sp.csr_matrix(kb[:, :NUM_SPARSE].T)
    index, rows = VectorIndex.build(dense[:300], kind=kind), SparseRows(sparse_columns)
    index.add(np.arange(300, 400), dense[300:])
    index.remove([7, 350])
    beside = rows.products(sp.csr_matrix(queries[:, :NUM_SPARSE]))
    scores, found = index.search(queries[:, NUM_SPARSE:], 12, beside)
    expected = queries @ kb.T
    expected[:, [7, 350]] = -np.inf
    np.testing.assert_allclose(scores, -np.sort(-expected, axis=1)[:, :12], atol=1e-6)
    np.testing.assert_allclose(np.take_along_axis(expected, found, 1), scores, atol=1e-6)
    with pytest.raises(DataError, match="ids below 399\nfound    399"):
        index.search(queries[:, NUM_SPARSE:], 12, beside[:, :399])


def test_an_index_that_does_not_compare_all_takes_nothing_beside_it() -> None:
    kb = vectors(4000)[:-1]
    index = VectorIndex.build(kb, kind="ivf", k=10)
    with pytest.raises(ConfigError, match="an index that compares all vectors"):
        index.search(kb[:2], 10, np.zeros((2, len(kb)), np.float32))
