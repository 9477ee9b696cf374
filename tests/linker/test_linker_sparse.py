"""n-grams of names stand beside a linker's index."""

from pathlib import Path

import numpy as np
import pytest
from demo_run import demo_run, linker_of, questions_of

from dim.core.sealed import open_sealed, seal
from dim.errors import DataError
from dim.linker import KnownEntity, Linker
from dim.linker.folder import MANIFEST
from dim.methods.contrastive.linker import FORMAT, ContrastiveLinker
from dim.search.vector_index import VectorIndex

NEW = KnownEntity("new1", "Zyxtral Quovane", (), "Zyxtral Quovane kept bees in the tower of Grumhold.")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demo_run(tmp_path_factory)


def whole_vectors(linker: ContrastiveLinker) -> np.ndarray:
    """The vectors [n, num_ngrams + D] of all entities, by row."""
    return linker.towers.entities(list(linker.knowledge))


def same(ours: list, theirs: list, tolerance: float) -> None:
    for one, other in zip(ours, theirs, strict=True):
        assert [answer.id for answer in one] == [answer.id for answer in other]
        assert [answer.score for answer in one] == pytest.approx([answer.score for answer in other], abs=tolerance)


def test_scores_are_cosines_of_all_columns_though_the_index_holds_those_of_the_towers(run: Path) -> None:
    linker = linker_of(run)
    assert isinstance(linker, ContrastiveLinker)
    assert linker.index.width == 64
    assert linker.sparse is not None
    questions = questions_of(run)[:20]
    queries = linker.towers.queries(questions)
    expected = queries @ whole_vectors(linker).T
    scores = linker.by_vector(queries, [question.mention for question in questions])
    for row, nearest in zip(expected, scores.nearest(15), strict=True):
        np.testing.assert_allclose(row[nearest], -np.sort(-row)[:15], atol=1e-6)
    everyone = [np.arange(300)] * 20
    np.testing.assert_allclose(np.stack(scores.at(everyone)), expected, atol=1e-6)


def test_an_index_that_does_not_compare_all_finds_who_is_near_by_vector_or_by_name(run: Path) -> None:
    linker, questions = linker_of(run), questions_of(run)[:20]
    assert isinstance(linker, ContrastiveLinker)
    queries, mentions = linker.towers.queries(questions), [question.mention for question in questions]
    expected = linker.by_vector(queries, mentions).nearest(15)
    linker.rebuild_index("ivf")
    scores = linker.by_vector(queries, mentions)
    found = scores.nearest(15)
    shares = [np.isin(own, others).mean() for own, others in zip(expected, found, strict=True)]
    assert np.mean(shares) > 0.9
    every = queries @ whole_vectors(linker).T
    for row, own, told in zip(every, found, scores.at(found), strict=True):
        np.testing.assert_allclose(told, row[own], atol=2e-3)  # float16
        assert (np.diff(told) <= 0).all()


def test_who_is_near_by_name_alone_is_found_where_no_vector_is(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    linker, questions = linker_of(run), questions_of(run)[:5]
    assert isinstance(linker, ContrastiveLinker)
    linker.rebuild_index("ivf")
    scores = linker.by_vector(linker.towers.queries(questions), [question.mention for question in questions])
    monkeypatch.setattr(linker.index, "search", lambda queries, k: (None, np.full((len(queries), k), -1)))
    for question, found in zip(questions, scores.nearest(5), strict=True):
        assert len(found) == 5
        assert set(found) <= set(linker.names.search([question.mention], 20)[0])


def test_an_addition_that_failed_leaves_nothing_to_who_gets_its_row(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    linker, plain = linker_of(run), linker_of(run)
    with monkeypatch.context() as patch:
        patch.setattr(linker.names, "add", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            linker.add_entities([NEW])
    other = KnownEntity("other", "Brolig Umdastra", (), "A painter of harbours.")
    for each in (linker, plain):
        each.add_entities([other])
    queries = plain.towers.queries(questions_of(run)[:3])
    rows = [np.arange(301)] * 3
    ours, theirs = (each.by_vector(queries, ["Zyxtral"] * 3).at(rows) for each in (linker, plain))
    np.testing.assert_array_equal(np.stack(ours), np.stack(theirs))
    assert linker.sparse.products(linker.sparse.parted(queries)[1]).shape == (3, 301)
    same([linker.link("Zyxtral Quovane", "bees")], [plain.link("Zyxtral Quovane", "bees")], 0)


def test_questions_are_scored_a_part_at_a_time(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    linker, questions = linker_of(run), questions_of(run)[:7]
    whole = linker.link_batch(questions, top_k=5)
    monkeypatch.setattr("dim.methods.contrastive.linker.FLOATS_AT_ONCE", 3 * 300)
    assert linker.link_batch(questions, top_k=5) == whole


def test_a_saved_linker_answers_the_same_after_entities_came_and_went(run: Path, tmp_path: Path) -> None:
    linker, questions = linker_of(run), questions_of(run)[:20]
    assert isinstance(linker, ContrastiveLinker)
    linker.add_entities([NEW, KnownEntity("new2", "Zyxtral Quovane", (), None)])
    linker.remove_entities([next(iter(linker.knowledge)).id, "new2"])
    linker.save(tmp_path / "linker")
    again = Linker.from_pretrained(tmp_path / "linker", device="cpu")
    same(again.link_batch(questions, top_k=5), linker.link_batch(questions, top_k=5), 0)
    best = again.link("Zyxtral Quovane", "", top_k=1)[0]
    assert best.id == "new1"
    again.add_entities([KnownEntity("new3", "Zyxtral Quovane", (), None)])  # the row of new2 is not its own
    assert {answer.id for answer in again.link("Zyxtral Quovane", "", top_k=2)} == {"new1", "new3"}


def test_an_index_of_other_columns_is_refused(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "linker"
    linker_of(run).save(folder)
    facts = open_sealed(folder, ContrastiveLinker.content, FORMAT, MANIFEST)
    VectorIndex.build(np.eye(8, 70, dtype=np.float32)).save(folder / "index")
    about = {name: value for name, value in facts.items() if name not in ("content", "format_version", "files")}
    (folder / MANIFEST).unlink()
    seal(folder, ContrastiveLinker.content, FORMAT, about, MANIFEST)
    with pytest.raises(DataError, match=r"vectors of 64 dense and 1,024 sparse columns[\s\S]*found    70 and 1,024"):
        Linker.from_pretrained(folder, device="cpu")
