"""What loading reads of a model's folder is what a copy has; what is no such folder says what to do."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_lm import save_model
from tiny_text import WORDS, write_bert
from transformers import BertTokenizer, GPT2LMHeadModel, PhobertTokenizer, RobertaTokenizer

from dim.encoders.model_files import every_file, transformers_files
from dim.encoders.text import TransformersTextEncoder
from dim.errors import ConfigError, DataError
from dim.methods.generative.language_model import LanguageModel

TEXTS = ["anna sees paris", "a very long old town"]


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    return write_bert(tmp_path / "bert")


def encoder(folder: Path) -> TransformersTextEncoder:
    return TransformersTextEncoder(str(folder), device="cpu")


def as_downloaded(folder: Path) -> None:
    """What else a download from a hub holds."""
    (folder / ".gitattributes").write_text("*.bin filter=lfs")
    (folder / "README.md").write_text("# Model")
    (folder / "onnx").mkdir()
    (folder / "onnx" / "model.onnx").write_bytes(b"onnx")
    (folder / "tf_model.h5").write_bytes(b"h5")
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text("{}")
    torch.save({}, folder / "training_args.bin")


def as_links(folder: Path) -> None:
    """The form of the hub's cache: links to blobs elsewhere."""
    blobs = folder.parent / "blobs"
    blobs.mkdir()
    for number, file in enumerate(sorted(folder.iterdir())):
        file.rename(blobs / str(number))
        file.symlink_to(os.path.relpath(blobs / str(number), folder))


def with_vocabulary(folder: Path) -> None:
    """Words in vocab.txt, without tokenizer.json."""
    _without_tokenizer(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": BertTokenizer.__name__}))


def with_merges(folder: Path) -> None:
    """Pieces in vocab.json and merges.txt."""
    _without_tokenizer(folder)
    pieces = ["<s>", "<pad>", "</s>", "<unk>", *"abcdefghijklmnopqrstuvwxyz", "Ġ", "<mask>", "an"]
    (folder / "vocab.json").write_text(json.dumps({piece: row for row, piece in enumerate(pieces)}))
    (folder / "merges.txt").write_text("#version: 0.2\na n\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": RobertaTokenizer.__name__}))


def with_codes(folder: Path) -> None:
    """Pieces in vocab.txt and bpe.codes."""
    _without_tokenizer(folder)
    pieces = [*"abcdefghijklmnopqrstuvwxyz", *(f"{letter}@@" for letter in "abcdefghijklmnopqrstuvwxyz"), "an@@"]
    (folder / "vocab.txt").write_text("\n".join(f"{piece} 1" for piece in pieces))
    (folder / "bpe.codes").write_text("a n 5\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": PhobertTokenizer.__name__}))


def pickled(folder: Path) -> None:
    """Weights as pytorch_model.bin."""
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def pickled_in_parts(folder: Path) -> None:
    """Weights as two files and an index."""
    state, places = load_file(folder / "model.safetensors"), {}
    for part in range(2):
        name = f"pytorch_model-0000{part + 1}-of-00002.bin"
        keys = sorted(state)[part::2]
        torch.save({key: state[key] for key in keys}, folder / name)
        places |= dict.fromkeys(keys, name)
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    (folder / "model.safetensors").unlink()


def _without_tokenizer(folder: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()


LAYOUTS = [as_downloaded, as_links, with_vocabulary, with_merges, with_codes, pickled, pickled_in_parts]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_copy_gives_the_same_features(bert: Path, tmp_path: Path, layout: Callable[[Path], None]) -> None:
    layout(bert)
    whole = encoder(bert)
    features = whole.encode_text(TEXTS)
    is_converted = whole.copy_model(bert, tmp_path / "copy")
    copy = encoder(tmp_path / "copy")
    np.testing.assert_array_equal(copy.encode_text(TEXTS), features)
    assert is_converted == layout.__name__.startswith("pickled")
    if not is_converted:
        assert copy.fingerprint == whole.fingerprint
    copied = [file.name for file in every_file(tmp_path / "copy")]
    assert not any(name.endswith((".bin", ".h5", ".md", ".bin.index.json")) for name in copied)
    assert not any(path.is_symlink() for path in (tmp_path / "copy").iterdir())
    assert copy.tokenize(TEXTS)["input_ids"].tolist() == whole.tokenize(TEXTS)["input_ids"].tolist()


def test_each_file_that_is_read_counts_in_the_fingerprint(bert: Path) -> None:
    with_codes(bert)
    before = encoder(bert).fingerprint
    for file in transformers_files(bert):
        content = file.read_bytes()
        file.write_bytes(content + b"\n")
        assert encoder(bert).fingerprint != before, file
        file.write_bytes(content)
    as_downloaded(bert)
    assert encoder(bert).fingerprint == before


def test_tied_weights_of_a_pickled_language_model_are_copied(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "lm")
    state = GPT2LMHeadModel.from_pretrained(folder).state_dict()  # its output layer is its input embedding
    assert state["lm_head.weight"].data_ptr() == state["transformer.wte.weight"].data_ptr()
    torch.save(state, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    assert LanguageModel(str(folder)).copy_model(folder, tmp_path / "copy")
    first, second = (LanguageModel(str(path)).model for path in (folder, tmp_path / "copy"))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


class Touch:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (Path("unpickled"),)


def test_pickled_weights_run_nothing_when_they_are_loaded_or_copied(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (bert / "model.safetensors").unlink()
    torch.save({"weights": Touch()}, bert / "pytorch_model.bin")
    with pytest.raises(ConfigError, match="a Transformers text encoder at"):
        encoder(bert).encode_text(TEXTS)
    with pytest.raises(DataError, match=r"torch.load with weights_only[\s\S]*model.save_pretrained"):
        encoder(bert).copy_model(bert, tmp_path / "copy")
    assert not Path("unpickled").exists()


def refused(folder: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        encoder(folder).encode_text(TEXTS)
    return str(caught.value)


def test_a_sentence_transformers_folder_names_the_folder_in_it(bert: Path) -> None:
    place = bert.parent / "st"
    place.mkdir()
    shutil.move(bert, place / "0_Transformer")
    kinds = {"0_Transformer": "Transformer", "1_Pooling": "Pooling"}
    modules = [{"path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind in kinds.items()]
    (place / "modules.json").write_text(json.dumps(modules))
    (place / "1_Pooling").mkdir()
    (place / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_mean_tokens": True}))
    assert f"to do    Name {place / '0_Transformer'}." in refused(place)
    assert encoder(place / "0_Transformer").encode_text(TEXTS).shape == (2, 16)


def test_a_folder_of_the_hubs_cache_names_a_commit_in_it(bert: Path) -> None:
    place = bert.parent / "models--lab--bert" / "snapshots"
    place.mkdir(parents=True)
    shutil.move(bert, place / ("a" * 40))
    assert f"such as {place / ('a' * 40)}, or the hub's id" in refused(place.parent)


@pytest.mark.parametrize(
    ("files", "found", "remedy"),
    [
        ([], "an empty folder", "config.json, processor and tokenizer files, safetensors"),
        (["model.Q4_K_M.gguf"], "weights for llama.cpp (GGUF) (model.Q4_K_M.gguf)", "Get the model's safetensors"),
        (["config.json", "tf_model.h5"], "weights for TensorFlow (tf_model.h5)", "Get the model's safetensors"),
        (["adapter_config.json", "adapter_model.safetensors"], "an adapter alone, of lab/base", "merge_and_unload"),
        (
            ["config.json", "model.safetensors", "adapter_config.json", "adapter_model.safetensors"],
            "an adapter, of lab/base, beside a model",
            "move adapter_config.json away",
        ),
        (["open_clip_config.json", "open_clip_model.safetensors"], "a model of open_clip", "Use OpenClipEncoder"),
        (["notes.txt"], "no config.json (notes.txt)", "as written by save_pretrained"),
        (["inner/config.json"], "no config.json (inner)", "Name the folder with the model: "),
    ],
)
def test_a_folder_of_another_kind_says_what_it_is_and_what_to_do(
    tmp_path: Path, files: list[str], found: str, remedy: str
) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text('{"base_model_name_or_path": "lab/base"}')
    message = refused(tmp_path)
    assert found in message
    assert remedy in message


def test_a_file_in_the_place_of_a_folder_is_named(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(bert.parent)
    message = refused(Path("bert/model.safetensors"))
    assert "found    a file\nto do    Name the folder that it stands in." in message
