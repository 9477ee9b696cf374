"""Image-text-to-text models with tiny random weights, a processor and a chat template, as Transformers saves them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from joint_models import KINDS, TEMPLATE, TEXT
from tiny_text import tokenizer
from tokenizers import processors
from transformers import AutoConfig, AutoModelForImageTextToText

_END = {"bos_token_id": 2, "eos_token_id": 3}
_VISION = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
_SIDE = 28  #: Of an image, or of a tile of it.
_CLIP = _VISION | {"model_type": "clip_vision_model", "image_size": _SIDE, "patch_size": 7, "projection_dim": 16}
_SIGLIP = _VISION | {
    "model_type": "siglip_vision_model",
    "image_size": _SIDE,
    "patch_size": 7,
    "vision_use_head": False,
}


def write_chat(folder: Path, family: str = "llava", seed: int = 0) -> Path:
    """Writes the model into `folder`; its answers differ from image to image and from question to question.

    Args:
        folder: Is made.
        family: Of `FAMILIES`.
        seed: Of its weights.
    """
    config, processor = FAMILIES[family]()
    torch.manual_seed(seed)
    model = AutoModelForImageTextToText.from_config(config)
    with torch.no_grad():  # at the usual scale every image would get the same answer
        for name, weight in model.named_parameters():
            if weight.ndim > 1:
                weight.normal_(std=0.3)
            elif name.endswith("gate"):  # of Mllama's images; shut before training
                weight.fill_(1.0)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _words(**special: str) -> Any:
    """A tokenizer of letters that knows these tokens, too, by their names."""
    plain = tokenizer()
    names = plain.special_tokens_map | {"eos_token": "[SEP]", "bos_token": "[CLS]"}
    inputs = ["input_ids", "attention_mask"]
    backend = plain.backend_tokenizer
    backend.post_processor = processors.TemplateProcessing(single="$A")  # a prompt does not end with its end token
    return type(plain)(tokenizer_object=backend, model_input_names=inputs, extra_special_tokens=special, **names)


def _template(image: str) -> str:
    return TEMPLATE.replace("IMAGE", image)


def _config(family: str, words: Any, vision: dict[str, Any], text: str = "llama", **options: Any) -> Any:
    inner = TEXT | _END | {"vocab_size": len(words), "model_type": text, "tie_word_embeddings": False}
    if hasattr(words, "image_token_id"):
        options.setdefault("image_token_id", words.image_token_id)
    options["tie_word_embeddings"] = False  # or each token would be followed by itself
    return AutoConfig.for_model(family, text_config=inner, vision_config=vision, **options)


def _size(side: int = _SIDE) -> dict[str, int]:
    return {"height": side, "width": side}


def _qwen3_vl() -> tuple[Any, Any]:
    model, processor = KINDS["qwen3_vl"]()
    return model.config, processor


def _qwen2_5_vl() -> tuple[Any, Any]:
    from transformers import Qwen2_5_VLProcessor, Qwen2VLImageProcessor, Qwen2VLVideoProcessor

    words = _words(
        image_token="<|image_pad|>", video_token="<|video_pad|>", start="<|vision_start|>", end="<|vision_end|>"
    )
    sizes: dict[str, Any] = {"patch_size": 4, "merge_size": 2, "temporal_patch_size": 2}
    vision = {
        "depth": 2, "hidden_size": 16, "intermediate_size": 32, "num_heads": 2, "patch_size": 4,
        "out_hidden_size": 16, "window_size": 16, "fullatt_block_indexes": [1],
    }  # fmt: skip
    config = _config(
        "qwen2_5_vl",
        words,
        vision,
        "qwen2_5_vl_text",
        video_token_id=words.video_token_id,
        vision_start_token_id=words.start_id,
        vision_end_token_id=words.end_id,
    )
    config.text_config.rope_parameters = {"rope_type": "default", "mrope_section": [2, 1, 1], "rope_theta": 1e4}
    images = Qwen2VLImageProcessor(size={"shortest_edge": 8 * 8 * 4, "longest_edge": 8 * 8 * 64}, **sizes)
    image = "<|vision_start|><|image_pad|><|vision_end|>"
    return config, Qwen2_5_VLProcessor(images, words, Qwen2VLVideoProcessor(**sizes), chat_template=_template(image))


def _llava() -> tuple[Any, Any]:
    from transformers import CLIPImageProcessor, LlavaProcessor

    words = _words(image_token="<image>")
    config = _config("llava", words, _CLIP, vision_feature_layer=-1)
    images = CLIPImageProcessor(size={"shortest_edge": _SIDE}, crop_size=_size())
    options = {"patch_size": 7, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1}
    return config, LlavaProcessor(images, words, chat_template=_template("<image>"), **options)


def _recurrent() -> tuple[Any, Any]:
    """A LLaVA with a RecurrentGemma inside, which does not leave out the padding before a text."""
    from transformers import LlavaConfig, RecurrentGemmaConfig

    llava, processor = _llava()
    sizes = TEXT | _END | {"num_hidden_layers": 3, "lru_width": 16, "attention_window_size": 64}
    text = RecurrentGemmaConfig(vocab_size=len(processor.tokenizer), **sizes)
    options = {name: getattr(llava, name) for name in ("vision_config", "image_token_id", "vision_feature_layer")}
    return LlavaConfig(text_config=text, **options), processor


def _llava_next() -> tuple[Any, Any]:
    from transformers import LlavaNextImageProcessor, LlavaNextProcessor

    words = _words(image_token="<image>")
    tiles = [[_SIDE, 2 * _SIDE], [2 * _SIDE, _SIDE], [2 * _SIDE, 2 * _SIDE]]
    config = _config("llava_next", words, _CLIP, vision_feature_layer=-1, image_grid_pinpoints=tiles)
    images = LlavaNextImageProcessor(size={"shortest_edge": _SIDE}, crop_size=_size(), image_grid_pinpoints=tiles)
    options = {"patch_size": 7, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1}
    return config, LlavaNextProcessor(images, words, chat_template=_template("<image>"), **options)


def _llava_onevision() -> tuple[Any, Any]:
    from transformers import LlavaOnevisionImageProcessor, LlavaOnevisionProcessor, LlavaOnevisionVideoProcessor

    words = _words(image_token="<image>", video_token="<video>")
    tiles = [[_SIDE, _SIDE], [_SIDE, 2 * _SIDE], [2 * _SIDE, _SIDE], [2 * _SIDE, 2 * _SIDE]]
    config = _config(
        "llava_onevision",
        words,
        _SIGLIP,
        "qwen2",
        video_token_id=words.video_token_id,
        image_grid_pinpoints=tiles,
        vision_feature_layer=-1,
    )
    return config, LlavaOnevisionProcessor(
        LlavaOnevisionImageProcessor(size=_size(), image_grid_pinpoints=tiles),
        words,
        LlavaOnevisionVideoProcessor(size=_size()),
        num_image_tokens=16,
        vision_feature_select_strategy="full",
        chat_template=_template("<image>"),
    )


def _gemma3() -> tuple[Any, Any]:
    from transformers import Gemma3ImageProcessor, Gemma3Processor

    words = _words(image_token="<image>", boi_token="<boi>", eoi_token="<eoi>")
    config = _config(
        "gemma3",
        words,
        _SIGLIP,
        "gemma3_text",
        boi_token_index=words.boi_token_id,
        eoi_token_index=words.eoi_token_id,
        mm_tokens_per_image=4,
    )
    images = Gemma3ImageProcessor(size=_size())
    return config, Gemma3Processor(images, words, image_seq_length=4, chat_template=_template("<boi>"))


def _t5gemma2() -> tuple[Any, Any]:
    gemma, processor = _gemma3()
    inner = TEXT | _END | {"vocab_size": len(processor.tokenizer), "tie_word_embeddings": False}
    encoder = {
        "text_config": inner, "vision_config": gemma.vision_config.to_dict(), "mm_tokens_per_image": 4,
        "boi_token_index": gemma.boi_token_index, "eoi_token_index": gemma.eoi_token_index,
    }  # fmt: skip
    options = {"image_token_index": gemma.image_token_id, "tie_word_embeddings": False}
    return AutoConfig.for_model("t5gemma2", encoder=encoder, decoder=inner, **options), processor


def _gemma4() -> tuple[Any, Any]:
    from transformers import Gemma4AudioFeatureExtractor, Gemma4ImageProcessor, Gemma4Processor, Gemma4VideoProcessor

    words = _words(
        image_token="<image>",
        boi_token="<boi>",
        eoi_token="<eoi>",
        audio_token="<audio>",
        boa_token="<boa>",
        eoa_token="<eoa>",
        video_token="<video>",
    )
    vision = _VISION | {
        "model_type": "gemma4_vision", "num_key_value_heads": 2, "head_dim": 8, "pooling_kernel_size": 2,
        "patch_size": 4, "position_embedding_size": 64,
    }  # fmt: skip
    config = _config(
        "gemma4",
        words,
        vision,
        "gemma4_text",
        boi_token_id=words.boi_token_id,
        eoi_token_id=words.eoi_token_id,
        audio_config=None,
    )
    config.text_config.hidden_size_per_layer_input = 0
    sizes: dict[str, Any] = {"patch_size": 4, "pooling_kernel_size": 2, "max_soft_tokens": 70}
    return config, Gemma4Processor(
        Gemma4AudioFeatureExtractor(),
        Gemma4ImageProcessor(**sizes),
        words,
        Gemma4VideoProcessor(**sizes),
        chat_template=_template("<image>"),
    )


def _idefics3() -> tuple[Any, Any]:
    from transformers import Idefics3ImageProcessor, Idefics3Processor

    grid = [f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)]
    words = _words(
        image_token="<image>", fake="<fake_token_around_image>", all="<global-img>", end="<end_of_utterance>"
    )
    words.add_tokens(grid)
    vision = _VISION | {"model_type": "idefics3_vision", "image_size": _SIDE, "patch_size": 7}
    config = _config("idefics3", words, vision, scale_factor=2)
    images = Idefics3ImageProcessor(size={"longest_edge": 2 * _SIDE}, max_image_size={"longest_edge": _SIDE})
    return config, Idefics3Processor(images, words, image_seq_len=4, chat_template=_template("<image>"))


def _internvl() -> tuple[Any, Any]:
    from transformers import GotOcr2ImageProcessor, InternVLProcessor, InternVLVideoProcessor

    words = _words(
        start_image_token="<img>", end_image_token="</img>", context_image_token="<IMG_CONTEXT>", video_token="<video>"
    )
    vision = _VISION | {"image_size": [_SIDE, _SIDE], "patch_size": [7, 7]}
    config = _config("internvl", words, vision, "qwen2", image_token_id=words.context_image_token_id)
    return config, InternVLProcessor(
        GotOcr2ImageProcessor(size=_size(), crop_to_patches=True, max_patches=4),
        words,
        InternVLVideoProcessor(size=_size()),
        image_seq_length=4,
        chat_template=_template("<IMG_CONTEXT>"),
    )


def _mistral3() -> tuple[Any, Any]:
    from transformers import PixtralImageProcessor, PixtralProcessor

    words = _words(image_token="[IMG]", line="[IMG_BREAK]", end="[IMG_END]")
    vision = _VISION | {"model_type": "pixtral", "image_size": 56, "patch_size": 7, "head_dim": 8}
    config = _config("mistral3", words, vision, "mistral", spatial_merge_size=2, vision_feature_layer=-1)
    images = PixtralImageProcessor(size={"longest_edge": 56}, patch_size=_size(7))
    return config, PixtralProcessor(images, words, patch_size=7, spatial_merge_size=2, chat_template=_template("[IMG]"))


def _aya_vision() -> tuple[Any, Any]:
    from transformers import AyaVisionProcessor, GotOcr2ImageProcessor

    words = _words(
        image_token="<image>",
        start="<|START_OF_IMG|>",
        end="<|END_OF_IMG|>",
        patch="<|IMG_PATCH|>",
        line="<|IMG_LINE_BREAK|>",
        tile="TILE",
        whole="TILE_GLOBAL",
    )
    words.add_tokens([f"TILE_{number}" for number in range(1, 5)])
    config = _config(
        "aya_vision",
        words,
        _SIGLIP,
        "cohere2",
        image_token_id=words.patch_id,
        downsample_factor=2,
        vision_feature_layer=-1,
    )
    images = GotOcr2ImageProcessor(size=_size(), crop_to_patches=True, max_patches=4)
    return config, AyaVisionProcessor(
        images, words, patch_size=7, img_size=_SIDE, downsample_factor=2, chat_template=_template("<image>")
    )


def _paligemma() -> tuple[Any, Any]:
    from transformers import PaliGemmaProcessor, SiglipImageProcessor

    words = _words(image_token="<image>")
    images = SiglipImageProcessor(size=_size())
    images.image_seq_length = 16
    processor = PaliGemmaProcessor(images, words, chat_template=_template("<image>"))
    config = _config("paligemma", processor.tokenizer, _SIGLIP, "gemma", projection_dim=16)
    return config, processor


def _mllama() -> tuple[Any, Any]:
    from transformers import MllamaImageProcessor, MllamaProcessor

    words = _words(image_token="<|image|>", python="<|python_tag|>")
    vision = {
        "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_global_layers": 1,
        "attention_heads": 2, "image_size": _SIDE, "patch_size": 7, "intermediate_layers_indices": [0],
        "vision_output_dim": 32, "max_num_tiles": 4,
        "supported_aspect_ratios": [[1, 1], [1, 2], [1, 3], [1, 4], [2, 1], [2, 2], [3, 1], [4, 1]],
    }  # fmt: skip
    config = _config("mllama", words, vision, "mllama_text_model", image_token_index=words.image_token_id)
    config.text_config.cross_attention_layers = [1]
    config.text_config.rope_parameters = {"rope_type": "default", "rope_theta": 1e4}
    images = MllamaImageProcessor(size=_size(), max_image_tiles=4)
    return config, MllamaProcessor(images, words, chat_template=_template("<|image|>"))


def _lfm2_vl() -> tuple[Any, Any]:
    from transformers import Lfm2VlImageProcessor, Lfm2VlProcessor

    words = _words(
        image_token="<image>",
        image_start_token="<|image_start|>",
        image_end_token="<|image_end|>",
        image_thumbnail="<|img_thumbnail|>",
    )
    vision = _VISION | {
        "model_type": "siglip2_vision_model",
        "patch_size": 4,
        "num_patches": 64,
        "vision_use_head": False,
    }
    config = _config("lfm2_vl", words, vision, "lfm2", downsample_factor=2, projector_hidden_size=16)
    config.text_config.layer_types = ["conv", "full_attention"]
    images = Lfm2VlImageProcessor(
        downsample_factor=2,
        encoder_patch_size=4,
        tile_size=32,
        min_image_tokens=4,
        max_image_tokens=16,
        max_num_patches=64,
        min_tiles=2,
        max_tiles=4,
        do_image_splitting=False,
    )
    return config, Lfm2VlProcessor(images, words, chat_template=_template("<image>"))


#: Family → config and processor.
FAMILIES: dict[str, Callable[[], tuple[Any, Any]]] = {
    "aya_vision": _aya_vision,
    "gemma3": _gemma3,
    "gemma4": _gemma4,
    "idefics3": _idefics3,
    "internvl": _internvl,
    "lfm2_vl": _lfm2_vl,
    "llava": _llava,
    "llava_next": _llava_next,
    "llava_onevision": _llava_onevision,
    "mistral3": _mistral3,
    "mllama": _mllama,
    "paligemma": _paligemma,
    "qwen2_5_vl": _qwen2_5_vl,
    "qwen3_vl": _qwen3_vl,
    "recurrent": _recurrent,
    "t5gemma2": _t5gemma2,
}
