"""What is given of a text to an encoder that does not read to the mention."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from dim.features.around import Place, place_of, widest_windows

WORDS = st.lists(st.text("ab\u6771", min_size=1, max_size=9), max_size=40).map(" ".join)


def read(most: int, windows: Sequence[str]) -> list[bool]:
    return [len(window) > most for window in windows]


@given(before=WORDS, after=WORDS, most=st.integers(1, 200))
def test_the_widest_window_is_read_whole_holds_the_mention_and_cuts_no_word(before: str, after: str, most: int) -> None:
    text = f"{before} Ada {after}"
    place = Place(text, len(before) + 1, len(before) + 4)
    [window] = widest_windows([place], lambda _, windows: read(most, windows))
    assert "Ada" in window
    assert window in text
    if most < 3:
        assert window == "Ada"
        return
    assert len(window) <= most
    # No wider one is read.
    sizes = {place.window(size) for size in range(len(text) + 1)}
    assert len(window) == max(len(each) for each in sizes if len(each) <= most)


@given(before=WORDS, after=WORDS, size=st.integers(0, 300))
def test_a_window_grows_with_its_size_and_ends_at_blanks(before: str, after: str, size: int) -> None:
    text = f"{before} Ada {after}"
    place = Place(text, len(before) + 1, len(before) + 4)
    assert place.window(size) in place.window(size + 1)
    words = place.window(size).split()
    if size >= 20:  # room for the longest word on each side
        assert set(words) <= set(text.split())
    assert place.window(len(text)) == text.strip()


def test_each_text_has_its_own_window_whatever_stands_beside_it() -> None:
    texts = ["so " * n + "Ada " + "on " * (90 - n) for n in range(0, 90, 7)]
    places = [place for text in texts if (place := place_of(text, "Ada", None, None))]
    together = widest_windows(places, lambda _, windows: read(100, windows))
    alone = [widest_windows([place], lambda _, windows: read(100, windows))[0] for place in places]
    assert together == alone
    assert len(places) == len(texts)


def test_one_side_has_what_the_other_lacks() -> None:
    text = "Ada " + "on " * 90
    assert Place(text, 0, 3).window(60) == "Ada " + " ".join(["on"] * 20)
    turned = "so " * 90 + "Ada"
    assert Place(turned, 270, 273).window(60) == " ".join(["so"] * 20) + " Ada"


def test_a_text_without_blanks_is_cut_between_characters() -> None:
    assert Place("\u6771" * 50 + "Ada" + "\u4eac" * 50, 50, 53).window(8) == "\u6771" * 4 + "Ada" + "\u4eac" * 4


def test_a_mention_alone_is_the_least_that_is_given() -> None:
    place = Place("so long Ada Lovelace so long", 8, 20)
    assert widest_windows([place], lambda _, windows: [True] * len(windows)) == ["Ada Lovelace"]
