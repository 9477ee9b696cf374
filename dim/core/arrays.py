"""The kinds of arrays that signatures name."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Rows: TypeAlias = NDArray[np.int64]  #: Places: of entities in a KB, of mentions in a dataset, of vectors in a matrix.
Floats: TypeAlias = NDArray[np.float32]  #: Features, and what is computed on a device.
Doubles: TypeAlias = NDArray[np.float64]  #: What is added up or compared exactly.
