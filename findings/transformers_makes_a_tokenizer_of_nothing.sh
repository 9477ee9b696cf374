#!/bin/sh
# transformers 5.24.0: without its files, a tokenizer is made that takes every text for the same.
#
# Expected: where a folder has a model and none of its tokenizer's files, `AutoTokenizer.from_pretrained` raises, as
# `from_pretrained` of a model does without weights.
# What happens: for BERT, GPT-2, OPT, Qwen3, Gemma and GPT-NeoX it returns a tokenizer that has the special tokens alone, and
# says nothing. BERT's makes [UNK] of each word, so that texts of as many words are one; GPT-2's makes nothing of any text.
# LLaMA's kind raises. So a model whose folder was copied without the tokenizer's files goes on, and gives all texts
# the same vector, or answers a prompt that it was not shown.
# A user of dim would meet it with the folder of any encoder or language model. dim refuses a tokenizer without a vocabulary
# (`check_vocabulary` in dim/encoders/pretrained.py).
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet transformers==5.24.0
cd "$work"
HF_HUB_OFFLINE=1 "$work/venv/bin/python" - 2>said <<'END'
import json
from pathlib import Path

from transformers import AutoTokenizer

found = {}
for kind in ("bert", "gpt2", "opt", "qwen3", "gemma", "gpt_neox", "llama"):
    Path(kind).mkdir()
    (Path(kind) / "config.json").write_text(json.dumps({"model_type": kind}))
    try:
        tokenizer = AutoTokenizer.from_pretrained(kind)
    except (OSError, ValueError) as error:
        found[kind] = type(error).__name__
    else:
        one, other = (tokenizer(text)["input_ids"] for text in ("Ada wrote a program.", "Leto sings in Rome."))
        found[kind] = one == other
        print(f"{kind}: {type(tokenizer).__name__} of {len(tokenizer)} tokens: {one} and {other}")
print(found)
assert all(found[kind] is True for kind in found if kind != "llama"), "no longer so"
assert found["llama"] == "ValueError", "no longer so"
END
test -z "$(grep -v 'PyTorch was not found' said)" # nothing was said of it
