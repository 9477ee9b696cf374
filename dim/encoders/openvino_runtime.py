"""OpenVINO on a CPU: writes a network in its own format, and runs one."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from threading import local
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from dim.encoders.device import EncoderPrecision
from dim.encoders.int8 import GROUP, quantized
from dim.errors import ConfigError

if TYPE_CHECKING:
    from torch.export import ExportedProgram

FILE = "model.xml"
_TELEMETRY = "openvino_telemetry"


class OpenVinoRuntime:
    """OpenVINO, in fp32 or, on a CPU that has it, in bf16, where the weights stand there in fp32; or in int8."""

    name = "openvino"
    precisions: tuple[EncoderPrecision, ...] = ("fp32", "bf16", "int8")
    call = 64  # it makes itself ready anew for each shape

    @property
    def is_installed(self) -> bool:
        """Whether a network can be written and run."""
        return find_spec("openvino") is not None

    def write(self, program: ExportedProgram, names: Sequence[str], folder: Path, is_int8: bool) -> None:
        """Writes a network into a folder.

        Raises:
            ConfigError: OpenVINO is missing.
        """
        openvino = _openvino()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what torch itself calls
            model = openvino.convert_model(program)
        for given, name in zip(model.inputs, names, strict=True):
            given.tensor.set_names({name})
        if is_int8:
            _to_int8(model)
        openvino.save_model(model, folder / FILE, compress_to_fp16=False)

    def opened(self, folder: Path, precision: EncoderPrecision) -> Any:
        """What runs the network that stands in a folder: inputs by name → its output.

        Raises:
            ConfigError: OpenVINO is missing, or this CPU does not compute in that precision.
        """
        _openvino()  # says what is missing
        core = _core()
        if precision == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise ConfigError(
                "a CPU that computes in bf16 (AVX-512 BF16 or AMX)",
                "one that imitates it, at a fraction of the speed",
                "Use precision: fp32.",
            )
        options = {
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",  # else it chooses by the CPU
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "PERFORMANCE_HINT": "LATENCY",
            "ENABLE_CPU_PINNING": False,  # others work on these cores, too
        }
        if precision == "int8":
            _check_int8()
            options["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = GROUP
        compiled = core.compile_model(folder / FILE, "CPU", options)
        kept = local()  # a request is one thread's

        def run(inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
            if not hasattr(kept, "request"):
                kept.request = compiled.create_infer_request()
            found: NDArray[np.float32] = kept.request.infer(dict(inputs), share_inputs=True)[0]
            return found

        return run


def _to_int8(model: Any) -> None:
    """Changes a model's matrices of weights to int8 with a scale a row, as OpenVINO knows them: Convert, Multiply."""
    from openvino import opset13 as ops

    for node in model.get_ordered_ops():
        if node.get_type_name() != "MatMul":
            continue
        constant, said = node.input_value(1).get_node(), node.get_attributes()
        if constant.get_type_name() != "Constant" or len(constant.shape) != 2:
            continue
        weights = constant.data if said["transpose_b"] else constant.data.T  # [columns of the output, of the input]
        whole, scales = quantized(weights)
        rounded = ops.multiply(ops.convert(ops.constant(whole), "f32"), ops.constant(scales))
        product = ops.matmul(node.input_value(0), rounded, said["transpose_a"], True)
        product.set_friendly_name(node.get_friendly_name())
        node.output(0).replace(product.output(0))


def multiplies_int8() -> bool:
    """Whether the CPU has products of int8."""
    known = torch.cpu.get_capabilities()
    return any(known.get(name) for name in ("avx512_vnni", "avx_vnni", "amx_int8"))


def _check_int8() -> None:
    """Raises ConfigError where the CPU has no products of int8: OpenVINO would make floats of the weights."""
    if not multiplies_int8():
        known = torch.cpu.get_capabilities()
        expected = "a CPU that multiplies int8 (AVX-512 VNNI, AVX-VNNI or AMX)"
        raise ConfigError(expected, f"{known.get('cpu_name', 'another')}", "Use precision: fp32.")


@cache
def _core() -> Any:
    """What knows the devices, one as long as the process lives.

    Each gives the thread that first uses it a stack for signals and takes it back when it is dropped. Of two that are
    dropped in the order in which they came, the stack of the first stays in use and is gone (OpenVINO 2026.4): the next
    Ctrl-C, SIGTERM or ended child would end the process without a word.
    """
    return _openvino().Core()


@cache
def _openvino() -> Any:
    """The package, which would tell its makers of each import and conversion: without what tells them it cannot.

    Raises:
        ConfigError: It is missing.
    """
    had, before = _TELEMETRY in sys.modules, sys.modules.get(_TELEMETRY)
    sys.modules[_TELEMETRY] = None  # type: ignore[assignment]  # Python's own mark of what may not be imported
    try:
        import openvino
    except ImportError as error:
        remedy = "pip install 'dim-linker[openvino]'"
        raise ConfigError("the package openvino, for backend: openvino", "none", remedy) from error
    finally:
        sys.modules.pop(_TELEMETRY)
        if had and before is not None:
            sys.modules[_TELEMETRY] = before
    return openvino
