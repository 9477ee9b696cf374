"""Weights in int8: whole numbers, and by what they are multiplied.

A text's numbers are rounded while it is read, too, `GROUP` of them at a time and those of each token by themselves: so
what stands beside it in a batch says nothing. (One scale a batch, as ONNX Runtime's dynamic quantization has it, gave
a text other vectors beside others: 5.7% other first answers.) Only products with weights are so computed: attention,
embeddings, sums and norms stay in fp32.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

GROUP = 64  #: Numbers of a token that share a scale. 32 and 128 were tried: benchmarks/README.md.
LEVELS = 127  #: Whole numbers on either side of 0.
RECIPE = f"groups of {GROUP}"  #: Part of what names vectors that are so made: it changes when they would.


def quantized(weights: NDArray[Any]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """The whole numbers nearest to weights, from -127 to 127, and the scales that they are multiplied by.

    Those along axis 1 share a scale: scales are as wide as `weights`, but for 1 there. Weights are finite.

    Example:
        >>> whole, scales = quantized(np.array([[20.0, -254.0], [0.0, 0.0]]))
        >>> whole.tolist(), scales.tolist()
        ([[10, -127], [0, 0]], [[2.0], [1.0]])
    """
    most = np.abs(weights).max(1, keepdims=True)
    scales = np.where(most > 0, most / LEVELS, 1).astype(np.float32)
    return np.rint(weights / scales).astype(np.int8), scales
