#!/bin/sh
# torch 2.13.0 and transformers 5.24.0: freezing a model has a CPU copy its head's weights once a prompt.
#
# Expected: `requires_grad_(False)` changes nothing where no gradients are made; and `logits_to_keep=1`, which `generate`
# sets for every prompt that it reads, spares work: one row of logits each.
# What happens: the models give their head `hidden_states[:, -1:, :]`, whose rows do not lie side by side. `linear` folds
# them into one product of matrices only where the weights require a gradient, under inference_mode, too. Those of a frozen
# model, as PEFT's base models are, it spreads over the batch (`bmm`), and in bfloat16 the CPU's library wants them as
# they lie: [prompts, width, vocabulary] is allocated and filled. Eight prompts and a head of 57 MB take 453 MB and
# many times as long; with the head of Llama 3 it would be 8 GB. In float32 nothing is copied. `.contiguous()` on the
# slice, 9 kB, gives the same logits without any of it.
# A user of dim would meet it with GEMEL in bf16 on a CPU: a quarter of the time in which prompts were read went to these
# copies. dim has the head's input in one piece (`frozen` in dim/encoders/pretrained.py).
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.13.0 transformers==5.24.0 numpy==2.4.6
cd "$work"
OMP_NUM_THREADS=1 "$work/venv/bin/python" - <<'END'
import torch
from torch.profiler import ProfilerActivity, profile
from transformers import LlamaConfig, LlamaForCausalLM

config = LlamaConfig(
    hidden_size=576, intermediate_size=64, num_hidden_layers=1, num_attention_heads=9, num_key_value_heads=3, vocab_size=49_152
)
model = LlamaForCausalLM(config).to(torch.bfloat16).eval()
prompts = torch.ones(8, 32, dtype=torch.long)


def measured():
    with torch.inference_mode():
        model(prompts, logits_to_keep=1)
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
            logits = model(prompts, logits_to_keep=1).logits
    events = {event.key: event for event in profiled.key_averages()}
    spread = events.get("aten::bmm")
    taken = sum(event.self_cpu_time_total for event in profiled.key_averages()) / 1000
    allocated = max(event.cpu_memory_usage for event in profiled.events())
    return logits, spread is not None, allocated / 1e6, taken


def told(what, found):
    logits, is_spread, most, milliseconds = found
    print(f"{what}: {'spread over the batch' if is_spread else 'one product'}, {most:,.0f} MB at once, {milliseconds:,.0f} ms")
    return logits, is_spread, most


trained = told("as it comes", measured())
model.requires_grad_(False)
frozen = told("frozen", measured())
model.lm_head.register_forward_pre_hook(lambda _, inputs: (inputs[0].contiguous(),))
mended = told("frozen, in one piece", measured())
assert torch.equal(frozen[0], mended[0])
assert (trained[1], frozen[1], mended[1]) == (False, True, False), "no longer so"
assert frozen[2] > 400 and max(trained[2], mended[2]) < 60, "no longer so"
END
