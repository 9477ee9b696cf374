import os
import random
import unicodedata
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics.pairwise import cosine_similarity

from dim.errors import DataError
from dim.search.entity_names import EntityNames
from dim.search.lexical import NameIndex, name_vectorizer, ngrams_of

NAMES = [f"{first} {last}" for first in ("Ann", "Bo", "Cy") for last in ("Lee", "Li", "Leeson", "Stone")]

WORDS = ["".join(letters) for letters in product("bdfklmnr", "aeiou", "stvwxyz", "aeo")]


def test_scores_are_cosines_of_character_ngrams():
    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True).fit(NAMES)
    expected = cosine_similarity(vectorizer.transform(["Lee", "bo stone"]), vectorizer.transform(NAMES))
    np.testing.assert_allclose(NameIndex(NAMES).scores(["Lee", "bo stone"]).whole(), expected, atol=1e-6)


def test_a_decomposed_name_is_the_same_name():
    names = ["Nguyễn Huệ", "Nguyen Hue", "김구"]
    composed, decomposed = ([unicodedata.normalize(form, name) for name in names] for form in ("NFC", "NFD"))
    for mentions in (composed, decomposed):
        assert NameIndex(decomposed).search(mentions, 1).ravel().tolist() == [0, 1, 2]
        np.testing.assert_array_equal(
            EntityNames(composed).scores_of(mentions, [[0], [1], [2]]).ravel().round(6), np.ones(3)
        )


def test_search_sorts_all_names_by_score_and_equal_names_by_row():
    names = [*NAMES, "Ann Lee"]
    index = NameIndex(names)
    scores = index.scores(["Ann Lee", "Li"]).whole().numpy()
    expected = np.argsort(-scores, axis=1, kind="stable")
    for k in (1, 2, 5, 13, 99):
        np.testing.assert_array_equal(index.search(["Ann Lee", "Li"], k), expected[:, :k])
    assert index.search(["Ann Lee"], 2).tolist() == [[0, 12]]


def test_of_more_equal_names_than_are_asked_for_the_first_are_found():
    index = NameIndex(["Bo Li"] * 60 + ["Ann Lee"] * 100)
    assert index.search(["Ann Lee", "Bo Li"], 5).tolist() == [[60, 61, 62, 63, 64], [0, 1, 2, 3, 4]]


def test_repeated_mentions_and_unknown_characters_get_answers_of_their_own_row():
    found = NameIndex(NAMES).search(["Bo Li", "ß漢", "Bo Li"], 3)
    assert found.shape == (3, 3)
    assert found[0].tolist() == found[2].tolist()


ALIASES = [["Annie"] if name.startswith("Ann") else [] for name in NAMES]


def best_of(mention, names, aliases, fitted_on, added=()):
    """The best cosine of each entity by scikit-learn; n-grams that only `added` strings have weigh as the rarest."""
    options = {"analyzer": "char_wb", "ngram_range": (2, 4), "sublinear_tf": True}
    fitted, grown = TfidfVectorizer(**options).fit(fitted_on), TfidfVectorizer(**options).fit([*fitted_on, *added])
    weights = dict(zip(fitted.get_feature_names_out(), fitted.idf_, strict=True))
    grown.idf_ = np.array([weights.get(ngram, fitted.idf_.max()) for ngram in grown.get_feature_names_out()])
    strings = [[name, *others] for name, others in zip(names, aliases, strict=True)]
    return np.array([cosine_similarity(grown.transform([mention]), grown.transform(own)).max() for own in strings])


def test_names_without_aliases_are_scored_and_found_as_by_the_name_index():
    names = [*NAMES, "Ann Lee", ""]
    plain, index = EntityNames(names), NameIndex(names)
    mentions = ["Lee", "bo stone", "Ann Lee", "ß漢", "", "Lee"]
    for k in (0, 1, 4, 13, 99):
        np.testing.assert_array_equal(plain.search(mentions, k), index.search(mentions, k) if k else np.empty((6, 0)))
    rows = np.tile(np.arange(len(names)), (6, 1))
    np.testing.assert_allclose(plain.scores_of(mentions, rows), index.scores(mentions).whole(), atol=1e-6)
    assert plain.search([], 3).shape == (0, 3)


def test_an_entity_counts_by_its_best_string_and_stands_once_in_an_answer():
    index = EntityNames(NAMES, ALIASES)
    fitted_on = [string for name, others in zip(NAMES, ALIASES, strict=True) for string in [name, *others]]
    mentions = ["Annie", "Annie Stone", "Cy"]
    found = index.search(mentions, 5)
    for mention, row in zip(mentions, found, strict=True):
        expected = best_of(mention, NAMES, ALIASES, fitted_on)
        np.testing.assert_allclose(index.scores_of([mention], [range(12)])[0], expected, atol=1e-6)
        assert row.tolist() == np.argsort(-expected.round(6), kind="stable")[:5].tolist()
        assert len(set(row.tolist())) == 5
    assert found[0].tolist()[:4] == [0, 1, 2, 3]
    assert index.search(["Annie"], 3).dtype == np.int64


def test_blank_and_repeated_aliases_change_nothing():
    plain = EntityNames(NAMES)
    other = EntityNames(NAMES, [["", " ", name] for name in NAMES])
    rows = np.tile(np.arange(12), (2, 1))
    mentions = ["Lee", "Bo"]
    np.testing.assert_array_equal(plain.scores_of(mentions, rows), other.scores_of(mentions, rows))


def test_added_entities_are_found_with_the_first_weights_and_rows_stay():
    index = EntityNames(NAMES, ALIASES)
    before = index.scores_of(["Ann Lee"], [range(12)])
    rows = index.add(["Dee Stoner", "Zq", "Annie Leeson"], [["Stoney"], [], []])
    assert rows.tolist() == [12, 13, 14]
    assert len(index) == 15
    np.testing.assert_array_equal(index.scores_of(["Ann Lee"], [range(12)]), before)
    names, aliases = [*NAMES, "Dee Stoner", "Zq", "Annie Leeson"], [*ALIASES, ["Stoney"], [], []]
    fitted_on = [string for name, others in zip(NAMES, ALIASES, strict=True) for string in [name, *others]]
    for mention in ("Stoney", "Dee Stoner", "Annie Leeson"):
        expected = best_of(mention, names, aliases, fitted_on, ["Dee Stoner", "Zq", "Annie Leeson", "Stoney"])
        np.testing.assert_allclose(index.scores_of([mention], [range(15)])[0], expected, atol=1e-6)
    assert index.search(["Dee Stoner"], 1).tolist() == [[12]]
    assert index.add([]).tolist() == []


@pytest.mark.parametrize("num_there", [1, 12])  # so that what is added is joined with the rest, or stands beside it
def test_an_added_name_of_letters_that_no_name_had_is_found(num_there, tmp_path):
    names = [f"{name} {'Leeson ' * 20}" for name in NAMES[:num_there]]
    index = EntityNames(names)
    index.add(["Bo Leeson"])
    index.search(["東京都"], 1)  # which found nothing yet
    rows = index.add(["東京都", "京都府", "大阪 Lee", "ab"], [[], [], ["名古屋"], []])
    index.add(["札幌市"])
    index.save(tmp_path / "names")
    added = ["Bo Leeson", "東京都", "京都府", "大阪 Lee", "名古屋", "ab", "札幌市"]
    strings = [*names, "Bo Leeson", "東京都", "京都府", "大阪 Lee", "ab", "札幌市"]
    aliases = [["名古屋"] if each == "大阪 Lee" else [] for each in strings]
    for found in (index, EntityNames.load(tmp_path / "names")):
        assert found.search(["東京都", "京都府", "大阪", "名古屋"], 1).ravel().tolist() == [*rows[:3], rows[2]]
        for mention in ("東京都", "京都 Lee", "名古屋", "札幌", "ab Leeson"):
            expected = best_of(mention, strings, aliases, names, added)
            np.testing.assert_allclose(found.scores_of([mention], found.rows[None])[0], expected, atol=1e-6)
        assert found.add(["東京都庁"]).tolist() == [num_there + 6]
        assert found.search(["東京都庁", "東京都"], 1).ravel().tolist() == [num_there + 6, rows[0]]


def test_removed_entities_never_come_back_not_even_to_fill_up():
    index = EntityNames(NAMES)
    index.remove([0, 5])
    assert len(index) == 10
    assert index.rows.tolist() == [1, 2, 3, 4, 6, 7, 8, 9, 10, 11]
    found = index.search(["Ann Lee", "漢"], 99)
    assert sorted(found[0].tolist()) == index.rows.tolist()
    assert found[1].tolist() == index.rows.tolist()
    assert index.add(["Ann Lee"]).tolist() == [12]
    assert index.search(["Ann Lee"], 1).tolist() == [[12]]
    with pytest.raises(DataError, match=r"rows of entities that are there\nfound    2 others \(5, 13\)"):
        index.remove([1, 5, 13])
    with pytest.raises(DataError, match=r"1 others \(-1\)"):
        index.scores_of(["Ann"], [[-1]])
    assert len(index) == 11


def test_saved_names_answer_the_same_after_additions_and_removals(tmp_path):
    index = EntityNames([*NAMES, "Łódź 漢字"], [*ALIASES, ["\ud800 lone"]])
    index.add(["Dee Stone"], [["Deedee"]])
    index.remove([3])
    index.save(tmp_path / "names")
    loaded = EntityNames.load(tmp_path / "names")
    mentions = ["Annie", "Deedee", "漢字", "lone", ""]
    np.testing.assert_array_equal(loaded.search(mentions, 8), index.search(mentions, 8))
    rows = np.tile(index.rows, (5, 1))
    np.testing.assert_array_equal(loaded.scores_of(mentions, rows), index.scores_of(mentions, rows))
    assert loaded.add(["Eve"]).tolist() == index.add(["Eve"]).tolist() == [14]
    loaded.save(tmp_path / "names")
    assert len(EntityNames.load(tmp_path / "names")) == 14


def test_damaged_names_and_impossible_input_are_refused(tmp_path):
    EntityNames(NAMES).save(tmp_path / "names")
    path = tmp_path / "names" / "ngrams.npy"
    path.write_bytes(path.read_bytes().replace("ann".encode("utf-32-le"), "anm".encode("utf-32-le"), 1))
    with pytest.raises(DataError, match=r"damaged file ngrams\.npy \(its SHA-256 differs\)"):
        EntityNames.load(tmp_path / "names")
    with pytest.raises(DataError, match=r"3 lists of aliases\nfound    1"):
        EntityNames(["a", "b", "c"], [[]])
    with pytest.raises(DataError, match=r"names to compare\nfound    no word"):
        EntityNames(["", " "])


def test_what_is_left_out_of_a_search_is_not_among_the_best():
    drawn = random.Random(0)
    names = [" ".join(drawn.choices(WORDS, k=drawn.choice([1, 2, 3]))) for _ in range(20_000)]
    aliases = [[drawn.choice(WORDS)] if drawn.random() < 0.3 else [] for _ in names]
    names += ["bast bast", "bast bast bast", " ".join(["bast"] * 40), "bastbastbast", " ".join(WORDS[:50])]
    aliases += [[]] * 5
    mentions = [*drawn.choices(names, k=20), "bast", "ba", "kuteo vave", "bast bast", " ".join(WORDS[20:40]), ""]
    index = EntityNames(names, aliases)
    index.remove(drawn.sample(range(20_000), 5_000))
    scores = index.scores_of(mentions, np.tile(index.rows, (len(mentions), 1)))
    for k in (1, 32):
        expected = index.rows[np.argsort(-scores, axis=1, kind="stable")[:, :k]]
        np.testing.assert_array_equal(index.search(mentions, k), expected)
    for mention in names[:10]:
        left = index._large.strings.hopeful(index._query(mention), 4, lambda strings, scores: float(scores.max()))
        assert 1 <= len(left) < 30


@pytest.mark.parametrize("settled", [0, 1])
def test_a_file_that_is_damaged_after_it_was_opened_is_refused_when_it_is_opened_again(tmp_path, monkeypatch, settled):
    monkeypatch.setattr("dim.core.checksums.SETTLED", settled)
    EntityNames(NAMES).save(tmp_path / "names")
    EntityNames.load(tmp_path / "names")
    path = tmp_path / "names" / "idf.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    os.utime(path, (1, 1))  # as any later moment: the clock may stand still between two lines of a test
    with pytest.raises(DataError, match=r"damaged file idf\.npy \(its SHA-256 differs\)"):
        EntityNames.load(tmp_path / "names")


def test_a_long_mention_is_answered():
    assert EntityNames(NAMES).search(["Bo Stone " * 100_000], 1).tolist() == [[7]]


@pytest.mark.parametrize("sizes", [[1] * 30, [300], [5, 200, 5]])
def test_names_that_come_bit_by_bit_score_as_those_that_come_at_once(sizes):
    names = [f"{first} {second}" for first in ("Ann", "Bob", "Cy", "Dee") for second in WORDS[:200]]
    at_once, by_parts = EntityNames(names, [["Annie"]] * len(names)), EntityNames(names, [["Annie"]] * len(names))
    more = [f"{word} {place}" for place, word in enumerate(WORDS[: sum(sizes)])]
    at_once.add(more)
    for end, size in zip(np.cumsum(sizes), sizes, strict=True):
        by_parts.add(more[end - size : end])
    for mention in ("Ann", WORDS[0], "Annie 7", "zzz", ""):
        scores = by_parts.scores_of([mention], by_parts.rows[None])[0]
        np.testing.assert_array_equal(scores, at_once.scores_of([mention], at_once.rows[None])[0])
        for k in (1, 3, 400):
            expected = np.argsort(-scores, kind="stable")[:k]
            np.testing.assert_array_equal(by_parts.search([mention], k)[0], expected)


@pytest.mark.parametrize("width", [2, 1000])
def test_a_name_index_with_aliases_scores_each_entity_by_its_best_string(width, monkeypatch):
    for module in ("dim.search.scores", "dim.search.sparse", "dim.search.lexical"):
        monkeypatch.setattr(f"{module}.SLICE", width)
    names = ["Ada Lovelace", "Alan Turing", "Grace Hopper", "Tony Hoare", "Donald Knuth"]
    aliases = [["Countess Lovelace", " "], [], ["Amazing Grace", "Captain Hopper"], [], ["D. Knuth"]]
    mentions = ["Captain Grace", "Countess", "Knuth", "zzz"]
    vectorizer = name_vectorizer().fit(names)
    strings = [[name, *of] for name, of in zip(names, aliases, strict=True)]
    asked = vectorizer.transform(mentions).toarray()
    wanted = np.array([[max((vectorizer.transform(of).toarray() @ row).max(), 0) for of in strings] for row in asked])
    scores = NameIndex(names, aliases).scores(mentions)
    found = np.concatenate([scores.of(part).numpy() for part in scores.slices()], axis=1)
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    some = torch.tensor([2, 0])
    assert torch.equal(scores.of_some(slice(1, 3), some), scores.of(slice(1, 3))[some])
    assert (wanted > NameIndex(names).scores(mentions).whole().numpy() + 0.1).any()
    assert NameIndex(names, aliases).search(["Countess"], 1).tolist() == [[0]]
    assert torch.equal(
        NameIndex(names, aliases).names_alone.scores(mentions).whole(), NameIndex(names).scores(mentions).whole()
    )


@pytest.mark.parametrize("owner", range(5))
def test_aliases_of_one_entity_count_wherever_its_slice_begins_or_ends(owner, monkeypatch):
    for module in ("dim.search.scores", "dim.search.sparse", "dim.search.lexical"):
        monkeypatch.setattr(f"{module}.SLICE", 2)
    names = ["Ada Lovelace", "Alan Turing", "Grace Hopper", "Tony Hoare", "Donald Knuth"]
    aliases = [["Tony Turing Lovelace"] if row == owner else [] for row in range(5)]
    index = NameIndex(names, aliases)
    assert index.search(["Tony Turing Lovelace"], 1).tolist() == [[owner]]
    assert [len(owners) for owners, _ in index._others.parts] == [1]


def test_ngrams_are_those_of_scikit_learn() -> None:
    analyzed, drawn = name_vectorizer().build_analyzer(), random.Random(0)
    letters = "aB éß  \t\n\u3000İ-.'日\u200bc\u0327"
    for _ in range(2_000):
        text = "".join(drawn.choices(letters, k=drawn.randrange(14)))
        assert ngrams_of(text) == analyzed(text)


def test_names_may_be_weighed_as_by_the_name_index_that_knows_no_aliases():
    index, expected = EntityNames(NAMES, ALIASES, weighed_by_names=True), NameIndex(NAMES, ALIASES)
    mentions = ["Annie", "Annie Stone", "Lee", "zz"]
    rows = np.tile(np.arange(12), (4, 1))
    np.testing.assert_allclose(index.scores_of(mentions, rows), expected.scores(mentions).whole(), atol=1e-6)
    assert not np.allclose(index.scores_of(mentions, rows), EntityNames(NAMES, ALIASES).scores_of(mentions, rows))


def test_a_word_whose_list_names_a_string_without_words_is_refused(tmp_path):
    index = EntityNames([*NAMES, ""])
    part = index._large
    wrong = part.strings.word_strings.values.copy()
    wrong[0] = len(NAMES)
    lists = replace(part.strings.word_strings, values=wrong)
    index._large = replace(part, strings=replace(part.strings, word_strings=lists))
    index.save(tmp_path / "names")
    with pytest.raises(DataError, match="words of strings that have none"):
        EntityNames.load(tmp_path / "names")
