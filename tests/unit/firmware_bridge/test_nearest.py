"""Which pixel RESIZE_NEAREST_NEIGHBOR takes, held to the reference's formula."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from firmware_bridge.operators.movement import nearest


def _roundf(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """C's roundf of numbers that are not negative; taking the whole part away is exact."""
    whole = np.trunc(values)
    return np.where(values - whole >= np.float32(0.5), whole + np.float32(1), whole).astype(np.float32)


def _reference(size: int, result: int, *, corners: bool, half: bool) -> list[int]:
    """tflite-micro's GetNearestNeighbor, every operation in float32."""
    ends = corners and result > 1
    scale = np.float32(size - 1) / np.float32(result - 1) if ends else np.float32(size) / np.float32(result)
    offset = np.float32(0.5 if half else 0.0)
    positions = (np.arange(result, dtype=np.float32) + offset) * scale
    assert positions.dtype == np.float32
    indices = (_roundf(positions) if corners else np.floor(positions)).astype(np.int64)
    return [int(index) for index in np.minimum(indices, size - 1)]


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("corners", [False, True])
@pytest.mark.parametrize("size", range(1, 12))
def test_every_short_axis_is_resized_as_in_the_reference(size: int, corners: bool, half: bool) -> None:
    for result in range(1, 400):
        found = nearest(size, result, corners=corners, half=half)
        assert found.tolist() == _reference(size, result, corners=corners, half=half), result


def test_position_just_below_a_half_goes_down() -> None:
    """Halfway between 2 pixels, 41 of 82 steps of 1 / 82 come to 0.49999997 in float32."""
    position = np.float32(41) * (np.float32(1) / np.float32(82))
    assert position < 0.5
    assert position + np.float32(0.5) == 1.0
    assert nearest(2, 83, corners=True, half=False)[41] == 0
