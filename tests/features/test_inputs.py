import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from dim.core.files import content_hash
from dim.features.inputs import Inputs, file_state


def test_the_state_of_a_region_is_that_of_its_file(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"123")
    os.utime(tmp_path / "a.jpg", ns=(5, 7))
    assert file_state(tmp_path, "a.jpg") == ("a.jpg", 3, 7)
    assert file_state(tmp_path, "a.jpg#xywh=1,2,3,4") == ("a.jpg#xywh=1,2,3,4", 3, 7)
    assert file_state(tmp_path, "b.jpg#xywh=1,2,3,4") == ("b.jpg#xywh=1,2,3,4", -1, 0)


def test_two_regions_of_a_file_are_two_inputs_that_change_with_it(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"123")
    owners = [("a.jpg#xywh=1,2,3,4",), ("a.jpg#xywh=9,2,3,4",), None, ("a.jpg#xywh=1,2,3,4",)]
    inputs = Inputs.of_images(owners, tmp_path)
    assert inputs.rows.tolist() == [0, 1, -1, 0]
    before = inputs.hash
    (tmp_path / "a.jpg").write_bytes(b"1234")
    assert Inputs.of_images(owners, tmp_path).hash != before


def in_python(owners: Sequence[Any], key: Callable[[Any], Any]) -> tuple[list[Any], list[int]]:
    """The same by sets and dictionaries."""
    unique = sorted({owner for owner in owners if owner is not None}, key=key)
    position = {owner: i for i, owner in enumerate(unique)} | {None: -1}
    return unique, [position[owner] for owner in owners]


valid = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)  # no lone surrogates: UTF-8 has none


@given(st.lists(st.none() | valid))
def test_texts_are_ordered_as_python_orders_them(owners: list[str | None]) -> None:
    unique, rows = in_python(owners, key=lambda text: (-len(text), text))
    inputs = Inputs.of_texts(owners)
    assert list(inputs.unique) == unique == inputs.unique[:]
    assert [inputs.unique[i] for i in range(len(unique))] == unique
    assert inputs.rows.tolist() == rows
    assert inputs.hash == content_hash(*unique, "[]", np.array(rows, np.int64).tobytes())


@given(st.lists(st.none() | st.lists(st.sampled_from(["a", "ab", "b", "a\0b", "", "é"]), min_size=1, max_size=3)))
def test_lists_of_images_are_ordered_as_python_orders_them(owners: list[list[str] | None]) -> None:
    tuples = [None if owner is None else tuple(owner) for owner in owners]
    unique, rows = in_python(tuples, key=lambda paths: paths)
    for given_as in (tuples, pa.chunked_array([pa.array(owners, pa.list_(pa.string()))])):
        inputs = Inputs.of_images(given_as, Path("/nowhere"))
        assert list(inputs.unique) == unique
        assert inputs.rows.tolist() == rows


def test_columns_of_several_chunks_are_one() -> None:
    column = pa.chunked_array([["a", None], [], ["bb", "a"]], pa.string())
    inputs = Inputs.of_texts(column)
    assert (list(inputs.unique), inputs.rows.tolist()) == (["bb", "a"], [1, -1, 0, 1])
    paths = pa.chunked_array([[["x"], []], [None, ["w", "x"], ["x"]]], pa.list_(pa.string()))
    inputs = Inputs.of_images(paths, Path("/nowhere"))
    assert (list(inputs.unique), inputs.rows.tolist()) == ([("w", "x"), ("x",)], [1, -1, -1, 0, 1])
