"""A model's folder that brings code of its own: it is never run, and nobody is asked whether it may be."""

import io
import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tiny_lm import save_model
from tiny_text import write_bert

from dim.encoders.blip2 import Blip2Captioner
from dim.encoders.clip import OpenClipEncoder
from dim.encoders.text import TransformersTextEncoder
from dim.errors import DataError
from dim.methods.generative.language_model import LanguageModel
from dim.refresh.tokens import TokenCounter

CODE = """
from pathlib import Path
from transformers import BertConfig, BertModel, BertTokenizerFast

(Path(__file__).parent / "ran").touch()
Path("{ran}").touch()

class OwnConfig(BertConfig):
    model_type = "own_kind"

class OwnModel(BertModel):
    config_class = OwnConfig

class OwnTokenizer(BertTokenizerFast):
    pass
"""
AUTO = {
    "config.json": {
        name: f"own_code.{kind}" for name, kind in (("AutoConfig", "OwnConfig"), ("AutoModel", "OwnModel"))
    },
    "tokenizer_config.json": {"AutoTokenizer": ["own_code.OwnTokenizer", "own_code.OwnTokenizer"]},
}


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file that the code leaves where it runs. Whoever asks on stdin is told yes, and found out."""
    said = io.StringIO("y\n" * 100)
    monkeypatch.setattr(sys, "stdin", said)
    yield tmp_path / "ran"
    assert said.tell() == 0, "somebody asked on stdin"
    assert not (tmp_path / "ran").exists()


def with_code(folder: Path, ran: Path, files: tuple[str, ...] = tuple(AUTO)) -> Path:
    """Makes a model one of a kind that only its own code knows."""
    (folder / "own_code.py").write_text(CODE.format(ran=ran))
    for file in files:
        config = json.loads((folder / file).read_text()) | {"auto_map": AUTO[file]}
        if file == "config.json":
            config["model_type"] = "own_kind"
            config.pop("architectures", None)
        else:
            config["tokenizer_class"] = "OwnTokenizer"
        (folder / file).write_text(json.dumps(config))
    return folder


def test_an_encoder_with_code_of_its_own_is_refused_by_its_name(tmp_path: Path, ran: Path) -> None:
    folder = with_code(write_bert(tmp_path / "bert"), ran)
    with pytest.raises(DataError, match=r"code of its own \(auto_map: .*own_code\.OwnConfig.*config\.json.*never runs"):
        TransformersTextEncoder(str(folder)).encode_text(["Ada"])


def test_a_tokenizer_with_code_of_its_own_is_refused_or_its_code_is_left_alone(tmp_path: Path, ran: Path) -> None:
    folder = with_code(write_bert(tmp_path / "bert"), ran, ("tokenizer_config.json",))
    encoder = TransformersTextEncoder(str(folder))
    assert encoder.width > 0
    with suppress(DataError):  # Transformers may have a tokenizer of its own for the model
        encoder.encode_text(["Ada"])


def test_a_language_model_with_code_of_its_own_is_refused(tmp_path: Path, ran: Path) -> None:
    folder = with_code(save_model(tmp_path / "lm"), ran)
    for asked in ("config", "model"):
        with pytest.raises(DataError, match="code of its own"):
            getattr(LanguageModel(str(folder)), asked)


@pytest.mark.long
def test_a_captioner_with_code_of_its_own_is_refused_or_its_code_is_left_alone(tmp_path: Path, ran: Path) -> None:
    folder = with_code(write_bert(tmp_path / "bert"), ran)
    with pytest.raises(Exception, match="BLIP-2"):
        _ = Blip2Captioner(str(folder)).network


def test_a_tokenizer_that_counts_for_refresh_runs_no_code(tmp_path: Path, ran: Path) -> None:
    folder = with_code(write_bert(tmp_path / "bert"), ran)
    with pytest.raises(Exception, match="to do"):
        TokenCounter(folder)


@pytest.mark.parametrize("part", ["model", "tokenize"])
def test_a_model_of_open_clip_runs_no_code_of_a_text_tower(tmp_path: Path, ran: Path, part: str) -> None:
    bert = with_code(write_bert(tmp_path / "bert"), ran)
    folder = tmp_path / "clip"
    folder.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json", "own_code.py", "config.json"):
        shutil.copyfile(bert / name, folder / name)
    text = {"hf_model_name": str(bert), "hf_tokenizer_name": str(bert), "hf_pooler_type": "mean_pooler", "width": 32}
    text["tokenizer_kwargs"] = {"trust_remote_code": True}  # type: ignore[assignment]
    vision = {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16}
    config = {"model_cfg": {"embed_dim": 16, "vision_cfg": vision, "text_cfg": text}, "preprocess_cfg": {}}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    (folder / "open_clip_model.safetensors").write_bytes(b"")
    encoder = OpenClipEncoder(pretrained=str(folder))
    with pytest.raises(DataError, match="code of its own"):
        getattr(encoder if part == "model" else encoder.source, part)
