"""An ONNX file of a stranger that names other files, or operations that are not ONNX's, is not opened."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from dim.encoders.onnx_file import check_whole
from dim.errors import DataError


def model(tensor: TensorProto, domain: str = "", nested: bool = False) -> onnx.ModelProto:
    """y = x + w, or the same within a branch."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in "xy")
    add = helper.make_node("Add", ["x", "w"], ["y"], domain=domain)
    nodes, weights = [add], [tensor]
    if nested:
        constant = helper.make_node("Constant", [], ["w"], value=tensor)
        branch = helper.make_graph([constant, add], "branch", [], [y])
        flag = helper.make_node("Constant", [], ["flag"], value=numpy_helper.from_array(np.array(True)))
        nodes, weights = [flag, helper.make_node("If", ["flag"], ["y"], then_branch=branch, else_branch=branch)], []
    return helper.make_model(helper.make_graph(nodes, "g", [x], [y], weights))


def weight(is_external: bool) -> TensorProto:
    tensor = numpy_helper.from_array(np.ones(2, np.float32), "w")
    if is_external:
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="../elsewhere.bin")
    return tensor


@pytest.mark.parametrize("nested", [False, True])
def test_weights_in_another_file_and_foreign_operations_are_refused_wherever_they_stand(
    tmp_path: Path, nested: bool
) -> None:
    path = tmp_path / "model.onnx"
    for found, said in (
        (model(weight(False), nested=nested), ""),
        (model(weight(False), "ai.onnx", nested), ""),
        (model(weight(True), nested=nested), "weights that stand in another file"),
        (model(weight(False), "com.somebody", nested), "an operation of b'com.somebody'"),
    ):
        path.write_bytes(found.SerializeToString())
        if said:
            with pytest.raises(DataError, match=said):
                check_whole(path)
        else:
            check_whole(path)


def test_what_is_no_onnx_file_is_refused_in_words(tmp_path: Path) -> None:
    path, whole = tmp_path / "model.onnx", model(weight(False)).SerializeToString()
    for content in (b"", b"\xff" * 40, whole[:-3], b"a text that is no model at all"):
        path.write_bytes(content)
        with pytest.raises(DataError, match="a damaged file"):
            check_whole(path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="a damaged file"):
        check_whole(tmp_path / "folder")
