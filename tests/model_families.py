"""Families of models with tiny random weights, as Transformers saves them, and what dim does with each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from sentence_folders import ABSOLUTE, DECODER, SMALL, T5
from tiny_text import WORDS, tokenizer
from transformers import AutoConfig, AutoModel, CLIPImageProcessor, SiglipImageProcessor

SPECIAL = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3}
HALVES = {
    "d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "decoder_start_token_id": 2, "max_position_embeddings": 64,
}  # fmt: skip
#: Text encoder → options; a text of each family is read alone and beside others.
TEXTS: dict[str, dict[str, Any]] = {
    "bert": ABSOLUTE,
    "albert": ABSOLUTE | {"embedding_size": 8},
    "distilbert": {"dim": 16, "hidden_dim": 32, "n_layers": 1, "n_heads": 2},
    "electra": ABSOLUTE | {"embedding_size": 8},
    "roberta": ABSOLUTE,
    "xlm-roberta": ABSOLUTE,
    "mpnet": ABSOLUTE,
    "deberta-v2": ABSOLUTE,
    "modernbert": ABSOLUTE | {"global_attn_every_n_layers": 1},
    "eurobert": DECODER,
    "roformer": ABSOLUTE | {"embedding_size": 16},
    "convbert": ABSOLUTE,
    "fnet": ABSOLUTE | {"tpu_short_seq_length": 32},
    "t5": T5,
    "umt5": T5,
    "bart": HALVES,
    "mbart": HALVES,
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64},
    "opt": {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "ffn_dim": 32,
        "word_embed_proj_dim": 16,
    },
    "bloom": {"hidden_size": 16, "n_layer": 2, "n_head": 2},
    "llama": DECODER,
    "mistral": DECODER,
    "qwen2": DECODER,
    "qwen3": DECODER,
    "gemma3_text": DECODER,
    "qwen3_vl_text": DECODER,
    "embedding_gemma2_text": DECODER | {"global_head_dim": 8, "hidden_size_per_layer_input": 8, "embedding_dim": 12},
    "mamba": {"hidden_size": 16, "num_hidden_layers": 1, "state_size": 4},
    "clip_text_model": SMALL | {"projection_dim": 8},
}
VISION = SMALL | {"image_size": 32, "patch_size": 16}
_TEXT = SMALL | {"vocab_size": len(WORDS), "max_position_embeddings": 24} | SPECIAL
TWO = {"text_config": _TEXT, "vision_config": VISION}
#: Image encoder → options; those of two towers read texts, too.
IMAGES: dict[str, dict[str, Any]] = {
    "vit": VISION,
    "deit": VISION,
    "dinov2": VISION,
    "dinov2_with_registers": VISION,
    "dinov3_vit": VISION,
    "clip_vision_model": VISION,
    "siglip_vision_model": VISION,
    "convnext": {"hidden_sizes": [8, 16], "depths": [1, 1], "num_stages": 2, "image_size": 32},
    "swin": {"image_size": 32, "embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2], "window_size": 2},
    "clip": TWO | {"projection_dim": 12},
    "metaclip_2": TWO | {"projection_dim": 12},
    "chinese_clip": TWO | {"projection_dim": 12},
    "siglip": TWO,
    "siglip2": {"text_config": _TEXT, "vision_config": SMALL | {"patch_size": 16, "num_patches": 4}},
}
TWO_TOWERS = ("clip", "metaclip_2", "chinese_clip", "siglip")
#: Family and what is read → what dim's refusal says.
REFUSED = {
    ("convbert", "text"): "do not hang on its neighbours",  # its convolutions read the padding
    ("fnet", "text"): "do not hang on its neighbours",  # its Fourier transform does
    ("siglip2", "image"): "gives pixel_attention_mask, spatial_shapes, too",  # of any size
}


def write_family(folder: Path, kind: str) -> Path:
    """A folder of a family, with its tokenizer and processor."""
    torch.manual_seed(0)
    if kind in TEXTS:
        config = AutoConfig.for_model(kind, vocab_size=len(WORDS), **(SPECIAL | TEXTS[kind]))
    else:
        config = AutoConfig.for_model(kind, **IMAGES[kind])
    model = AutoModel.from_config(config).eval()
    model.save_pretrained(folder)
    if kind in TEXTS or "text_config" in IMAGES[kind]:
        tokenizer().save_pretrained(folder)
    if kind in IMAGES:
        _processor(kind).save_pretrained(folder)
    return folder


def _processor(kind: str) -> Any:
    if kind == "siglip2":
        from transformers import Siglip2ImageProcessor

        return Siglip2ImageProcessor(patch_size=16, max_num_patches=4)
    if "clip" in kind:
        return CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    return SiglipImageProcessor(size={"height": 32, "width": 32})
