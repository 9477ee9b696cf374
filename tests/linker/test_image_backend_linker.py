"""A run whose images another backend encodes is exported, measured and answers as it did."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from demo_run import linker_of
from fit_options import dim_options
from tiny_clip import write_clip

from dim.__main__ import main
from dim.data.dataset import Dataset, write_dataset
from dim.demo import demo_world
from dim.encoders.clip import OpenClipEncoder
from dim.features.fields import Choices
from dim.features.live import LiveEncoder
from dim.linker import Linker
from dim.linker.answer import Question
from dim.linker.asked_mentions import mentions_of_run
from dim.linker.backend_check import agreement
from dim.linker.backends import computed, with_backend

pytestmark = pytest.mark.usefixtures("own_caches")
NAMELESS = 12  #: Mentions of dev that are an image alone.


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a tiny CLIP on a small world, some of whose mentions have no name, and of whose images two are cut."""
    place = tmp_path_factory.mktemp("images")
    demo_world(place / "made", num_entities=120, seed=1)
    made = Dataset(place / "made")
    mentions = made.mentions
    can_be = (mentions["split"] == "dev") & (mentions["images"].map(len) > 0) & mentions["entity_id"].notna()
    blank = mentions[can_be].index[:NAMELESS]
    mentions.loc[blank, ["mention", "context"]] = ""
    mentions.loc[blank, ["start", "end"]] = None
    write_dataset(
        place / "world",
        name="pictures",
        entities=made.entities,
        texts={"brief": made.entities.assign(entity_id=made.entities["id"], text="brief")[["entity_id", "text"]]},
        mentions=mentions,
        image_root=str(made.image_root),
    )
    for images in (mentions["images"][blank[0]], next(each for each in made.entities["images"] if len(each))):
        file = made.image_root / images[0]
        file.write_bytes(file.read_bytes()[:100])
    encoder = ["--data.image_encoder", "OpenClipEncoder", "--data.image_encoder.pretrained"]
    options = dim_options(place / "world", place / "run", *encoder, str(write_clip(place / "clip")))
    options += ["--data.entity_text", "brief", "--model.width", "32", "--trainer.max_epochs", "1"]
    assert main(["fit", *options]) == 0
    return place / "run"


def pictured(run: Path) -> list[Question]:
    reader = linker_of(run).image_reader
    found = mentions_of_run(run, 10_000, reader=reader)
    assert found is not None
    return [each for each in found.questions if not each.mention]


def test_a_folder_by_another_backend_goes_anywhere_and_an_image_of_the_kb_that_is_cut_stops_no_export(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(run), str(tmp_path / "linker"), "--backend", "onnx"]) == 0
    assert "image encoder: onnx in fp32; 100.0% of 120 first answers" in " ".join(capsys.readouterr().out.split())
    monkeypatch.setattr(torch.export, "export", None)  # what stands in the folder is enough
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    opened = Linker.from_pretrained(shutil.move(tmp_path / "linker", tmp_path / "moved"), device="cpu")
    encoder: Any = opened.live.choices.image_encoder
    assert isinstance(encoder, OpenClipEncoder)
    assert encoder.backend == "onnx"
    asked = pictured(run)
    found = agreement(opened.link_batch(asked), linker_of(run).link_batch(asked))
    assert (found.same_lists, found.apart) == (1, pytest.approx(0, abs=1e-4))
    assert "model" not in vars(encoder)  # no weights of torch are loaded


def test_what_auto_chose_is_written_down(run: Path, tmp_path: Path) -> None:
    assert main(["export", str(run), str(tmp_path / "linker"), "--backend", "auto"]) == 0
    (by,) = computed(Linker.from_pretrained(tmp_path / "linker", device="cpu"))
    assert by.backend in ("onnx", "openvino")


def test_options_of_torch_alone_do_not_go_along(tmp_path: Path) -> None:
    given = {"pretrained": str(tmp_path), "compile_model": True, "patches": True}
    about = {"recipe": {"encoders": {"image_encoder": {"class_path": "OpenClipEncoder", "init_args": given}}}}
    live = LiveEncoder(Choices(image_encoder=OpenClipEncoder(**given)))
    changed = with_backend(about, live, "onnx", "int8")["recipe"]["encoders"]["image_encoder"]["init_args"]
    assert changed == {"pretrained": str(tmp_path), "patches": True, "backend": "onnx", "precision": "int8"}


def test_mentions_without_a_name_are_measured_by_their_images(run: Path) -> None:
    blind, seeing = mentions_of_run(run, 10_000), mentions_of_run(run, 10_000, reader=linker_of(run).image_reader)
    assert blind is not None
    assert seeing is not None
    assert all(each.mention for each in blind.questions)
    nameless = [each for each in seeing.questions if not each.mention]
    assert len(nameless) == NAMELESS - 1  # one image is cut: there is nothing to ask
    assert len(seeing.questions) == len(seeing.golds) == len(blind.questions) + NAMELESS - 1
