"""A linker over a demo world of any size, with towers of random weights, which are as fast as trained ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from tokenizers import BertWordPieceTokenizer
from transformers import BertConfig, BertModel, BertTokenizerFast

from dim.data.dataset import Dataset
from dim.demo import demo_world
from dim.encoders.base import TextEncoder
from dim.encoders.characters import CharacterEncoder
from dim.encoders.device import Backend, resolve_device
from dim.encoders.text import TransformersTextEncoder
from dim.encoders.tiny import TinyTextEncoder
from dim.features.fields import Choices
from dim.features.live import LiveEncoder
from dim.linker import Question
from dim.linker.knowledge import knowledge_of
from dim.linker.ranked import NUM_CANDIDATES
from dim.linker.recipe import Recipe, reads_of
from dim.methods.contrastive.linker import ContrastiveLinker
from dim.methods.contrastive.module import DIM
from dim.methods.contrastive.towers import Towers
from dim.reranker.features import FEATURES
from dim.reranker.network import RankerNetwork
from dim.reranker.ranker import Ranker
from dim.search.entity_names import EntityNames
from dim.search.sparse_rows import SparseRows
from dim.search.vector_index import VectorIndex

BATCH, WIDTH = 256, 384
Vectors = NDArray[np.float32]
Kind = Literal["exact", "flat", "ivf", "hnsw"]
Shape = Literal["minilm", "tiny"]
_SHAPES: dict[Shape, dict[str, int]] = {
    "minilm": {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536},
    "tiny": {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64},
}


def write_text_encoder(folder: Path, texts: Sequence[str], shape: Shape, seed: int) -> Path:
    """The folder of a BERT of MiniLM's shape, or a tiny one, with random weights and a vocabulary from the texts."""
    folder.mkdir(parents=True)
    tokenizer = BertWordPieceTokenizer(lowercase=True)
    tokenizer.train_from_iterator(texts, vocab_size=30_522, show_progress=False)
    tokenizer.save_model(str(folder))
    BertTokenizerFast.from_pretrained(folder, model_max_length=256).save_pretrained(folder)
    torch.manual_seed(seed)
    BertModel(BertConfig(vocab_size=30_522, **_SHAPES[shape])).save_pretrained(folder)
    return folder


def make_world(
    place: Path, num_entities: int, text_encoder: Path | None, shape: Shape, seed: int
) -> tuple[Dataset, Path]:
    """A demo world without images, and the folder of a text encoder: the one that is named, or one made for it."""
    world = demo_world(place / "world", num_entities, seed, num_images=0)
    texts = [*world.texts("brief").dropna(), *world.mentions["context"].dropna()]
    return world, text_encoder or write_text_encoder(place / "encoder", texts, shape, seed)


def draw_questions(world: Dataset, count: int, seed: int) -> list[Question]:
    """That many of its mentions, some of them more than once."""
    chosen = np.random.default_rng(seed).choice(len(world.mentions), count)
    asked = world.mentions.iloc[chosen][["mention", "context"]].fillna("")
    return [Question(*row) for row in asked.itertuples(index=False)]


def make_towers(encoder: TextEncoder, names: Sequence[str], seed: int) -> Towers:
    """The towers of lightning_configs/wikimel_text.yaml, with random weights.

    Args:
        encoder: Of texts.
        names: Of the KB: how rare each of their n-grams is counts.
        seed: Of the weights.
    """
    spelling = CharacterEncoder()
    torch.manual_seed(seed)
    task = DIM(width=WIDTH, seed=seed)
    frequency = torch.from_numpy((spelling.encode_text(list(names)) != 0).mean(0)).float()
    mention = {"mention": encoder.width, "context": encoder.width, "spelling": spelling.width}
    task.make_towers(mention, {"name": encoder.width, "text": encoder.width, "spelling": spelling.width})
    assert task.spelling is not None
    task.spelling.weigh(frequency)
    task.eval().requires_grad_(False)
    return Towers(task, LiveEncoder(Choices(text_encoder=encoder, name_encoder=spelling)))


def make_linker(
    world: Dataset, encoder_folder: Path | None, device: str, kind: Kind, seed: int, backend: Backend = "torch"
) -> tuple[ContrastiveLinker, Vectors]:
    """A linker of the world's KB with a ranker, and the vectors [n, width] of its index.

    The vectors are made of names alone: that takes a tenth of the time, and no search takes longer or shorter for it.

    Args:
        world: Gives entities and texts.
        encoder_folder: Of the text encoder; None: the demo's, which has no weights.
        device: Where encoder and towers compute.
        kind: Of the index.
        seed: Of the weights of towers and ranker.
        backend: What computes the text encoder.
    """
    encoder = (
        TransformersTextEncoder(str(encoder_folder), device=device, backend=backend)
        if encoder_folder is not None
        else TinyTextEncoder()
    )
    knowledge = knowledge_of(world.entities, [text or None for text in world.texts("brief")], world.image_root)
    entities = list(knowledge)
    towers = make_towers(encoder, [entity.name for entity in entities], seed)
    towers.task.to(resolve_device(device))
    bare = [replace(entity, text=None) for entity in entities]
    vectors = np.concatenate([towers.entities(bare[start : start + BATCH]) for start in range(0, len(bare), BATCH)])
    torch.manual_seed(seed)
    about: dict[str, Any] = {"dataset": world.name, "kb_hash": world.kb_hash, "recipe": recipe_of(encoder_folder)}
    sparse = SparseRows(sp.csr_matrix(vectors[:, : towers.task.num_sparse].T))
    dense, _ = sparse.parted(vectors)
    linker = ContrastiveLinker(
        towers,
        knowledge,
        VectorIndex.build(dense, kind=kind),
        sparse,
        EntityNames([entity.name for entity in entities], [entity.aliases for entity in entities]),
        Ranker(RankerNetwork(len(FEATURES)), tuple(FEATURES), facts={"num_candidates": NUM_CANDIDATES}),
        about,
    )
    return linker, dense


def recipe_of(encoder_folder: Path | None) -> Recipe:
    """How a folder of the linker makes it again."""
    text_encoder: dict[str, Any] = {"class_path": "TinyTextEncoder"}
    if encoder_folder is not None:
        text_encoder = {"class_path": "TransformersTextEncoder", "init_args": {"path": str(encoder_folder)}}
    return {
        "model": {"class_path": "DIM", "init_args": {"width": WIDTH}},
        "encoders": {
            "text_encoder": text_encoder,
            "name_encoder": {"class_path": "CharacterEncoder"},
        },
        **reads_of({}),
    }
