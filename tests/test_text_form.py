import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from dim.text_form import one_form, one_form_span

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
