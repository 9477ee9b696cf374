from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dim.data.dataset import write_dataset
from dim.errors import ConfigError
from dim.evaluation.protocols import FullKB
from dim.features.batch import FeatureTable
from dim.methods.generative import examples
from dim.methods.generative.examples import NoExamples, RandomExamples, SimilarExamples
from dim.training.datamodule import LinkingData


def linking_data(folder, mentions, matrix=None, rows=None, encoder="e"):
    """The data of a run over these mentions, whose strings have the vectors `matrix[rows]`."""
    defaults = {"id": [f"m{row}" for row in range(len(mentions))], "split": "train", "entity_id": "a", "context": ""}
    mentions = mentions.assign(**{name: value for name, value in defaults.items() if name not in mentions})
    dataset = write_dataset(
        folder,
        name="d",
        entities=pd.DataFrame({"id": ["a"], "name": ["Ann"]}),
        texts={},
        mentions=mentions,
    )
    fields = {}
    if matrix is not None:
        fields["mention"] = FeatureTable(torch.tensor(np.asarray(matrix, np.float32)), torch.tensor(rows))
    return LinkingData(
        dataset=dataset,
        mention_fields=fields,
        entity_fields={},
        gold=torch.zeros(len(mentions), dtype=torch.long),
        candidates=None,
        protocol=FullKB(),
        read_texts=list,
        fingerprints={"text_encoder": encoder},
    )


def on_a_line(num):
    """Unit vectors at rising angles: the nearest of each are its neighbours."""
    angles = np.linspace(0, 1, num)
    return np.stack([np.cos(angles), np.sin(angles)], 1)


def by_loops(data, train_rows, count, share_image):
    """The definition, mention by mention."""
    mentions, table = data.dataset.mentions, data.mention_fields["mention"]
    vectors = table.matrix.double().numpy()[table.rows.numpy()]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = np.round(vectors @ vectors.T, 6)
    items = list(zip(mentions["mention"], mentions["context"], strict=True))
    images = [set(paths) for paths in mentions["images"]]
    has_vector = (table.rows >= 0).tolist()
    chosen = []
    for row in range(len(items)):
        scored = []
        for other in train_rows.tolist():
            is_allowed = items[row] != items[other] and (share_image or not images[row] & images[other])
            if is_allowed and has_vector[row] and has_vector[other]:
                scored.append((-cosines[row, other], other))
        best = [other for _, other in sorted(scored)[:count]]
        chosen.append([-1] * (count - len(best)) + best[::-1])
    return chosen


@st.composite
def worlds(draw):
    num = draw(st.integers(1, 12))
    strings = draw(st.lists(st.integers(0, 4), min_size=num, max_size=num))
    generator = np.random.default_rng(draw(st.integers(0, 1000)))
    images = generator.integers(0, 5, (num, 2))
    mentions = pd.DataFrame(
        {
            "mention": [f"s{string}" for string in strings],
            "context": [f"t{text}" for text in generator.integers(0, 3, num)],
            "images": [[f"{image}.jpg" for image in sorted(set(row))][: row[0] % 3] for row in images],
        }
    )
    matrix = generator.integers(-2, 3, (5, 3)).astype(float)  # many ties, and now and then one vector twice
    matrix[(matrix == 0).all(1)] = 1.0
    rows = np.where(generator.random(num) < 0.9, strings, -1)
    train_rows = np.flatnonzero(generator.random(num) < 0.8)
    return mentions, matrix, rows, train_rows


@settings(max_examples=60, deadline=None)
@given(worlds(), st.integers(1, 4), st.booleans())
def test_the_most_similar_stand_last_and_equal_the_definition(tmp_path_factory, world, count, share_image):
    mentions, matrix, rows, train_rows = world
    folder = tmp_path_factory.mktemp("w")
    data = linking_data(folder / "d", mentions, matrix, rows)
    chosen = SimilarExamples(count, share_image).choose(data, train_rows, folder)
    assert chosen.dtype == np.int64
    assert chosen.tolist() == by_loops(data, train_rows, count, share_image)


@settings(max_examples=40, deadline=None)
@given(worlds(), st.integers(1, 4), st.booleans(), st.integers(0, 3))
def test_random_examples_are_allowed_distinct_and_all_there_are(tmp_path_factory, world, count, share_image, seed):
    mentions, matrix, rows, train_rows = world
    folder = tmp_path_factory.mktemp("w")
    data = linking_data(folder / "d", mentions, matrix, np.where(rows < 0, 0, rows))
    chosen = RandomExamples(count, seed, share_image).choose(data, train_rows, folder)
    allowed = by_loops(data, train_rows, len(mentions), share_image)
    for row, all_allowed in zip(chosen.tolist(), allowed, strict=True):
        found = [other for other in row if other >= 0]
        all_allowed = {other for other in all_allowed if other >= 0}
        assert set(found) <= all_allowed
        assert len(found) == len(set(found)) == min(count, len(all_allowed))
        assert row == [-1] * (count - len(found)) + found


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_the_choice_is_that_of_loops_whatever_the_batch_and_however_far_the_search_must_go(
    tmp_path, batch, monkeypatch
):
    generator = np.random.default_rng(0)
    num, strings = 400, 300
    rows = generator.integers(0, strings, num)
    mentions = pd.DataFrame(
        {
            "mention": [f"s{row}" for row in rows],
            "context": [f"t{row}" for row in range(num)],
            # Of the mentions near 0 all share one image, so that their examples lie far beyond the first neighbours.
            "images": [["crowd.jpg"] if row < 120 else [f"{i}.jpg"] for i, row in enumerate(rows)],
        }
    )
    matrix = np.concatenate([on_a_line(strings - 40), np.repeat([[0.0, 3.0]], 40, 0)])  # 40 strings are equally near
    data = linking_data(tmp_path / "d", mentions, matrix, rows)
    train_rows = np.flatnonzero(generator.random(num) < 0.7)
    monkeypatch.setattr(examples, "BATCH", batch)
    chosen = SimilarExamples(3).choose(data, train_rows, tmp_path)
    assert chosen.tolist() == by_loops(data, train_rows, 3, share_image=False)
    assert (chosen >= 0).all()


def test_a_duplicate_of_the_mention_and_one_in_another_region_of_its_image_are_no_examples(tmp_path):
    mentions = pd.DataFrame(
        {
            "split": ["test", "train", "train", "train", "train"],
            "mention": ["Leto"] * 4 + ["Apollo"],
            "context": ["Leto sings.", "Leto sings.", "Leto weeps.", None, None],
            "images": [["a.jpg#xywh=0,0,5,5"], [], ["b.jpg", "a.jpg#xywh=5,5,5,5"], None, []],
        }
    )
    data = linking_data(tmp_path / "d", mentions, np.eye(2), [0, 0, 0, 0, 1])
    train_rows = np.array([4, 1, 2, 3])
    assert SimilarExamples(3).choose(data, train_rows, tmp_path)[0].tolist() == [-1, 4, 3]
    assert SimilarExamples(3, share_image=True).choose(data, train_rows, tmp_path)[0].tolist() == [4, 3, 2]
    assert sorted(RandomExamples(3).choose(data, train_rows, tmp_path)[0].tolist()) == [-1, 3, 4]


def test_regions_without_string_and_text_are_told_apart_by_their_images(tmp_path):
    mentions = pd.DataFrame(
        {"mention": [""] * 3, "images": [["a.jpg#xywh=0,0,5,5"], ["a.jpg#xywh=0,0,5,5"], ["b.jpg"]]}
    )
    data = linking_data(tmp_path / "d", mentions)
    chosen = RandomExamples(2, share_image=True).choose(data, np.arange(3), tmp_path)
    assert chosen.tolist() == [[-1, 2], [-1, 2], [*chosen[2]]]
    assert sorted(chosen[2].tolist()) == [0, 1]


def test_random_examples_hang_on_seed_and_id_and_not_on_the_order_of_rows(tmp_path):
    mentions = pd.DataFrame({"mention": [f"s{i}" for i in range(60)], "id": [f"m{i}" for i in range(60)]})
    order = np.random.default_rng(1).permutation(60)
    data = linking_data(tmp_path / "d", mentions)
    other = linking_data(tmp_path / "o", mentions.iloc[order].reset_index(drop=True))
    train = np.arange(40)
    first = RandomExamples(5).choose(data, train, tmp_path)
    again = RandomExamples(5).choose(other, np.argsort(order)[train][::-1], tmp_path)
    assert (order[again] == first[order]).all()
    assert (RandomExamples(5, seed=1).choose(data, train, tmp_path) != first).any()
    counts = np.bincount(RandomExamples(20).choose(data, train, tmp_path).ravel(), minlength=40)
    assert counts.min() > 0
    assert counts.max() < 60  # 30 expected, standard deviation about 4


def test_no_training_mention_means_no_example_and_so_does_a_mention_without_vector(tmp_path):
    data = linking_data(tmp_path / "d", pd.DataFrame({"mention": ["a", "b", "c"]}), np.eye(2), [0, 1, -1])
    none = np.empty(0, np.int64)
    assert SimilarExamples(2).choose(data, none, tmp_path).tolist() == [[-1, -1]] * 3
    assert RandomExamples(2).choose(data, none, tmp_path).tolist() == [[-1, -1]] * 3
    assert SimilarExamples(2).choose(data, np.arange(3), tmp_path).tolist() == [[-1, 1], [-1, 0], [-1, -1]]
    assert NoExamples().choose(data, np.arange(3), tmp_path).shape == (3, 0)
    assert NoExamples().num_examples == 0


def cached(folder: Path):
    return sorted((folder / "examples").glob("*.npy"))


def test_the_choice_is_kept_and_each_thing_that_changes_it_makes_a_new_one(tmp_path, monkeypatch):
    mentions = pd.DataFrame({"mention": list("abcd"), "images": [["i"], ["i"], [], []]})
    data = linking_data(tmp_path / "d", mentions, on_a_line(4), [0, 1, 2, 3])
    train = np.arange(4)
    first = SimilarExamples(2).choose(data, train, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(SimilarExamples, "_search", None)  # to call it would fail
        assert (SimilarExamples(2).choose(data, train[::-1].copy(), tmp_path) == first).all()
    assert len(cached(tmp_path)) == 1
    SimilarExamples(1).choose(data, train, tmp_path)
    SimilarExamples(2, share_image=True).choose(data, train, tmp_path)
    SimilarExamples(2).choose(data, train[:3], tmp_path)
    shuffled = linking_data(tmp_path / "d", mentions, on_a_line(4), [1, 0, 2, 3])
    SimilarExamples(2).choose(shuffled, train, tmp_path)
    other_encoder = linking_data(tmp_path / "d", mentions, on_a_line(4), [0, 1, 2, 3], encoder="f")
    SimilarExamples(2).choose(other_encoder, train, tmp_path)
    other_data = linking_data(tmp_path / "o", mentions.assign(context="x"), on_a_line(4), [0, 1, 2, 3])
    SimilarExamples(2).choose(other_data, train, tmp_path)
    assert len(cached(tmp_path)) == 7


@pytest.mark.parametrize("damage", ["cut", "no numpy", "other rows", "empty"])
def test_a_damaged_file_is_computed_anew_with_a_notice(tmp_path, capsys, damage):
    data = linking_data(tmp_path / "d", pd.DataFrame({"mention": list("abcd")}), on_a_line(4), [0, 1, 2, 3])
    train = np.arange(3)
    expected = SimilarExamples(2).choose(data, train, tmp_path)
    assert capsys.readouterr().err == ""
    (path,) = cached(tmp_path)
    whole = path.read_bytes()
    if damage == "other rows":
        np.save(path, np.full_like(expected, 3))
    else:
        path.write_bytes({"cut": whole[:-9], "no numpy": b"x" * 99, "empty": b""}[damage])
    assert (SimilarExamples(2).choose(data, train, tmp_path) == expected).all()
    assert f"{path.name} is damaged" in capsys.readouterr().err
    assert path.read_bytes() == whole


def test_without_vectors_the_error_names_a_text_encoder_and_random_examples(tmp_path):
    data = linking_data(tmp_path / "d", pd.DataFrame({"mention": ["a"]}))
    with pytest.raises(ConfigError, match=r"--data\.text_encoder TransformersTextEncoder .* use RandomExamples"):
        SimilarExamples().choose(data, np.arange(1), tmp_path)


@pytest.mark.parametrize("kind", [RandomExamples, SimilarExamples])
@pytest.mark.parametrize("count", [0, 1001, 10**30])
def test_no_number_of_examples_but_one_that_a_prompt_can_hold(kind, count):
    with pytest.raises(ConfigError, match="use NoExamples"):
        kind(num_examples=count)
