from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

from dim.cli.commands import Command
from dim.demo import chance, demo_world
from dim.demo.demo_batches import END, PAD, documents, make_batches, train_tokenizer
from dim.demo.demo_lm import Size, demo_lm, new_model, top1, train
from dim.demo.documents import Question, draw_questions
from dim.errors import ConfigError, DataError
from dim.methods.generative.language_model import LanguageModel
from dim.methods.generative.prompt import IGNORED, answer, ask

TINY = Size(layers=1, width=32, context=128, vocabulary=800)
TOKENIZER = train_tokenizer(
    [Question("name", "a red coat", "Ada Barbach", "Ada Barbach arrived late.", "Ada Barbach")] * 3,
    vocabulary=400,
    context=512,
)


@pytest.fixture(scope="module", autouse=True)
def few_questions() -> Iterator[None]:
    """As many as a world of 100 entities needs, for the tokenizer and for the figures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dim.demo.demo_lm.NUM_FOR_WORDS", 1000)
        patch.setattr("dim.demo.demo_lm.NUM_HELD_OUT", 100)
        yield


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demo_world(tmp_path_factory.mktemp("demo") / "world", num_entities=100, num_images=0).root


def run(world: Path, folder: Path, num_questions: int = 60, **options: Any) -> dict[str, float]:
    return demo_lm(world, folder, num_questions=num_questions, size=TINY, batch_size=8, **options)


@pytest.fixture(scope="module")
def folder(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lm") / "lm"
    run(world, folder)
    return folder


def test_the_folder_loads_with_transformers_alone_and_says_how_it_was_made(world: Path, folder: Path) -> None:
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    assert {"config.json", "model.safetensors", "tokenizer.json", "demo_lm.json"} <= {p.name for p in folder.iterdir()}
    assert (tokenizer.eos_token, tokenizer.pad_token) == (END, PAD)
    assert model.config.n_positions == tokenizer.model_max_length == 128
    assert model.get_input_embeddings().weight.shape == (len(tokenizer), 32)
    made = json.loads((folder / "demo_lm.json").read_text())
    assert made["kb_hash"] == json.loads((world / "dataset.json").read_text())["kb_hash"]
    assert set(made["top1"]) == {"name", "context", "image", "both"}


def test_the_same_world_without_mentions_texts_and_images_gives_the_same_bytes(
    world: Path, folder: Path, tmp_path: Path
) -> None:
    bare = shutil.copytree(world, tmp_path / "bare")
    (bare / "mentions.parquet").unlink()
    for name in ("texts", "images"):
        shutil.rmtree(bare / name, ignore_errors=True)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    run(bare, tmp_path / "lm")
    assert torch.equal(torch.rand(3), expected)  # it leaves the random numbers of its caller alone
    for path in folder.iterdir():
        assert (tmp_path / "lm" / path.name).read_bytes() == path.read_bytes(), path.name


@pytest.mark.long
def test_another_seed_trains_another_model(world: Path, folder: Path, tmp_path: Path) -> None:
    run(world, tmp_path / "lm", seed=1)
    assert (tmp_path / "lm" / "model.safetensors").read_bytes() != (folder / "model.safetensors").read_bytes()


@given(st.text())
@settings(max_examples=200, deadline=None)
def test_the_tokenizer_loses_nothing_of_any_text(text: str) -> None:
    tokens = TOKENIZER(text)["input_ids"]
    assert TOKENIZER.decode(tokens, clean_up_tokenization_spaces=False) == text.encode("utf-8", "replace").decode()


def test_a_name_has_the_same_tokens_wherever_an_answer_begins() -> None:
    for name in ("Ada Barbach", "Zeno Übervic", "D'Arc 2"):
        alone = TOKENIZER(name)["input_ids"]
        asked = TOKENIZER(ask("Barbach", "Barbach arrived late."))["input_ids"]
        example = TOKENIZER(answer("Barbach", "Barbach arrived late.", name))["input_ids"]
        assert example == [*asked, *alone, *TOKENIZER("\n")["input_ids"]]


def test_the_saved_tokenizer_reads_prompts_as_gemel_passes_them_as_the_model_learnt_them(folder: Path) -> None:
    prompt = ask("Barbach", "On Monday Barbach, who is a painter, left.")
    tokens = AutoTokenizer.from_pretrained(folder)(prompt)["input_ids"]
    language_model = LanguageModel(str(folder))
    assert language_model.tokenize([prompt]) == [tokens]
    assert language_model.context == 128
    assert sum("[" in language_model.tokenizer.decode([token]) for token in tokens) == 3


def test_each_fixed_part_of_the_prompt_is_one_token() -> None:
    prompt = TOKENIZER(ask("Barbach", "Barbach"))["input_ids"]
    mention = TOKENIZER(" Barbach")["input_ids"]
    assert len(prompt) == 3 + len(TOKENIZER("Barbach")["input_ids"]) + len(mention)


def test_documents_hold_questions_and_answers_in_order_and_teach_each_name_with_its_end(world: Path) -> None:
    entities = pd.read_parquet(world / "entities.parquet")
    questions = draw_questions(entities, 50, np.random.default_rng(0))
    made = list(documents(questions, TOKENIZER, most=None))
    text = "".join(TOKENIZER.decode(tokens) for tokens, _ in made)
    assert text == "".join(q.looks + answer(q.mention, q.context, q.name) for q in questions)
    taught = [token for _, targets in made for token in targets if token != IGNORED]
    assert TOKENIZER.decode(taught) == "".join(q.name + END for q in questions)
    for tokens, targets in made:
        assert len(tokens) == len(targets) <= 512
        for i, target in enumerate(targets[:-1]):
            assert target in (IGNORED, tokens[i + 1], TOKENIZER.eos_token_id)


def test_a_context_that_holds_no_question_is_refused(world: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"a context of at least \d+ tokens[\s\S]*128[\s\S]*--size.context"):
        demo_lm(world, tmp_path / "lm", num_questions=8, size=Size(layers=1, width=32, context=128, vocabulary=300))


@pytest.mark.parametrize("most", [1, 4])
def test_a_document_holds_no_more_questions_than_it_shall(most: int) -> None:
    question = Question("name", "", "Ada Barbach", "Ada Barbach left.", "Ada Barbach")
    made = list(documents([question] * 10, TOKENIZER, most=most))
    ends = [targets.count(TOKENIZER.eos_token_id) for _, targets in made]
    assert ends == {1: [1] * 10, 4: [4, 4, 2]}[most]


@pytest.mark.long
def test_a_trained_model_answers_new_questions_better_than_names_alone_could(world: Path) -> None:
    entities = pd.read_parquet(world / "entities.parquet")
    surnames = entities["name"].str.split().str[-1]
    two = entities[surnames.isin(two_families(entities))]
    size = Size(layers=2, width=64, context=128, vocabulary=600)
    questions = draw_questions(two, 8000, np.random.default_rng(0))
    tokenizer = train_tokenizer(questions, size.vocabulary, size.context)
    model = new_model(tokenizer, size, seed=0)
    before = top1(model, tokenizer, draw_questions(two, 300, np.random.default_rng(1)))
    train(model, list(make_batches(questions, tokenizer, 16, seed=0)), learning_rate=3e-3)
    after = top1(model, tokenizer, draw_questions(two, 300, np.random.default_rng(1)))
    for kind in ("context", "image"):
        assert before[kind] < 0.05
        assert after[kind] > 3 * chance(kind)


def two_families(entities: pd.DataFrame) -> list[str]:
    """The surnames of a family of nine whom facts tell apart, and of one whom looks do."""
    kinds = {question.mention: question.kind for question in draw_questions(entities, 2000, np.random.default_rng(0))}
    sizes = entities["name"].str.split().str[-1].value_counts()
    return [
        next(name for name, it in kinds.items() if it == kind and sizes[name] == 9) for kind in ("context", "image")
    ]


@pytest.mark.long
def test_a_folder_that_is_there_is_replaced_only_if_asked_for(world: Path, tmp_path: Path) -> None:
    run(world, tmp_path / "lm", num_questions=8)
    old = (tmp_path / "lm" / "model.safetensors").read_bytes()
    with pytest.raises(ConfigError, match=r"a language model of dim demo-lm, written before[\s\S]*--overwrite true"):
        run(world, tmp_path / "lm", num_questions=8, seed=1)
    assert (tmp_path / "lm" / "model.safetensors").read_bytes() == old
    run(world, tmp_path / "lm", num_questions=8, seed=1, overwrite=True)
    assert (tmp_path / "lm" / "model.safetensors").read_bytes() != old


def test_a_folder_of_something_else_is_never_replaced(world: Path, tmp_path: Path) -> None:
    (tmp_path / "lm").mkdir()
    (tmp_path / "lm" / "thesis.tex").touch()
    with pytest.raises(ConfigError, match=r"other files: thesis\.tex[\s\S]*another folder"):
        run(world, tmp_path / "lm", overwrite=True)
    assert (tmp_path / "lm" / "thesis.tex").exists()


def test_another_dataset_is_refused_before_anything_is_written(world: Path, tmp_path: Path) -> None:
    other = shutil.copytree(world, tmp_path / "other")
    entities = pd.read_parquet(other / "entities.parquet").assign(attributes="{}")
    entities.to_parquet(other / "entities.parquet")
    with pytest.raises(DataError, match="a demo world, whose entities have facts"):
        run(other, tmp_path / "lm")
    assert not (tmp_path / "lm").exists()


def test_a_folder_that_is_no_dataset_is_refused(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="a dataset folder"):
        run(tmp_path / "none", tmp_path / "lm")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"num_questions": 0}, "--num_questions from 1"),
        ({"batch_size": 0}, "--batch_size from 1"),
        ({"learning_rate": 0.0}, "--learning_rate above 0"),
        ({"size": Size(layers=0)}, "--size.layers from 1"),
        ({"size": Size(width=100)}, "--size.width that 32 divides"),
        ({"size": Size(context=50)}, "--size.context from 128"),
        ({"size": Size(vocabulary=256)}, "--size.vocabulary from 300"),
    ],
)
def test_a_number_out_of_range_is_named(world: Path, tmp_path: Path, options: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        demo_lm(world, tmp_path / "lm", **options)


def test_the_command_line_names_each_option(world: Path, tmp_path: Path) -> None:
    args = [str(world), str(tmp_path / "lm"), "--num_questions=8", "--size.layers=1", "--size.width=32"]
    Command("dim.demo.demo_lm", ("demo_lm",), "").run("demo-lm", [*args, "--size.vocabulary=400", "--seed=2"])
    assert json.loads((tmp_path / "lm" / "demo_lm.json").read_text())["seed"] == 2
