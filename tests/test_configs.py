from pathlib import Path

import pytest

from dim.cli import DimCLI, Parser
from dim.datamodule import LinkingDataModule
from dim.task import LinkingTask

CONFIGS = sorted((Path(__file__).parent.parent / "lightning_configs").glob("*.yaml"))


class ParseOnly(DimCLI):
    """Parses and instantiates, and runs nothing."""

    def _run_subcommand(self, subcommand):
        self.parsed = subcommand


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.name)
def test_every_shipped_config_parses_and_makes_its_objects(config, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    cli = ParseOnly(
        model_class=LinkingTask,
        datamodule_class=LinkingDataModule,
        subclass_mode_model=True,
        save_config_callback=None,
        seed_everything_default=0,
        parser_class=Parser,
        auto_configure_optimizers=False,
        load_from_checkpoint_support=False,
        args=["fit", "--config", str(config), "--run", str(tmp_path / "run"), "--trainer.accelerator", "cpu"],
    )
    assert isinstance(cli.model, LinkingTask)
    assert cli.datamodule.root.parts[0] in ("data", "demo")


def test_the_configs_that_the_readme_names_are_there():
    names = {path.stem for path in CONFIGS}
    assert {"demo", "demo_plus", "wikimel", "wikimel_plus", "richpedia", "richpedia_plus", "wikimel_released"} <= names
    assert {"wikimel_text", "richpedia_text", "wikimel_linear"} <= names
