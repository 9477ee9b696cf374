"""Where a result comes from: code, versions, hardware."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

import dim
from dim.display.terminal import Console

PACKAGES = (
    "torch",
    "pytorch-lightning",
    "open_clip_torch",
    "transformers",
    "pytorch-metric-learning",
    "numpy",
    "pandas",
)


def commit() -> str:
    """The commit of the source tree that dim runs from, `+changes` where it differs; the version elsewhere."""
    tree = Path(dim.__file__).parent.parent
    git = ["git", "-C", str(tree)]
    try:
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changes = subprocess.run(
            [*git, "status", "--porcelain", "--untracked-files=no"], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return f"dim {dim.__version__}"
    return head[:12] + ("+changes" if changes.strip() else "")


def hardware() -> str:
    """Processor, cores in use, memory and GPU in one line."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        cpu = names[0] if names else cpu
    threads = torch.get_num_threads()
    parts = [cpu, f"{os.cpu_count()} cores", f"{threads} thread{'s' * (threads != 1)}"]
    if hasattr(os, "sysconf"):
        parts.append(f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB")
    if torch.cuda.is_available():
        parts.append(torch.cuda.get_device_name())  # pragma: needs a GPU
    return ", ".join(parts)


def versions() -> dict[str, Any]:
    """Versions of Python, dim and the packages that a result depends on."""
    return {"python": sys.version.split()[0], "dim": dim.__version__} | {name: version(name) for name in PACKAGES}


def say_where(*facts: str) -> None:
    """Prints the line that stands below measured figures: the machine, the commit, and further facts."""
    Console().say(" · ".join([hardware(), f"commit {commit()}", *facts]))
