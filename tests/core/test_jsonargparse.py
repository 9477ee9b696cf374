"""What `dim.core.known_classes` reaches of jsonargparse beside its public functions is there, and is what is called.

The public allow-list allows whatever is below a name (a class's methods, a module's functions), and no public setting
keeps a text from being opened as a file. This file imports nothing of dim, so that it can say so.
"""

import importlib
from importlib.metadata import version
from inspect import signature

import pytest

TOLD = (
    f"jsonargparse {version('jsonargparse')} has no {{}} as 4.52 has it: see what dim.core.known_classes.only_these "
    "replaces there, and lower the upper bound in setup.cfg until it does so again."
)


@pytest.mark.parametrize(
    "name",
    [
        "_common.denying_import_path_entry",
        "_common.parsing_settings",
        "_optionals._get_config_read_mode",
        "_paths.Path",
    ],
)
def test_what_is_reached_is_there(name: str) -> None:
    module, _, attribute = name.partition(".")
    try:
        found = hasattr(importlib.import_module(f"jsonargparse.{module}"), attribute)
    except ImportError:
        found = False
    assert found, TOLD.format(f"jsonargparse.{name}")


def test_what_is_replaced_is_what_is_called() -> None:
    common, util, paths = (importlib.import_module(f"jsonargparse.{name}") for name in ("_common", "_util", "_paths"))
    asked = "denying_import_path_entry" in common.check_import_path.__code__.co_names
    assert asked, TOLD.format("check_import_path that asks denying_import_path_entry")
    checked = "check_import_path" in util.import_object.__code__.co_names
    assert checked, TOLD.format("import_object that asks check_import_path before it imports")
    is_path = list(signature(paths.Path.__init__).parameters)[:4] == ["self", "path", "mode", "cwd"]
    assert is_path, TOLD.format("Path(path, mode, cwd)")
