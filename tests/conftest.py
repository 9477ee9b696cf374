"""Fixtures for many tests. Standing here, it also puts `tests/` on the import path, for `tests/releases.py`."""

import gc
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import dim  # noqa: F401  (before any test imports open_clip or Transformers: see dim/_torchvision.py)

# Some tests fork; the tokenizers' pool of threads does not survive that, and its next text would never come back.
os.environ["TOKENIZERS_PARALLELISM"] = "false"
# Tests send Ctrl-C, which a shell has the commands ignore that it starts in the background.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A slow machine finds the same faults as a fast one.
settings.register_profile("dim", deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("long", settings.get_profile("dim"), max_examples=100)
settings.load_profile("dim")


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A temporary folder that every user can enter, unlike `tmp_path`."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def own_caches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """An empty folder of caches in the place of the user's, for the tests of a module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("caches")))
        yield


def pytest_configure(config: pytest.Config) -> None:
    """Has Hypothesis try more where there is time."""
    if config.getoption("--long"):
        settings.load_profile("long")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds `--long`, which `make test-all` sets."""
    parser.addoption("--long", action="store_true", help="the whole kill series, and the tests marked long")


@pytest.fixture(scope="session")
def num_kills(request: pytest.FixtureRequest) -> int:
    """How often a test that kills its subject does so."""
    return 10 if request.config.getoption("--long") else 2


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """What is imported and collected stays: to look through it for garbage, then and at every test, would find none."""
    gc.disable()
    yield
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skips what only `--long` runs; the longest tests first: begun last, one would run alone while others wait."""
    if not config.getoption("--long"):
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(pytest.mark.skip(reason="--long: make test-all runs it"))
    items.sort(key=lambda item: "test_notebooks" not in item.nodeid)


@pytest.fixture
def quick_ranker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rankers of few steps, for tests that do not ask how good one is."""
    monkeypatch.setattr("dim.reranker.network.LEAST_STEPS", 20)
