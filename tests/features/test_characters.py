import numpy as np
from sklearn.feature_extraction.text import HashingVectorizer

from dim.encoders.characters import CharacterEncoder


def test_features_are_signed_logarithmic_counts_of_hashed_ngrams():
    texts = ["Anna Banana", "x", "", "漢字"]
    counts = (
        HashingVectorizer(analyzer="char_wb", ngram_range=(2, 4), n_features=64, norm=None).transform(texts).toarray()
    )
    expected = np.array([[np.sign(c) * (1 + np.log(abs(c))) if c else 0.0 for c in row] for row in counts])
    features = CharacterEncoder(width=64).encode_text(texts)
    np.testing.assert_allclose(features, expected, rtol=1e-6)
    assert features.dtype == np.float32


def test_the_fingerprint_changes_with_every_option():
    encoders = [
        CharacterEncoder(),
        CharacterEncoder(width=64),
        CharacterEncoder(shortest=1),
        CharacterEncoder(longest=5),
    ]
    assert len({encoder.fingerprint for encoder in encoders}) == 4
    assert CharacterEncoder().fingerprint == CharacterEncoder().fingerprint
