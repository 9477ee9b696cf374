"""A network in ONNX, with its weights in int8."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from dim.encoders.int8 import GROUP, quantized


def with_int8_weights(model: Any) -> Any:
    """A model of ONNX whose matrices of weights are int8, `GROUP` numbers of a column to a scale.

    Each stands behind a DequantizeLinear, ONNX's own operation, of which ONNX Runtime makes a product in int8.

    Args:
        model: An `onnx.ModelProto` of opset 21 or later, which had blocks first; it is changed.
    """
    from onnx import helper, numpy_helper

    graph = model.graph
    kept = {each.name: each for each in graph.initializer}
    uses = Counter(name for node in graph.node for name in node.input)
    nodes, rounded = [], {}
    for node in graph.node:
        name = node.input[1] if node.op_type == "MatMul" else ""
        if name in kept and len(kept[name].dims) == 2 and uses[name] == 1:
            whole, scales = _in_blocks(numpy_helper.to_array(kept[name]))
            given = [f"{name}.int8", f"{name}.scales"]
            rounded[name] = list(map(numpy_helper.from_array, (whole, scales), given))
            nodes.append(helper.make_node("DequantizeLinear", given, [name], name=name, axis=0, block_size=GROUP))
        nodes.append(node)
    tensors = [tensor for name, each in kept.items() for tensor in rounded.get(name, [each])]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(tensors)
    return model


def _in_blocks(weights: Any) -> tuple[Any, Any]:
    """Whole numbers as weights [rows, columns], and scales [ceil(rows / GROUP), columns]."""
    rows, columns = weights.shape
    padded = np.pad(weights, ((0, -rows % GROUP), (0, 0))).reshape(-1, GROUP, columns)
    whole, scales = quantized(padded)
    return whole.reshape(-1, columns)[:rows], scales[:, 0]
