"""Image-text-to-text models by their chat templates: answers are the library's own for an image alone, or refused."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from chat_models import FAMILIES, write_chat
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny_blip2 import make_blip2
from tiny_text import write_bert
from transformers import (
    AutoModelForImageTextToText,
    AutoProcessor,
    BertConfig,
    VisionEncoderDecoderConfig,
    ViTConfig,
)

from dim.encoders.chat_captioner import QUESTION, TransformersCaptioner
from dim.encoders.device import DTYPES, Precision
from dim.encoders.tiny import TinyTextEncoder
from dim.errors import ConfigError, DataError
from dim.features.fields import Choices
from dim.features.live import LiveEncoder

QUESTIONS = [QUESTION, "Who?", "Is Ana Lucia de Souza in this picture, and who is beside her?", "", "Is Bo here?"]
LENGTH = 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_chat(tmp_path_factory.mktemp("models") / "llava")


def photos() -> list[Image.Image]:
    noise = np.random.default_rng(0)
    sizes = ((40, 60), (90, 30), (28, 28), (64, 50), (30, 41))
    return [Image.fromarray(noise.integers(0, 256, (*size, 3), dtype=np.uint8)) for size in sizes]


def captioner(folder: Path, **options: Any) -> TransformersCaptioner:
    return TransformersCaptioner(str(folder), **{"max_new_tokens": LENGTH, "device": "cpu"} | options)


def ask(asked: TransformersCaptioner, images: list[Image.Image], questions: list[str]) -> list[str]:
    return asked.caption([asked.preprocess(image) for image in images], questions)


def oracle(folder: Path, dtype: torch.dtype = torch.float32) -> Callable[[Image.Image, str], str]:
    """One image at a time, as the documentation of Transformers shows it."""
    processor = AutoProcessor.from_pretrained(folder)
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=dtype).eval()

    def answer(image: Image.Image, question: str) -> str:
        content = [{"type": "image", "image": image}, {"type": "text", "text": question}]
        inputs = processor.apply_chat_template(
            [{"role": "user", "content": content}],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        ).to(dtype)
        with torch.no_grad():
            ids = model.generate(**inputs, max_new_tokens=LENGTH, do_sample=False)[0]
        said = ids if model.config.is_encoder_decoder else ids[inputs["input_ids"].shape[1] :]
        return str(processor.decode(said, skip_special_tokens=True)).strip()

    return answer


#: In make test: windows, tiles, attention across, a prefix, positions in three directions, a state, an encoder.
QUICK = ("gemma3", "llava_next", "mllama", "paligemma", "qwen3_vl", "recurrent", "t5gemma2")


@pytest.mark.parametrize("family", [pytest.param(x, marks=[pytest.mark.long] * (x not in QUICK)) for x in FAMILIES])
def test_a_batch_answers_as_transformers_does_one_by_one(
    family: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_chat(tmp_path / family, family)
    ours, theirs = captioner(folder), oracle(folder)
    capsys.readouterr()
    answers = ask(ours, photos(), QUESTIONS)
    assert answers == [theirs(image, question) for image, question in zip(photos(), QUESTIONS, strict=True)]
    about_one = ask(ours, [photos()[0]] * 5, QUESTIONS)
    assert about_one == [theirs(photos()[0], question) for question in QUESTIONS]
    assert len(set(about_one)) > 1
    asked_once = ask(ours, photos(), ["Who?"] * 5)
    assert asked_once == [theirs(image, "Who?") for image in photos()]
    assert len(set(asked_once)) > 1
    said = f"note: {folder} is asked one image at a time: its answers hang on their neighbours (odds of a token differ"
    assert capsys.readouterr().err.count(said) == (family == "recurrent")


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_lower_precisions_answer_as_transformers_does(folder: Path, precision: Precision) -> None:
    half, theirs = captioner(folder, precision=precision), oracle(folder, DTYPES[precision])
    answers = [ask(half, [image], [question])[0] for image, question in zip(photos(), QUESTIONS, strict=True)]
    assert answers == [theirs(image, question) for image, question in zip(photos(), QUESTIONS, strict=True)]
    assert half.network.dtype == DTYPES[precision]


def test_answers_stop_at_max_new_tokens_and_are_none_of_no_images(folder: Path) -> None:
    whole, cut = (
        ask(captioner(folder), photos(), QUESTIONS),
        ask(captioner(folder, max_new_tokens=2), photos(), QUESTIONS),
    )
    assert all(answer.startswith(start) for answer, start in zip(whole, cut, strict=True))
    assert all(len(answer.split()) <= 2 for answer in cut)
    assert captioner(folder).caption([], []) == []
    with pytest.raises(ConfigError, match="max_new_tokens and max_pixels of at least 1\nfound    0 and 262144"):
        captioner(folder, max_new_tokens=0)


def test_larger_images_are_scaled_down_first(folder: Path) -> None:
    few = captioner(folder, max_pixels=1000)
    large = Image.fromarray(np.random.default_rng(0).integers(0, 256, (80, 200, 3), dtype=np.uint8))
    pixels = few.preprocess(large.convert("RGBA"))
    assert pixels.shape == (20, 50, 3)
    assert pixels.dtype == np.uint8
    assert few.caption([pixels], [QUESTION]) == [
        oracle(folder)(large.resize((50, 20), Image.Resampling.BICUBIC), QUESTION)
    ]
    np.testing.assert_array_equal(captioner(folder).preprocess(large), np.asarray(large))


@pytest.mark.parametrize("family", ["qwen3_vl", "mistral3"])
def test_a_dot_and_a_line_are_stretched_to_what_models_read(family: str, tmp_path: Path) -> None:
    asked = captioner(write_chat(tmp_path / family, family))
    for size, expected in (((1, 1), (16, 16)), ((1, 1000), (20, 1000)), ((5000, 2), (3620, 72)), ((16, 20), (16, 20))):
        pixels = asked.preprocess(Image.new("RGB", size, "red"))
        assert pixels.shape == (*expected[::-1], 3)
        assert asked.caption([pixels], ["Who?"])[0]
    height, width, _ = asked.preprocess(Image.new("RGB", (200_000, 1))).shape
    assert 49 <= width / height <= 51
    assert width * height <= asked.max_pixels


@pytest.mark.parametrize(
    ("family", "token"), [("qwen3_vl", "<|image_pad|>"), ("llava", "<image>"), ("gemma3", "<boi>")]
)
def test_a_mention_that_is_called_as_a_token_of_the_model_is_asked_by_its_letters(
    family: str, token: str, tmp_path: Path
) -> None:
    folder = write_chat(tmp_path / family, family)
    answers = ask(captioner(folder), photos()[:2], [f"Is {token} here?", "Is [PAD] here?"])
    theirs = oracle(folder)
    assert answers[0] == theirs(photos()[0], f"Is {token[0]} {token[1:]} here?")
    assert answers[1] == theirs(photos()[1], "Is [ PAD] here?")


def test_what_a_folder_says_of_sampling_and_lengths_changes_nothing_and_what_it_punishes_counts(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    other = shutil.copytree(folder, tmp_path / "sampling")
    settings = json.loads((other / "generation_config.json").read_text())
    settings |= {"do_sample": True, "temperature": 0.1, "top_k": 5, "top_p": 0.5, "num_beams": 3, "max_length": 20}
    settings |= {"num_return_sequences": 2, "max_time": 1e-9}
    (other / "generation_config.json").write_text(json.dumps(settings))
    asked = captioner(other)
    answers = ask(asked, photos(), QUESTIONS)
    assert capfd.readouterr().err == ""
    plain = ask(captioner(folder), photos(), QUESTIONS)
    assert answers == plain
    settings = {"repetition_penalty": 5.0}
    (other / "generation_config.json").write_text(json.dumps(settings))
    punished = ask(captioner(other), photos(), QUESTIONS)
    assert punished == [oracle(other)(image, said) for image, said in zip(photos(), QUESTIONS, strict=True)]
    assert punished != plain


def test_the_fingerprint_changes_with_all_that_changes_an_answer_and_with_nothing_else(
    folder: Path, tmp_path: Path
) -> None:
    copied = tmp_path / "copy"
    assert not captioner(folder).copy_model(folder, copied)
    same = [captioner(folder), captioner(copied, device="auto"), pickle.loads(pickle.dumps(captioner(folder)))]
    assert len({one.fingerprint for one in same}) == 1
    assert ask(captioner(copied), photos(), QUESTIONS) == ask(same[0], photos(), QUESTIONS)
    template = copied / "chat_template.jinja"
    template.write_text(f"Short: {template.read_text()}")
    others = [
        captioner(folder, question="Who?"),
        captioner(folder, max_new_tokens=3),
        captioner(folder, max_pixels=99),
        captioner(folder, precision="bf16"),
        captioner(copied),
        captioner(write_chat(tmp_path / "other", seed=1)),
    ]
    assert len({one.fingerprint for one in [same[0], *others]}) == 7


def test_another_process_gets_the_options_and_not_the_weights(folder: Path) -> None:
    asked = captioner(folder, question="Who?", max_pixels=5000, precision="bf16")
    assert asked.network is not None
    sent = pickle.dumps(asked)
    assert len(sent) < 1000
    again = pickle.loads(sent)
    assert (again.fingerprint, again.device) == (asked.fingerprint, "cpu")


def test_a_question_s_images_of_other_sizes_are_captioned_together(folder: Path) -> None:
    asked, texts = captioner(folder, question="Is {mention} here?"), TinyTextEncoder(64)
    live, names = LiveEncoder(Choices(texts, captioner=asked)), ["Ana", "Bo", "Cy"]
    images = [None, *(live.ready(image, ["caption"]) for image in photos()[:2])]
    values, mask = live.mentions(names, [""] * 3, images, ["caption"]).fields["caption"].mean()
    answers = ask(asked, photos()[:2], ["Is Bo here?", "Is Cy here?"])
    assert mask.tolist() == [False, True, True]
    np.testing.assert_allclose(values[1:], texts.encode_text(answers), atol=1e-5)


def test_a_tokenizer_without_a_padding_token_pads_with_its_end_or_is_refused(folder: Path, tmp_path: Path) -> None:
    other = shutil.copytree(folder, tmp_path / "unpadded")
    settings = json.loads((other / "tokenizer_config.json").read_text())
    del settings["pad_token"]
    (other / "tokenizer_config.json").write_text(json.dumps(settings))
    assert ask(captioner(other), photos(), QUESTIONS) == ask(captioner(folder), photos(), QUESTIONS)
    del settings["eos_token"]
    (other / "tokenizer_config.json").write_text(json.dumps(settings))
    with pytest.raises(ConfigError, match=r"a padding token, or one of its end, at .*unpadded\nfound    none"):
        ask(captioner(other), photos(), QUESTIONS)


def test_what_answers_no_questions_about_images_by_a_template_is_refused(folder: Path, tmp_path: Path) -> None:
    def refused(other: Path, match: str) -> None:
        with pytest.raises(ConfigError, match=match):
            ask(captioner(other), photos(), QUESTIONS)

    refused(write_bert(tmp_path / "bert"), r"an image-text-to-text model at .*bert\nfound    a model of type 'bert'")
    refused(make_blip2(tmp_path / "blip2"), r"a chat template .*\nfound    none\nto do .*Blip2Captioner")
    refused(tmp_path / "nowhere", "a folder with an image-text-to-text model at")
    bare = shutil.copytree(folder, tmp_path / "bare")
    (bare / "additional_chat_templates").mkdir()
    (bare / "chat_template.jinja").rename(bare / "additional_chat_templates" / "default.jinja")
    refused(bare, r"a chat template of images and texts at .*bare \(chat_template\.jinja\)\nfound    none")
    texts = write_bert(tmp_path / "texts")
    VisionEncoderDecoderConfig(encoder=ViTConfig().to_dict(), decoder=BertConfig().to_dict()).save_pretrained(texts)
    refused(texts, r"a processor of images and texts at .*texts\nfound    (?!none)")


@pytest.mark.parametrize(
    ("template", "found"),
    [
        ("{{ messages[0]['content'][1]['text'] }}", "0 <image> tokens and 1 images|tokens: 0"),
        ("<image> who", "the same for two questions"),
        ("{{ raise_exception('no images') }}", "no images"),
    ],
)
def test_a_template_that_leaves_something_out_is_refused(
    template: str, found: str, folder: Path, tmp_path: Path
) -> None:
    other = shutil.copytree(folder, tmp_path / "other")
    (other / "chat_template.jinja").write_text(template)
    with pytest.raises(ConfigError, match=rf"an image-text-to-text model at .*\nfound    .*({found})"):
        ask(captioner(other), photos(), QUESTIONS)


def test_a_model_that_does_not_look_at_the_image_is_refused(tmp_path: Path) -> None:
    folder = write_chat(tmp_path / "mllama", "mllama")
    weights = load_file(folder / "model.safetensors")
    shut = {
        name: tensor * 0 if "cross_attn" in name and name.endswith("gate") else tensor
        for name, tensor in weights.items()
    }
    save_file(shut, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ConfigError, match="to image and question\nfound    the same for two images"):
        ask(captioner(folder), photos(), QUESTIONS)


def test_weights_that_are_missing_broken_or_pickled_and_code_are_refused(folder: Path, tmp_path: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    name = next(name for name in weights if "multi_modal_projector" in name and "weight" in name)
    holes = shutil.copytree(folder, tmp_path / "holes")
    save_file(
        {key: value for key, value in weights.items() if key != name}, holes / "model.safetensors", {"format": "pt"}
    )
    with pytest.raises(ConfigError, match=r"none for .*multi_modal_projector.*; they would be random"):
        _ = captioner(holes).network
    broken = shutil.copytree(folder, tmp_path / "broken")
    save_file(weights | {name: weights[name] * torch.nan}, broken / "model.safetensors", {"format": "pt"})
    with pytest.raises(ConfigError, match="that answers in fp32\nfound    NaN or infinity"):
        ask(captioner(broken), photos(), QUESTIONS)
    pickled = shutil.copytree(folder, tmp_path / "pickled")
    torch.save(weights, pickled / "pytorch_model.bin")
    (pickled / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match=r"an image-text-to-text model at .*pickled(?s:.*)safetensors"):
        _ = captioner(pickled).network
    coded = shutil.copytree(folder, tmp_path / "coded")
    config = json.loads((coded / "config.json").read_text())
    config |= {"model_type": "own_kind", "auto_map": {"AutoConfig": "own_code.OwnConfig"}}
    (coded / "config.json").write_text(json.dumps(config))
    (coded / "own_code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(DataError, match=r"code of its own \(auto_map: .*own_code\.OwnConfig"):
        ask(captioner(coded), photos(), QUESTIONS)
    assert not (tmp_path / "ran").exists()
