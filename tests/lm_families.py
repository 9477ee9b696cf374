"""Families of causal language models with tiny random weights, and how far dim's answers are from a plain pass."""

from __future__ import annotations

import dataclasses
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tiny_lm import tokenizer
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, PreTrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from dim.methods.generative.choices import OfNames
from dim.methods.generative.decoding import Decoder
from dim.methods.generative.language_model import LanguageModel
from dim.methods.generative.ways import Encoded

KINDS = tuple(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
#: A small value, and the options of configurations that get it where there are such.
SMALL: tuple[tuple[Any, str], ...] = (
    (32, "hidden_size d_model n_embd dim_model emb_dim word_embed_proj_dim embedding_size attention_hidden_size"),
    (48, "intermediate_size ffn_dim n_inner dim_ff dff decoder_ffn_dim encoder_ffn_dim prefix_dense_intermediate_size"),
    (24, "ffn_hidden_size expert_ffn_hidden_size moe_intermediate_size intermediate_size_mlp feed_forward_size"),
    (24, "shared_expert_intermediate_size shared_intermediate_size shared_experts_intermediate_size d_inner"),
    (64, "mamba_d_ssm image_size"),
    (2, "num_hidden_layers n_layer n_layers num_layers decoder_layers encoder_layers depth"),
    (4, "num_attention_heads n_head n_heads num_heads swa_num_attention_heads decoder_attention_heads"),
    (4, "encoder_attention_heads linear_num_value_heads linear_num_heads"),
    (2, "num_key_value_heads swa_num_key_value_heads linear_num_key_heads index_n_heads num_kv_heads"),
    (8, "head_dim swa_head_dim global_head_dim v_head_dim linear_key_head_dim dim_head linear_value_head_dim"),
    (8, "index_head_dim linear_head_dim kv_channels qk_nope_head_dim qk_rope_head_dim attention_head_dim q_lora_rank"),
    (8, "kv_lora_rank hidden_size_per_layer_input mamba_d_head mamba_n_heads mamba_num_heads mamba_head_dim n_groups"),
    (16, "qk_head_dim"),
    (
        4,
        "rotary_dim mamba_d_state state_size ssm_state_size o_lora_rank num_experts n_routed_experts",
    ),
    (4, "num_local_experts moe_num_experts gated_norm_rank laurel_rank"),
    (2, "num_experts_per_tok moe_topk top_k_experts moe_k n_group mamba_n_groups"),
    (
        1,
        "n_shared_experts num_shared_experts moe_num_shared_experts topk_group num_kv_shared_layers",
    ),
    (1, "first_k_dense_replace"),
    (0, "num_nextn_predict_layers num_mtp_layers attn_pdrop"),
    (128, "max_position_embeddings n_positions n_ctx max_seq_len"),
    (8, "sliding_window sliding_window_size attention_chunk_size window_size"),  # prompts are longer
    (16, "patch_size mamba_chunk_size chunk_size num_mel_bins"),
    (0.0, "dropout attention_dropout resid_pdrop embd_pdrop hidden_dropout"),
    (3.0, "embedding_multiplier"),  # 1 by default: no scale would be seen
    (True, "is_decoder"),
)
SIZES = {name: value for value, names in SMALL for name in names.split()}
#: What a family needs beside that.
LINEAR = {"layer_types": ["linear_attention", "full_attention"]}
SHARED = {"num_hidden_layers": 3, "layer_types": ["sliding_attention", "full_attention", "full_attention"]}
LATENT = (
    *("axk1", "axk2", "deepseek_v2", "deepseek_v3", "deepseek_v32", "glm4_moe_lite", "glm_moe_dsa"),
    *("longcat_flash", "minicpm3", "sarvam_mla", "youtu"),
)
OPTIONS: dict[str, dict[str, Any]] = {
    **{kind: {"num_key_value_heads": 4} for kind in LATENT},
    "bailing_hybrid": {"layer_group_size": 2, "num_key_value_heads": 4},
    "bamba": {"attn_layer_indices": [1]},
    "cohere_compass_text": {
        "layer_types": ["full_attention"] * 2,
        "rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 1e4}},
    },
    "dbrx": {
        "attn_config": {"kv_n_heads": 2, "rope_theta": 1e4, "clip_qkv": 8},
        "ffn_config": {"ffn_hidden_size": 24, "moe_num_experts": 4, "moe_top_k": 2},
    },
    "dots3_note": {"num_key_value_heads": 4},
    "dots3_note_text": {"num_key_value_heads": 4},
    "gemma3n_text": SHARED,
    "gemma4_text": SHARED,
    "gemma4_unified_text": SHARED,
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "granitemoehybrid": {"layer_types": ["mamba", "attention"]},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "kimi_linear": {**LINEAR, "num_key_value_heads": 4},
    "lfm2": {"layer_types": ["conv", "full_attention"]},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"], "num_dense_layers": 1},
    "mamba2": {"num_heads": 8},
    "nemotron_h": {"layers_block_type": ["mamba", "attention"]},
    "qwen3_5_moe_text": LINEAR,
    "qwen3_5_text": LINEAR,
    "qwen3_next": LINEAR,
    "qwen4_exp_text": {
        **LINEAR,
        **{"indexer_n_heads": 2, "indexer_kv_heads": 1, "indexer_head_dim": 8},
        **{"indexer_budget": 16, "indexer_compress_ratio": 4},
    },
    "recurrent_gemma": {"num_hidden_layers": 3},
    "reformer": {"axial_pos_embds_dim": [16, 16], "axial_pos_shape": [16, 8]},
    "xmod": {"default_language": "en_XX"},
    "zamba": {"num_hidden_layers": 4, "layers_block_type": ["mamba", "hybrid"] * 2},
    "zamba2": {"num_hidden_layers": 4, "layers_block_type": ["mamba", "hybrid"] * 2},
    "zaya": {"num_experts_per_tok": 1},
}


def small_config(kind: str, vocab_size: int, end: int, **options: Any) -> Any:
    """The configuration of a family, made small; of composite ones each part."""
    return _shrunk(CONFIG_MAPPING[kind](), {"vocab_size": vocab_size, "eos_token_id": end}, options)


def _shrunk(default: PreTrainedConfig, common: dict[str, Any], options: dict[str, Any]) -> Any:
    known = {field.name for field in dataclasses.fields(default)}
    given = {name: value for name, value in (SIZES | common).items() if name in known}
    given |= {name: 1 for name in ("pad_token_id", "bos_token_id") if name in known}
    if "unpadded_vocab_size" in known:
        given["unpadded_vocab_size"] = common["vocab_size"]
    for name in default.sub_configs:
        part = getattr(default, name, None)
        if isinstance(part, PreTrainedConfig):
            given[name] = _shrunk(part, common, OPTIONS.get(part.model_type, {})).to_dict()
    return type(default)(**given | OPTIONS.get(default.model_type, {}) | options)


def write_language_model(folder: Path, kind: str, make: Any = AutoModelForCausalLM, **options: Any) -> Path:
    """A folder with a model of a family and a tokenizer.

    Args:
        folder: It.
        kind: The family's model_type.
        make: The class of Transformers that saves it.
        **options: Of the configuration.
    """
    tokens = tokenizer()
    torch.manual_seed(0)
    model = make.from_config(small_config(kind, len(tokens), tokens.eos_token_id, **options)).eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:  # as initialised many layers do next to nothing, and hide what is wrong
                weight.normal_(0, 0.3)
            else:
                weight.add_(torch.randn_like(weight), alpha=0.1)
    model.save_pretrained(folder)
    tokens.save_pretrained(folder)
    return folder


def three_of(tokens: list[int], end: int) -> OfNames:
    """All texts of three of a few tokens."""
    return OfNames.few(list(product(tokens, repeat=3)), end, torch.device("cpu"))


@torch.no_grad()
def apart(model: LanguageModel, lengths: tuple[int, ...] = (5, 23, 40), num_beams: int = 5) -> float:
    """How far scores of names are from a plain pass, in nats a token: of written ones, and of the same as given."""
    rng, end = np.random.default_rng(1), model.end_token
    tokens = torch.from_numpy(rng.integers(5, 300, (len(lengths), max(lengths))))
    vectors, mask = model.embed(tokens).clone(), torch.zeros_like(tokens)
    for row, length in enumerate(lengths):
        mask[row, -length:] = 1
        vectors[row, -length] = vectors[row, -length + 1] * 0.5 + vectors[row, -1] * 0.4
    prompts = Encoded(vectors, mask, tokens[:, -1])
    decoder = Decoder(num_beams, max_new_tokens=6, early_stopping="never")
    written = decoder.write(model, prompts, three_of(rng.integers(5, 300, 7).tolist(), end))
    names = [[name.tokens for name in of_prompt] for of_prompt in written]
    scored = decoder.score(model, prompts, names, 100)
    gaps = []
    for row, length in enumerate(lengths):
        assert len(names[row]) == num_beams
        for name, score in zip(written[row], scored[row], strict=True):
            whole = torch.cat([vectors[row, -length:], model.embed(torch.tensor(name.tokens))])[None]
            logs = model.model(inputs_embeds=whole, use_cache=False).logits[0].float().log_softmax(-1)
            plain = np.mean([float(logs[length - 1 + i, token]) for i, token in enumerate([*name.tokens, end])])
            gaps += [abs(plain - name.score), abs(plain - score)]
    return float(max(gaps))


@torch.no_grad()
def scales(model: LanguageModel) -> tuple[float, float | None]:
    """By how much a token's vector is scaled when it is looked up, and every vector behind that.

    The latter is None where that is no product with one number, or the model does not show what its first layer reads.
    """
    tokens = torch.tensor([[7, 11, 23]])
    vectors, weights = model.embed(tokens), model.model.get_input_embeddings().weight[tokens]
    looked_up = float((vectors / weights).median())
    step = torch.full_like(vectors, 0.01)

    def first(given: torch.Tensor) -> torch.Tensor:
        output = model.model(inputs_embeds=given.clone(), use_cache=False, output_hidden_states=True)
        found: torch.Tensor = output.hidden_states[0]
        return found

    try:
        grown = (first(vectors + step) - first(vectors)) / step
    except (AttributeError, TypeError, IndexError, KeyError, RuntimeError):
        return looked_up, None
    is_number = grown.shape == step.shape and float(grown.std()) < 0.01 * float(grown.mean().abs())
    return looked_up, float(grown.mean()) if is_number else None
