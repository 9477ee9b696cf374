import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import HashingVectorizer

from dim.encoders.characters import CharacterEncoder
from dim.errors import ConfigError
from dim.features.batch import FeatureTable, SparseTable


def test_features_are_signed_logarithmic_counts_of_hashed_ngrams():
    texts = ["Anna Banana", "x", "", "漢字", "İstanbul", "a\u00a0b\u2003c", "ab\0cd", "Straße  ONE"]
    counts = (
        HashingVectorizer(analyzer="char_wb", ngram_range=(2, 4), n_features=64, norm=None).transform(texts).toarray()
    )
    expected = np.array([[np.sign(c) * (1 + np.log(abs(c))) if c else 0.0 for c in row] for row in counts])
    features = CharacterEncoder(width=64).encode_text(texts)
    np.testing.assert_allclose(features, expected, rtol=1e-6)
    assert features.dtype == np.float32


@pytest.mark.parametrize("options", [(0, 2, 4), (-1, 2, 4), (2**31, 2, 4), (64, 5, 4), (64, 0, 4)])
def test_options_by_which_no_name_has_features_are_refused(options: tuple[int, int, int]) -> None:
    with pytest.raises(ConfigError, match=r"a width from 1 to|n-grams of a character or more"):
        CharacterEncoder(*options)


def test_the_fingerprint_changes_with_every_option():
    encoders = [
        CharacterEncoder(),
        CharacterEncoder(width=64),
        CharacterEncoder(shortest=1),
        CharacterEncoder(longest=5),
    ]
    assert len({encoder.fingerprint for encoder in encoders}) == 4
    assert CharacterEncoder().fingerprint == CharacterEncoder().fingerprint


def test_a_sparse_table_gives_what_a_dense_one_gives() -> None:
    encoder = CharacterEncoder(64)
    names = ["Ada Lovelace", "Bo", "", "Ada"]
    rows = torch.tensor([2, -1, 0, 3, 0, 1])
    dense = FeatureTable(torch.from_numpy(encoder.encode_text(names)), rows)
    dense = FeatureTable(torch.from_numpy(encoder.encode_text(names)), rows)
    sparse = SparseTable(encoder.encode_sparse(names), rows)
    for owners in (torch.tensor([5, 0, 1, 1, 2]), torch.tensor([], dtype=torch.long)):
        for ours, theirs in zip(sparse.take(owners), dense.take(owners), strict=True):
            assert torch.equal(ours, theirs)
    assert torch.allclose(sparse.mean(), dense.mean())
    assert torch.equal(sparse.column_shares(), dense.column_shares())
    assert (sparse.width, sparse.most) == (64, 1)
    half = SparseTable(encoder.encode_sparse(names), rows, torch.float16)
    assert torch.equal(half.take(rows[:1]).vectors, dense.take(rows[:1]).vectors.half().float())
    assert half.nbytes < sparse.nbytes < dense.nbytes


def test_no_zero_is_kept() -> None:
    found = CharacterEncoder(8).encode_sparse(["Ada Lovelace Byron", "Zoë Ünal"] * 3)
    assert (found.data != 0).all()
