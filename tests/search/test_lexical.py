import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics.pairwise import cosine_similarity

from dim.search.lexical import NameIndex

NAMES = [f"{first} {last}" for first in ("Ann", "Bo", "Cy") for last in ("Lee", "Li", "Leeson", "Stone")]


def test_scores_are_cosines_of_character_ngrams():
    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True).fit(NAMES)
    expected = cosine_similarity(vectorizer.transform(["Lee", "bo stone"]), vectorizer.transform(NAMES))
    np.testing.assert_allclose(next(NameIndex(NAMES).scores(["Lee", "bo stone"])), expected, atol=1e-6)


def test_search_sorts_all_names_by_score_and_equal_names_by_row():
    names = [*NAMES, "Ann Lee"]
    index = NameIndex(names)
    scores = next(index.scores(["Ann Lee", "Li"]))
    expected = np.argsort(-scores, axis=1, kind="stable")
    for k in (1, 2, 5, 13, 99):
        np.testing.assert_array_equal(index.search(["Ann Lee", "Li"], k), expected[:, :k])
    assert index.search(["Ann Lee"], 2).tolist() == [[0, 12]]


def test_repeated_mentions_and_unknown_characters_get_answers_of_their_own_row():
    found = NameIndex(NAMES).search(["Bo Li", "ß漢", "Bo Li"], 3)
    assert found.shape == (3, 3)
    assert found[0].tolist() == found[2].tolist()
