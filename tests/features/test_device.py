import subprocess
import sys

import numpy as np
import pytest
import torch

from dim.encoders.device import deferred, to_device


def test_what_goes_to_the_device_and_back_is_the_same() -> None:
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    there = to_device(values[:, ::2], torch.device("cpu"))
    assert deferred(there)().tolist() == [[0, 2], [3, 5]]
    assert deferred(there.to(torch.bfloat16))().dtype == np.float32


def test_without_a_compiler_the_error_says_so(request: pytest.FixtureRequest) -> None:
    if not request.config.getoption("--long"):
        pytest.skip("compiling takes up to a minute: --long")
    code = "import dim; from dim.encoders.device import check_compiler; check_compiler('cpu')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PATH": "/nowhere", "CXX": "/nowhere/c++", "TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1", "HOME": "/tmp"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "expected a compiler that torch.compile can use for cpu" in done.stderr
    assert "leave compile_model out" in done.stderr
