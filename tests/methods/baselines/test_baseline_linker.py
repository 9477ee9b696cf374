"""A baseline's run is a linker like any other: it answers, grows, reranks, is saved and opened."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fit_options import fit_options
from tiny_fit import tiny_world

from dim.__main__ import main
from dim.data.dataset import Dataset
from dim.errors import ConfigError
from dim.linker import Answer, Linker, Question
from dim.linker.ranked import RankedLinker

METHODS = ["NamesOnly", "NamesOnly with aliases", "NamesAndPopularity", "BM25", "FrozenVectors"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_world(tmp_path_factory)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(each, marks=[pytest.mark.long] * (each in ("NamesOnly", "NamesAndPopularity"))) for each in METHODS
    ],
)
def run(world: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    method, _, aliases = request.param.partition(" with ")
    run = tmp_path_factory.mktemp(method) / "run"
    encoder = ["--data.text_encoder", "TinyTextEncoder"] if request.param == "FrozenVectors" else []
    more = ["--model.aliases", "true"] if aliases else []
    assert main(["fit", *fit_options(world, run, *encoder, "--model", method, *more)]) == 0
    return run


@pytest.fixture(scope="module")
def questions(world: Path) -> list[Question]:
    rows = Dataset(world).split("dev")
    return [Question(row.mention, row.context or "") for row in rows.itertuples()]


def told(answers: list[list[Answer]]) -> list[list[tuple[str, float]]]:
    return [[(answer.id, answer.score) for answer in of] for of in answers]


def test_its_linker_scores_as_the_run_does_and_answers_the_same_when_opened(
    run: Path, questions: list[Question], tmp_path: Path
) -> None:
    linker = Linker.from_checkpoint(run, device="cpu")
    found = linker.link_batch(questions, top_k=20)
    ranks = pd.read_parquet(run / "ranks.parquet").query("split == 'dev'")
    for answers, scores in zip(found, ranks["top_scores"], strict=True):
        np.testing.assert_allclose([answer.score for answer in answers][:10], scores[:10], atol=1e-5)
    linker.save(tmp_path / "linker")
    opened = Linker.from_pretrained(tmp_path / "linker", device="cpu")
    assert type(opened) is type(linker)
    assert told(opened.link_batch(questions, top_k=20)) == told(found)
    assert not linker.has_probabilities
    assert linker.about["figures"][0]["system"] == "this linker"
    assert "NIL" in (tmp_path / "linker" / "README.md").read_text()


def test_entities_that_are_added_answer_and_those_that_are_removed_do_not(run: Path, tmp_path: Path) -> None:
    linker = Linker.from_checkpoint(run, device="cpu")
    new = {"id": "new", "name": "Zzyzx Qwerty", "text": "Zzyzx Qwerty is a place.", "popularity": 5.0}
    linker.add_entities([new])
    assert linker.link("Zzyzx Qwerty", "Zzyzx Qwerty was seen.")[0].id == "new"
    linker.save(tmp_path / "grown")
    opened = Linker.from_pretrained(tmp_path / "grown", device="cpu")
    assert opened.link("Zzyzx Qwerty", "Zzyzx Qwerty was seen.")[0].id == "new"
    first = next(iter(opened))
    opened.remove_entities(["new", first.id])
    assert not {"new", first.id} & {answer.id for answer in opened.link("Zzyzx Qwerty", "", top_k=len(opened))}
    only = [next(iter(opened)).id]
    assert [answer.id for answer in opened.link("Zzyzx Qwerty", "", candidates=only)] == only
    opened.remove_entities([entity.id for entity in opened])
    assert opened.link("Zzyzx Qwerty", "") == []
    opened.add_entities([{"id": "short", "name": "李"}])  # no word of two letters, no popularity
    assert [answer.id for answer in opened.link("李", "")] == ["short"]


@pytest.mark.parametrize(
    ("control", "said"),
    [
        (["--data.shuffle", "[name]"], "the fields name"),
        (["--data.blank", "[context]"], "the fields context"),
        (["--data.leave_out", "[mention]"], "the fields mention"),
    ],
)
def test_a_control_that_texts_do_not_have_is_refused(
    world: Path, tmp_path: Path, control: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", *fit_options(world, tmp_path / "run", "--model", "BM25", *control)]) == 1
    assert said in capsys.readouterr().err


def test_without_contexts_bm25_ranks_otherwise_and_has_no_linker(world: Path, tmp_path: Path) -> None:
    figures = []
    for name, control in (("whole", []), ("bare", ["--data.leave_out", "[context]"])):
        assert main(["fit", *fit_options(world, tmp_path / name, "--model", "BM25", *control)]) == 0
        figures.append(pd.read_parquet(tmp_path / name / "ranks.parquet")["rank"])
    assert not figures[0].equals(figures[1])
    with pytest.raises(ConfigError, match="reads names and contexts as they are"):
        Linker.from_checkpoint(tmp_path / "bare", device="cpu")


@pytest.mark.usefixtures("quick_ranker")
def test_rank_trains_a_ranker_that_its_linker_takes_along(
    run: Path, questions: list[Question], tmp_path: Path, world: Path
) -> None:
    assert main(["rank", "--run", str(run), "--folds", "2", "--num_candidates", "8", "--overwrite", "true"]) == 0
    linker = Linker.from_checkpoint(run, device="cpu")
    assert isinstance(linker, RankedLinker)
    assert linker.has_probabilities
    found = linker.link_batch(questions, top_k=3)
    ranks = pd.read_parquet(run / "ranked" / "ranks.parquet")
    agree = [answers[0].id == ids[0] for answers, ids in zip(found, ranks["top_ids"], strict=True)]
    assert np.mean(agree) == 1
    linker.save(tmp_path / "ranked")
    assert told(Linker.from_pretrained(tmp_path / "ranked", device="cpu").link_batch(questions, top_k=3)) == told(found)
