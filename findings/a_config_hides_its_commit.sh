#!/bin/sh
# Transformers 5.24.0: neither config nor model tells any more which commit of a repository it was loaded from.
#
# Expected: as up to 4.57.1, config._commit_hash (the one trace that from_pretrained left of it) is the commit, so that
# a run can record what it loaded: getattr(model.config, "_commit_hash", None), as much code has it.
# What happens: the attribute is gone, from_pretrained with a branch and even with a commit leaves nothing in its place,
# and the getattr above gives None without a word. Before and after main moves, the two configs are equal.
# A user of dim would meet it as features of two models under one name in the cache. dim does not ask Transformers: it
# looks the commit up before it loads, loads by it, and names it in the encoder's fingerprint (`pin` in
# dim/encoders/hub.py); the test is test_an_encoder_is_its_commit_and_the_next_one_sees_the_branch_moved in
# tests/features/test_hub.py.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.13.0 transformers==5.24.0
export HF_HUB_CACHE="$work/cache" HF_HUB_OFFLINE=0 PYTHONPATH="$here" PYTHONDONTWRITEBYTECODE=1
cd "$work"
"$work/venv/bin/python" - <<'END'
from pathlib import Path

import small_hub

small_hub.serve()

import torch
import transformers

transformers.utils.logging.disable_progress_bar()
sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8, "vocab_size": 10}


def publish(commit):
    """A commit with other weights."""
    transformers.BertModel(transformers.BertConfig(**sizes)).save_pretrained("model")
    small_hub.publish("lab/model", commit, {path.name: path.read_bytes() for path in Path("model").iterdir()})


def says(commit, model):
    return commit in repr(vars(model.config)) or commit in repr({k: v for k, v in vars(model).items() if k[0] != "_"})


print(f"transformers {transformers.__version__}")
first, second = "a" * 40, "b" * 40
publish(first)
old = transformers.AutoModel.from_pretrained("lab/model")
publish(second)
new = transformers.AutoModel.from_pretrained("lab/model")
named = transformers.AutoModel.from_pretrained("lab/model", revision=first)
config = transformers.AutoConfig.from_pretrained("lab/model", revision=first)
same = torch.equal(old.embeddings.word_embeddings.weight, new.embeddings.word_embeddings.weight)
print(f"main before and after it moved: same weights: {same}, equal configs: {vars(old.config) == vars(new.config)}")
for what, found in {"main": new.config, "a commit": named.config, "a commit, AutoConfig": config}.items():
    print(f"loaded by {what}: getattr(config, '_commit_hash', None) is {getattr(found, '_commit_hash', None)}")
    assert not hasattr(found, "_commit_hash"), "no longer so: the config has a commit"
assert not same, "no longer so: main did not move"
assert not (says(first, old) or says(second, new) or says(first, named)), "no longer so: the commit is kept elsewhere"
END
