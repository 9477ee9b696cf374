"""A BLIP-2 for tests: the real architecture of Transformers with a few hundred random weights, and a real processor."""

from pathlib import Path

import torch
from transformers import (
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2Processor,
    BlipImageProcessor,
    OPTConfig,
)

from benchmarks.caption import letters_tokenizer

NUM_QUERIES = 4
IMAGE_SIZE = 28


def make_blip2(folder: Path, seed: int = 0) -> Path:
    """Writes the model into `folder`, as `save_pretrained` does; its answers differ from image to image."""
    torch.manual_seed(seed)
    tokenizer = letters_tokenizer()
    size = {"height": IMAGE_SIZE, "width": IMAGE_SIZE}
    processor = Blip2Processor(BlipImageProcessor(size=size), tokenizer, num_query_tokens=NUM_QUERIES)
    inner = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = OPTConfig(
        vocab_size=len(processor.tokenizer),
        hidden_size=32,
        word_embed_proj_dim=32,
        ffn_dim=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=256,
        bos_token_id=2,
        eos_token_id=2,
        pad_token_id=1,
    )
    config = Blip2Config(
        vision_config={**inner, "image_size": IMAGE_SIZE, "patch_size": 14},
        qformer_config={**inner, "encoder_hidden_size": 32, "vocab_size": 30},
        text_config=text.to_dict(),
        num_query_tokens=NUM_QUERIES,
        image_token_index=processor.tokenizer.convert_tokens_to_ids("<image>"),
    )
    model = Blip2ForConditionalGeneration(config)
    with torch.no_grad():  # at the usual scale every image would get the same answer
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.normal_(std=0.3)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
