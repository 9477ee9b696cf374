"""One schema for a value of a row, whoever hands it over: `prepare`, `add_entities`, `link`, `dim link --input`."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dim.data.entity import Entity
from dim.data.table_files import check_size, text_cell
from dim.data.table_rows import LONGEST_TEXT, LONGEST_WORDS
from dim.errors import DataError
from dim.linker.answer import question_of
from dim.linker.knowledge import entities_of
from dim.releases.tables import Tables

LONG = "x" * (LONGEST_WORDS + 1)
#: Field → values that no entity has in it, in any form.
NO_VALUES: dict[str, list[Any]] = {
    "id": [True, b"9", {"a": 1}, ["9"], 10**400, 10**5000, LONG],
    "name": [False, b"Ada", {"a": 1}, ["Ada"], 10**5000, LONG],
    "description": [True, b"A poet.", ["A", "poet"], 10**5000, "x" * (LONGEST_TEXT + 1)],
    "aliases": [[["A."]], [{"a": 1}], [True], [b"A."], {"a": 1}, [10**5000], [LONG]],
    "image": [[["a.png"]], [True], {"path": "a.png"}, [b"a"], [LONG]],
    "type": [True, b"person", ["person"], {"a": 1}, 10**5000, LONG],
    "popularity": [True, b"5", [5], "high", "inf", float("inf"), 10**400, 10**5000, Decimal("NaN"), "1e400"],
}
CASES = [(field, value) for field, values in NO_VALUES.items() for value in values]


def named(case: object) -> str:
    return case if isinstance(case, str) and len(case) < 20 else type(case).__name__


@pytest.mark.parametrize(("field", "value"), CASES, ids=named)
def test_a_value_that_an_entity_cannot_have_is_refused_by_its_place_and_column(field: str, value: Any) -> None:
    rows = [{"id": "8", "name": "Bob"}, {"id": "9", "name": "Ada", field: value}]
    with pytest.raises(DataError) as caught:
        entities_of(rows)
    assert "entity 1" in caught.value.expected
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(("field", "value"), CASES, ids=named)
def test_prepare_refuses_the_same_values(field: str, value: Any, tmp_path: Path) -> None:
    rows = [{"id": "8", "name": "Bob"}, {"id": "9", "name": "Ada", field: value}]
    try:
        text = "\n".join(map(json.dumps, rows))
    except (TypeError, ValueError):
        text = "\n".join(json.dumps(row, default=list) for row in rows[:1])
        text += f'\n{{"id": "9", "name": "Ada", "{field}": {json_of(value)}}}'
    (tmp_path / "entities.jsonl").write_text(text)
    (tmp_path / "mentions.jsonl").write_text('{"mention": "Ada", "context": "Ada wrote."}\n')
    with pytest.raises(DataError) as caught:
        Tables().read(tmp_path)
    assert any(place in str(caught.value) for place in ("row 2", "line 2", "entities.jsonl"))


def json_of(value: Any) -> str:
    """What JSON has for it: bytes are no JSON, so they stand as an object; of a large number all digits."""
    if isinstance(value, int):
        return "1" + "0" * (value.bit_length() * 3 // 10)
    if isinstance(value, list):
        return f"[{', '.join(map(json_of, value))}]"
    return '{"bytes": 1}' if isinstance(value, bytes) else '"NaN"'


@pytest.mark.parametrize(
    "fields",
    [
        {"type": 5},
        {"type": True},
        {"type": "half \ud83d"},
        {"text": 0},
        {"text": ["a"]},
        {"aliases": ("A.", 5)},
        {"aliases": (("A.",),)},
        {"images": ("half \ud83d.png",)},
        {"popularity": True},
        {"popularity": np.bool_(True)},
        {"popularity": "123"},
        {"popularity": float("inf")},
        {"popularity": 10**400},
        {"popularity": 10**5000},
        {"popularity": [5.0]},
        {"popularity": b"5"},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_an_entity_of_such_values_cannot_be_made(fields: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=next(iter(fields)).removesuffix("s").replace("aliase", "alias")):
        Entity("9", "Ada", **fields)


@pytest.mark.parametrize(
    "entity",
    [
        Entity(LONG, "Ada"),
        Entity("9", LONG),
        Entity("9", "Ada", ("A.", LONG)),
        Entity("9", "Ada", type=LONG),
        Entity("9", "Ada", images=(LONG,)),
        Entity("9", "Ada", text="x" * (LONGEST_TEXT + 1)),
    ],
    ids=lambda _: "",
)
def test_what_is_too_long_is_named_by_its_place(entity: Entity) -> None:
    with pytest.raises(DataError, match="entity 1"):
        entities_of([Entity("8", "Bob"), entity])


def test_numbers_that_mean_nothing_are_none_in_each_form() -> None:
    bare = Entity("9", "Ada")
    for value in (float("nan"), np.float32("nan"), pd.NA, None):
        assert Entity("9", "Ada", popularity=value) == bare
        assert entities_of([{"id": "9", "name": "Ada", "popularity": value}]) == [bare]
    assert type(Entity("9", "Ada", popularity=np.float32(5)).popularity) is float
    assert Entity("9", "Ada", popularity=10**15).popularity == 1e15


@pytest.mark.parametrize(
    "fields",
    [
        {"mention": True},
        {"mention": ["Ada"]},
        {"mention": 10**5000},
        {"mention": LONG},
        {"context": b"Ada wrote."},
        {"context": ["Ada"]},
        {"start": 10**400, "end": 3},
        {"start": True, "end": 3},
        {"candidates": [["9"]]},
        {"candidates": [True]},
        {"candidates": [10**5000]},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_a_question_of_such_values_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(DataError):
        question_of({"mention": "Ada", "context": "Ada wrote.", **fields}, "question 3")


def test_an_array_of_arrays_in_a_text_is_a_text() -> None:
    found = entities_of({"id": "9", "name": "Ada", "aliases": '[["A."], ["B."]]'})
    assert found[0].aliases == ('[["A."], ["B."]]',)


def test_a_whole_number_that_python_does_not_write_is_no_text() -> None:
    assert text_cell(10**300) == "1" + "0" * 300
    with pytest.raises(DataError, match="at most 1,024 bits\nfound    one of 16,610"):
        text_cell(10**5000)
    with pytest.raises(DataError, match="in row 3"):
        check_size(10**5000, "row 3")
