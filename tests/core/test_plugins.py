"""What entry points name that is not there."""

from importlib.metadata import EntryPoint

import pytest

from dim.core import plugins
from dim.errors import ConfigError


def test_what_another_version_of_dim_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [EntryPoint("ours", "dim.methods.of_next_year", plugins.CLASSES)]
    monkeypatch.setattr(plugins, "entry_points", lambda group: points)
    with pytest.raises(ConfigError, match="pip install -e"):
        plugins.all_classes()


def test_a_package_that_dim_itself_lacks_is_no_other_version(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [EntryPoint("ours", "dim.core.plugins", plugins.CLASSES)]
    monkeypatch.setattr(plugins, "entry_points", lambda group: points)

    def lacking(module: object) -> None:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    with pytest.raises(ModuleNotFoundError, match="torch"):
        list(plugins.loaded(plugins.CLASSES, lacking))
