"""Arrays as supervisor and worker pass them on: element type, shape, bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from edge_runtime.daemon.protocol import ItemType

Packed = tuple[tuple[ItemType, tuple[int, ...], bytes], ...]


def pack(arrays: Sequence[npt.NDArray[Any]]) -> Packed:
    """Write arrays, each of an element type that a tensor can have."""
    return tuple(
        (cast("ItemType", str(array.dtype)), array.shape, np.ascontiguousarray(array).tobytes()) for array in arrays
    )


def unpack(packed: Packed) -> list[npt.NDArray[Any]]:
    """Read what ``pack`` wrote; the arrays are read-only."""
    return [np.frombuffer(data, item_type).reshape(shape) for item_type, shape, data in packed]
