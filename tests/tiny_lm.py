"""Tiny causal language models with random weights, saved as ordinary Transformers folders."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from dim.data.dataset import NIL, Dataset

TEXTS = [
    "[Text]Leto sings.\n[Question]What does Leto mentioned in the text refer to?\n[Answer]Leto Alba",
    "NIL Ada Olga",
]
SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}


def texts_of(world: Dataset) -> list[str]:
    """What a tokenizer needs to know names and questions by few tokens."""
    return [*world.entities["name"], *world.mentions["context"], "[Question]What does", "refer to?", "[Answer]", NIL]


def tokenizer(texts: list[str] = TEXTS, pad: bool = True) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer: it knows every text."""
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<end>", "<pad>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    raw.train_from_iterator(texts, trainer)
    special = {"eos_token": "<end>", **({"pad_token": "<pad>"} if pad else {})}
    return PreTrainedTokenizerFast(tokenizer_object=raw, **special)


def save_model(
    folder: Path,
    kind: str = "gpt2",
    texts: list[str] = TEXTS,
    context: int = 512,
    seed: int = 0,
    pad: bool = True,
    tokens: PreTrainedTokenizerFast | None = None,
) -> Path:
    """A folder with a model (`gpt2`, `opt`, `llama` or `qwen`) and its tokenizer, or the one that is given."""
    tokens = tokenizer(texts, pad) if tokens is None else tokens
    torch.manual_seed(seed)
    common = {"vocab_size": len(tokens), "eos_token_id": tokens.eos_token_id, "bos_token_id": None}
    if kind == "gpt2":
        config = GPT2Config(n_positions=context, n_embd=32, n_layer=2, n_head=4, initializer_range=0.3, **common)
        model = GPT2LMHeadModel(config)
    elif kind == "opt":
        config = OPTConfig(
            max_position_embeddings=context, ffn_dim=64, word_embed_proj_dim=32, init_std=0.3, pad_token_id=1,
            hidden_size=32, num_hidden_layers=2, num_attention_heads=4, **common,
        )  # fmt: skip
        model = OPTForCausalLM(config)
    else:
        make = {"llama": (LlamaConfig, LlamaForCausalLM), "qwen": (Qwen2Config, Qwen2ForCausalLM)}[kind]
        config = make[0](
            max_position_embeddings=context, num_key_value_heads=2, initializer_range=0.3, **SMALL, **common
        )
        model = make[1](config)
    model.save_pretrained(folder)
    tokens.save_pretrained(folder)
    return folder
