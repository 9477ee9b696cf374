"""Which folders hold a causal language model that Transformers loads, and how long its texts may be."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import transformers
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING

from dim.errors import ConfigError


def check_kind(config: Any, path: str, what: str) -> None:
    """Raises ConfigError for a kind of model that `AutoModelForCausalLM` does not load, such as one with images.

    Args:
        config: Its configuration.
        path: Where it is.
        what: What is wanted, for the message.
    """
    if type(config) in MODEL_FOR_CAUSAL_LM_MAPPING:
        return
    text = config.get_text_config(decoder=True)
    remedy = "Use a text model of the same family, or one that docs/reference/language_models.md lists."
    if text is not config and type(text) in MODEL_FOR_CAUSAL_LM_MAPPING:
        remedy = f"Save its text part as a {text.model_type} model alone: docs/reference/language_models.md says how."
    raise ConfigError(
        f"{what} at {path}",
        f"one of type {config.model_type}, of which Transformers takes no text model (AutoModelForCausalLM)",
        remedy,
    )


def check_gguf(path: Path, what: str) -> None:
    """Raises ConfigError where a model is in llama.cpp's format alone, with the command that converts it.

    Args:
        path: A folder, such a file, or an id on the hub.
        what: What is wanted, for the message.
    """
    if path.is_dir():
        if list(path.glob("*.safetensors")) or list(path.glob("*.bin")):
            return
        files = sorted(path.glob("*.gguf"))
    else:
        files = [path] if path.suffix == ".gguf" and path.is_file() else []
    if not files:
        return
    target = f"{files[0].parent}-safetensors"
    folder, name, other = map(json.dumps, (str(files[0].parent), files[0].name, target))
    # Without it the newest ones keep a model marked as quantized, which then cannot be saved.
    whole = ", quantization_config=C(dequantize=True)" if hasattr(transformers, "GgufConfig") else ""
    config = ", GgufConfig as C" if whole else ""
    code = (
        f"import dim; from transformers import AutoModelForCausalLM as M, AutoTokenizer as T{config}; "
        f"M.from_pretrained({folder}, gguf_file={name}{whole}).save_pretrained({other}); "
        f"T.from_pretrained({folder}, gguf_file={name}).save_pretrained({other})"
    )
    raise ConfigError(
        f"{what}, as save_pretrained writes it",
        f"{files[0]}, a file of llama.cpp (GGUF)",
        f"Convert it once (pip install gguf): python -c {shlex.quote(code)}; then name {target}.",
    )


def known_positions(config: Any) -> list[int]:
    """The bounds on positions that a text model's configuration names.

    With LongRoPE and dynamic NTK the angles of all tokens hang on how long the longest text of a batch is, beyond the
    length that the model was first trained on: an answer would change with its neighbours, and while it is written.
    That length is a bound, too.
    """
    names = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "max_sequence_length")
    limits = [getattr(config, name, None) for name in names]
    ropes = [getattr(config, name, None) or {} for name in ("rope_parameters", "rope_scaling")]
    for rope in [each for of_all in ropes for each in (of_all, *of_all.values()) if isinstance(each, dict)]:
        if rope.get("rope_type", rope.get("type")) in ("longrope", "dynamic"):
            limits += [rope.get("original_max_position_embeddings")]
            limits += [getattr(config, "original_max_position_embeddings", None)]
    return [limit for limit in limits if isinstance(limit, int) and limit > 0]  # XLNet's -1: none
