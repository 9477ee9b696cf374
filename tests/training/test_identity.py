"""What a run is: what its classes say of their options, no seed, no place, no machine."""

import inspect

import pytest
import yaml

from dim.methods.generative.module import GEMEL
from dim.training.datamodule import LinkingDataModule
from dim.training.identity import described, identity_of
from dim.training.saved_run import RunScorer
from dim.training.task import LinkingTask

CONFIG = {
    "seed_everything": 0,
    "run": "runs/a/seed0",
    "model": {"class_path": "dim.methods.contrastive.module.DIM", "init_args": {"width": 64, "loss": None, "seed": 0}},
    "data": {"root": "world", "batch_size": 64, "resident_gb": 4.0, "text_encoder": None, "protocol": None},
    "trainer": {"max_epochs": 3, "precision": "32-true", "accelerator": "auto", "logger": None, "callbacks": None},
    "early_stopping": {"patience": 10, "verbose": False},
}
FEATURES = {"text_encoder": "Tiny 256", "entity_text": "brief"}


def changed(part, **options):
    config = {name: dict(value) if isinstance(value, dict) else value for name, value in CONFIG.items()}
    if part == "model":
        options = {"init_args": CONFIG["model"]["init_args"] | options}
    config[part] |= options
    return identity_of(config, FEATURES, {})


@pytest.mark.parametrize(
    ("part", "options"),
    [
        ("data", {"resident_gb": 1.0, "embed_batch_size": 8, "num_workers": 4, "engine": "ray", "address": "a:1"}),
        ("data", {"root": "elsewhere/world", "cache_dir": "elsewhere", "predict_split": "dev"}),
        ("data", {"text_encoder": {"class_path": "X", "init_args": {"path": "here", "device": "cuda"}}}),
        ("data", {"protocol": {"class_path": "dim.evaluation.protocols.FullKB"}}),
        ("model", {"seed": 1}),
        ("trainer", {"accelerator": "gpu", "devices": 2, "strategy": "ddp", "logger": True, "log_every_n_steps": 1}),
        ("early_stopping", {"verbose": True}),
    ],
)
def test_places_machines_and_seeds_do_not_count(part, options):
    assert changed(part, **options) == identity_of(CONFIG, FEATURES, {})


@pytest.mark.parametrize(
    ("part", "options"),
    [
        ("data", {"batch_size": 32}),
        ("data", {"an_option_of_tomorrow": 1}),
        ("data", {"protocol": {"class_path": "dim.evaluation.protocols.Candidates", "init_args": {"size": 5}}}),
        ("model", {"width": 32}),
        ("model", {"loss": {"class_path": "dim.methods.contrastive.losses.NPair", "init_args": {"scale": 10.0}}}),
        ("trainer", {"max_epochs": 4}),
        ("trainer", {"precision": "bf16-mixed"}),
        ("early_stopping", {"patience": 2}),
    ],
)
def test_what_changes_the_weights_counts(part, options):
    assert changed(part, **options) != identity_of(CONFIG, FEATURES, {})


def test_fingerprints_stand_for_encoders_and_for_what_a_method_computes_with():
    assert identity_of(CONFIG, FEATURES | {"text_encoder": "Tiny 512"}, {}) != identity_of(CONFIG, FEATURES, {})
    assert identity_of(CONFIG, FEATURES, {"language_model": "a"}) != identity_of(CONFIG, FEATURES, {})
    moved = {"class_path": "dim.training.saved_run.RunScorer", "init_args": {"run": "runs/elsewhere", "batch_size": 8}}
    assert described(moved) == {"class": "RunScorer", "options": {}}


def test_each_class_calls_only_options_incidental_that_it_has():
    for kind in (LinkingDataModule, LinkingTask, GEMEL):
        assert kind.incidental <= set(inspect.signature(kind).parameters)


def test_of_a_class_that_is_gone_every_option_counts():
    assert described({"class_path": "gone.Away", "init_args": {"seed": 1}}) == {"class": "Away", "options": {"seed": 1}}


def test_a_scorer_without_weights_is_known_by_its_method_and_its_options(tmp_path):
    def fingerprint(name, k1, seed=0):
        model = {"class_path": "dim.methods.baselines.bm25.BM25", "init_args": {"k1": k1, "seed": seed}}
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text(
            yaml.safe_dump(CONFIG | {"model": model, "data": CONFIG["data"] | {"cache_dir": "cache"}})
        )
        return RunScorer(tmp_path / name).fingerprint

    assert fingerprint("a", 1.2) == fingerprint("elsewhere", 1.2, seed=5) != fingerprint("other", 0.1)
