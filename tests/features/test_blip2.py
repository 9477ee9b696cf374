import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny_blip2 import make_blip2
from transformers import Blip2ForConditionalGeneration, Blip2Processor

from dim.encoders.blip2 import QUESTION, Blip2Captioner
from dim.encoders.device import DTYPES
from dim.errors import ConfigError

QUESTIONS = [QUESTION, "Who?", "Question: Is Ana Lucia de Souza here? Answer:", "", "Question: Is Bo here? Answer:"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_blip2(tmp_path_factory.mktemp("blip2"))


def pictures() -> list[Image.Image]:
    noise = np.random.default_rng(0).integers(0, 256, (3, 40, 60, 3), dtype=np.uint8)
    return [*map(Image.fromarray, noise), Image.new("RGB", (30, 90), "red"), Image.new("RGB", (28, 28), "blue")]


def ask(captioner: Blip2Captioner, images: list[Image.Image], questions: list[str]) -> list[str]:
    return captioner.caption([captioner.preprocess(image) for image in images], questions)


def oracle(folder: Path, image: Image.Image, question: str, **options: int) -> str:
    """One image at a time, as the documentation of Transformers shows it."""
    processor, model = Blip2Processor.from_pretrained(folder), Blip2ForConditionalGeneration.from_pretrained(folder)
    inputs = processor(images=image, text=question, return_tensors="pt")
    with torch.no_grad():
        ids = model.eval().generate(**inputs, **({"max_new_tokens": 20, "do_sample": False} | options))
    return processor.decode(ids[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True).strip()


@pytest.mark.parametrize("num_beams", [pytest.param(1, marks=pytest.mark.long), 3])
def test_a_batch_of_different_questions_answers_as_transformers_does_one_by_one(folder: Path, num_beams: int) -> None:
    captioner = Blip2Captioner(str(folder), num_beams=num_beams, device="cpu")
    answers = ask(captioner, pictures(), QUESTIONS)
    assert answers == [
        oracle(folder, image, question, num_beams=num_beams)
        for image, question in zip(pictures(), QUESTIONS, strict=True)
    ]
    assert answers == [
        ask(captioner, [image], [question])[0] for image, question in zip(pictures(), QUESTIONS, strict=True)
    ]
    assert len(set(answers)) == len(answers)


def test_answers_stop_at_max_new_tokens_and_do_not_repeat_the_question(folder: Path) -> None:
    short = ask(Blip2Captioner(str(folder), max_new_tokens=3), pictures(), [QUESTION] * 5)
    assert all(len(answer) <= 3 for answer in short)
    whole = ask(Blip2Captioner(str(folder)), pictures(), [QUESTION] * 5)
    assert all(answer.startswith(cut) for answer, cut in zip(whole, short, strict=True))
    assert not any("Question" in answer for answer in whole)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_lower_precisions_answer_too(folder: Path, precision: str) -> None:
    captioner = Blip2Captioner(str(folder), precision=precision, device="cpu")
    answers = ask(captioner, pictures(), QUESTIONS)
    assert len(answers) == 5
    assert all(answers)
    assert captioner.network.vision_model.embeddings.class_embedding.dtype == DTYPES[precision]


def test_a_question_is_cut_where_the_positions_end(folder: Path) -> None:
    captioner = Blip2Captioner(str(folder))
    endless = captioner.caption([captioner.preprocess(pictures()[0])], ["Who? " * 500])
    assert endless == captioner.caption([captioner.preprocess(pictures()[0])], ["Who? " * 600])
    with pytest.raises(ConfigError, match=r"max_new_tokens below 252.*\n.*300"):
        Blip2Captioner(str(folder), max_new_tokens=300).caption([captioner.preprocess(pictures()[0])], ["Who?"])


def test_a_checkpoint_that_does_not_name_its_image_token_answers_the_same(folder: Path, tmp_path: Path) -> None:
    old = shutil.copytree(folder, tmp_path / "old")
    config = json.loads((old / "config.json").read_text())
    del config["image_token_index"]
    (old / "config.json").write_text(json.dumps(config))
    assert ask(Blip2Captioner(str(old)), pictures(), QUESTIONS) == ask(
        Blip2Captioner(str(folder)), pictures(), QUESTIONS
    )


def test_the_fingerprint_changes_with_all_that_changes_an_answer_and_with_nothing_else(
    folder: Path, tmp_path: Path
) -> None:
    same = [Blip2Captioner(str(folder)), Blip2Captioner(str(shutil.copytree(folder, tmp_path / "copy")), device="cpu")]
    assert len({captioner.fingerprint for captioner in same}) == 1
    other = make_blip2(tmp_path / "other", seed=1)
    others = [
        Blip2Captioner(str(folder), question="Who?"),
        Blip2Captioner(str(folder), max_new_tokens=3),
        Blip2Captioner(str(folder), num_beams=2),
        Blip2Captioner(str(folder), precision="bf16"),
        Blip2Captioner(str(other)),
    ]
    assert len({captioner.fingerprint for captioner in [same[0], *others]}) == 6


def test_another_process_gets_the_options_and_not_the_weights(folder: Path) -> None:
    captioner = Blip2Captioner(str(folder), question="Who?", max_new_tokens=5, num_beams=2, precision="bf16")
    assert captioner.network is not None
    sent = pickle.dumps(captioner)
    assert len(sent) < 1000
    assert pickle.loads(sent).fingerprint == captioner.fingerprint


def test_what_is_no_blip2_says_so(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"a folder with a BLIP-2 model at .*blip\n.*beside it: blip2"):
        Blip2Captioner(str(folder.parent / "blip")).network  # noqa: B018
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"BLIP-2.*empty(?s:.*)config.json, processor and tokenizer files"):
        ask(Blip2Captioner(str(tmp_path / "empty")), pictures(), QUESTIONS)
    with pytest.raises(ConfigError, match="at least 1"):
        Blip2Captioner(str(folder), max_new_tokens=0)


def test_weights_that_are_missing_or_pickled_are_refused(folder: Path, tmp_path: Path) -> None:
    holes = shutil.copytree(folder, tmp_path / "holes")
    weights = load_file(holes / "model.safetensors")
    del weights["query_tokens"]
    save_file(weights, holes / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ConfigError, match=r"none for query_tokens; they would be random"):
        Blip2Captioner(str(holes)).network  # noqa: B018
    pickled = shutil.copytree(folder, tmp_path / "pickled")
    torch.save(load_file(pickled / "model.safetensors"), pickled / "pytorch_model.bin")
    (pickled / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match=r"a BLIP-2 model at .*pickled(?s:.*)safetensors"):
        Blip2Captioner(str(pickled)).network  # noqa: B018
