"""What computes an encoder's network: torch, or, on a CPU, a runtime that it is exported to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dim.display.lines import warn
from dim.encoders.device import Backend, EncoderPrecision, resolve_device
from dim.encoders.onnx_runtime import OnnxRuntime
from dim.encoders.openvino_runtime import OpenVinoRuntime
from dim.errors import ConfigError

if TYPE_CHECKING:
    from torch.export import ExportedProgram


class Run(Protocol):
    """Runs a network."""

    def __call__(self, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Its output; several threads may call it."""


class Runtime(Protocol):
    """What writes a network in a form of its own, and runs it. Its package is imported on use.

    Attributes:
        name: What the option `backend` calls it.
        precisions: In which it computes.
        call: Tokens whose computing takes about as long as one more call (`dim.encoders.lengths`).
    """

    name: str
    precisions: tuple[EncoderPrecision, ...]
    call: int

    @property
    def is_installed(self) -> bool:
        """Whether a network can be written and run."""

    def write(self, program: ExportedProgram, names: Sequence[str], folder: Path, is_int8: bool) -> None:
        """Writes a network, whose inputs have these names, into a folder. Raises ConfigError where it cannot."""

    def opened(self, folder: Path, precision: EncoderPrecision) -> Run:
        """What runs the network that stands in a folder. Raises ConfigError where it cannot."""


#: In the order in which `auto` tries them: the faster on two threads first (`dim bench encode`).
RUNTIMES: dict[str, Runtime] = {each.name: each for each in (OpenVinoRuntime(), OnnxRuntime())}


def check_backend(backend: Backend, precision: EncoderPrecision, device: str, of_torch: Mapping[str, Any]) -> None:
    """Raises ConfigError where an encoder's options do not go with its backend.

    Args:
        backend: It.
        precision: Of its arithmetic.
        device: Where it computes.
        of_torch: Options by name that torch alone has, where they are set.
    """
    if precision == "int8" and backend in ("torch", "auto"):
        remedy = "Say backend: onnx or openvino. auto takes what answers as torch does, which int8 does not quite."
        raise ConfigError("another backend than torch for precision int8", f"backend: {backend}", remedy)
    if backend == "torch":
        return
    for option, value in of_torch.items():
        raise ConfigError(f"{option} beside backend: torch", f"backend: {backend}", f"Leave {option}: {value} out.")
    if backend != "auto" and precision not in (can := RUNTIMES[backend].precisions):
        remedy = "Choose another, or backend: openvino." if precision == "bf16" else "Choose another."
        raise ConfigError(f"a precision of backend {backend} ({', '.join(can)})", precision, remedy)
    if backend != "auto" and device != "auto" and resolve_device(device).type != "cpu":
        raise ConfigError(f"device: cpu for backend {backend}", device, "Leave device out, or use backend: torch.")


def fastest(precision: EncoderPrecision, is_the_same: Callable[[str], object]) -> str:
    """The name of the fastest runtime that is installed and gives what torch gives; where there is none, `torch`.

    Args:
        precision: Of its arithmetic.
        is_the_same: Raises ConfigError where it does not; then the next is tried, and stderr gets a line.
    """
    for name, runtime in RUNTIMES.items():
        if precision in runtime.precisions and runtime.is_installed:
            try:
                is_the_same(name)
            except ConfigError as error:
                warn(f"note: backend auto passes over {name}: expected {error.expected}, found {error.found}")
            else:
                return name
    return "torch"
