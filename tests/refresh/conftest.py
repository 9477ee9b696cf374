"""What tests of `dim refresh` against servers on loopback stand in."""

from pathlib import Path

import pytest
from llm_servers import set_environment
from refreshing import small_dataset


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    set_environment(monkeypatch)


@pytest.fixture
def data(environment: None, tmp_path: Path) -> Path:
    return small_dataset(tmp_path / "data")
