import json
import os
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.modalities import Modalities
from benchmarks.search_curve import World
from dim.errors import ConfigError, DataError
from dim.search import stores, vector_index
from dim.search.centres import sample
from dim.search.codes import CodeStore, build_codes
from dim.search.half_precision import HalfPrecision
from dim.search.recall import RecallSample, near
from dim.search.stores import ExactStore, build_faiss
from dim.search.vector_index import VectorIndex

KINDS = ("exact", "flat", "ivf", "int4", "hnsw")


def build(vectors, ids=None, kind="auto", **options):
    """An index; the kind "int4" is IVF with that storage."""
    if kind == "int4":
        kind, options = "ivf", {"storage": "int4", **options}
    return VectorIndex.build(vectors, ids, kind=kind, **options)


@pytest.fixture(params=["few", "many"])
def centres(request, monkeypatch):
    """With many lists, their centres are found by codes, too."""
    if request.param == "many":
        monkeypatch.setattr("dim.search.centres.FEW", 1)


def unit(num, width=16, seed=0):
    vectors = np.random.default_rng(seed).standard_normal((num, width), dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def oracle(vectors, ids, queries, k):
    """The k nearest by a loop over float64 products."""
    answers = []
    for query in queries.astype(np.float64):
        scored = sorted((-float(np.float32(vector @ query)), i) for vector, i in zip(vectors, ids, strict=True))[:k]
        answers.append([i for _, i in scored] + [-1] * (k - len(scored)))
    return np.array(answers)


def everything(index):
    """The index, set to look at all of its vectors, so that its answers are those of an exact search."""
    if index.kind in ("ivf", "hnsw"):
        index._store.effort = index._store.most
    if isinstance(index._store, CodeStore):
        index._store.rescored = max(1, len(index._store))
    return index


@pytest.mark.usefixtures("centres")
@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_that_looks_at_everything_answers_as_a_loop_does(kind):
    vectors, queries = unit(400), unit(30, seed=1)
    ids = np.random.default_rng(2).permutation(1000)[:400]
    index = everything(build(vectors, ids, kind=kind))
    scores, found = index.search(queries, 7)
    expected = oracle(vectors, ids, queries, 7)
    assert (scores.dtype, found.dtype) == (np.float32, np.int64)
    assert (found == expected).mean() > (0.99 if kind in ("exact", "flat") else 0.97)  # float16 swaps a few
    rows = {i: row for row, i in enumerate(ids.tolist())}
    true = [[vectors[rows[i]] @ query for i in answer] for answer, query in zip(found.tolist(), queries, strict=True)]
    np.testing.assert_allclose(scores, true, atol=1e-6 if kind in ("exact", "flat") else 1e-3)
    assert len(index) == 400
    assert index.ids.tolist() == sorted(ids.tolist())


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 60), st.integers(1, 12), st.integers(0, 70), st.integers(0, 10_000), st.data())
def test_equal_vectors_come_by_their_id_and_a_query_does_not_feel_its_neighbours(num, width, k, seed, data):
    rng = np.random.default_rng(seed)
    few, which = unit(5, width, seed), rng.integers(0, 5, num)
    vectors = few[which]  # many copies of few vectors
    ids = rng.permutation(200)[:num]
    index = VectorIndex.build(vectors, ids)
    gone = data.draw(st.lists(st.sampled_from(ids.tolist()), unique=True)) if num else []
    index.remove(np.array(gone, dtype=np.int64))
    queries = unit(9, width, seed + 1)
    scores, found = index.search(queries, k)
    kept = ~np.isin(ids, gone)
    for query, row, line in zip(queries, found, scores, strict=True):
        alone = index.search(query[None], k)
        np.testing.assert_array_equal(alone[1][0], row)
        np.testing.assert_array_equal(alone[0][0], line)
        answers = row[row >= 0].tolist()
        assert len(answers) == min(k, int(kept.sum()))
        assert sorted(zip(-line, row, strict=True)) == list(zip(-line, row, strict=True))[: len(row)] or k > len(
            answers
        )
        true = dict(zip(ids.tolist(), np.einsum("nd,d->n", few, query)[which].tolist(), strict=True))
        by_score_then_id = sorted(ids[kept].tolist(), key=lambda i: (-true[i], i))[:k]
        assert answers == by_score_then_id


@pytest.mark.parametrize("kind", KINDS)
def test_ties_at_the_last_answer_go_to_the_smaller_ids(kind):
    vectors = np.repeat(unit(3), 40, axis=0)
    ids = np.arange(119, -1, -1)
    index = everything(build(vectors, ids, kind=kind))
    for k in (1, 5, 39, 40):
        assert index.search(vectors[:1], k)[1][0].tolist() == list(range(80, 80 + k))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_added_is_found_and_what_is_removed_is_not(kind):
    vectors, new = unit(500), unit(40, seed=5)
    index = build(vectors, kind=kind)
    index.add(np.arange(1000, 1040), new)
    assert len(index) == 540
    assert index.num_added == 40
    assert index.search(new, 1)[1][:, 0].tolist() == list(range(1000, 1040))
    index.remove([1003, *range(0, 500, 2)])
    assert len(index) == 289
    assert index.ids.tolist() == [*range(1, 500, 2), *(i for i in range(1000, 1040) if i != 1003)]
    scores, found = index.search(vectors[:50], 20)
    assert np.isfinite(scores).all(), "k answers remain"
    assert not np.isin(found, [1003, *range(0, 500, 2)]).any()
    assert found[1::2, 0].tolist() == list(range(1, 50, 2))
    index.add([4, 1003], vectors[[4, 6]])  # an id may come back, for another vector
    assert index.search(vectors[[4, 6]], 1)[1][:, 0].tolist() == [4, 1003]
    live = index.ids
    fewer = index.search(vectors[:2], 600)
    assert np.sort(fewer[1][0][: len(live)]).tolist() == live.tolist()
    assert (fewer[1][:, len(live) :] == -1).all()
    assert np.isneginf(fewer[0][:, len(live) :]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_given_pairs_have_the_scores_of_the_search(kind, tmp_path):
    ids = np.random.default_rng(2).permutation(1000)[:400]
    index = build(unit(400), ids, kind=kind)
    index.add([2000, 1500], unit(2, seed=7))
    index.remove(ids[:1])
    index.save(tmp_path / "index")
    queries = unit(12, seed=1)
    for one in (index, VectorIndex.load(tmp_path / "index")):
        scores, found = one.search(queries, 9)
        np.testing.assert_allclose(one.scores_of(queries, found), scores, atol=1e-6)
        added = one.scores_of(queries[:1], [[1500, 2000]])[0]
        np.testing.assert_allclose(added, unit(2, seed=7)[::-1] @ queries[0], atol=1e-6)
        np.testing.assert_allclose(one.search(queries, 9)[0], scores)
        with pytest.raises(DataError, match=rf"found    {ids[0]} unknown to it"):
            one.scores_of(queries[:1], [[ids[0]]])
        with pytest.raises(DataError, match=r"ids \[12, k\]\nfound    \[1, 1\]"):
            one.scores_of(queries, [[1500]])
        assert one.scores_of(queries[:0], np.empty((0, 3))).shape == (0, 3)


def test_unknown_repeated_and_negative_ids_are_refused_and_change_nothing():
    index = VectorIndex.build(unit(10))
    with pytest.raises(DataError, match=r"ids that the index lacks\nfound    3, 4 in it"):
        index.add([12, 3, 4], unit(3))
    with pytest.raises(DataError, match=r"found    10, 11, 12, 13, 14 … \(8 in all\) unknown"):
        index.remove(np.arange(2, 18))
    with pytest.raises(DataError, match=r"each id once\nfound    20 more often"):
        index.add([20, 20], unit(2))
    with pytest.raises(DataError, match="ids from 0 up"):
        index.add([-1], unit(1))
    with pytest.raises(DataError, match=r"2 whole numbers as ids\nfound    float64 \[2\]"):
        index.add([0.5, 1.5], unit(2))
    index.remove([3])
    with pytest.raises(DataError, match="3 unknown"):
        index.remove([3])
    assert len(index) == 9


def test_vectors_that_are_not_unit_vectors_of_this_width_are_refused():
    vectors = unit(10)
    vectors[4] *= 2
    with pytest.raises(DataError, match=r"of length 1 at most\nfound    1 others, the first in row 4 of length 2"):
        VectorIndex.build(vectors)
    index = VectorIndex.build(unit(10))
    with pytest.raises(DataError, match=r"vectors \[n, 16\]\nfound    an array \[1, 8\]"):
        index.search(unit(1, 8), 1)
    with pytest.raises(DataError, match="finite"):
        index.search(np.full((1, 16), np.nan), 1)
    with pytest.raises(ConfigError, match=r"0 < wanted_recall ≤ 1\nfound    k=20, wanted_recall=2"):
        VectorIndex.build(unit(3), wanted_recall=2)


@pytest.mark.parametrize("kind", KINDS)
def test_an_index_of_nothing_or_of_one_vector_answers(kind):
    empty = build(np.empty((0, 16), np.float32), kind=kind)
    scores, found = empty.search(unit(2), 3)
    assert found.tolist() == [[-1] * 3] * 2
    assert np.isneginf(scores).all()
    empty.add([5], unit(1))
    assert empty.search(unit(1), 2)[1].tolist() == [[5, -1]]
    one = build(unit(1), [7], kind=kind)
    assert one.search(unit(1), 2)[1].tolist() == [[7, -1]]
    assert one.search(np.empty((0, 16)), 2)[1].shape == (0, 2)
    assert one.search(unit(1), 0)[1].shape == (1, 0)


@pytest.mark.parametrize("kind", ["ivf", "int4", "hnsw"])
def test_the_least_effort_is_taken_that_reaches_the_wanted_recall_of_other_queries_too(kind):
    vectors = unit(4000, 128)
    index = build(vectors, kind=kind, k=10, wanted_recall=0.9)
    assert index.recall.is_reached
    assert index._store.least < index._store.effort < 0.9 * index._store.most
    queries = near(vectors, 400, seed=9)
    expected = ExactStore(vectors).found(queries, 10)[1]
    found = index.search(queries, 10)[1]
    measured = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found.tolist(), expected.tolist(), strict=True)])
    assert measured == pytest.approx(index.recall.at_k, abs=0.03)
    assert measured > 0.88
    high = build(vectors, kind=kind, k=10, wanted_recall=0.97)
    assert high._store.effort > index._store.effort
    index._store.effort = index._store.effort // 2
    assert RecallSample(vectors, None, 10).measure(index._store, 0.9).at_k < 0.9, "half the effort is not enough"


def test_where_storage_limits_recall_no_effort_is_wasted_and_the_miss_is_said():
    close = np.repeat(unit(20, 8), 150, axis=0) + 0.02 * unit(3000, 8, seed=1)
    close /= np.linalg.norm(close, axis=1, keepdims=True)
    index = VectorIndex.build(close, kind="ivf", recall_queries=close[:200], k=10, storage="int8")
    assert not index.recall.is_reached
    assert "which was not reached: wanted 0.98" in str(index.recall)
    assert index._store.effort < index._store.most / 2
    index._store.effort = index._store.most
    assert RecallSample(close, close[:200], 10).measure(index._store, 0.98).at_k < index.recall.at_k + 0.02


def test_recall_is_measured_on_the_given_queries_and_said():
    vectors = unit(2000)
    index = VectorIndex.build(vectors, kind="ivf", recall_queries=unit(70, seed=3), k=20)
    assert index.recall.num_queries == 70
    assert str(index.recall).startswith(f"recall@10 {index.recall.at_10:.4f}, recall@20 ")
    assert str(VectorIndex.build(vectors).recall) == "exact: recall 1"


def test_recall_counts_any_of_equal_vectors_and_misses_what_is_cut_off():
    vectors = np.repeat(unit(50), 4, axis=0)
    store = build_faiss(vectors, "ivf")
    sample = RecallSample(vectors, vectors[::4], k=2)
    store.effort = store.most
    assert sample.hits(store, 2).tolist() == [1.0] * 50
    few = build_faiss(vectors[:100], "flat")  # half of the vectors are not in it
    assert sample.hits(few, 2).mean() == pytest.approx(0.5)


def test_auto_is_exact_for_a_small_kb_ivf_for_a_large_one_and_exact_where_ivf_would_look_at_all(monkeypatch):
    monkeypatch.setattr(vector_index, "EXACT_BELOW", 2000)
    clusters = unit(100, 32)[np.random.default_rng(0).integers(0, 100, 4000)]
    clustered = clusters + 0.2 * unit(4000, 32, seed=4)
    clustered /= np.linalg.norm(clustered, axis=1, keepdims=True)
    assert VectorIndex.build(clustered[:1999]).kind == "exact"
    assert VectorIndex.build(clustered, k=10).kind == "ivf"
    noise = VectorIndex.build(unit(2500, 256), wanted_recall=1.0)
    assert noise.kind == "exact"
    assert noise.parameters["tried"] == "ivf"


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_index_answers_the_same_is_mapped_and_can_be_saved_over_itself(kind, tmp_path):
    index = build(unit(600), kind=kind)
    index.add([900, 901], unit(2, seed=8))
    index.remove([5, 901])
    index.save(tmp_path / "a")
    loaded = VectorIndex.load(tmp_path / "a")
    queries = unit(25, seed=1)
    for one, other in zip(index.search(queries, 9), loaded.search(queries, 9), strict=True):
        np.testing.assert_array_equal(one, other)
    assert (len(loaded), loaded.kind, loaded.recall) == (len(index), index.kind, index.recall)
    if sys.platform == "linux":
        name = {"exact": "vectors.npy", "int4": "vectors.faiss"}.get(kind, "faiss.index")
        with Path("/proc/self/maps").open() as maps:
            assert any(line.rstrip().endswith(f"a/{name}") for line in maps)
    loaded.add([950], unit(1, seed=11))
    loaded.save(tmp_path / "a")
    loaded.save(tmp_path / "b")
    for folder in ("a", "b"):
        again = VectorIndex.load(tmp_path / folder)
        assert again.ids.tolist() == loaded.ids.tolist()
        np.testing.assert_array_equal(again.search(queries, 9)[1], loaded.search(queries, 9)[1])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


@pytest.mark.parametrize("kind", ["exact", "ivf", "int4"])
def test_every_damaged_file_is_refused_with_what_to_do(kind, tmp_path):
    build(unit(600), kind=kind).save(tmp_path / "index")
    files = sorted((tmp_path / "index").iterdir())
    assert len(files) == (7 if kind == "int4" else 6)
    for path in files:
        content = path.read_bytes()
        for damaged in (content[:-2], content[: len(content) // 2] + b"\x01" + content[len(content) // 2 + 1 :]):
            path.write_bytes(damaged if damaged != content else content[:-1] + b"\x07")
            with pytest.raises(DataError, match=rf"damaged (file )?{path.name}(.|\n)*Build it again; a linker"):
                VectorIndex.load(tmp_path / "index")
        path.unlink()
        with pytest.raises(DataError, match=f"no file {path.name}"):
            VectorIndex.load(tmp_path / "index")
        path.write_bytes(content)
    assert len(VectorIndex.load(tmp_path / "index")) == 600


def test_another_version_another_content_and_no_folder_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"no file index\.json"):
        VectorIndex.load(tmp_path / "none")
    VectorIndex.build(unit(5)).save(tmp_path / "index")
    path = tmp_path / "index" / "index.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, "format_version": 99}))
    with pytest.raises(DataError, match=r"of format 2\nfound    format 99\nto do    Build it again; a linker"):
        VectorIndex.load(tmp_path / "index")
    path.write_text(json.dumps({**manifest, "content": "pie"}))
    with pytest.raises(DataError, match=r"a vector index in .*\nfound    a pie"):
        VectorIndex.load(tmp_path / "index")
    path.write_text(json.dumps({**manifest, "count": 6}))
    with pytest.raises(DataError, match="does not fit its seal"):
        VectorIndex.load(tmp_path / "index")
    path.write_text("[]")
    with pytest.raises(DataError, match=r"damaged index\.json"):
        VectorIndex.load(tmp_path / "index")


def test_a_save_that_dies_leaves_the_old_index(tmp_path):
    VectorIndex.build(unit(50)).save(tmp_path / "index")
    code = f"""
        import os, numpy as np
        from pathlib import Path
        from dim.core import sealed
        from dim.search.vector_index import VectorIndex
        index = VectorIndex.load(Path({str(tmp_path / "index")!r}))
        index.remove([1, 2, 3])
        sealed.sha256 = lambda path: os._exit(9)  # all files are written, the manifest is not
        index.save(Path({str(tmp_path / "index")!r}))
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    assert subprocess.run([sys.executable, "-c", textwrap.dedent(code)], env=environment).returncode == 9
    assert len(VectorIndex.load(tmp_path / "index")) == 50


def test_a_build_is_the_same_every_time_and_int8_takes_half_of_float16(tmp_path):
    vectors = unit(3000, 64)
    for name, storage in (("one", "float16"), ("two", "float16"), ("int8", "int8")):
        VectorIndex.build(vectors, kind="ivf", storage=storage).save(tmp_path / name)
    one, two, small = (tmp_path / name / "faiss.index" for name in ("one", "two", "int8"))
    assert one.read_bytes() == two.read_bytes()
    assert one.stat().st_size - small.stat().st_size == pytest.approx(3000 * 64, rel=0.05)


@pytest.mark.parametrize("kind", ["ivf", "hnsw"])
def test_int8_has_room_for_every_coordinate_and_not_for_those_of_a_sample_alone(kind, monkeypatch):
    sampled = []
    monkeypatch.setattr("dim.search.stores.sample", lambda *asked: sampled.append(sample(*asked)[:250]) or sampled[-1])
    vectors = unit(300, 24)
    index = VectorIndex.build(vectors, kind=kind, storage="int8")
    assert 0 < len(sampled[-1]) < 300
    steps = (vectors.max(axis=0) - vectors.min(axis=0)) / 255
    assert (np.abs(index.vectors_of(np.arange(300)) - vectors) <= steps).all()


def clustered(num, width=64, seed=0):
    """Around a few centres, so that a list holds neighbours which differ by little."""
    vectors = unit(20, width, seed)[np.random.default_rng(seed).integers(0, 20, num)]
    vectors = vectors + 0.5 * unit(num, width, seed + 1)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_the_queries_that_it_was_tuned_on_are_kept_and_saved(tmp_path):
    vectors, queries = unit(600), unit(70, seed=3)
    for kind in ("exact", "ivf"):
        build(vectors, kind=kind, recall_queries=queries).save(tmp_path / "index")
        np.testing.assert_array_equal(VectorIndex.load(tmp_path / "index").recall_queries, queries)
    build(vectors, recall_queries=queries[:0]).save(tmp_path / "index")
    assert VectorIndex.load(tmp_path / "index").recall_queries is None
    with pytest.raises(DataError, match=r"vectors \[n, 16\]\nfound    an array \[1, 8\]"):
        build(vectors, recall_queries=unit(1, 8))


def test_queries_of_another_law_need_more_effort_than_an_index_is_tuned_for_without_them():
    rng = np.random.default_rng(0)
    law = Modalities.draw(World.draw(60, 32, rng), 4000, 1.0, 2.0, rng)
    alone = build(law.images, kind="int4", k=10)
    told = build(law.images, kind="int4", k=10, recall_queries=law.texts(300, rng))
    texts = RecallSample(law.images, law.texts(300, rng), 10)
    assert alone.recall.is_reached
    assert texts.measure(alone._store, 0.98).at_10 < 0.9
    assert texts.measure(told._store, 0.98).at_10 > 0.97
    assert told._store.effort > 3 * alone._store.effort


def test_a_cone_that_all_vectors_share_does_not_choose_their_lists(monkeypatch):
    rng = np.random.default_rng(0)
    law = Modalities.draw(World.draw(300, 128, rng), 6000, 1.0, 1.0, rng)
    texts = law.texts(300, rng)
    index = build(law.images, kind="ivf", k=10, recall_queries=texts)
    centres = np.stack([index._store.index.quantizer.reconstruct(place) for place in range(10)])
    assert np.abs(centres @ law.images.mean(axis=0)).max() < 0.01
    monkeypatch.setattr("dim.search.centres.SHARED", 1.0)
    before = build(law.images, kind="ivf", k=10, recall_queries=texts)
    assert index._store.effort < before._store.effort / 4


def test_codes_choose_more_candidates_than_answers_and_float16_scores_them():
    vectors = clustered(3000)
    index = build(vectors, kind="int4", k=10)
    store = index._store
    assert index.recall.is_reached
    assert store.width <= store.rescored < store.most_rescored
    scores, found = index.search(vectors[:50], 10)
    rounded = index.vectors_of(np.arange(3000))
    np.testing.assert_allclose(rounded, vectors, atol=2**-12)
    true = np.einsum("bd,bkd->bk", vectors[:50], rounded[found])
    np.testing.assert_allclose(scores, true, atol=1e-6)
    store.codes.nprobe = store.effort
    by_codes, chosen = store.codes.search(vectors[:50], 10)
    assert np.abs(by_codes - true).max() > 1e-3
    assert 0.5 < (chosen[:, :, None] == found[:, None, :]).any(2).mean() < 0.97, "the codes alone would miss some"


def test_int4_takes_a_quarter_of_float16_in_memory_and_a_build_is_the_same_every_time(tmp_path):
    vectors = unit(1500, 96)
    for name in ("one", "two"):
        build(vectors, kind="int4").save(tmp_path / name)
    build(vectors, kind="ivf").save(tmp_path / "float16")
    one, two, float16 = (tmp_path / name / "faiss.index" for name in ("one", "two", "float16"))
    assert one.read_bytes() == two.read_bytes()
    assert (one.parent / "vectors.faiss").read_bytes() == (two.parent / "vectors.faiss").read_bytes()
    assert (one.parent / "vectors.faiss").stat().st_size == pytest.approx(1500 * 96 * 2, rel=0.01)
    blocks = 37 * 32 * (96 / 2 + 8)  # each of the 37 lists ends in a block of 32 codes that is not full
    assert float16.stat().st_size - one.stat().st_size == pytest.approx(1500 * 96 * 1.5, abs=blocks)


@pytest.mark.parametrize("width", [1, 7, 24])
def test_int4_takes_vectors_of_any_width(width):
    vectors = unit(800, width)
    index = everything(build(vectors, kind="int4"))
    assert (index.search(vectors, 1)[0] > 0.999).all()


def test_a_query_of_codes_does_not_feel_its_neighbours():
    vectors = clustered(3000)
    index = build(vectors, kind="int4")
    index._store.effort = 5
    scores, found = index.search(vectors[:300], 10)
    for place in range(0, 300, 30):
        alone = index.search(vectors[place : place + 1], 10)
        np.testing.assert_array_equal(alone[1][0], found[place])
        np.testing.assert_array_equal(alone[0][0], scores[place])


@pytest.mark.usefixtures("centres")
def test_codes_find_what_float16_finds_where_lists_and_candidates_are_many():
    vectors = clustered(3000)
    index, other = (build(vectors, kind=kind, k=10) for kind in ("int4", "ivf"))
    for one in (index, other):
        one._store.effort = one._store.most
    index._store.rescored = 600
    queries = near(vectors, 100, seed=5)
    assert index._store._candidates(index._store.width) < len(index)
    np.testing.assert_array_equal(index.search(queries, 10)[1], other.search(queries, 10)[1])


def test_codes_answer_a_zero_and_a_query_of_any_length():
    vectors = clustered(3000)
    index = build(vectors, kind="int4", k=10)
    zero = index.search(np.zeros((2, 64)), 10)
    assert (zero[0] == 0).all()
    assert (zero[1] >= 0).all()
    scores, found = index.search(vectors[:9], 10)
    for length in (1e-30, 1e-3, 1e8):
        longer = index.search(np.float32(length) * vectors[:9], 10)
        assert (longer[1] == found).mean() > 0.8  # a code's level may be rounded to another one
        np.testing.assert_allclose(longer[0][:, 0], np.float32(length) * scores[:, 0], rtol=1e-5)


def test_codes_of_vectors_that_are_all_alike_answer():
    vectors = np.repeat(unit(1, 64), 3000, axis=0)
    index = build(vectors, kind="int4", k=10)
    scores, found = index.search(vectors[:2], 10)
    assert found.tolist() == [list(range(10))] * 2
    np.testing.assert_allclose(scores, 1, atol=1e-3)
    many = np.concatenate([vectors, np.zeros((20, 64), np.float32)])
    assert build(many, kind="int4").search(unit(3, 64, seed=3), 5)[1].min() >= 0


def test_codes_answer_in_several_threads():
    vectors = clustered(3000)
    index = build(vectors, kind="int4", k=10)
    index._store.effort = index._store.most
    asked = [vectors[start : start + 50] for start in range(0, 1000, 50)]
    alone = [index.search(queries, 10)[1] for queries in asked]
    with ThreadPoolExecutor(4) as pool:
        for one, other in zip(alone, pool.map(lambda queries: index.search(queries, 10)[1], asked), strict=True):
            np.testing.assert_array_equal(one, other)


def test_codes_are_of_ivf_alone():
    for kind in ("exact", "flat", "hnsw"):
        with pytest.raises(ConfigError, match=rf"int4 of an index of kind ivf or auto\nfound    kind {kind}"):
            VectorIndex.build(unit(20), kind=kind, storage="int4")
    with pytest.raises(ConfigError, match=r"one of float16, int8, int4\nfound    'in4'\nto do    Did you mean int4"):
        VectorIndex.build(unit(20), storage="in4")
    assert VectorIndex.build(unit(20), storage="int4").kind == "exact"


def test_a_folder_of_codes_that_does_not_hold_them_is_refused(tmp_path):
    vectors = unit(600)
    build_codes(vectors).save(tmp_path)
    with pytest.raises(DataError, match=r"an effort of 1 for 1 answers of 0\nto do    Build it again; a linker"):
        CodeStore.load_codes(tmp_path, 1, 1, 0)
    (tmp_path / "vectors.faiss").write_bytes((tmp_path / "faiss.index").read_bytes())
    with pytest.raises(DataError, match=r"IndexIVFPQFastScan and IndexIVFPQFastScan"):
        CodeStore.load_codes(tmp_path, 1, 1, 1)


def test_a_few_queries_get_the_answers_of_many():
    num = 500
    generator = np.random.default_rng(0)
    spelling = generator.random((num, 300)) * (generator.random((num, 300)) < 0.03)
    vectors = np.concatenate([spelling, generator.normal(size=(num, 40)) * 0.1], axis=1).astype(np.float32)
    vectors[num // 2 :, 300:] = vectors[0, 300:]  # products that half precision cannot tell apart
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    for made in (vectors, unit(num, 40)):  # with columns that are mostly zero, and without
        store = ExactStore(made)
        queries = np.concatenate([made[:20] + 0.01, 1e4 * made[:3], 1e-6 * made[:3]])
        nothing = np.zeros((len(queries), num), np.float32)
        one_by_one = [store.found(query[None], 10, nothing[:1]) for query in queries]
        assert "_half_precision" in vars(store)
        scores, positions = store.found(queries, 10, nothing)  # more than a few: one matrix product
        np.testing.assert_array_equal(np.concatenate([found[1] for found in one_by_one]), positions)
        np.testing.assert_array_equal(np.concatenate([found[0] for found in one_by_one]), scores)
        np.testing.assert_array_equal(store.found(queries, 10)[0], scores)  # by FAISS, where nothing is beside them
    np.testing.assert_array_equal(store.found(np.zeros((1, 40), np.float32), 10, nothing[:1])[0], 0)


def test_half_precision_leaves_out_none_that_is_better():
    query, others = unit(1, 40), unit(300, 40, seed=1)
    vectors = query + 1e-4 * others  # half precision tells few of them apart, and takes worse ones first
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    store = ExactStore(vectors)
    scores, positions = store.found(query, 3, np.zeros((1, 300), np.float32))
    assert "_half_precision" in vars(store)
    expected = np.sort(np.einsum("d,kd->k", query[0], vectors))[::-1][:3]
    np.testing.assert_array_equal(scores[0], expected)
    nearly = store._half_precision.products(query)[0][0].numpy()
    assert not set(positions[0]) <= set(np.argsort(-nearly, kind="stable")[:6])


@pytest.mark.parametrize(("threads", "by_faiss"), [(1, True), (2, False)])
def test_faiss_multiplies_matrices_on_one_thread_alone(threads, by_faiss, monkeypatch):
    store, queries, before, asked = ExactStore(unit(300, 512)), unit(256, 512), torch.get_num_threads(), []
    knn = stores.faiss.knn
    monkeypatch.setattr(stores.faiss, "knn", lambda *args: asked.append(1) or knn(*args))
    torch.set_num_threads(threads)
    try:
        scores = store.found(queries, 10)[0]
    finally:
        torch.set_num_threads(before)
    assert bool(asked) == by_faiss
    np.testing.assert_allclose(scores, -np.sort(-(queries @ store.vectors.T))[:, :10], atol=1e-5)


def test_of_a_large_matrix_no_copy_is_made(monkeypatch):
    monkeypatch.setattr("dim.search.stores.FLOATS_COPIED", 500 * 40 - 1)
    store = ExactStore(unit(500, 40))
    asked = store.vectors[:1], 10, np.zeros((1, 500), np.float32)
    found = store.found(*asked)
    assert "_half_precision" not in vars(store)
    monkeypatch.setattr("dim.search.stores.FLOATS_COPIED", 500 * 40)
    for ours, theirs in zip(store.found(*asked), found, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert "_half_precision" in vars(store)


def test_what_half_precision_says_is_as_near_as_it_promises():
    vectors = unit(2000, 200)
    queries = 3 * unit(5, 200, seed=1)
    products, error = HalfPrecision(vectors).products(queries)
    off = np.abs(products.numpy() - queries @ vectors.T).max(axis=1)
    assert (off > 0).all()
    assert (off <= error).all()
    assert error == pytest.approx(3 / 512, rel=1e-3)
