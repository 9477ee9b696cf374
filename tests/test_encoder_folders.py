"""A folder of each kind goes through fit, rank, export and link; a question's features are a row's."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from fit_options import fit_options
from joint_models import write_joint
from model_families import write_family
from sentence_folders import dense, write_folder
from tiny_fit import tiny_world

from dim.__main__ import main
from dim.data.dataset import Dataset
from dim.encoders.joint import SentenceTransformersEncoder
from dim.linker import Linker
from dim.linker.backend_check import agreement

PROMPTS = {"prompts": {"query": "who is ", "document": "this is "}}
SMALL = ["--model", "DIM", "--model.width", "16", "--model.num_heads", "2", "--trainer.max_epochs", "1"]
FOLDERS: dict[str, dict[str, Any]] = {
    "cls, Dense, Normalize, prompts": {
        "pooling": {"pooling_mode_cls_token": True},
        "heads": [dense(12), ("Normalize", {})],
        "settings": {"max_seq_length": 20},
        "told": PROMPTS,
        "pickled": True,
    },
    "last token of a decoder, padded on the left": {
        "kind": "qwen3",
        "padding": "left",
        "eos": True,
        "pooling": {"pooling_mode_lasttoken": True},
        "told": {"prompts": {"query": "who is "}},
    },
    "T5": {"kind": "t5"},
}


def check_whole_path(tmp_path: Path, world: Path, *encoders: str, images: bool = False) -> Linker:
    """Fits, ranks, exports and links; a run's answers are its rows', and an exported folder's are the run's."""
    run, folder = tmp_path / "run", tmp_path / "linker"
    assert main(["fit", *fit_options(world, run, *encoders, *SMALL)]) == 0
    dataset = Dataset(world)
    rows = dataset.split("dev").head(20)
    asked = [
        {
            "mention": row.mention,
            "context": row.context or "",
            "image": str(dataset.image_root / row.images[0]) if images and len(row.images) else None,
        }
        for row in rows.itertuples()
    ]
    ranks = pd.read_parquet(run / "ranks.parquet").query("split == 'dev'").set_index("mention_id")
    plain = Linker.from_checkpoint(run, device="cpu").link_batch(asked, top_k=5)
    for mention_id, answers in zip(rows["id"], plain, strict=True):
        expected = ranks["top_scores"][mention_id][:5]
        np.testing.assert_allclose([answer.score for answer in answers], expected, atol=2e-4, rtol=1e-4)
    assert main(["rank", "--run", str(run), "--folds", "2", "--num_candidates", "4"]) == 0
    assert main(["export", str(run), str(folder), "--verify", "false"]) == 0  # it is opened below
    assert main(["link", "--model", str(folder), "--mention", "Bardini"]) == 0
    linker, ranked = Linker.from_pretrained(folder, device="cpu"), Linker.from_checkpoint(run, device="cpu")
    found, wanted = (
        [[(answer.id, round(answer.score, 5)) for answer in answers] for answers in each.link_batch(asked, top_k=5)]
        for each in (linker, ranked)
    )
    assert found == wanted
    return linker


@pytest.mark.usefixtures("quick_ranker")
@pytest.mark.parametrize(
    "name",
    [
        next(iter(FOLDERS)),
        pytest.param("last token of a decoder, padded on the left", marks=pytest.mark.long),
        pytest.param("T5", marks=pytest.mark.long),
    ],
)
def test_a_folder_of_texts_goes_the_whole_way(
    name: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = write_folder(tmp_path / "st", **FOLDERS[name])
    path = ["--data.text_encoder.path", str(folder), "--data.text_encoder.device", "cpu"]
    linker = check_whole_path(
        tmp_path, tiny_world(tmp_path_factory), "--data.text_encoder", "TransformersTextEncoder", *path
    )
    assert linker.live.choices.text_encoder is not None
    assert linker.live.choices.text_encoder.width == (12 if "Dense" in name else 16)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_a_folder_of_two_towers_goes_the_whole_way(
    kind: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = str(write_family(tmp_path / "two", kind))
    options = [
        part
        for name, of in (("text_encoder", "TransformersTextEncoder"), ("image_encoder", "TransformersImageEncoder"))
        for part in (f"--data.{name}", of, f"--data.{name}.path", folder, f"--data.{name}.device", "cpu")
    ]
    linker = check_whole_path(tmp_path, tiny_world(tmp_path_factory), *options, images=True)
    texts, images = linker.live.choices.text_encoder, linker.live.choices.image_encoder
    assert texts is not None
    assert images is not None
    assert texts.width == images.width
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
        assert main(["export", str(tmp_path / "run"), str(tmp_path / "other"), "--backend", "openvino"]) == 0
        shutil.rmtree(tmp_path / "caches")  # what stands in the folder is enough
        patch.setattr(torch.export, "export", None)
        other = Linker.from_pretrained(tmp_path / "other")
        image = next(Dataset(tiny_world(tmp_path_factory)).image_root.rglob("*.*"))
        asked = {"mention": "Bardini", "image": str(image)}
        assert agreement(other.link_batch([asked]), linker.link_batch([asked])).same_lists == 1
        assert [getattr(other.live.choices, name).backend_name for name in ("text_encoder", "image_encoder")] == [
            "openvino"
        ] * 2


@pytest.mark.long
def test_a_folder_of_a_joint_model_goes_the_whole_way(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = str(write_joint(tmp_path / "joint", "qwen3_vl", prompts=PROMPTS["prompts"]))
    options = [
        part
        for name in ("text_encoder", "image_encoder")
        for part in (f"--data.{name}", "SentenceTransformersEncoder", f"--data.{name}.path", folder)
    ]
    linker = check_whole_path(tmp_path, tiny_world(tmp_path_factory), *options, images=True)
    texts, images = linker.live.choices.text_encoder, linker.live.choices.image_encoder
    assert isinstance(texts, SentenceTransformersEncoder)
    assert isinstance(images, SentenceTransformersEncoder)
    assert texts.network is images.network
