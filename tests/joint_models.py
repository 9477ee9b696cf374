"""Vision-language embedding models with tiny random weights, as sentence-transformers saves them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tiny_text import tokenizer
from transformers import AutoConfig, AutoModel

TEXT = {
    "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "head_dim": 8, "max_position_embeddings": 512, "pad_token_id": 0,
    "initializer_range": 0.3,
}  # fmt: skip
TEMPLATE = """{% for message in messages %}{{ message['role'] }} {% for part in message['content'] %}
{% if part['type'] == 'image' %}IMAGE{% else %}{{ part['text'] }}{% endif %}{% endfor %} {% endfor %}"""


def write_joint(folder: Path, kind: str, pooling: str = "lasttoken", prompts: dict[str, str] | None = None) -> Path:
    """A folder with modules.json, tokenizer, processor and chat template.

    Args:
        folder: Is made.
        kind: Of `KINDS`.
        pooling: Of its tokens.
        prompts: Of texts by their names.
    """
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    torch.manual_seed(0)
    model, processor = KINDS[kind]()
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    encoder = Transformer(str(folder))
    modules = [encoder, Pooling(encoder.get_embedding_dimension(), pooling_mode=pooling), Normalize()]
    SentenceTransformer(modules=modules, prompts=prompts).save(str(folder))
    return folder


def _qwen3_vl() -> tuple[Any, Any]:
    from transformers import Qwen2VLImageProcessor, Qwen3VLProcessor, Qwen3VLVideoProcessor

    names = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
    words = tokenizer()
    words.add_special_tokens({"additional_special_tokens": list(names)})
    start, end, image, video = words.convert_tokens_to_ids(list(names))
    rope = {"rope_type": "default", "mrope_section": [2, 1, 1], "rope_theta": 1e4, "mrope_interleaved": True}
    config = AutoConfig.for_model(
        "qwen3_vl",
        text_config=TEXT | {"vocab_size": len(words), "rope_parameters": rope},
        vision_config={
            "depth": 2, "hidden_size": 16, "intermediate_size": 32, "num_heads": 2, "patch_size": 4,
            "out_hidden_size": 16, "num_position_embeddings": 64, "deepstack_visual_indexes": [0],
        },
        image_token_id=image,
        video_token_id=video,
        vision_start_token_id=start,
        vision_end_token_id=end,
    )  # fmt: skip
    sizes: dict[str, Any] = {"patch_size": 4, "merge_size": 2, "temporal_patch_size": 2}
    processor = Qwen3VLProcessor(
        Qwen2VLImageProcessor(size={"shortest_edge": 8 * 8 * 4, "longest_edge": 8 * 8 * 64}, **sizes),
        words,
        Qwen3VLVideoProcessor(**sizes),
        chat_template=TEMPLATE.replace("IMAGE", "".join((names[0], names[2], names[1]))),
    )
    return AutoModel.from_config(config), processor


def _embedding_gemma2() -> tuple[Any, Any]:
    from transformers import (
        EmbeddingGemma2Processor,
        Gemma4AudioFeatureExtractor,
        Gemma4ImageProcessor,
        Gemma4VideoProcessor,
    )

    special = {"image_token": "<image>", "boi_token": "<boi>", "eoi_token": "<eoi>"}
    words = tokenizer()
    words = type(words)(
        tokenizer_object=words.backend_tokenizer, **words.special_tokens_map, extra_special_tokens=special
    )
    image, begin, end = words.convert_tokens_to_ids(list(special.values()))
    config = AutoConfig.for_model(
        "embedding_gemma2",
        text_config=TEXT | {
            "vocab_size": len(words) + 1, "hidden_size_per_layer_input": 8, "embedding_dim": 12,
            "per_layer_config": {}, "layer_types": ["sliding_attention", "full_attention"],
        },
        vision_config={
            "model_type": "gemma4_vision", "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2,
            "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 8, "pooling_kernel_size": 2,
            "patch_size": 4, "position_embedding_size": 64,
        },
        image_token_id=image,
        boi_token_id=begin,
        eoi_token_id=end,
    )  # fmt: skip
    sizes: dict[str, Any] = {"patch_size": 4, "pooling_kernel_size": 2, "max_soft_tokens": 70}
    processor = EmbeddingGemma2Processor(
        Gemma4AudioFeatureExtractor(),
        Gemma4ImageProcessor(**sizes),
        words,
        Gemma4VideoProcessor(**sizes),
        chat_template=TEMPLATE.replace("IMAGE", special["image_token"]),
    )
    return AutoModel.from_config(config), processor


def _qwen3() -> tuple[Any, Any]:
    words = tokenizer()
    words.chat_template = TEMPLATE
    return AutoModel.from_config(AutoConfig.for_model("qwen3", **TEXT, vocab_size=len(words))), words


#: Kind → its model and its processor, or its tokenizer.
KINDS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "qwen3_vl": _qwen3_vl,
    "embedding_gemma2": _embedding_gemma2,
    "qwen3": _qwen3,
}
