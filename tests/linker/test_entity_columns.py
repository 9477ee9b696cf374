"""Entities as columns are what a dict of them would be."""

import sys
import unicodedata
from itertools import chain
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dim.core.arrow_file import write_arrow
from dim.core.text_form import one_form
from dim.data.entity import Entity
from dim.errors import DataError
from dim.linker.entity_columns import ANY_FORM, RANGES, SCHEMA, EntityColumns
from dim.linker.entity_table import FILE, read_entities
from dim.linker.image_roots import ImageRoots
from dim.linker.knowledge import knowledge_of

TEXTS = st.text(st.sampled_from("aé\u0301e \u2003한글王\u0e38"), min_size=1, max_size=5)
NAMES = TEXTS.filter(lambda text: bool(text.strip()))
FIELDS = st.fixed_dictionaries(
    {
        "name": NAMES,
        "aliases": st.none() | st.lists(TEXTS, max_size=2),
        "text": st.none() | st.just("") | TEXTS,
        "type": st.none() | TEXTS,
        "popularity": st.none() | st.just(float("nan")) | st.floats(0, 9),
        "images": st.none() | st.lists(st.sampled_from(["a.png", "/b.png", "../c.png"]), max_size=2),
    }
)


def table_of(rows: dict[int, dict[str, object]]) -> pa.Table:
    columns = {name: [values[name] for values in rows.values()] for name in SCHEMA.names if name != "row"}
    return pa.table({"row": list(rows), **columns}, schema=SCHEMA)


def entity_of(values: dict[str, object]) -> Entity:
    return Entity(**values | {name: tuple(values[name] or ()) for name in ("aliases", "images")})  # type: ignore[arg-type,call-overload]


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_columns_that_come_and_go_are_as_a_dict_of_entities(data: st.DataObject) -> None:
    numbers = data.draw(st.lists(st.integers(0, 30), unique=True, max_size=8))
    told = {row: {"id": f"é{row}", **data.draw(FIELDS)} for row in numbers}
    columns, expected = EntityColumns(table_of(told)), {row: entity_of(values) for row, values in told.items()}
    for row in data.draw(st.lists(st.integers(0, 40), max_size=8)):
        if data.draw(st.booleans()):
            columns[row] = expected[row] = entity_of({"id": f"new{row}", **data.draw(FIELDS)})
        elif row in expected:
            del columns[row], expected[row]
    in_order = dict(sorted(expected.items()))
    assert list(columns.items()) == list(in_order.items())
    assert list(columns.each()) == list(in_order.values())
    assert columns.rows.tolist() == list(in_order)
    assert len(columns) == len(in_order)
    assert [columns.find(entity.id) for entity in in_order.values()] == list(in_order)
    assert [columns.find(f"é{row}") for row in numbers] == [
        row if row in expected and expected[row].id == f"é{row}" else None for row in numbers
    ]
    for row in range(42):
        assert (row in columns, columns.get(row)) == (row in expected, expected.get(row))
    assert columns.table().schema == SCHEMA
    again = EntityColumns(columns.table())
    assert dict(again) == in_order
    outside = {row: tuple(each for each in entity.images if each != "a.png") for row, entity in in_order.items()}
    columns.confine_images(ImageRoots(Path("/kb")))
    assert dict(columns.images_elsewhere()) == {row: images for row, images in outside.items() if images}
    columns[99] = added = entity_of({"id": "added", **data.draw(FIELDS)})
    assert list(columns.each()) == list(columns.values())
    for row, entity in columns.items():
        assert columns.answered(row) == {name: getattr(entity, name) for name in ("id", "name", "text", "images")}
    with pytest.raises(KeyError):
        columns.answered(98)
    assert columns.pop(99).images == added.images  # the roots are of those that were there
    assert all(set(entity.images) <= {"/kb/a.png"} for entity in columns.values())


def test_no_character_of_the_ranges_has_another_form_alone_or_beside_others() -> None:
    kept = set(chain.from_iterable(range(first, last + 1) for first, last in RANGES))
    assert all(unicodedata.combining(chr(each)) == 0 for each in kept)
    assert all(one_form(chr(each)) == chr(each) for each in kept)
    for each in range(sys.maxunicode + 1):
        parts = unicodedata.decomposition(chr(each)).split()
        if len(parts) == 2 and not parts[0].startswith("<"):  # what is composed of two: the second may be composed
            assert int(parts[1], 16) not in kept
    assert kept.isdisjoint(range(0x1100, 0x1200))  # and those of Korean
    asked = pa.array([chr(first) for first, _ in RANGES] + ["e\u0301", "abc", "\u212b"])
    assert pc.match_substring_regex(asked, ANY_FORM).to_pylist() == [False] * len(RANGES) + [True, False, True]


def test_blanks_are_what_python_takes_for_blanks() -> None:
    letters = [chr(each) for each in range(sys.maxunicode + 1) if not 0xD800 <= each <= 0xDFFF]
    blank = pc.equal(pc.utf8_trim_whitespace(pa.array(letters)), "").to_pylist()
    assert blank == [letter.isspace() for letter in letters]


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("id", "NIL", "which says that the KB has none"),
        ("id", " \u2003", "an entity with an id"),
        ("aliases", ["a", None], "text as id, name, alias, text or type"),
        ("images", [None], "paths of files as images of an entity"),
        ("popularity", float("inf"), "a number as popularity"),
        ("id", "e\u03011", "several of the id 'é1'"),
        ("id", "é1", "several of the id 'é1'"),
    ],
)
def test_what_is_no_entity_is_refused_in_the_words_of_one(column: str, value: object, message: str) -> None:
    bare = {"name": "Ada", "aliases": [], "text": None, "type": None, "popularity": None, "images": []}
    told = {1: {"id": "é1", **bare}, 2: {"id": "2", **bare}}
    told[2][column] = value
    with pytest.raises(DataError, match=message):
        EntityColumns(table_of(told))


def test_bytes_that_are_no_characters_are_refused(tmp_path: Path) -> None:
    values = {"id": "1", "name": "Ada", "aliases": [], "text": None, "type": None, "popularity": None, "images": []}
    table = table_of({0: values})
    half = pa.array([b"\xed\xa0\xbd"], pa.binary()).view(pa.string())
    for column in ("id", "name", "text"):
        wrong = table.set_column(SCHEMA.names.index(column), column, half)
        write_arrow(wrong, tmp_path / FILE)
        with pytest.raises(DataError, match="the entities of a linker"):
            read_entities(tmp_path, 1)


def test_half_a_character_in_a_dataset_is_named() -> None:
    values = {"id": ["1"], "name": ["\ud83d"], "aliases": [[]], "type": [None], "popularity": [None], "images": [[]]}
    with pytest.raises(DataError, match=r"half of one, U\+D83D"):
        knowledge_of(pd.DataFrame(values, dtype=object), [None], Path("/kb"))
