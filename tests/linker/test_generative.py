"""A linker of a GEMEL run answers as the run does, grows and shrinks, and comes back from a folder."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from fit_options import gemel_options
from mutated_manifest import check_mutations, reseal
from safetensors.torch import load_file
from test_linker_start import ASKED
from tiny_lm import save_model, texts_of
from transformers import GPT2LMHeadModel

from dim.__main__ import main
from dim.data.dataset import NIL, Dataset
from dim.demo import demo_world
from dim.errors import ConfigError, DataError
from dim.linker import Answer, Linker, Question
from dim.methods.generative.choices import AnyToken
from dim.methods.generative.examples import Examples, NoExamples, RandomExamples, SimilarExamples
from dim.methods.generative.linker import GenerativeLinker
from dim.methods.generative.linker_examples import ExampleChoice, TrainingMentions
from dim.training.saved_run import RunScorer


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("generative")
    demo_world(folder / "world", num_entities=120, seed=1)
    save_model(folder / "lm", texts=texts_of(Dataset(folder / "world")))
    return folder


def fit(place: Path, run: str, *more: str) -> Path:
    examples = ["--model.examples", "SimilarExamples", "--model.examples.num_examples", "2"]
    sizes = ["--data.batch_size", "16", "--model.max_new_tokens", "12", "--model.batch_size", "32"]
    chosen = [*examples, *sizes, "--model.tie_break", "Popularity", "--trainer.max_epochs", "1", *more]
    assert main(["fit", *gemel_options(place / "world", place / run, *chosen)]) == 0
    return place / run


@pytest.fixture(scope="module")
def run(place: Path) -> Path:
    return fit(place, "run")


@pytest.fixture(scope="module")
def linker(run: Path) -> Linker:
    return Linker.from_checkpoint(run, device="cpu")


@pytest.fixture(scope="module")
def saved(linker: Linker, place: Path) -> Path:
    linker.save(place / "saved")
    return place / "saved"


@pytest.fixture(scope="module")
def questions(place: Path) -> list[Question]:
    world = Dataset(place / "world")
    return [
        Question(row.mention, row.context or "", str(world.image_root / row.images[0]) if len(row.images) else None)
        for row in world.mentions[world.mentions["split"] == "dev"].itertuples()
    ]


def assert_same(first: list[Answer], second: list[Answer]) -> None:
    assert [answer.score for answer in first] == pytest.approx([answer.score for answer in second], abs=1e-4)
    gaps = -np.diff([answer.score for answer in first])
    if (gaps[gaps > 0] > 1e-3).all():
        assert [answer.id for answer in first] == [answer.id for answer in second]


def assert_answers_as(run: Path, found: list[list[Answer]]) -> None:
    ranks = pd.read_parquet(run / "ranks.parquet")
    ranks = ranks[ranks["split"] == "dev"]
    assert len(ranks) == len(found) > 20
    for answers, row in zip(found, ranks.itertuples(), strict=True):
        assert [answer.id for answer in answers[: len(row.top_ids)]] == list(row.top_ids)
        np.testing.assert_allclose([answer.score for answer in answers], row.top_scores[: len(answers)], atol=1e-4)
        assert answers[0].probability == pytest.approx(row.probability, abs=1e-4)


def test_answers_are_the_runs_own(run: Path, linker: Linker, questions: list[Question]) -> None:
    assert isinstance(linker, GenerativeLinker)
    assert 0 < sum(question.image is None for question in questions) < len(questions)
    assert_answers_as(run, linker.link_batch(questions, top_k=10))


def test_examples_are_the_runs_own(run: Path, linker: GenerativeLinker, questions: list[Question]) -> None:
    task = linker.task
    rows = task.datamodule.rows("dev").numpy()
    mine, _ = linker._prompts(questions)
    for prompt, theirs in zip(mine, task.prompts.of(rows), strict=True):
        assert [part.tolist() for part in prompt.tokens] == [part.tolist() for part in theirs.tokens]
        assert (prompt.images >= 0).tolist() == (theirs.images >= 0).tolist()


def test_of_a_long_text_the_part_around_the_marked_place_is_shown(linker: GenerativeLinker) -> None:
    context = "Nera stood first. " + "Nothing was said. " * 400 + "Nera stood last."
    start = context.rindex("Nera")
    for span, seen in ((None, "first"), ((0, 4), "first"), ((start, start + 4), "last")):
        [prompt], _ = linker._prompts([Question("Nera", context, span=span)])
        told = linker.task.language_model.detokenize(prompt.tokens[-1].tolist())
        assert [each for each in ("first", "last") if each in told] == [seen]


def test_no_answer_hangs_on_other_questions(linker: Linker, questions: list[Question]) -> None:
    together = linker.link_batch(questions[:12])
    turned = linker.link_batch(questions[11::-1])[::-1]
    for question, first, second in zip(questions, together, turned, strict=False):
        assert_same(first, second)
        assert_same(first, linker.link(question.mention, question.context, question.image))


def test_an_answer_says_how_likely_its_name_was(linker: Linker, questions: list[Question]) -> None:
    for answers in linker.link_batch(questions[:8]):
        entities = linker.knowledge
        for answer in answers:
            entity = entities.entities[entities.row(answer.id)]
            assert (answer.name, answer.text) == (entity.name, entity.text)
            evidence = answer.evidence
            assert evidence["per_token"] == pytest.approx(answer.score, abs=1e-5)
            assert evidence["likelihood"] == pytest.approx(np.exp(answer.score * evidence["tokens"]), rel=1e-4)
        by_name = {answer.score: answer.probability for answer in answers}
        assert sum(by_name.values()) <= 1 + 1e-6
        assert list(by_name.values()) == sorted(by_name.values(), reverse=True)


def test_an_image_counts(linker: Linker, questions: list[Question]) -> None:
    question = next(question for question in questions if question.image)
    with_image = linker.link(question.mention, question.context, question.image)
    without = linker.link(question.mention, question.context)
    assert abs(with_image[0].score - without[0].score) > 1e-3
    alone = linker.link("", image=Path(question.image).read_bytes())
    assert alone
    assert len({answer.score for answer in (with_image[0], without[0], alone[0])}) == 3


def test_candidates_are_ranked_by_the_likelihood_of_their_names(linker: Linker, questions: list[Question]) -> None:
    question = questions[0]
    ids = [entity.id for entity in linker.knowledge][:7]
    found = linker.link(question.mention, question.context, question.image, candidates=ids, top_k=20)
    assert sorted(answer.id for answer in found) == sorted(ids)
    probabilities = {answer.name: answer.probability for answer in found}
    assert sum(probabilities.values()) == pytest.approx(1)
    written = linker.link(question.mention, question.context, question.image)
    names = {answer.id: answer for answer in written if not answer.evidence["alias"]}
    scored = linker.link(question.mention, question.context, question.image, candidates=list(names))
    assert {answer.id: answer.score for answer in scored} == pytest.approx(
        {entity_id: answer.score for entity_id, answer in names.items()}, abs=1e-4
    )
    assert linker.link(question.mention, question.context, candidates=[]) == []


def test_a_batch_may_mix_candidates_and_the_whole_kb(linker: Linker, questions: list[Question]) -> None:
    ids = tuple(entity.id for entity in linker.knowledge)[:3]
    first, second = questions[:2]
    mixed = linker.link_batch([first, {"mention": second.mention, "context": second.context, "candidates": ids}, first])
    assert_same(mixed[0], linker.link(first.mention, first.context, first.image))
    assert_same(mixed[0], mixed[2])
    assert_same(mixed[1], linker.link(second.mention, second.context, candidates=[*ids, ids[0]]))


def test_added_entities_can_be_written_at_once_and_removed_ones_never_again(
    saved: Path, questions: list[Question]
) -> None:
    linker = Linker.from_pretrained(saved, device="cpu")
    question = questions[0]
    asked = question.mention, question.context, question.image
    first = linker.link(*asked)
    twin = {"id": "twin", "name": first[0].name, "aliases": ["Ada A"], "popularity": 1e9, "text": "Its twin."}
    linker.add_entities([twin, {"id": "other", "name": "Ada"}])
    assert len(linker) == 122
    grown = linker.link(*asked, top_k=20)
    assert [answer.id for answer in grown[:2]] == ["twin", first[0].id]  # of one name, the more popular first
    assert grown[0].score == pytest.approx(first[0].score, abs=1e-4)
    assert grown[0].probability == grown[1].probability
    assert grown[0].text == "Its twin."
    linker.remove_entities([first[0].id])
    assert {answer.id for answer in linker.link(*asked)} >= {"twin"}
    assert first[0].id not in {answer.id for answer in linker.link(*asked, top_k=50)}
    linker.remove_entities(["twin"])
    left = linker.link(*asked, top_k=50)
    assert not {"twin", first[0].id} & {answer.id for answer in left}
    borne = {row for _, rows in linker.writable.tree for row in rows}
    assert borne <= set(linker.knowledge.rows.tolist())  # no beam is lost on a name that is gone
    linker.remove_entities([entity.id for entity in linker.knowledge if entity.id != "other"])
    assert [answer.id for answer in linker.link(*asked)] == ["other"]
    linker.remove_entities(["other"])
    assert linker.link(*asked) == []
    linker.add_entities([twin])
    assert [answer.id for answer in linker.link(*asked)] == ["twin"]


def test_a_name_that_is_too_long_is_said_to_be_left_out(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    linker = Linker.from_pretrained(saved, device="cpu")
    linker.add_entities([{"id": "long", "name": "Zq" * 40}, {"id": "short", "name": "Zq"}])
    said = capsys.readouterr().err
    assert "1 of 2 new names cannot be written" in said
    assert "Zq" * 40 in said
    with pytest.raises(DataError, match="candidates whose names have less than 12 tokens"):
        linker.link("Zq", candidates=["long"])
    assert [answer.id for answer in linker.link("Zq", candidates=["short"])] == ["short"]


def test_a_saved_linker_answers_as_before(saved: Path, linker: Linker, questions: list[Question]) -> None:
    loaded = Linker.from_pretrained(saved, device="cpu")
    assert isinstance(loaded, GenerativeLinker)
    for first, second in zip(loaded.link_batch(questions), linker.link_batch(questions), strict=True):
        assert_same(first, second)
    pickled = {".pkl", ".pickle", ".pt", ".ckpt", ".bin"}
    assert not [path for path in saved.rglob("*") if path.suffix in pickled]
    card = (saved / "README.md").read_text()
    assert "TinyImageEncoder" in card
    assert "Top-1" in card


@pytest.mark.long  # test_linker_start.py has DIM's
def test_a_folder_answers_without_what_trains(saved: Path) -> None:
    done = subprocess.run([sys.executable, "-c", ASKED, str(saved)], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["answers"] == 1
    assert not {"pytorch_lightning", "lightning_fabric", "torchmetrics", "matplotlib"} & {*found["modules"]}


def test_what_was_added_and_removed_is_saved_over_the_old_folder(
    saved: Path, tmp_path: Path, questions: list[Question]
) -> None:
    linker = Linker.from_pretrained(saved, device="cpu")
    asked = questions[1].mention, questions[1].context, questions[1].image
    gone = linker.link(*asked)[0]
    linker.add_entities([{"id": "new", "name": "Ada"}])
    linker.remove_entities([gone.id])
    for _ in range(2):
        linker.save(tmp_path / "grown")
        before = linker.link(*asked, top_k=50)
        linker = Linker.from_pretrained(tmp_path / "grown", device="cpu")
        assert_same(before, linker.link(*asked, top_k=50))
        assert len(linker) == 120
        assert gone.id not in linker.knowledge
        assert [answer.id for answer in linker.link("Ada", candidates=["new"])] == ["new"]


def test_only_training_mentions_are_kept(saved: Path, place: Path) -> None:
    mentions = Dataset(place / "world").mentions
    kept = pd.read_parquet(saved / "examples" / "mentions.parquet")
    train = mentions[(mentions["split"] == "train") & (Dataset(place / "world").gold_rows(mentions) >= 0)]
    assert list(zip(kept["mention"], kept["context"], strict=True)) == list(
        zip(train["mention"], train["context"].fillna(""), strict=True)
    )


@pytest.mark.parametrize(
    "file", ["mapper.safetensors", "entities.arrow", "examples/images.npy", "language_model/model.safetensors"]
)
def test_a_damaged_folder_is_refused(saved: Path, tmp_path: Path, file: str) -> None:
    folder = tmp_path / "damaged"
    Linker.from_pretrained(saved, device="cpu").save(folder)
    content = bytearray((folder / file).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / file).write_bytes(content)
    with pytest.raises(DataError, match="damaged file"):
        Linker.from_pretrained(folder, device="cpu")


@pytest.mark.parametrize(
    ("option", "value"),
    [("length_penalty", 10**30), ("length_penalty", 1e300), ("num_beams", 10**30), ("max_new_tokens", 10**9)],
)
def test_a_folder_that_would_compute_without_an_end_is_refused(
    saved: Path, tmp_path: Path, option: str, value: float
) -> None:
    shutil.copytree(saved, tmp_path / "linker")
    reseal(tmp_path / "linker", lambda facts: facts["about"]["recipe"]["model"]["init_args"].update({option: value}))
    with pytest.raises(ConfigError, match=f"{option} between"):
        Linker.from_pretrained(tmp_path / "linker", device="cpu")


@pytest.mark.long
def test_any_key_of_the_manifest_changed_or_gone_is_refused_in_words(saved: Path, tmp_path: Path) -> None:
    shutil.copytree(saved, tmp_path / "linker")

    def use(folder: Path) -> None:
        assert Linker.from_pretrained(folder, device="cpu").link("Ada", "Ada sang.", top_k=2) is not None

    check_mutations(tmp_path / "linker", use, 300)


class OwnExamples(NoExamples):
    """Of no package that anybody trusts."""


def test_other_classes_than_dims_are_refused(saved: Path, tmp_path: Path) -> None:
    linker = Linker.from_pretrained(saved, device="cpu")
    linker.about["recipe"]["model"]["init_args"]["examples"] = {"class_path": f"{__name__}.OwnExamples"}
    refusal = r"a linker made of dim's classes[\s\S]*OwnExamples"
    with pytest.raises(DataError, match=refusal):
        linker.save(tmp_path / "bad")
    linker.save(tmp_path / "bad", trusted=(__name__,))
    with pytest.raises(DataError, match=refusal):
        Linker.from_pretrained(tmp_path / "bad", device="cpu")


def test_what_cannot_be_asked_or_added_says_so(linker: Linker) -> None:
    with pytest.raises(DataError, match="a mention, or an image"):
        linker.link("")
    with pytest.raises(DataError, match="an image that can be read"):
        linker.link("Ada", image=b"no image")
    with pytest.raises(DataError, match="the id of one of 120 entities"):
        linker.link("Ada", candidates=["nobody"])
    with pytest.raises(DataError, match=r"prompts of at most[\s\S]*Give a shorter mention"):
        linker.link("\u16a0" * 900)
    for wrong, message in (
        (Question("Ada", image=b"no image"), "an image that can be read, in question 1"),
        (Question("Ada", candidates=["nobody"]), "the id of one of 120 entities, in question 1"),
        (Question("\u16a0" * 900), "leaves room for, in question 1"),
    ):
        with pytest.raises(DataError, match=message):
            linker.link_batch([Question("Ada", candidates=[next(iter(linker.knowledge)).id]), wrong])
    with pytest.raises(DataError, match="the id of one of 120 entities"):
        linker.remove_entities(["nobody"])
    known = next(iter(linker.knowledge))
    with pytest.raises(DataError, match="entities that the KB does not have yet"):
        linker.add_entities([{"id": "fresh", "name": "Fresh"}, {"id": known.id, "name": "Again"}])
    with pytest.raises(ConfigError, match="a linker that searches vectors"):
        linker.rebuild_index()
    assert len(linker) == 120
    assert "fresh" not in linker.knowledge


def test_hostile_texts_have_answers(linker: Linker) -> None:
    for mention, context in (("Ada", "Ada " * 250_000), ("\u05d0\u05d1", "\u202e\u05d0\u05d1"), ("\x00\ufffd", "")):
        assert linker.link(mention, context)


def test_nil_is_answered_where_the_run_answers_it_and_examples_may_be_drawn(place: Path) -> None:
    examples = ["--model.examples", "RandomExamples", "--model.examples.num_examples", "2"]
    run = fit(place, "nil", "--model.nil", "true", *examples)
    linker = Linker.from_checkpoint(run, device="cpu")
    ids = [entity.id for entity in linker.knowledge][:4]
    found = linker.link("Ada", "Ada sings.", candidates=ids)
    assert {answer.id for answer in found} == {*ids, NIL}
    nil = next(answer for answer in found if answer.id == NIL)
    assert (nil.name, nil.text) == (NIL, None)
    assert 0 < nil.probability < 1
    assert_same(found, linker.link("Ada", "Ada sings.", candidates=ids))
    linker.remove_entities([entity.id for entity in linker.knowledge])
    assert [answer.id for answer in linker.link("Ada", "Ada sings.")] == [NIL]
    linker.save(place / "nil-saved")
    assert json.loads((place / "nil-saved" / "linker.json").read_text())["content"] == "generative linker"
    assert [answer.id for answer in Linker.from_pretrained(place / "nil-saved").link("Ada", "Ada sings.")] == [NIL]


def test_runs_that_need_their_dataset_are_refused(run: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    linker = GenerativeLinker.from_checkpoint(run, device="cpu")
    monkeypatch.setattr(linker.task, "tie_break", RunScorer(run))
    with pytest.raises(ConfigError, match=r"orders entities of one name by popularity\s+found\s+RunScorer"):
        GenerativeLinker.of_run(linker.task, run)
    fit(place, "shuffled", "--data.shuffle", "[context]", "--model.train_mapper", "false")
    with pytest.raises(ConfigError, match=r"a run that reads its features as they are[\s\S]*--data\.shuffle"):
        Linker.from_checkpoint(place / "shuffled", device="cpu")


def test_a_language_model_that_cannot_become_safetensors_is_not_saved(saved: Path, tmp_path: Path) -> None:
    linker = Linker.from_pretrained(saved, device="cpu")
    (tmp_path / "lm").mkdir()
    (tmp_path / "lm" / "pytorch_model.bin").write_bytes(b"pickled")
    linker.about["recipe"]["model"]["init_args"]["language_model"]["path"] = str(tmp_path / "lm")
    with pytest.raises(DataError, match=r"torch.load with weights_only[\s\S]*save_pretrained"):
        linker.save(tmp_path / "pickled")
    shutil.rmtree(tmp_path / "lm")
    with pytest.raises(DataError, match="the language model's files at"):
        linker.save(tmp_path / "pickled")
    assert not (tmp_path / "pickled").exists()


def test_a_pickled_language_model_is_saved_as_safetensors(saved: Path, tmp_path: Path) -> None:
    linker = Linker.from_pretrained(saved, device="cpu")
    lm = shutil.copytree(saved / "language_model", tmp_path / "lm")
    torch.save(load_file(lm / "model.safetensors"), lm / "pytorch_model.bin")
    (lm / "model.safetensors").unlink()
    linker.about["recipe"]["model"]["init_args"]["language_model"]["path"] = str(lm)
    linker.save(tmp_path / "saved")
    assert not list((tmp_path / "saved").rglob("*.bin"))
    name = next(iter(linker.knowledge)).name
    again = Linker.from_pretrained(tmp_path / "saved", device="cpu")
    assert [answer.score for answer in again.link(name)] == pytest.approx([a.score for a in linker.link(name)])


def fond_of_ending(folder: Path) -> Path:
    """A model that without a tree would write on and on ends after a few tokens."""
    model = GPT2LMHeadModel.from_pretrained(folder)
    with torch.no_grad():
        model.transformer.ln_f.bias += model.transformer.wte.weight[model.config.eos_token_id]
    model.save_pretrained(folder)
    return folder


def test_an_unconstrained_run_without_images_or_examples_links_by_the_text_it_writes(place: Path) -> None:
    lm = fond_of_ending(save_model(place / "free-lm"))
    free = ["--model.constrained", "false", "--model.train_mapper", "false", "--data.leave_out", "[image, context]"]
    run = fit(place, "free", *free, "--model.examples", "NoExamples", "--model.language_model.path", str(lm))
    linker = Linker.from_checkpoint(run, device="cpu")
    assert not linker.link("Ada", "Ada sings.")  # random weights write no name of the KB
    with pytest.raises(DataError, match="an image alone, which this linker does not read"):
        linker.link("", image=b"unread")
    linker.save(place / "free-saved")
    loaded = Linker.from_pretrained(place / "free-saved", device="cpu")
    prompts, images_of = loaded._prompts([Question("Ada", "Ada sings.")])
    assert "sings" not in loaded.task.language_model.detokenize(prompts[0].tokens[-1])
    written = loaded.task.decoder.write(
        loaded.task.language_model, loaded.task.encode(prompts, images_of)[0], AnyToken()
    )[0]
    texts = {text for name in written if (text := loaded.task.language_model.detokenize(name.tokens))}
    assert texts
    loaded.add_entities([{"id": text, "name": text} for text in texts])
    assert {answer.id for answer in loaded.link("Ada", "Ada sings.", top_k=50)} == texts
    loaded.remove_entities(texts)
    assert not loaded.link("Ada", "Ada sings.")


def choice(examples: Examples, **texts: list[str]) -> ExampleChoice:
    """Of four training mentions whose strings stand at 0, 30, 60 and 90 degrees; the first two show one image."""
    angles = np.radians([0, 30, 60, 90])
    strings = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    columns = {"mention": list("abcd"), "context": ["text"] * 4, "name": list("ABCD")} | texts
    table = pa.table(columns | {"string": [0, 1, 2, 3], "image": [0, 0, 1, -1]})
    return ExampleChoice(TrainingMentions(table, strings, np.eye(2, dtype=np.float32)), examples)


NEAR = np.array([2, 0.1], np.float32)  #: Nearest to the first string, then to the second …
FIRST = np.array([3, 0], np.float32)  #: The image of the first two.


def test_similar_examples_are_the_nearest_the_most_similar_last() -> None:
    choose = choice(SimilarExamples(2))
    assert choose("z", "", NEAR, None) == [1, 0]
    assert choose("a", "text", NEAR, None) == [2, 1]  # never the question itself
    assert choose("a", "other text", NEAR, None) == [1, 0]
    assert choose("z", "", NEAR, FIRST) == [3, 2]  # nor its image
    assert choice(SimilarExamples(2, share_image=True))("z", "", NEAR, FIRST) == [1, 0]
    assert choose("z", "", None, None) == []
    assert choice(SimilarExamples(9))("z", "", NEAR, FIRST) == [3, 2]


def test_where_nothing_is_said_images_tell_questions_apart() -> None:
    choose = choice(SimilarExamples(4, share_image=True), mention=["", "b", "", ""], context=["", "", "", ""])
    assert choose("", "", NEAR, FIRST) == [3, 2, 1]
    assert choose("", "", NEAR, None) == [3, 2, 1, 0]


def test_random_examples_hang_on_seed_mention_and_context_alone() -> None:
    choose = choice(RandomExamples(2, seed=5))
    drawn = {tuple(choose(mention, "", None, None)) for mention in map(str, range(30))}
    assert len(drawn) > 4
    assert all(len(set(each)) == 2 for each in drawn)
    assert choose("7", "", None, None) == choice(RandomExamples(2, seed=5))("7", "", NEAR, None)
    assert all(0 not in choose("a", "text", None, None) for _ in range(3))
    assert sorted(choose("z", "", None, FIRST)) == [2, 3]
    assert any(
        choose(mention, "", None, None) != choice(RandomExamples(2, seed=6))(mention, "", None, None)
        for mention in map(str, range(9))
    )
    assert choice(NoExamples())("z", "", NEAR, None) == []


def test_what_a_linker_takes_this_one_takes_and_an_addition_that_fails_leaves_it_as_it_was(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    linker = Linker.from_checkpoint(run, device="cpu")
    before = linker.link("Ada", top_k=5)
    assert linker.link_batch(pd.DataFrame({"mention": ["Ada"], "context": [np.nan]}))[0] == before
    with monkeypatch.context() as patch:
        patch.setattr(linker.writable, "add", raise_memory_error)
        with pytest.raises(MemoryError):
            linker.add_entities({"id": "9", "name": "Zq", "born": 1815})
    with pytest.raises(DataError, match="questions in a list"):
        linker.link_batch("Ada")
    assert_same(linker.link("Ada", top_k=5), before)
    linker.add_entities({"id": "9", "name": "Zq", "born": 1815})
    assert [answer.id for answer in linker.link("Zq", candidates="9")] == ["9"]
    linker.remove_entities("9")
    assert "9" not in linker.knowledge


def raise_memory_error(*_: object) -> None:
    raise MemoryError
