"""The command that converts a file of llama.cpp, run as it is printed."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaForCausalLM, PreTrainedTokenizerFast

from dim.errors import ConfigError
from dim.methods.generative.language_model import LanguageModel
from dim.methods.generative.self_check import check_model
from tests.tiny_lm import save_model, tokenizer

NAMES = {"q_proj": "attn_q", "k_proj": "attn_k", "v_proj": "attn_v", "o_proj": "attn_output"}
NAMES |= {"gate_proj": "ffn_gate", "up_proj": "ffn_up", "down_proj": "ffn_down"}
NAMES |= {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}


def write_gguf(path: Path, model: LlamaForCausalLM, tokens: PreTrainedTokenizerFast) -> None:
    """A LLaMA in llama.cpp's format, its matrices in 8 bits."""
    gguf = pytest.importorskip("gguf", reason="pip install gguf (make test-all does)")
    config, writer = model.config, gguf.GGUFWriter(path, "llama")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    known = json.loads(tokens.backend_tokenizer.to_str())["model"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(sorted(known["vocab"], key=known["vocab"].__getitem__))
    writer.add_token_merges([" ".join(pair) for pair in known["merges"]])
    writer.add_token_types([gguf.TokenType.CONTROL] * 2 + [gguf.TokenType.NORMAL] * (len(known["vocab"]) - 2))
    writer.add_eos_token_id(tokens.eos_token_id)
    writer.add_pad_token_id(tokens.pad_token_id)
    for name, weight in model.state_dict().items():
        values, parts = weight.float().numpy(), name.removeprefix("model.").split(".")
        if parts[0] == "layers":
            kind = parts[-2]
            if kind in ("q_proj", "k_proj"):  # llama.cpp turns pairs of columns that lie beside each other
                heads = config.num_attention_heads if kind == "q_proj" else config.num_key_value_heads
                values = values.reshape(heads, 2, -1, values.shape[1]).swapaxes(1, 2).reshape(values.shape)
            written = f"blk.{parts[1]}.{NAMES[kind]}.weight"
        else:
            written = {"embed_tokens": "token_embd", "norm": "output_norm", "lm_head": "output"}[parts[0]] + ".weight"
        if values.ndim == 2:
            packed = gguf.quants.quantize(values, gguf.GGMLQuantizationType.Q8_0)
            writer.add_tensor(written, packed, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
        else:
            writer.add_tensor(written, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.mark.long
def test_the_command_that_is_printed_converts_a_file_that_the_self_check_then_takes(tmp_path):
    tokens = tokenizer()
    model = AutoModelForCausalLM.from_pretrained(save_model(tmp_path / "plain", "llama", tokens=tokens))
    (tmp_path / "in 8 bits").mkdir()
    write_gguf(tmp_path / "in 8 bits" / "tiny.Q8_0.gguf", model, tokens)
    with pytest.raises(ConfigError) as caught:
        _ = LanguageModel(str(tmp_path / "in 8 bits")).model
    command, _, target = str(caught.value.remedy).partition(": ")[2].partition("; then name ")
    subprocess.run([sys.executable, *shlex.split(command)[1:]], check=True, capture_output=True, env=dict(os.environ))
    converted = LanguageModel(target.removesuffix("."))
    assert check_model(converted).facts["verdict"] == "exact"
    names = ["Leto Alba", "Ada", "東京"]
    assert [converted.detokenize(ids) for ids in converted.tokenize_names(names)] == names
    ids = torch.tensor([tokens("[Question]What does Leto refer to?")["input_ids"]])
    with torch.no_grad():
        before, after = (each(ids).logits.log_softmax(-1) for each in (model, converted.model))
    assert (before - after).abs().max() < 1  # what 8 bits round, 0.16; of other weights it is 8
