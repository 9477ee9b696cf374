"""What a JSON body costs is known before anything is made of it."""

import json
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dim.serve import strict_json as module
from dim.serve.problems import Problem
from dim.serve.strict_json import MOST_DEPTH, MOST_FIELDS, num_values, strict_json

MANY = 10**6
TEXTS = st.text(alphabet='"\\,[]{}:aé🙂\n')
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXTS, inner, max_size=5),
    max_leaves=30,
)


def counted(value: Any) -> int:
    """The values, one after the other; empty lists and objects twice."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 1 if inner is None else max(1 + sum(map(counted, inner)), 2)


def depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)


@settings(max_examples=50)
@given(VALUES, st.booleans())
def test_the_values_of_a_text_are_counted_in_its_bytes(value: Any, is_ascii: bool) -> None:
    body = json.dumps(value, ensure_ascii=is_ascii).encode()
    if depth(value) > MOST_DEPTH:
        with pytest.raises(Problem, match="deep"):
            num_values(body, MANY)
        return
    count = num_values(body, MANY)
    assert count == counted(value)
    assert strict_json(body, count) == value
    with pytest.raises(Problem) as refused:
        strict_json(body, count - 1)
    assert (refused.value.status_code, refused.value.expected) == (413, f"a body of at most {count - 1:,} values")


@settings(max_examples=50)
@given(VALUES, st.data())
def test_what_is_cut_counts_no_less_than_what_stands_before_its_mistake(value: Any, data: st.DataObject) -> None:
    whole = json.dumps([value, value])
    cut = data.draw(st.integers(0, len(whole)))
    if depth(value) < MOST_DEPTH:
        assert cost(whole[:cut] + "\\" + whole[cut:]) >= cost(whole[:cut]) - 1


@settings(max_examples=200)
@given(st.text(st.sampled_from('\\"[]{},:a'), max_size=60))
def test_what_is_counted_in_pieces_is_what_is_counted_at_once(text: str) -> None:
    at_once = cost(text)
    for piece in (1, 2, 3, 7):
        with mock.patch.object(module, "PIECE", piece):
            assert cost(text) == at_once


def cost(text: str) -> int:
    """What is counted; of a text that is refused as too deep, such as by brackets of what was a string, all."""
    try:
        return num_values(text.encode(), MANY)
    except Problem:
        return MANY


def test_brackets_of_what_was_a_string_are_refused_as_too_deep() -> None:
    assert cost('["' + 17 * "[") == 2
    assert cost('["\\""' + 17 * "[") == MANY


@pytest.mark.parametrize("nested", [b"[" * 17 + b"]" * 17, b'{"a":' * 17 + b"1" + b"}" * 17, b"[" * 17])
def test_nesting_is_refused_before_anything_is_made(nested: bytes) -> None:
    with pytest.raises(Problem) as refused:
        strict_json(nested, MANY)
    assert (refused.value.status_code, refused.value.found) == (400, "objects or lists more than 16 deep")


def test_an_object_has_few_fields_and_each_once() -> None:
    fields = [f'"{place}":{place}' for place in range(MOST_FIELDS)]
    assert len(strict_json(f"{{{','.join(fields)}}}".encode(), MANY)) == MOST_FIELDS
    with pytest.raises(Problem) as refused:
        strict_json(f"{{{','.join([*fields, fields[0]])}}}".encode(), MANY)
    assert (refused.value.status_code, refused.value.found) == (422, "33")
    with pytest.raises(Problem) as refused:
        strict_json(f"{{{','.join([*fields[1:], fields[7]])}}}".encode(), MANY)
    assert (refused.value.status_code, refused.value.found) == (400, "the key '7' twice")


def test_a_number_is_no_longer_than_it_can_be_read_at_once() -> None:
    assert strict_json(b"[" + b"9" * 1000 + b"]", MANY) == [int("9" * 1000)]
    for number in ("9" * 1001, "0." + "1" * 1000, "1e" + "0" * 1000):
        with pytest.raises(Problem) as refused:
            strict_json(f"[{number}]".encode(), MANY)
        assert "characters, too long" in refused.value.found


def test_json_is_utf_8() -> None:
    assert strict_json("\ufeff[1]".encode(), MANY) == [1]
    for encoding in ("utf-16", "utf-32", "latin-1"):
        with pytest.raises(Problem) as refused:
            strict_json('["ä"]'.encode(encoding), MANY)
        assert refused.value.status_code == 400
