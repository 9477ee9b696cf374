"""A folder that salesforce-lavis loads BLIP-2 from: its own classes, with a few thousand random weights.

Everything is written and read in LAVIS's formats. One thing is replaced, in `shrink_image_encoder`: LAVIS's
`create_eva_vit_g` fixes 39 layers of width 1408 (a billion weights), so the tests build the same class with 2 of 32.
"""

import json
import string
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lavis.models.blip2_models import blip2
from lavis.models.blip2_models.blip2_opt import Blip2OPT
from lavis.models.blip2_models.blip2_qformer import Blip2Qformer
from lavis.models.eva_vit import VisionTransformer
from transformers import BertConfig, BertForMaskedLM, BertTokenizer, GPT2Tokenizer, OPTConfig, OPTForCausalLM

IMAGE_SIZE = 28
NUM_QUERIES = 4
_ENCODER = {"patch_size": 14, "use_mean_pooling": False, "embed_dim": 32, "depth": 2, "num_heads": 2, "qkv_bias": True}

CONFIG = """
model:
  image_size: {size}
  num_query_token: {queries}
  vit_model: eva_clip_g
  vit_precision: fp32
  freeze_vit: True
  load_finetuned: False
  pretrained: {weights}
  opt_model: opt
preprocess:
  vis_processor:
    eval:
      name: blip_image_eval
      image_size: {size}
  text_processor:
    eval:
      name: blip_caption
"""


def shrink_image_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets LAVIS build its image encoder tiny; it still reads the weights of checkpoints/eva_vit_g.pth."""

    def create(img_size: int, drop_path_rate: float, use_checkpoint: bool, precision: str) -> VisionTransformer:
        norm = partial(torch.nn.LayerNorm, eps=1e-6)
        model = VisionTransformer(img_size=img_size, drop_path_rate=drop_path_rate, norm_layer=norm, **_ENCODER)
        model.load_state_dict(torch.load(Path(torch.hub.get_dir()) / "checkpoints" / "eva_vit_g.pth"))
        return model

    monkeypatch.setattr(blip2, "create_eva_vit_g", create)


def make_folder(folder: Path, kind: type[Blip2OPT] | type[Blip2Qformer], seed: int = 0) -> Path:
    """Writes all that a model of `kind` is loaded from (see dim/encoders/lavis_model.py)."""
    torch.manual_seed(seed)
    _write_bert(folder / "bert-base-uncased")
    _write_opt(folder / "opt")
    (folder / "checkpoints").mkdir()
    encoder = VisionTransformer(img_size=IMAGE_SIZE, **_ENCODER)
    torch.save(_loud(encoder).state_dict(), folder / "checkpoints" / "eva_vit_g.pth")
    config = CONFIG.format(size=IMAGE_SIZE, queries=NUM_QUERIES, weights="blip2.pth")
    (folder / "model.yaml").write_text(config)
    with pytest.MonkeyPatch.context() as patch:  # LAVIS names its parts without a folder
        patch.chdir(folder)
        shrink_image_encoder(patch)
        hub = torch.hub.get_dir()
        torch.hub.set_dir(str(folder))
        model = kind(img_size=IMAGE_SIZE, vit_precision="fp32", num_query_token=NUM_QUERIES, **_parts(kind))
        torch.hub.set_dir(hub)
    torch.save({"model": _loud(model.float()).state_dict()}, folder / "blip2.pth")
    return folder


def _parts(kind: type) -> dict[str, Any]:
    return {"opt_model": "opt"} if kind is Blip2OPT else {}


def _loud(model: torch.nn.Module) -> torch.nn.Module:
    """At the usual scale of random weights every image would get the same answer."""
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.normal_(std=0.3)
    return model


def _write_bert(folder: Path) -> None:
    folder.mkdir(parents=True)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *string.ascii_lowercase]
    words += [f"##{letter}" for letter in string.ascii_lowercase]
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    BertForMaskedLM(BertConfig(vocab_size=len(words), **sizes)).save_pretrained(folder)


def _write_opt(folder: Path) -> None:
    folder.mkdir()
    letters = [
        "<s>",
        "<pad>",
        "</s>",
        "<unk>",
        *string.ascii_letters,
        *"?:.,",
        "Ġ",
        "Ċ",
    ]  # Ġ the blank, Ċ the line's end
    (folder / "vocab.json").write_text(json.dumps({letter: i for i, letter in enumerate(letters)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    GPT2Tokenizer(
        folder / "vocab.json",
        folder / "merges.txt",
        bos_token="</s>",
        eos_token="</s>",
        unk_token="<unk>",
        pad_token="<pad>",
        add_bos_token=True,
    ).save_pretrained(folder)
    sizes = {"hidden_size": 32, "word_embed_proj_dim": 32, "ffn_dim": 64, "num_hidden_layers": 2}
    places = {"num_attention_heads": 2, "max_position_embeddings": 256, "vocab_size": len(letters)}
    tokens = {"pad_token_id": 1, "bos_token_id": 2, "eos_token_id": 2}
    OPTForCausalLM(OPTConfig(**sizes, **places, **tokens)).save_pretrained(folder)
