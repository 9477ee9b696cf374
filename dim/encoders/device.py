"""Where a model runs, in which precision, and how it gets there and back."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dim.core.excerpts import first_line
from dim.encoders.base import Features
from dim.errors import ConfigError

Precision = Literal["fp32", "bf16", "fp16"]
#: Of an encoder; `int8` is of other backends than torch (`dim.encoders.int8`).
EncoderPrecision = Literal["fp32", "bf16", "fp16", "int8"]
#: What computes an encoder's network (`dim.encoders.backends`).
Backend = Literal["torch", "onnx", "openvino", "auto"]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def resolve_device(device: str) -> torch.device:
    """The device of that name; `auto` is the first GPU where there is one, else the CPU.

    Raises:
        ConfigError: There is no such device here.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=torch.device(device)).device
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        raise ConfigError(
            f"a device '{device}'", first_line(error), "Use cpu or auto, or a device of this machine."
        ) from error


def to_device(array: NDArray[Any], device: torch.device) -> Tensor:
    """The array on the device. A GPU takes it from pinned memory while this process goes on."""
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)  # pragma: needs a GPU


def deferred(features: Tensor) -> Callable[[], Features]:
    """What gives the features in float32 when called; a GPU may compute them until then."""
    if features.device.type != "cuda":
        array: Features = features.float().cpu().numpy()
        return lambda: array
    host = torch.empty(features.shape, dtype=torch.float32, pin_memory=True)  # pragma: needs a GPU
    host.copy_(features.float(), non_blocking=True)  # pragma: needs a GPU
    done = torch.cuda.Event()  # pragma: needs a GPU
    done.record()  # pragma: needs a GPU

    def wait() -> Features:  # pragma: needs a GPU
        done.synchronize()
        copied: Features = host.numpy()
        return copied

    return wait  # pragma: needs a GPU


@cache
def check_compiler(device_type: str) -> None:
    """Compiles a sum by `torch.compile`, once a process.

    Raises:
        ConfigError: torch.compile does not work here, mostly for want of a C++ compiler or of Triton.
    """
    try:
        torch.compile(_sum_of_sines)(torch.ones(4, device=device_type))
    except Exception as error:  # dynamo, inductor and the C++ compiler raise many kinds
        said = first_line(error)
        raise ConfigError(
            f"a compiler that torch.compile can use for {device_type}",
            f"{type(error).__name__}: {said}",
            "Install a C++ compiler (for a GPU: Triton), or leave compile_model out; the features are the same.",
        ) from error


def _sum_of_sines(values: Tensor) -> Tensor:
    return values.sin().sum()
