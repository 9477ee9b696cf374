"""`dim bench caption`: BLIP-2's answers in batches against one image at a time, as published."""

from __future__ import annotations

import string
from functools import cached_property
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from rich.table import Table
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2Processor,
    BlipImageProcessor,
    OPTConfig,
    PreTrainedTokenizerFast,
)

from benchmarks.clock import say_measured, seconds
from dim.display.terminal import Console
from dim.encoders.blip2 import Blip2Captioner
from dim.encoders.device import DTYPES, Precision, resolve_device

#: Size → (vision, Q-Former, OPT, image side, query tokens), as the configs of the models of that name say.
SIZES: dict[str, tuple[dict[str, int], dict[str, int], dict[str, int], int, int]] = {
    "opt-2.7b": (
        {"hidden_size": 1408, "intermediate_size": 6144, "num_hidden_layers": 39, "num_attention_heads": 16},
        {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12},
        {"hidden_size": 2560, "ffn_dim": 10240, "num_hidden_layers": 32, "num_attention_heads": 32},
        224,
        32,
    ),
    "tiny": (
        {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2},
        {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2},
        {"hidden_size": 32, "ffn_dim": 64, "num_hidden_layers": 2, "num_attention_heads": 2},
        28,
        4,
    ),
}


def bench_caption(
    size: Literal["opt-2.7b", "tiny"] = "opt-2.7b",
    num_images: int = 64,
    batch_size: int = 16,
    precision: Precision = "bf16",
    device: str = "auto",
    rounds: int = 3,
    seed: int = 0,
) -> dict[str, float]:
    """Times the captioner on decoded images, in batches and one by one, in turns.

    The model has random weights, which are as fast as trained ones; every answer has 20 tokens.

    Args:
        size: Of the model: BLIP-2 with OPT-2.7B, or one small enough for a test.
        num_images: Images of noise.
        batch_size: Images a call.
        precision: Of weights and arithmetic.
        device: `auto`, `cpu`, `cuda` …
        rounds: How often each is timed; the figures are medians.
        seed: Of weights and pixels.
    """
    random = np.random.default_rng(seed)
    images = [Image.fromarray(random.integers(0, 256, (64, 64, 3), dtype=np.uint8)) for _ in range(num_images)]
    with TemporaryDirectory() as folder:
        captioner = RandomBlip2(Path(folder), size, precision, device, seed)
        pixels = [captioner.preprocess(image) for image in images]
        questions = [captioner.question] * num_images

        def in_batches(step: int) -> None:
            for start in range(0, num_images, step):
                captioner.caption(pixels[start : start + step], questions[start : start + step])

        captioner.caption(pixels[:2], questions[:2])  # loads and warms up
        turns = [(seconds(lambda: in_batches(1)), seconds(lambda: in_batches(batch_size))) for _ in range(rounds)]
    single, batched = (num_images / median(turn[i] for turn in turns) for i in (0, 1))
    ratio = median(one / many for one, many in turns)
    table = Table(title=f"captions of {num_images} images, BLIP-2 {size} with random weights, {precision}")
    for column in ("", "captions /s", "ratio (goal ≥ 10 on a GPU)"):
        table.add_column(column, justify="right" if column else "left")
    table.add_row("one at a time", f"{single:,.2f}", "1.0")
    table.add_row(f"batches of {batch_size}", f"{batched:,.2f}", f"{ratio:.1f}")
    Console().print(table)
    say_measured(captioner.device_name, f"{rounds} rounds")
    return {"single": single, "batched": batched, "ratio": ratio}


class RandomBlip2(Blip2Captioner):
    """The captioner with a model of random weights, made on its device.

    Args:
        folder: Where its processor is written.
        size: A key of `SIZES`.
        precision: Of weights and arithmetic.
        device: `auto`, `cpu`, `cuda` …
        seed: Of the weights.
    """

    def __init__(self, folder: Path, size: str, precision: Precision, device: str, seed: int) -> None:
        super().__init__(str(folder), precision=precision, device=device)
        self.size, self.seed = size, seed
        side, num_queries = SIZES[size][3:]
        images = BlipImageProcessor(size={"height": side, "width": side})
        processor = Blip2Processor(images, letters_tokenizer(), num_query_tokens=num_queries)
        processor.save_pretrained(folder)
        self.model_config = self._made_config(processor.tokenizer)
        self.model_config.save_pretrained(folder)  # without it the folder holds no model

    @property
    def device_name(self) -> str:
        """Where it runs."""
        device = resolve_device(self.device)
        return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type

    @cached_property
    def network(self) -> Any:
        """The model."""
        device = resolve_device(self.device)
        torch.manual_seed(self.seed)
        with torch.device(device):
            model = Blip2ForConditionalGeneration(self.model_config).to(DTYPES[self.precision])
        return model.eval().requires_grad_(False)

    def _made_config(self, tokens: Any) -> Blip2Config:
        vision, qformer, text, side, num_queries = SIZES[self.size]
        opt = OPTConfig(
            **text,
            word_embed_proj_dim=text["hidden_size"],
            vocab_size=max(50272, len(tokens)),
            bos_token_id=2,
            eos_token_id=None,  # every answer goes to its end
            pad_token_id=1,
        )
        return Blip2Config(
            vision_config={**vision, "image_size": side, "patch_size": 14},
            qformer_config={**qformer, "encoder_hidden_size": vision["hidden_size"]},
            text_config=opt.to_dict(),
            num_query_tokens=num_queries,
            image_token_index=tokens.convert_tokens_to_ids("<image>"),
        )


def letters_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer that needs no file: letters as tokens, framed like OPT's."""
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    alphabet = [*string.ascii_letters, *string.digits, *"?:.,", "Ġ"]  # Ġ is the blank
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate([*special, *alphabet])}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(single="</s> $A", special_tokens=[("</s>", 2)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="</s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>"
    )
