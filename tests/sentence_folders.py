"""Folders of sentence-transformers with tiny random weights, as its versions 2 to 6 write them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tiny_text import WORDS, tokenizer
from tokenizers import normalizers, processors
from transformers import AutoConfig, AutoModel

SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
ABSOLUTE = SMALL | {"max_position_embeddings": 64, "initializer_range": 0.3}
T5 = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2, "decoder_start_token_id": 0}
DECODER = SMALL | {"num_key_value_heads": 1, "head_dim": 8, "max_position_embeddings": 64, "initializer_range": 0.3}
#: Kind of encoder → its options.
KINDS: dict[str, dict[str, Any]] = {
    "bert": ABSOLUTE,
    "mpnet": ABSOLUTE,
    "roberta": ABSOLUTE,
    "xlm-roberta": ABSOLUTE,
    "modernbert": ABSOLUTE | {"global_attn_every_n_layers": 1},
    "t5": T5,
    "qwen3": DECODER,
    "gemma3_text": DECODER | {"use_bidirectional_attention": True},
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64, "initializer_range": 0.3},
}
MEAN = {"pooling_mode_mean_tokens": True}


def write_encoder(
    folder: Path, kind: str = "bert", padding: str = "right", eos: bool = False, cased: bool = False
) -> Path:
    """An encoder as save_pretrained writes it.

    With `eos` its tokenizer puts [SEP] alone behind a text; `cased`, it lower-cases none.
    """
    torch.manual_seed(0)
    special = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3}
    config = AutoConfig.for_model(kind, vocab_size=len(WORDS), **(special | KINDS[kind]))
    AutoModel.from_config(config).save_pretrained(folder)
    words = tokenizer()
    words.padding_side = padding
    if cased:
        words.backend_tokenizer.normalizer = normalizers.NFC()
    if eos:
        single = processors.TemplateProcessing(single="$A [SEP]", special_tokens=[("[SEP]", 3)])
        words.backend_tokenizer.post_processor = single
    words.save_pretrained(folder)
    return folder


def write_folder(
    folder: Path,
    pooling: dict[str, Any] = MEAN,
    heads: Sequence[tuple[str, dict[str, Any]]] = (),
    settings: dict[str, Any] | None = None,
    told: dict[str, Any] | None = None,
    pickled: bool = False,
    **encoder: Any,
) -> Path:
    """A folder with an encoder, its pooling and what follows it.

    Args:
        folder: Is made.
        pooling: Of 1_Pooling/config.json.
        heads: Kind and config.json of each module behind it.
        settings: Of sentence_bert_config.json.
        told: Of config_sentence_transformers.json.
        pickled: Write the weights of heads as pytorch_model.bin.
        **encoder: Of `write_encoder`.
    """
    write_encoder(folder, **encoder)
    modules = [("Transformer", ""), ("Pooling", "1_Pooling")]
    modules += [(kind, f"{row + 2}_{kind}") for row, (kind, _) in enumerate(heads)]
    described = [
        {"idx": row, "name": str(row), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for row, (kind, path) in enumerate(modules)
    ]
    _write(folder / "modules.json", described)
    _write(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": 16, **pooling})
    _write(folder / "sentence_bert_config.json", {"do_lower_case": False, **(settings or {})})
    _write(folder / "config_sentence_transformers.json", told or {})
    torch.manual_seed(1)
    for row, (kind, config) in enumerate(heads):
        place = folder / f"{row + 2}_{kind}"
        _write(place / "config.json", config)
        state = _weights(kind, config)
        if state and pickled:
            torch.save(state, place / "pytorch_model.bin")
        elif state:
            save_file(state, place / "model.safetensors")
    return folder


def dense(
    size: int = 12, activation: str = "activation.Tanh", before: int = 16, **more: Any
) -> tuple[str, dict[str, Any]]:
    """A Dense module."""
    sizes = {"in_features": before, "out_features": size, "bias": True}
    return "Dense", {**sizes, "activation_function": f"torch.nn.modules.{activation}", **more}


def _weights(kind: str, config: dict[str, Any]) -> dict[str, torch.Tensor]:
    if kind == "Dense":
        size = (config["out_features"], config["in_features"])
        state = {"linear.weight": torch.randn(size)}
        state |= {"linear.bias": torch.randn(size[0])} if config["bias"] else {}
        return state | ({"residual.weight": torch.randn(size)} if config.get("use_residual") else {})
    if kind == "LayerNorm":
        return {"norm.weight": torch.randn(config["dimension"]), "norm.bias": torch.randn(config["dimension"])}
    return {}


def _write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
