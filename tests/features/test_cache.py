import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dim.core.jobs import Block, Workplace
from dim.features.cache import FeatureCache, FieldFeatures, Recipe, open_features
from dim.features.inputs import Inputs
from tests.features.computed import computed

RECIPE = Recipe("name", "text", "an encoder", width=2, block_size=3)


def lengths(inputs: Inputs, work: Workplace) -> Iterator[Block]:
    """A feature that can be told from its text: (length, first character)."""
    for index in work.pending:
        texts = [inputs.unique[row] for row in work.plan.block(index)]
        rows = np.array([[len(text), ord(text[0])] for text in texts], dtype=np.float32)
        yield Block(index, rows, {"missing": {str(i): "odd" for i, text in enumerate(texts) if text.startswith("!")}})


def compute(root: Path, owners: list[str | None]) -> FieldFeatures:
    inputs = Inputs.of_texts(owners)
    return computed(FeatureCache(root), RECIPE, inputs, lambda work: lengths(inputs, work))


def never(work: Workplace) -> Iterator[Block]:
    raise AssertionError("this is in the cache")


@settings(max_examples=25, deadline=None)
@given(st.lists(st.none() | st.text(st.characters(codec="utf-8"), min_size=1, max_size=8), max_size=20))
def test_a_cache_round_trips(tmp_path_factory, owners: list[str | None]) -> None:
    root = tmp_path_factory.mktemp("cache")
    features = compute(root, owners)
    expected = [None if text is None or text.startswith("!") else [len(text), ord(text[0])] for text in owners]
    assert features.mask.tolist() == [row is not None for row in expected]
    assert features.dense().tolist() == [row or [0, 0] for row in expected]
    inputs = Inputs.of_texts(owners)
    assert computed(FeatureCache(root), RECIPE, inputs, never).rows.tolist() == features.rows.tolist()


def test_equal_inputs_are_stored_once_and_longest_first(tmp_path: Path) -> None:
    features = compute(tmp_path, ["b", "aaa", None, "b", "cc"])
    assert features.matrix.tolist() == [[3, 97], [2, 99], [1, 98]]
    assert features.rows.tolist() == [2, 0, -1, 2, 1]


def test_the_manifest_counts_what_is_missing_by_reason_and_holds_no_date(tmp_path: Path) -> None:
    manifest = compute(tmp_path, ["a", "!x", None, "!x"]).manifest
    assert manifest["missing"] == {"no text": 1, "odd": 2}
    assert (manifest["num_owners"], manifest["num_present"], manifest["num_unique"]) == (4, 1, 2)
    assert (manifest["encoder"], manifest["width"], manifest["dtype"]) == ("an encoder", 2, "float32")
    assert not any("time" in key or "date" in key for key in manifest)
    log = next(tmp_path.glob("name-*/log.jsonl")).read_text().splitlines()
    assert [json.loads(line)["event"] for line in log] == ["started", "finished"]


def test_a_finished_folder_of_a_wrong_size_is_computed_anew(tmp_path: Path) -> None:
    compute(tmp_path, ["a", "bb"])
    folder = next(tmp_path.glob("name-*"))
    with (folder / "matrix.npy").open("ab") as matrix:
        matrix.write(b"more")
    assert open_features(folder) is None
    assert compute(tmp_path, ["a", "bb"]).dense().tolist() == [[1, 97], [2, 98]]


def test_writing_to_the_mapped_matrix_changes_nothing_on_disk(tmp_path: Path) -> None:
    features = compute(tmp_path, ["a"])
    features.matrix[:] = 7
    assert compute(tmp_path, ["a"]).dense().tolist() == [[1, 97]]


OTHERS: list[dict[str, Any]] = [
    {"num_images": 2},
    {"dtype": "float16"},
    {"num_images": 2, "dtype": "float16"},
    {"width": 3},
    {"encoder": "another"},
    {"field": "entity_image"},
]


def test_the_key_changes_with_each_thing_that_changes_the_value(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(b"1")
    cache = FeatureCache(tmp_path)
    images = Recipe("image", "image", "an encoder", 2, 3)
    folders = [
        cache.folder(RECIPE, Inputs.of_texts(["a", "b"])),
        cache.folder(RECIPE, Inputs.of_texts(["b", "a"])),
        cache.folder(RECIPE, Inputs.of_texts(["a", "bc"])),
        cache.folder(Recipe("name", "text", "another encoder", 2, 3), Inputs.of_texts(["a", "b"])),
        cache.folder(images, Inputs.of_images([("x.jpg",), None], tmp_path)),
        cache.folder(images, Inputs.of_images([("x.jpg", "y.jpg"), None], tmp_path)),
        *(cache.folder(replace(images, **other), Inputs.of_images([("x.jpg",), None], tmp_path)) for other in OTHERS),
    ]
    (tmp_path / "x.jpg").write_bytes(b"22")
    folders.append(cache.folder(images, Inputs.of_images([("x.jpg",), None], tmp_path)))
    assert len(set(folders)) == len(folders)


def test_features_are_known_by_their_tables_until_an_image_changes(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(b"1")
    cache, recipe = FeatureCache(tmp_path / "cache"), Recipe("image", "image", "e", 1, 3)
    inputs = Inputs.of_images([("x.jpg",), ("absent.jpg",)], tmp_path)
    computed(cache, recipe, inputs, lambda work: iter([Block(0, np.ones((2, 1), np.float32))]))
    cache.remember("tables", recipe, inputs)
    assert cache.known("tables", tmp_path).rows.tolist() == [1, 0]
    assert cache.known("other tables", tmp_path) is None
    (tmp_path / "absent.jpg").write_bytes(b"now it is here")
    assert cache.known("tables", tmp_path) is None
