"""Every shipped config from `fit` to its figures on a small world, by encoders of its own kinds with random weights."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from fit_options import fit_options
from lm_families import write_language_model
from test_configs import ABLATIONS, CONFIGS, FOLDER, GENERATIVE
from tiny_clip import CONFIG, registered
from tiny_text import write_bert

from dim.__main__ import main
from dim.data.dataset import write_dataset
from dim.demo import demo_world

#: Another differs from these by its dataset and by numbers alone; tests/test_configs.py reads them all.
ALIKE = {"richpedia", "diverse", "richpedia_plus", "diverse_plus", "richpedia_text_finetuned", "gemel_wikidiverse"}
SHORT = ["--trainer.max_epochs", "1", "--trainer.limit_train_batches", "2"]


def check_figures(run: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    most = 1 if metrics["top20"] is None else metrics["top20"]  # GEMEL writes a few names
    assert 0 <= metrics["top1"] <= most <= 1
    assert metrics["n"] > 0


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One with images and texts, one without images, one as KGMEL's WikiDiverse, without either, and one for GEMEL.

    A language model takes as long for a mention as the others for a split: that world has few outside of train.
    """
    folder = tmp_path_factory.mktemp("worlds")
    whole = demo_world(folder / "whole", num_entities=120, seed=1)
    about: dict[str, Any] = {key: whole.meta[key] for key in ("source", "licence")}
    entities, mentions = (table.drop(columns="images") for table in (whole.entities, whole.mentions))
    brief = pd.DataFrame({"entity_id": whole.entities["id"], "text": whole.texts("brief").to_numpy()})
    found = {"whole": whole.root}
    for name, texts in (("text", {"brief": brief}), ("names", {})):
        tables: dict[str, Any] = {"entities": entities, "mentions": mentions, "texts": texts}
        found[name] = write_dataset(folder / name, name=name, **tables, **about).root
    few = whole.mentions[(whole.mentions["split"] == "train") | (whole.mentions.groupby("split").cumcount() < 4)]
    texts = {variant: whole.text_table(variant) for variant in whole.variants}
    tables = {"entities": whole.entities, "mentions": few, "texts": texts}
    about |= {"image_root": str(whole.image_root.resolve())}
    return found | {"few": write_dataset(folder / "few", name="few", **tables, **about).root}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, Any]]]:
    """For each kind of model that configs name, the options that make it a tiny one with random weights."""
    folder = tmp_path_factory.mktemp("models")
    with registered(folder / "configs", {"tiny-shipped": CONFIG}):
        yield {
            "TransformersTextEncoder": {"path": str(write_bert(folder / "bert", positions=128))},
            "OpenClipEncoder": {"model": "tiny-shipped", "pretrained": None, "random_seed": 0},
            "language_model": {"path": str(write_language_model(folder / "lm", "opt", max_position_embeddings=2048))},
        }


@pytest.mark.parametrize(
    "config",
    [pytest.param(path, marks=[pytest.mark.long] * (path.stem in ALIKE), id=path.stem) for path in CONFIGS],
)
def test_a_shipped_config_fits_and_evaluates(
    config: Path,
    worlds: dict[str, Path],
    models: dict[str, dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    chosen = yaml.safe_load(config.read_text())
    data, model = chosen["data"], chosen["model"]
    for encoder in (data.get("text_encoder"), data.get("image_encoder")):
        if isinstance(encoder, dict) and encoder["class_path"] in models:
            encoder["init_args"] |= models[encoder["class_path"]]
    is_gemel = isinstance(model, dict) and model["class_path"] == "GEMEL"
    if is_gemel:
        model["init_args"]["language_model"] = models["language_model"]
    needs_all = "image_encoder" in data or data.get("entity_text") == "refreshed"
    named = "few" if is_gemel else "whole" if needs_all else "names" if "wikidiverse" in config.stem else "text"
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(chosen))
    options = fit_options(worlds[named], tmp_path / "run", *SHORT)
    assert main(["fit", "--config", str(tmp_path / "config.yaml"), *options]) == 0
    check_figures(tmp_path / "run")


@pytest.mark.long
@pytest.mark.parametrize("ablation", ABLATIONS, ids=lambda path: path.stem)
def test_an_ablation_fits_and_evaluates(
    ablation: Path, worlds: dict[str, Path], models: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    base, named, more = "demo", "whole", []
    if ablation.stem in GENERATIVE:
        base, named, more = "gemel_demo", "few", ["--model.language_model.path", models["language_model"]["path"]]
    options = fit_options(worlds[named], tmp_path / "run", *SHORT, *more, "--trainer.logger", "false")
    assert main(["fit", "--config", str(FOLDER / f"{base}.yaml"), "--config", str(ablation), *options]) == 0
    check_figures(tmp_path / "run")
