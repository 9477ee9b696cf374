import pytest
from hypothesis import given
from hypothesis import strategies as st

from dim.images.regions import split_region, with_region

NUMBERS = st.floats(-99_999, 99_999, allow_nan=False)


@given(path=st.text(), box=st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS))
def test_a_region_comes_back_to_a_thousandth_of_a_pixel(path: str, box: tuple[float, float, float, float]) -> None:
    file, found = split_region(with_region(path, box))
    assert file == path
    assert found == pytest.approx(box, abs=0.00051)


@pytest.mark.parametrize(
    "path",
    [
        "a.jpg",
        "song #1.jpg",
        "a#xywh=1,2,3,4.jpg",
        "a.jpg#xywh=1,2,3",
        "a.jpg#xywh=1,2,3,4,5",
        "a.jpg#xywh=1,2,3,nan",
        "a.jpg#xywh=1,2,3,1e9",
        "a.jpg#xywh=1,2,3,4\n",
        "a.jpg#xywh=percent:1,2,3,4",
        "a.jpg#xywh=1,2,3,٤",
        "a.jpg#xywh=1,2,3," + "9" * 400,
        "",
    ],
)
def test_only_a_trailing_fragment_with_four_numbers_is_a_region(path: str) -> None:
    assert split_region(path) == (path, None)


def test_of_two_fragments_the_last_one_counts() -> None:
    assert split_region("a#xywh=1,2,3,4#xywh=5,6,7,8") == ("a#xywh=1,2,3,4", (5.0, 6.0, 7.0, 8.0))


def test_no_number_is_written_as_minus_nought_or_with_an_exponent() -> None:
    assert with_region("a", (-0.0001, 1e-7, 12345678.0, 0.5)) == "a#xywh=0,0,12345678,0.5"
