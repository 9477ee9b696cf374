"""Schemathesis asks a real server whatever its own OpenAPI document allows, and what it forbids."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from demo_run import demo_run, linker_of
from serving import Running, running
from waiting import HANG

from dim.linker import Linker

LONG = 10_000  #: Requests without a token; with one they are 200 at least.
MANY, FEW = 500, 5  #: Examples a route, of each kind, besides the boundary values.


@pytest.fixture(scope="module")
def linker(tmp_path_factory: pytest.TempPathFactory) -> Linker:
    return linker_of(demo_run(tmp_path_factory))


@pytest.mark.long
@pytest.mark.parametrize("token", [None, "tell-nobody"], ids=["open", "token"])
def test_the_openapi_document_holds_for_whatever_is_asked(linker: Linker, tmp_path: Path, token: str | None) -> None:
    is_long = token is None
    least = LONG if is_long else 200
    with running(linker, token=token, max_batch=16) as server:
        seed = 0
        while seed == 0 or (is_long and _statuses(server).total() < least):
            seed += 1
            fuzz(server, tmp_path, seed, MANY if is_long else FEW, token)
        found = _statuses(server)
        server.client.headers.update({"Authorization": f"Bearer {token}"} if token else {})
        assert server.still_answers()
    print(f"{found.total():,} requests: {dict(found)}")
    assert found.total() >= least
    assert {status for status in found if status >= 500} <= {503}
    assert set(found) >= {200, 400, 404, 405, 415, 422} | ({401} if token else set())


def fuzz(server: Running, folder: Path, seed: int, num_examples: int, token: str | None) -> None:
    """Runs it with every check that it has; what it finds fails the test with its report."""
    url = f"{server.client.base_url}/openapi.json"
    options = ["--seed", str(seed), "--max-examples", str(num_examples), "--checks", "all", "--continue-on-failure"]
    options += ["--generation-database", "none", "--no-color"]
    options += ["--request-timeout", str(HANG), "--max-response-time", str(HANG)]  # its own 10 s tell of the machine
    options += ["--header", f"Authorization: Bearer {token}"] if token else []
    found = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", "run", url, *options],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent), "SCHEMATHESIS_HOOKS": "valid_requests"},
        capture_output=True,
        text=True,
        timeout=10 * HANG,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    assert "Operations:       11 selected / 11 total" in found.stdout


def _statuses(server: Running) -> Counter[int]:
    """The answers of the server so far, by its own count."""
    found: Counter[int] = Counter()
    for metric in server.batcher.metrics.registry.collect():
        for sample in metric.samples:
            if sample.name == "dim_requests_total":
                found[int(sample.labels["status"])] += int(sample.value)
    return found
