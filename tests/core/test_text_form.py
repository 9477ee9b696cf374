import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dim.core.text_form import one_form, one_form_span

LETTERS = st.text(
    st.sampled_from(["a", "e", "ệ", "한", "글", "é", " ", "\N{COMBINING ACUTE ACCENT}", "가"]), max_size=8
)


@given(st.text())
def test_a_composed_text_stays_the_object_that_it_is(text: str) -> None:
    composed = one_form(text)
    assert composed == unicodedata.normalize("NFC", text)
    assert one_form(composed) == composed


@given(
    before=LETTERS,
    name=st.sampled_from(["Nguyễn Huệ", "김구", "André"]),
    after=LETTERS,
    form=st.sampled_from(["NFC", "NFD"]),
)
def test_a_span_holds_the_same_name_in_the_composed_text(before: str, name: str, after: str, form: str) -> None:
    parts = [unicodedata.normalize(form, part) for part in (f"{before} ", name, f" {after}")]
    text, start = "".join(parts), len(parts[0])
    composed, start, end = one_form_span(text, start, start + len(parts[1]))
    assert composed == unicodedata.normalize("NFC", text)
    assert composed[start:end] == name


@pytest.mark.parametrize(("before", "after"), [("e\u0301", "\u0958"), ("\u0958", "e\u0301"), ("\ufb2c", "")])
def test_what_grows_on_one_side_of_a_span_and_shrinks_on_the_other_moves_it(before: str, after: str) -> None:
    text = f"{before} Ana {after}"  # U+0958 becomes two characters and U+FB2C three, e and its accent one
    composed, start, end = one_form_span(text, len(before) + 1, len(before) + 4)
    assert composed[start:end] == "Ana"


def test_a_span_within_a_character_of_several_marks_that_character() -> None:
    text = unicodedata.normalize("NFD", "김구")
    assert [one_form_span(text, place, place + 1) for place in range(3)] == [("김구", 0, 1)] * 3


def test_a_long_run_of_marks_is_put_into_order_by_parts() -> None:
    marks = "\u0301\u0323" * 100  # the second goes before the first
    text = "Ana\u0308 " * 300 + "e" + marks + " Huệ"
    composed = one_form(text)
    assert composed.startswith("Anä " * 300 + "ẹ")
    assert composed.endswith(" Huệ")
    assert composed.count("\u0301\u0323") == 3  # where two parts meet
    decomposed = unicodedata.normalize("NFD", composed)
    assert sorted(decomposed) == sorted(unicodedata.normalize("NFD", text))
    assert one_form("e" + marks) == unicodedata.normalize("NFC", "e" + marks)  # short enough for one


@given(st.text(min_size=1001, max_size=1200))
def test_a_longer_text_is_composed_as_a_short_one_is(text: str) -> None:
    assert one_form(text) == unicodedata.normalize("NFC", text)
