"""What Linux has and macOS lacks is taken away here; macOS itself is not at hand."""

import os
import subprocess
import sys

import numpy as np
import pytest
from lightning_fabric.accelerators.mps import MPSAccelerator
from releases import write_image
from tiny_fit import tiny_options, tiny_world

from dim.__main__ import main
from dim.core.cores import usable_cores
from dim.images.decoders import Decoders
from dim.images.reading import num_decoders


@pytest.fixture
def without(monkeypatch):
    """Takes functions of `os` away."""
    for name in ("sched_getaffinity", "memfd_create", "posix_fallocate"):
        monkeypatch.delattr(os, name)
    return monkeypatch


def test_cores_are_counted(without):
    assert usable_cores() == os.cpu_count()
    assert num_decoders() == min(os.cpu_count(), 8)


def test_an_image_is_opened_by_a_process_of_its_own(without, tmp_path):
    write_image(tmp_path / "photo.png", (200, 30, 9))
    with Decoders(1, 60.0) as decoders:
        image = decoders.decode(str(tmp_path / "photo.png"))
    assert np.asarray(image)[0, 0, :3].tolist() == [200, 30, 9]


def test_a_run_with_images_is_fitted(without, tmp_path_factory, tmp_path):
    world = tiny_world(tmp_path_factory)
    assert main(["fit", *tiny_options(world, tmp_path / "run", "--data.image_encoder", "TinyImageEncoder")]) == 0


def test_auto_is_no_gpu_of_apple(monkeypatch, tmp_path_factory, tmp_path):
    monkeypatch.setattr(MPSAccelerator, "is_available", staticmethod(lambda: True))
    options = tiny_options(tiny_world(tmp_path_factory), tmp_path / "run", "--trainer.accelerator", "auto")
    assert main(["fit", *options]) == 0
    assert main(["rank", "--run", str(tmp_path / "run"), "--folds", "2"]) == 0


def test_windows_is_told_what_to_do():
    program = "import importlib.metadata, os, shutil; os.name = 'nt'; import dim"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "ImportError: dim runs on Linux and macOS; on Windows install it within WSL" in done.stderr
