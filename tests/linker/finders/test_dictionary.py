"""A dictionary finds whole names of the KB as it is, the longest from each place on."""

import unicodedata
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dim.errors import ConfigError
from dim.linker import Entity
from dim.linker.finders import DictionaryFinder, dictionary
from dim.linker.finders.words import words_of
from dim.linker.knowledge import Knowledge


def kb(*names: str) -> Knowledge:
    return Knowledge({row: Entity(f"Q{row}", name) for row, name in enumerate(names)}, len(names))


def found(knowledge: Knowledge, text: str, **options: object) -> list[str]:
    return texts(text, DictionaryFinder(knowledge, **options).find(text))  # type: ignore[arg-type]


def texts(text: str, spans: Iterable[tuple[int, int]]) -> list[str]:
    return [text[start:end] for start, end in spans]


PEOPLE = kb("Ada Lovelace", "Ada", "Lovelace", "Ada Lovelace Institute", "John Smith (footballer, born 1979)", "C++")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Ada Lovelace met Ada.", ["Ada Lovelace", "Ada"]),
        ("Lovelace's Ada, Adaline; preAda Ada_x", ["Lovelace", "Ada"]),
        ("The Ada Lovelace Institute", ["Ada Lovelace Institute"]),
        ("Ada Lovelace Ada Lovelace", ["Ada Lovelace", "Ada Lovelace"]),
        ("Ada\n  Lovelace", ["Ada\n  Lovelace"]),
        ("Ada" + " " * 2000 + "Lovelace", ["Ada", "Lovelace"]),  # no mention is so long
        ("ada LOVELACE", []),
        ("John Smith scored in C++.", ["John Smith", "C++"]),
        ("", []),
        (" \n", []),
    ],
)
def test_whole_names_are_found_from_left_to_right_the_longest_first(text: str, names: list[str]) -> None:
    assert found(PEOPLE, text) == names


def test_spans_are_places_of_the_text_as_it_is() -> None:
    assert DictionaryFinder(PEOPLE).find("🙂 Ada, Lovelace") == [(2, 5), (7, 15)]


def test_a_name_is_found_in_any_case_where_that_is_wanted() -> None:
    text = "ADA lovelace in der STRASSE"
    assert found(kb("Ada Lovelace", "Straße"), text, ignore_case=True) == ["ADA lovelace", "STRASSE"]
    assert found(kb("Ada Lovelace", "Straße"), text) == []


@pytest.mark.parametrize(
    ("name", "text", "names"),
    [
        ("齐白石", "画家齐白石生于1864年。", ["齐白石"]),
        ("北京", "在北京大学", ["北京"]),
        ("กรุงเทพ", "ฉันอยู่กรุงเทพมหานคร", ["กรุงเทพ"]),
        ("マリー", "マリーは、マリーナで", ["マリー"]),  # Katakana is written in whole words
        ("김구", "김구 선생, 김구라", ["김구"]),
        ("हिन", "हिन्दी", []),  # no name ends before the marks of its letter
        ("हिन्दी", "यह हिन्दी है", ["हिन्दी"]),
        ("محمود سعيد", "رسم محمود سعيد لوحة", ["محمود سعيد"]),
        ("می‌خواهم", "من می‌خواهم", ["می‌خواهم"]),
        ("Google", "在Google工作", ["Google"]),
    ],
)
def test_every_script_has_its_words(name: str, text: str, names: list[str]) -> None:
    assert found(kb(name), text) == names


def test_a_name_is_found_in_either_unicode_form() -> None:
    text = unicodedata.normalize("NFD", "Ein Gemälde von Käthe Kollwitz, 김구")
    assert found(kb("Käthe Kollwitz", "김구"), text) == [
        unicodedata.normalize("NFD", n) for n in ("Käthe Kollwitz", "김구")
    ]
    assert found(kb("Kathe"), text) == []


def test_short_names_and_names_without_letters_are_not_looked_for() -> None:
    knowledge = kb("It", "Up!", "1984", "李", "李白", "C")
    text = "It is Up! in 1984, 李 and 李白, C"
    assert found(knowledge, text) == ["Up!", "李白"]
    assert found(knowledge, text, min_length=1) == ["It", "Up!", "李", "李白", "C"]
    with pytest.raises(ConfigError, match="min_length of at least 1"):
        DictionaryFinder(knowledge, min_length=0)


def test_aliases_are_names() -> None:
    knowledge = Knowledge({0: Entity("Q0", "Ada Lovelace", ("Countess of Lovelace", "A. L."))}, 1)
    assert found(knowledge, "A. L. was Countess of Lovelace") == ["A. L.", "Countess of Lovelace"]


def test_the_dictionary_follows_the_kb() -> None:
    knowledge = kb(*(f"Name {letter}" for letter in "abcdefghijklmnopqrstuvwxyz"))
    finder, text = DictionaryFinder(knowledge), "Name a and Zaphod and Trillian and Name b."
    assert texts(text, finder.find(text)) == ["Name a", "Name b"]
    knowledge.add([Entity("Z", "Zaphod"), Entity("A", "Name a")])
    assert texts(text, finder.find(text)) == ["Name a", "Zaphod", "Name b"]
    knowledge.remove(["Q0"])
    assert texts(text, finder.find(text)) == ["Name a", "Zaphod", "Name b"]  # another bears it
    knowledge.remove(["A", "Q1", "Z"])
    assert finder.find(text) == []
    knowledge.add([Entity("T", "Trillian"), *(Entity(f"T{place}", f"Trillian {place}") for place in range(50))])
    assert texts(text, finder.find(text)) == ["Trillian"]
    assert finder.find("Zaphod") == []


def test_an_addition_that_was_taken_back_is_not_found() -> None:
    knowledge = kb("Ada")
    finder = DictionaryFinder(knowledge)
    knowledge.forget(knowledge.add([Entity("Z", "Zaphod")]))
    assert finder.find("Zaphod") == []
    knowledge.add([Entity("T", "Trillian")])
    assert finder.find("Trillian") == [(0, 8)]


@pytest.mark.parametrize("fault", ["blocks", "hashes"])
def test_neither_blocks_of_words_nor_equal_hashes_change_what_is_found(
    monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    text = "Bob and Ada Lovelace, Eve, the Ada Lovelace Institute; Max of Love, Ida Loveland. " * 3
    expected = DictionaryFinder(PEOPLE).find(text)
    assert [text[start:end] for start, end in expected] == ["Ada Lovelace", "Ada Lovelace Institute"] * 3
    if fault == "blocks":
        monkeypatch.setattr(dictionary, "BLOCK", 3)
    else:  # by chance: of all words that are as long
        monkeypatch.setattr(dictionary, "hash", len, raising=False)
    assert DictionaryFinder(PEOPLE).find(text) == expected


def test_an_empty_kb_has_no_name() -> None:
    assert DictionaryFinder(Knowledge({}, 0)).find("Ada sings.") == []


WORDS = st.sampled_from(["Ada", "Ad", "Lovelace", "李", "白", "of", "-", "e\u0301", "x"])
GAPS = st.sampled_from([" ", "", ", ", "\n"])


@given(st.lists(st.lists(WORDS, min_size=1, max_size=3).map(" ".join), min_size=1, max_size=6), st.data())
def test_what_is_found_is_what_a_search_of_all_places_finds(names: list[str], data: st.DataObject) -> None:
    text = "".join(word + gap for word, gap in data.draw(st.lists(st.tuples(WORDS, GAPS), max_size=12)))
    finder = DictionaryFinder(kb(*names), min_length=1)
    places = words_of(text).places
    known = {unicodedata.normalize("NFC", name) for name in names if any(map(str.isalpha, name))}
    expected, free = [], 0
    for first, (start, _) in enumerate(places):
        for last in reversed(range(first, len(places))):
            end = places[last][1]
            said = unicodedata.normalize("NFC", " ".join(text[start:end].split()))
            if first >= free and said in known:
                expected.append((start, end))
                free = last + 1
                break
    assert finder.find(text) == expected
