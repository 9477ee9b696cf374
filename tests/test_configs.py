from contextlib import ExitStack
from pathlib import Path

import pytest

from dim.cli.trainer import OPTIONS, DimCLI
from dim.core.known_classes import only_these
from dim.training.saved_run import classes_of_runs
from dim.training.task import LinkingTask

FOLDER = Path(__file__).parent.parent / "lightning_configs"
CONFIGS = sorted([*FOLDER.glob("*.yaml"), *FOLDER.glob("baselines/*.yaml")])
ABLATIONS = sorted(FOLDER.glob("ablations/*.yaml"))


class ParseOnly(DimCLI):
    """Parses and instantiates, and runs nothing."""

    def _run_subcommand(self, subcommand):
        self.parsed = subcommand


def parsed(run, *configs):
    with only_these(classes_of_runs(), typed_in=[*map(str, configs)]):  # as the commands that open a run read its copy
        return instantiated(
            *(f"--config={config}" for config in configs), "--run", str(run), "--trainer.accelerator", "cpu"
        )


def instantiated(*arguments):
    """The objects that a command line of `fit` makes."""
    classes_of_runs()  # as the command does: a class is known by its name once it is imported
    with ExitStack() as held:  # the objects outlive the lock of the run's folder
        return ParseOnly(held, **OPTIONS, args=["fit", *arguments])


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.name)
def test_every_shipped_config_parses_and_makes_its_objects(config, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    cli = parsed(tmp_path / "run", config)
    assert isinstance(cli.model, LinkingTask)
    assert cli.datamodule.root.parts[0] in ("data", "demo")


GENERATIVE = {"untrained_mapper", "no_examples", "random_examples", "unconstrained"}


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    """What the ablations are laid over, parsed once."""
    folder = tmp_path_factory.mktemp("bases")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "disabled")
        return {name: parsed(folder / name, FOLDER / f"{name}.yaml") for name in ("demo", "gemel_demo")}


@pytest.mark.parametrize("config", ABLATIONS, ids=lambda path: path.name)
def test_every_ablation_changes_a_config_that_it_follows(config, bases, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    name = "gemel_demo" if config.stem in GENERATIVE else "demo"
    followed, base = FOLDER / f"{name}.yaml", bases[name]
    changed = parsed(tmp_path / "changed", followed, config)
    assert changed.datamodule.batch_size == base.datamodule.batch_size > 1
    assert chosen(base) != chosen(changed)


@pytest.mark.parametrize("name", ["gemel_wikidiverse", "gemel_wikimel"])
def test_the_published_gemel_begins_and_ends_names_as_the_release_does(name, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    model = parsed(tmp_path / "run", FOLDER / f"{name}.yaml").model
    assert (model.bos, model.end, model.name_tokens) == ("never", "eos", "alone")


def chosen(cli):
    """What the shipped ablations change."""
    data, model = cli.datamodule, cli.model
    examples = getattr(model, "examples", None)
    options = [getattr(model, name, None) for name in ("fusion", "constrained", "is_trained")]
    return data.leave_out, data.shuffle, data.blank, options, type(examples)


@pytest.mark.parametrize("name", ["gemel_demo", "gemel_wikimel"])
def test_random_examples_are_as_many_as_the_similar_ones_whose_place_they_take(name, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    base, ablation = FOLDER / f"{name}.yaml", FOLDER / "ablations" / "random_examples.yaml"
    similar, random = (parsed(tmp_path / each[-1].stem, *each).model.examples for each in ((base,), (base, ablation)))
    assert type(random).__name__ == "RandomExamples"
    assert random.num_examples == similar.num_examples


def test_the_configs_that_the_readme_names_are_there():
    names = {path.stem for path in CONFIGS}
    assert {"demo", "demo_plus", "wikimel", "wikimel_plus", "richpedia", "richpedia_plus", "wikimel_released"} <= names
    assert {"diverse", "diverse_plus"} <= names
    texts = {"wikimel_text", "richpedia_text", "wikidiverse_text"}
    assert texts | {f"{name}_finetuned" for name in texts} <= names
    baselines = {
        "names",
        "names_aliases",
        "names_popularity",
        "bm25",
        "frozen_text",
        "linear",
        "clip_text",
        "clip_image",
        "clip_both",
    }
    assert baselines <= names
