"""Every option of the Trainer that `dim fit --help` shows, and every library loss: it works, or is refused in words."""

import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from pytorch_lightning import Trainer
from pytorch_metric_learning import losses
from pytorch_metric_learning.losses.base_metric_loss_function import BaseMetricLossFunction
from tiny_fit import tiny_options, tiny_world

from dim.__main__ import main

#: Option → values that work; those of one line are tried together, as far as they do not speak of the same.
WORKS = [
    {"max_steps": "2"},
    {"max_steps": "3", "max_epochs": "-1", "min_steps": "1", "min_epochs": "1"},
    {"limit_train_batches": "1", "num_sanity_val_steps": "0", "log_every_n_steps": "1", "benchmark": "false"},
    {"limit_train_batches": "0.5", "num_sanity_val_steps": "-1", "deterministic": "true", "detect_anomaly": "true"},
    {"accumulate_grad_batches": "2", "gradient_clip_val": "0.1", "gradient_clip_algorithm": "value", "devices": "1"},
    {"max_time": "00:01:00:00", "inference_mode": "false", "profiler": "simple", "enable_model_summary": "true"},
    {"reload_dataloaders_every_n_epochs": "1", "max_epochs": "2", "sync_batchnorm": "true", "strategy": "auto"},
    {"logger": "true", "enable_autolog_hparams": "false", "callbacks": "LearningRateMonitor", "accelerator": "cpu"},
    {"precision": "bf16-mixed", "enable_progress_bar": "true"},
]
#: Option → a value that is refused, with what the message says.
REFUSED = {
    "precision": ["64-true", "16-true", "bf16-true", "transformer-engine"],
    "limit_val_batches": ["0", "0.5", "1"],
    "limit_test_batches": ["2"],
    "limit_predict_batches": ["0.1"],
    "overfit_batches": ["1", "0.1"],
    "enable_checkpointing": ["false"],
    "barebones": ["true"],
    "use_distributed_sampler": ["true"],
    "val_check_interval": ["0.5", "1", "10"],
    "check_val_every_n_epoch": ["2", "null"],
    "limit_train_batches": ["0"],
    "max_epochs": ["0", "-1"],
    "max_steps": ["0"],
    "accumulate_grad_batches": ["0"],
    "gradient_clip_val": ["-1"],
    "gradient_clip_algorithm": ["mean"],
    "strategy": ["fsdp", "deepspeed", "nonsense"],
    "num_nodes": ["2"],
    "devices": ["0"],
    "accelerator": ["nonsense"],
    "profiler": ["nonsense"],
    "max_time": ["soon"],
    "model_registry": ["somewhere"],
}
#: Options whose values are classes, or that dim sets itself.
APART = {"plugins", "default_root_dir", "fast_dev_run"}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return tiny_world(tmp_path_factory)


def fit(world, run, options, *more):
    return main(["fit", *tiny_options(world, run), *(f"--trainer.{k}={v}" for k, v in options.items()), *more])


def test_every_option_of_the_trainer_is_tried_here():
    options = set(inspect.signature(Trainer).parameters)
    assert options == {name for some in WORKS for name in some} | set(REFUSED) | APART


@pytest.mark.parametrize("options", WORKS, ids=lambda options: "+".join(f"{k}={v}" for k, v in options.items()))
def test_an_option_that_is_taken_ends_in_a_run_with_its_results(world, tmp_path, options):
    assert fit(world, tmp_path / "run", options) == 0
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["n"] > 0
    assert metrics["checkpoint"]["file"] == "checkpoints/best.ckpt"


def refused():
    """Each option with its values; of several, make test tries the first."""
    for name, values in REFUSED.items():
        for value in values:
            yield pytest.param(name, value, marks=[pytest.mark.long] * (value != values[0]))


@pytest.mark.parametrize(("name", "value"), [*refused()])
def test_an_option_that_is_refused_is_refused_before_data_is_read(world, tmp_path, capsys, name, value):
    assert fit(world.parent / "nowhere", tmp_path / "run", {name: value}) == 1
    error = capsys.readouterr().err
    assert re.match(r"error: expected .+\nfound    .+\nto do    .+", error)
    assert "nowhere" not in error
    assert not (tmp_path / "run").exists()


@pytest.mark.long
def test_one_is_one_batch_whatever_was_imported_before(world, tmp_path):
    line = [
        "fit",
        *map(str, tiny_options(world, tmp_path / "run")),
        "--trainer.limit_train_batches=1",
        "--print_config",
    ]
    script = f"import spacy; from dim.__main__ import main; main({line!r})"
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert "limit_train_batches: 1\n" in said


def test_a_share_of_the_batches_below_one_batch_is_refused_and_leaves_nothing(world, tmp_path, capsys):
    assert fit(world, tmp_path / "run", {"limit_train_batches": "0.001"}) == 1
    assert "limit_train_batches" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_training_without_time_says_so_instead_of_asking_for_a_fit(world, tmp_path, capsys):
    assert fit(world, tmp_path / "run", {"max_time": "00:00:00:00"}) == 1
    assert "Raise --trainer.max_time" in capsys.readouterr().err


def test_fast_dev_run_tries_everything_and_writes_nothing(world, tmp_path, capsys):
    assert fit(world, tmp_path / "run", {"fast_dev_run": "true"}) == 0
    assert "nothing was written" in capsys.readouterr().out
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", ["validate", "test", "predict"])
def test_figures_are_never_of_a_part_of_a_split(world, tmp_path, capsys, command):
    assert main([command, *tiny_options(world, tmp_path / "run"), "--trainer.fast_dev_run", "true"]) == 1
    assert "Figures are of whole splits" in capsys.readouterr().err


TAKEN = {
    *("AngularLoss", "CircleLoss", "ContrastiveLoss", "GeneralizedLiftedStructureLoss", "IntraPairVarianceLoss"),
    *("LiftedStructureLoss", "MarginLoss", "MultiSimilarityLoss", "NCALoss", "NTXentLoss"),
    *("SignalToNoiseRatioContrastiveLoss", "SupConLoss", "TripletMarginLoss", "TupletMarginLoss"),
}
LOSSES = sorted(
    name for name, kind in vars(losses).items() if isinstance(kind, type) and issubclass(kind, BaseMetricLossFunction)
)


def test_the_losses_that_train_are_among_those_of_the_library():
    assert set(LOSSES) >= TAKEN


def test_the_table_of_losses_says_what_each_does():
    rows = [
        line.split("|")[1:3]
        for line in (Path(__file__).parents[2] / "docs/reference/losses.md").read_text().splitlines()
        if line.startswith("| ")
    ]
    told = {name: text.strip() == "taken" for names, text in rows for name in names.strip().split(", ")}
    assert {name for name in LOSSES if told[name]} == TAKEN


#: In make test: over pairs, triplets, with weights of its own; over classes, without other embeddings, of another form.
QUICK = ("ContrastiveLoss", "TripletMarginLoss", "MarginLoss", "ArcFaceLoss", "FastAPLoss", "VICRegLoss")


@pytest.mark.parametrize("loss", [pytest.param(x, marks=[pytest.mark.long] * (x not in QUICK)) for x in LOSSES])
def test_a_loss_of_the_library_trains_or_is_refused_by_its_name_before_data_is_read(world, tmp_path, capsys, loss):
    root = world if loss in TAKEN else world.parent / "nowhere"
    status = fit(root, tmp_path / "run", {}, "--model.loss", loss)
    assert status == (0 if loss in TAKEN else 1)
    if loss not in TAKEN:
        error = capsys.readouterr().err
        assert loss in error
        assert "nowhere" not in error


def test_an_option_of_a_loss_without_a_type_is_a_number_on_the_command_line_too(world, tmp_path):
    loss = ["--model.loss", "TripletMarginLoss", "--model.loss.triplets_per_anchor"]
    assert fit(world, tmp_path / "number", {}, *loss, "5") == 0
    assert fit(world, tmp_path / "word", {}, *loss, "all") == 0
    options = [yaml.safe_load((tmp_path / run / "config.yaml").read_text()) for run in ("number", "word")]
    assert [each["model"]["init_args"]["loss"]["init_args"]["triplets_per_anchor"] for each in options] == [5, "all"]


@pytest.mark.parametrize("scale", ["150", "0"])
def test_a_scale_that_could_not_be_trained_is_refused_before_data_is_read(world, tmp_path, capsys, scale):
    options = ["--model.loss", "NPair", "--model.loss.scale", scale]
    assert fit(world.parent / "nowhere", tmp_path / "run", {}, *options) == 1
    assert "at most 100 where it is trained" in capsys.readouterr().err


@pytest.mark.parametrize("wrapper", ["CrossBatchMemory", "MultipleLosses"])
def test_a_wrapper_of_losses_is_refused_by_its_name(world, tmp_path, capsys, wrapper):
    assert fit(world.parent / "nowhere", tmp_path / "run", {}, "--model.loss", wrapper) == 1
    error = capsys.readouterr().err
    assert wrapper in error
    assert "Did you mean" not in error


@pytest.mark.parametrize("loss", ["ArcFaceLoss", "SoftTripleLoss", "ProxyNCALoss"])
def test_a_loss_over_classes_is_refused_with_all_its_options_too(world, tmp_path, capsys, loss):
    options = ["--model.loss.num_classes", "200", "--model.loss.embedding_size", "32"]
    assert fit(world.parent / "nowhere", tmp_path / "run", {}, "--model.loss", loss, *options) == 1
    assert f"{loss}: ref_emb is not supported" in capsys.readouterr().err


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
def test_ranks_are_those_of_float32_whatever_the_precision_of_training(world, tmp_path, precision):
    run = tmp_path / "run"
    assert fit(world, run, {"precision": precision}) == 0
    rounded = json.loads((run / "metrics.json").read_text())
    before = (run / "ranks.parquet").read_bytes()
    assert main(["validate", "--config", str(run / "config.yaml"), "--trainer.precision", "32-true"]) == 0
    exact = json.loads((run / "metrics.json").read_text())
    assert (run / "ranks.parquet").read_bytes() == before
    assert rounded["ties"] == exact["ties"]
    assert rounded["checkpoint"] == exact["checkpoint"]
