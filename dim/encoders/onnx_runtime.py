"""ONNX Runtime on a CPU: writes a network as an ONNX file, and runs one."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from dim.encoders.device import EncoderPrecision
from dim.encoders.onnx_file import check_whole
from dim.encoders.onnx_int8 import with_int8_weights
from dim.errors import ConfigError

if TYPE_CHECKING:
    from torch.export import ExportedProgram

FILE = "model.onnx"
MOST_BYTES = 2**31 - 2**24  #: Of the weights: a file of protobuf holds 2 GB, and some of it is the graph's.
_BLOCKS = 21  #: The first version of ONNX whose weights may have several scales a column.


class OnnxRuntime:
    """ONNX Runtime, in fp32 or int8."""

    name = "onnx"
    precisions: tuple[EncoderPrecision, ...] = ("fp32", "int8")
    call = 16

    @property
    def is_installed(self) -> bool:
        """Whether a network can be written and run."""
        return all(find_spec(package) is not None for package in ("onnx", "onnxscript", "onnxruntime"))

    def write(self, program: ExportedProgram, names: Sequence[str], folder: Path, is_int8: bool) -> None:
        """Writes a network into a folder.

        Raises:
            ConfigError: A package is missing, or it has more weights than such a file holds.
        """
        self._check("onnx", "onnxscript")
        size = sum(value.nbytes for value in program.state_dict.values())
        if size > MOST_BYTES:
            found = f"{size / 1e9:.1f} GB"
            raise ConfigError("an encoder of less than 2 GB for backend onnx", found, "Use backend: openvino.")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what torch itself calls
            written: Any = torch.onnx.export(
                program,
                dynamo=True,
                verbose=False,
                input_names=list(names),
                output_names=["features"],
                opset_version=_BLOCKS if is_int8 else None,
            )
            if is_int8:
                (folder / FILE).write_bytes(with_int8_weights(written.model_proto).SerializeToString())
            else:
                written.save(folder / FILE, external_data=False)

    def opened(self, folder: Path, precision: EncoderPrecision) -> Any:
        """What runs the network that stands in a folder: inputs by name → its output.

        Raises:
            ConfigError: ONNX Runtime is missing.
            DataError: The file names other files.
        """
        self._check("onnxruntime")
        # Else it tells its makers of each session: said before the import, as its first word would be out by then.
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        import onnxruntime

        check_whole(folder / FILE)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Its threads wait busily within a call alone: what follows, torch's towers, needs the cores.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        # Else it multiplies weights in int8 as floats: slower than those of fp32.
        options.add_session_config_entry("session.qdq_matmulnbits_accuracy_level", "4")
        session = onnxruntime.InferenceSession(str(folder / FILE), options, providers=["CPUExecutionProvider"])

        def run(inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
            found: NDArray[np.float32] = session.run(None, dict(inputs))[0]
            return found

        return run

    def _check(self, *packages: str) -> None:
        missing = [package for package in packages if find_spec(package) is None]
        if missing:
            remedy = "pip install 'dim-linker[onnx]'"
            raise ConfigError(f"the package {missing[0]}, for backend: onnx", "none", remedy)
