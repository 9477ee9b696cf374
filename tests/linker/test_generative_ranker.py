"""A ranker over what a language model writes: `dim rank` of a GEMEL run, and the linker that answers by it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from fit_options import gemel_options
from tiny_lm import save_model, texts_of

from dim.__main__ import main
from dim.data.dataset import NIL, Dataset
from dim.demo import demo_world
from dim.linker import Answer, Linker, Question
from dim.methods.generative.linker import GenerativeLinker
from dim.training.saved_run import open_run


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ranked")
    demo_world(folder / "world", num_entities=120, seed=1)
    save_model(folder / "lm", texts=texts_of(Dataset(folder / "world")))
    sizes = ["--data.batch_size", "16", "--model.max_new_tokens", "12", "--model.batch_size", "32"]
    chosen = ["--model.examples", "NoExamples", *sizes, "--model.tie_break", "Popularity", "--trainer.max_epochs", "1"]
    assert main(["fit", *gemel_options(folder / "world", folder / "run", *chosen)]) == 0
    asked = ["rank", "--run", str(folder / "run"), "--folds", "2", "--num_candidates", "4"]
    assert main([*asked, "--nil_precision", "0.5", "--unseen", "tune"]) == 0
    return folder


@pytest.fixture(scope="module")
def linker(place: Path) -> Linker:
    return Linker.from_checkpoint(place / "run", device="cpu")


@pytest.fixture(scope="module")
def questions(place: Path) -> list[Question]:
    world = Dataset(place / "world")
    return [
        Question(row.mention, row.context or "", str(world.image_root / row.images[0]) if len(row.images) else None)
        for row in world.split("dev").itertuples()
    ]


def shown(answers: list[list[Answer]]) -> list[list[tuple[str, float]]]:
    return [[(answer.id, pytest.approx(answer.probability, abs=1e-5)) for answer in of] for of in answers]


def test_it_learns_of_tune_and_stands_beside_the_language_model_alone(place: Path) -> None:
    facts = json.loads((place / "run/ranker/ranker.json").read_text(encoding="utf-8"))
    assert "tune" in str(facts)
    metrics = json.loads((place / "run/ranked/metrics.json").read_text(encoding="utf-8"))
    own = json.loads((place / "run/metrics.json").read_text(encoding="utf-8"))
    assert metrics["system"] == "GEMEL + ranker"
    assert metrics["method"]["vectors"]["top1"] == pytest.approx(own["top1"])
    assert metrics["top1"] > own["top1"]
    assert 0 <= metrics["method"]["calibration"]["error"] < 1


def test_names_have_the_likelihood_by_which_candidates_are_ranked_and_written_names_compete(place: Path) -> None:
    task = open_run(place / "run", "cpu")
    rows = torch.arange(5)
    with torch.inference_mode():
        scored = task.scored(rows)
        given = [np.array([7, 3, 11]) for _ in range(5)]
        at = scored.at(given)
        written, ranked = scored.nearest(3), task.rank(rows)
    scored_alone = [task.scored(rows[[place]]).at([given[place]])[0] for place in range(5)]
    for place in range(5):
        np.testing.assert_allclose(at[place], scored_alone[place], atol=1e-4)
        best = [row for row in ranked.rows[place].tolist() if row >= 0]
        assert set(written[place].tolist()) <= set(best)
        assert len(written[place]) == min(3, len(best))
        top = task.scored(rows[[place]]).at([written[place][:1]])[0]
        assert top[0] == pytest.approx(float(ranked.scores[place, 0]), abs=1e-3)
    held_out = task.scored(rows, [of[:1] for of in written]).nearest(3)
    assert all(of[0] not in other for of, other in zip(written, held_out, strict=True))


def test_its_linker_answers_as_the_ranker_was_measured_and_so_does_its_folder(
    place: Path, linker: Linker, questions: list[Question]
) -> None:
    assert isinstance(linker, GenerativeLinker)
    found = linker.link_batch(questions, 3)
    ranks = pd.read_parquet(place / "run/ranked/ranks.parquet")
    for answers, row in zip(found, ranks.itertuples(), strict=True):
        assert [answer.id for answer in answers] == list(row.top_ids)[:3]
        shares = [answer.probability for answer in answers if answer.id != NIL]
        measured = [score for name, score in zip(row.top_ids, row.top_scores, strict=True) if name != NIL]
        # The linker's are those of an entity and of a KB that has it.
        assert shares[1] / shares[0] == pytest.approx(measured[1] / measured[0], abs=1e-3)
    assert "vectors_lead" in found[0][-1].evidence
    linker.save(place / "folder")
    again = Linker.from_pretrained(place / "folder", device="cpu")
    assert shown(again.link_batch(questions[:8], 3)) == shown(found[:8])
    card = (place / "folder/README.md").read_text(encoding="utf-8")
    assert "calibrated" in card
    assert "not calibrated" not in card


def test_entities_come_and_go_and_compete_by_their_names(place: Path, linker: Linker) -> None:
    linker.save(place / "grown")
    grown = Linker.from_pretrained(place / "grown", device="cpu")
    gone = next(iter(grown)).id
    grown.add_entities([{"id": "new", "name": "Zaphod Quill", "text": "a pilot"}])
    assert "new" in [answer.id for answer in grown.link("Zaphod Quill", "Zaphod Quill flew.")]
    grown.remove_entities([gone])
    grown.save(place / "grown")
    again = Linker.from_pretrained(place / "grown", device="cpu")  # rows are no more one after the other
    for each in (grown, again):
        answers = each.link("Zaphod Quill", "Zaphod Quill flew.")
        assert "new" in [answer.id for answer in answers]
        assert gone not in [answer.id for answer in answers]


def test_of_more_entities_of_one_name_than_may_compete_the_most_popular_do(place: Path, linker: Linker) -> None:
    linker.save(place / "namesakes")
    grown = Linker.from_pretrained(place / "namesakes", device="cpu")
    assert isinstance(grown, GenerativeLinker)
    asked = [Question("Ada", "Ada sings.")]
    with torch.inference_mode():
        ([row],) = grown._score(asked).nearest(1)
        name = grown.knowledge.entities[row].name
        grown.add_entities([{"id": f"z{n}", "name": name, "popularity": 1000 + n} for n in range(20)])
        (rows,) = grown._score(asked).nearest(3)
    assert [grown.knowledge.entities[row].id for row in rows.tolist()] == ["z19", "z18", "z17"]


def test_without_its_ranker_the_run_answers_by_names_alone(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "run", tmp_path / "run")
    shutil.rmtree(tmp_path / "run/ranker")
    answers = Linker.from_checkpoint(tmp_path / "run", device="cpu", dataset=place / "world").link("Ada", "Ada sings.")
    assert "likelihood" in answers[0].evidence
