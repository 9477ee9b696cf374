#!/bin/sh
# open_clip 3.3.0: of a model hf-hub:… weights and words can be pinned; the config is main's of today.
#
# Expected: weights of one commit (download_pretrained_from_hf takes a revision) in the architecture of hf-hub:…, and
# get_tokenizer("hf-hub:…", revision=commit), which is taken without a word, give the same vectors and tokens each day.
# What happens: create_model and get_tokenizer read open_clip_config.json of the branch main and have no option for
# another. When main changes it (here quick_gelu and the context length), load_checkpoint still takes the pinned weights
# without a warning (position embeddings of another length are resized), vectors change, and the tokenizer mixes words
# of the commit with the length of main. (create_model's pretrained is no way out: documented as ignored for hf-hub:…)
# A user of dim would meet features that are not those in the cache. dim downloads the config by the commit, too, and
# makes model and tokenizer by it (`_folder` and `tokenize` in dim/encoders/clip_source.py); a test for main that moves
# (its weights) is test_what_is_on_the_hub_is_one_commit in tests/features/test_clip.py.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.13.0 torchvision==0.28.0 open_clip_torch==3.3.0 transformers==5.24.0
export HF_HUB_CACHE="$work/cache" HF_HUB_OFFLINE=0 PYTHONPATH="$here" PYTHONDONTWRITEBYTECODE=1
cd "$work"
"$work/venv/bin/python" - <<'END'
import copy
import json
from pathlib import Path

import small_hub

small_hub.serve()

import torch

try:
    import torchvision
except RuntimeError:  # built for CUDA, beside a torch for CPUs: lacks two operators, which nothing here uses
    for name in ("nms", "qnms"):
        torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
import open_clip
from open_clip.pretrained import download_pretrained_from_hf
from safetensors.torch import save
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

text = {"context_length": 8, "vocab_size": 5, "width": 16, "heads": 2, "layers": 2, "hf_tokenizer_name": "lab/clip"}
vision = {"image_size": 32, "patch_size": 16, "width": 16, "head_width": 8, "layers": 2}
config = {"embed_dim": 16, "quick_gelu": True, "vision_cfg": vision, "text_cfg": text}
torch.manual_seed(0)
weights = open_clip.CLIP(**copy.deepcopy({**config, "text_cfg": {**text, "hf_tokenizer_name": None}})).state_dict()
image = torch.rand(1, 3, 32, 32)


def publish(commit, words, config):
    """A commit with the same weights, these words in the tokenizer, and this config."""
    rules = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    rules.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=rules, pad_token="[PAD]", unk_token="[UNK]").save_pretrained("words")
    files = {path.name: path.read_bytes() for path in Path("words").iterdir()}
    files["open_clip_model.safetensors"] = save(weights)
    files["open_clip_config.json"] = json.dumps({"model_cfg": config}).encode()
    small_hub.publish("lab/clip", commit, files)


def read(commit):
    """The vector of an image and the tokens of a text, by one commit as far as open_clip lets one say so."""
    model = open_clip.create_model("hf-hub:lab/clip", load_weights=False)
    open_clip.load_checkpoint(model, download_pretrained_from_hf("lab/clip", revision=commit))
    tokenize = open_clip.get_tokenizer("hf-hub:lab/clip", revision=commit)
    with torch.inference_mode():
        return model.eval().encode_image(image, normalize=True), tokenize(["anna sees anna sees anna sees"]).tolist()[0]


first, second = "a" * 40, "b" * 40
publish(first, ["[PAD]", "[UNK]", "anna", "sees", "paris"], config)
vector, tokens = read(first)
again, _ = read(first)
short = {**config, "quick_gelu": False, "text_cfg": {**text, "context_length": 4}}
publish(second, ["[PAD]", "[UNK]", "paris", "anna", "sees"], short)
moved, moved_tokens = read(first)
repeated, changed = ((other - vector).abs().max().item() for other in (again, moved))
print(f"open_clip {open_clip.__version__}, torch {torch.__version__}")
print(f"first commit, read twice while main stands there: greatest difference {repeated:.1e}, tokens {tokens}")
print(f"first commit, read after main moved: greatest difference {changed:.1e}, tokens {moved_tokens}")
assert repeated < 1e-6, "no longer so: the same model twice differs already"
assert changed > 1e-4, "no longer so: the vectors are those of the commit"
assert (tokens, moved_tokens) == ([2, 3, 2, 3, 2, 3, 0, 0], [2, 3, 2, 3]), "no longer so: the tokens are others"
END
