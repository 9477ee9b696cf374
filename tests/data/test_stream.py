import json
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dim.data import stream
from dim.data.files import read_json
from dim.data.stream import read_items, read_members
from dim.errors import DataError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
SAME_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.json"


@pytest.fixture(params=[1, 3, 64])
def small_chunks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "CHUNK", request.param)


def values(path: Path) -> list[Any]:
    return [value for _, value in read_items(path)]


def problem(read: Callable[[Path], Any], path: Path) -> str | None:
    try:
        result = read(path)
        if isinstance(result, Iterator):
            list(result)
    except DataError as error:
        return error.found
    return None


@pytest.mark.usefixtures("small_chunks")
@SAME_FOLDER
@given(items=st.lists(JSON, max_size=6), indent=st.sampled_from([None, 1]), ascii_only=st.booleans())
def test_items_are_those_of_the_standard_library(
    path: Path, items: list[Any], indent: int | None, ascii_only: bool
) -> None:
    text = json.dumps(items, indent=indent, ensure_ascii=ascii_only)
    path.write_bytes(text.encode("utf-8", "replace"))
    assert values(path) == json.loads(path.read_bytes())


@pytest.mark.usefixtures("small_chunks")
@SAME_FOLDER
@given(members=st.dictionaries(st.text(), JSON, max_size=6), indent=st.sampled_from([None, 1]))
def test_members_are_those_of_the_standard_library(path: Path, members: dict[str, Any], indent: int | None) -> None:
    path.write_text(json.dumps(members, indent=indent), encoding="utf-8")
    assert list(read_members(path)) == list(members.items())


@pytest.mark.usefixtures("small_chunks")
def test_whatever_is_cut_off_or_garbled_is_found_at_the_place_that_the_standard_library_names(path: Path) -> None:
    whole = '[\n {"id": -12.5e3, "a": "x\\ud83d\\ude00\\n", "b": [true, null]},\n [],\n  "end" , 7\n]'
    wrong = [whole[:cut] for cut in range(1, len(whole) + 1)]
    wrong += [whole[:at] + sign + whole[at:] for at in range(1, len(whole)) for sign in '"]}{:,']
    for text in wrong:
        path.write_text(text)
        expected = problem(read_json, path)
        found = problem(read_items, path)
        # Newer Pythons put a trailing comma in words and at a place of its own.
        if expected is None or found is None or "trailing comma" not in expected:
            assert (found or "").split(" at line ")[1:] == (expected or "").split(" at line ")[1:], text


@pytest.mark.usefixtures("small_chunks")
def test_a_number_that_ends_with_a_chunk_goes_on_in_the_next(path: Path) -> None:
    path.write_text("[12345678901, 2.5]")
    assert values(path) == [12345678901, 2.5]


def test_items_are_numbered_from_one_and_a_byte_order_mark_is_no_content(path: Path) -> None:
    path.write_bytes(b'\xef\xbb\xbf["a", "b"]')
    assert list(read_items(path)) == [(1, "a"), (2, "b")]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", r"its end \(truncated\?\) at line 1, column 1"),
        (" \n ", r"its end \(truncated\?\) at line"),
        ("{}", "an object"),
        ('"x"', "a string"),
        ("null", "null"),
        ("[1] 2", "Extra data at line 1, column 5"),
        ("[1 2]", "Expecting ',' delimiter at line 1, column 4"),
        ('[{"a": 1, "a": 2}]', "the key 'a' twice"),
        ("[" * 100_000, "nested too deeply"),
        (f"[1, {'9' * 5_000}]", "value has 5000 digits"),
    ],
)
def test_what_is_no_array_is_named(path: Path, text: str, found: str) -> None:
    path.write_text(text)
    with pytest.raises(DataError, match=found):
        values(path)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[]", "an array"),
        ('{"a": 1, "a": 2}', "the key 'a' twice in one object"),
        ("{1: 2}", "Expecting property name"),
        ('{"a" 1}', "Expecting ':' delimiter at line 1, column 6"),
        ('{"a": 1,\n}', "Expecting property name enclosed in double quotes at line 2, column 1"),
    ],
)
def test_what_is_no_object_is_named(path: Path, text: str, found: str) -> None:
    path.write_text(text)
    with pytest.raises(DataError, match=found):
        list(read_members(path))


def test_a_missing_file_and_bytes_that_are_no_text_are_named(path: Path) -> None:
    with pytest.raises(DataError, match="nothing there"):
        values(path)
    path.write_bytes(b'["\xff"]')
    with pytest.raises(DataError, match="the byte 0xff"):
        values(path)


def test_an_error_is_found_without_reading_the_rest(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "CHUNK", 100)
    path.write_text("[?, " + "1, " * 100_000 + "1]")
    told: list[int] = []
    with path.open(encoding="utf-8") as file, pytest.raises(DataError, match="Expecting value at line 1, column 2"):
        list(stream._Window(file, path, told.append).items("["))
    assert len(told) == 1


def test_one_long_item_is_not_decoded_again_for_each_chunk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "CHUNK", 10)
    path.write_text(json.dumps(["x" * 100_000]))
    told: list[int] = []
    with path.open(encoding="utf-8") as file:
        assert len(list(stream._Window(file, path, told.append).items("["))) == 1
    assert len(told) < 20  # 10,000 chunks of 10


def test_memory_is_that_of_some_items_and_progress_that_of_the_file(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path.write_text(json.dumps([{"id": number, "text": "x" * 300} for number in range(30_000)]))
    monkeypatch.setattr(stream, "MIN_BYTES_TO_WATCH", path.stat().st_size)
    monkeypatch.setenv("FORCE_COLOR", "1")  # as on a terminal
    tracemalloc.start()
    try:
        count = sum(1 for _ in read_items(path))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 30_000
    assert peak < 8 * stream.CHUNK < path.stat().st_size
    shown = capsys.readouterr()
    assert "reading x.json" in shown.err
    assert "MB" in shown.err
    assert shown.out == ""


def test_a_small_file_shows_no_progress(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.write_text("[1]")
    assert values(path) == [1]
    assert capsys.readouterr().err == ""
