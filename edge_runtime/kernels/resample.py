# ruff: noqa: PLR0913, PLR0917 - a kernel takes its arrays and scalars one by one; structures do not compile.
"""The loops that resize a frame row by row and write it as model input.

Linear is the fixed-point arithmetic of OpenCV's ``INTER_LINEAR`` for bytes: with taps ``l`` and ``r`` and weights that
add up to 2048 a row gives ``h = (l * wl + r * wr) >> 4``, and two rows give
``((h0 * w0 >> 16) + (h1 * w1 >> 16) + 2) >> 2``. Bytes are first gathered into words, and the arithmetic then runs over
contiguous arrays, which the compiler turns into vector instructions of whatever processor it is on.

Area is exact: along an axis of ``s`` source and ``t`` target pixels, source pixel ``i`` covers ``[i * t, (i + 1) * t)``
and target pixel ``d`` covers ``[d * s, (d + 1) * s)``; a target pixel is the mean over what it covers, rounded half up.

All of it is one file because it calls itself: see ``_jit``.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edge_runtime.kernels._jit import kernel

Bytes = npt.NDArray[np.uint8]
Index = npt.NDArray[np.intp]
Weights = npt.NDArray[np.int16]

#: Bytes from one pixel to the next in a line of blue, green, red: a fourth that nobody reads keeps words aligned.
BGR_PITCH: Final = 4
#: A frame must have as many bytes: pixels are read as words of this size, never past the end.
MIN_FRAME_BYTES: Final = 8


@kernel
def _emit_row(
    line: npt.NDArray[np.uint8],
    pitch: int,
    order: npt.NDArray[np.intp],
    tables: npt.NDArray[Any],
    out: npt.NDArray[Any],
    start: int,
) -> None:
    """Write one target row; luma weights are ITU-R BT.601 in units of 2**-15, as in OpenCV 5."""
    width = line.size // pitch
    if order.size == 3:  # noqa: PLR2004 - three channels
        # Unsigned positions: a signed one is compared with zero at every load.
        first, second, third = np.uint64(order[0]), np.uint64(order[1]), np.uint64(order[2])
        step, target = np.uint64(pitch), np.uint64(start)
        one, two, three = tables[0], tables[1], tables[2]
        for x in range(width):
            i, o = np.uint64(x) * step, target + np.uint64(x) * np.uint64(3)
            out[o] = one[line[i + first]]
            out[o + np.uint64(1)] = two[line[i + second]]
            out[o + np.uint64(2)] = three[line[i + third]]
    elif pitch == 1:
        for x in range(width):
            out[start + x] = tables[0, line[x]]
    else:
        for x in range(width):
            k = x * pitch
            luma = np.int32(3735) * line[k] + np.int32(19235) * line[k + 1] + np.int32(9798) * line[k + 2]
            out[start + x] = tables[0, (luma + np.int32(16384)) >> np.int32(15)]


@kernel
def _gather_bgr(
    pixels: Bytes,
    start: int,
    columns: npt.NDArray[np.uint64],
    left: npt.NDArray[np.uint32],
    right: npt.NDArray[np.uint32],
) -> None:
    """Copy each column's pixel and the one beside it. Eight byte loads become one; at the end it is moved back."""
    # Unsigned positions: a signed one is compared with zero at every load, and the loads are not joined.
    last = np.uint64(pixels.size) - np.uint64(8)
    for x in range(columns.size):
        wanted = np.uint64(start) + columns[x]
        i = min(wanted, last)
        word = (
            np.uint64(pixels[i])
            | (np.uint64(pixels[i + np.uint64(1)]) << np.uint64(8))
            | (np.uint64(pixels[i + np.uint64(2)]) << np.uint64(16))
            | (np.uint64(pixels[i + np.uint64(3)]) << np.uint64(24))
            | (np.uint64(pixels[i + np.uint64(4)]) << np.uint64(32))
            | (np.uint64(pixels[i + np.uint64(5)]) << np.uint64(40))
            | (np.uint64(pixels[i + np.uint64(6)]) << np.uint64(48))
            | (np.uint64(pixels[i + np.uint64(7)]) << np.uint64(56))
        ) >> ((wanted - i) << np.uint64(3))
        left[x] = word & np.uint64(0xFFFFFFFF)
        right[x] = (word >> np.uint64(24)) & np.uint64(0xFFFFFFFF)


@kernel
def _gather_gray(pixels: Bytes, start: int, columns: npt.NDArray[np.uint64], left: Bytes, right: Bytes) -> None:
    last = np.uint64(pixels.size) - np.uint64(1)
    for x in range(columns.size):
        i = np.uint64(start) + columns[x]
        left[x] = pixels[i]
        right[x] = pixels[min(i + np.uint64(1), last)]


@kernel
def _blend_columns(
    left: Bytes, right: Bytes, left_weight: Weights, right_weight: Weights, row: npt.NDArray[np.int16]
) -> None:
    for k in range(row.size):
        blend = np.int32(left[k]) * np.int32(left_weight[k]) + np.int32(right[k]) * np.int32(right_weight[k])
        row[k] = np.int16(blend >> np.int32(4))


@kernel
def _blend_rows(
    upper: npt.NDArray[np.int16],
    lower: npt.NDArray[np.int16],
    upper_weight: Any,  # noqa: ANN401 - int16, as a scalar of NumPy or of compiled code
    lower_weight: Any,  # noqa: ANN401 - the same
    line: Bytes,
) -> None:
    for k in range(line.size):
        above = np.int16((np.int32(upper[k]) * np.int32(upper_weight)) >> np.int32(16))
        below = np.int16((np.int32(lower[k]) * np.int32(lower_weight)) >> np.int32(16))
        line[k] = np.uint8((np.uint16(above) + np.uint16(below) + np.uint16(2)) >> np.uint16(2))


@kernel
def fill_linear(
    pixels: Bytes,
    row_bytes: int,
    n_channels: int,
    upper: Index,
    lower: Index,
    upper_weight: Weights,
    lower_weight: Weights,
    columns: npt.NDArray[np.uint64],
    left_weight: Weights,
    right_weight: Weights,
    order: Index,
    tables: npt.NDArray[Any],
    out: npt.NDArray[Any],
    out_start: int,
    out_row: int,
) -> None:
    """Resize into ``out``; the weights of columns are repeated for each byte of a pixel's pitch."""
    pitch = BGR_PITCH if n_channels == 3 else 1  # noqa: PLR2004 - blue, green, red
    left_words, right_words = np.empty(columns.size, np.uint32), np.empty(columns.size, np.uint32)
    left, right = left_words.view(np.uint8), right_words.view(np.uint8)
    line = np.empty(columns.size * pitch, np.uint8)
    above, below = np.empty(line.size, np.int16), np.empty(line.size, np.int16)
    row_above, row_below = -1, -1
    for y in range(upper.size):
        # What was below is often above now: going down a frame no row is interpolated twice.
        if upper[y] == row_below:
            above, below = below, above
            row_above, row_below = row_below, row_above
        if upper[y] != row_above:
            row_above = upper[y]
            if pitch == 1:
                _gather_gray(pixels, row_above * row_bytes, columns, left, right)
            else:
                _gather_bgr(pixels, row_above * row_bytes, columns, left_words, right_words)
            _blend_columns(left, right, left_weight, right_weight, above)
        if lower[y] != row_below:
            row_below = lower[y]
            if pitch == 1:
                _gather_gray(pixels, row_below * row_bytes, columns, left, right)
            else:
                _gather_bgr(pixels, row_below * row_bytes, columns, left_words, right_words)
            _blend_columns(left, right, left_weight, right_weight, below)
        _blend_rows(above, below, upper_weight[y], lower_weight[y], line)
        _emit_row(line, pitch, order, tables, out, out_start + y * out_row)


@kernel
def _add_row(
    pixels: Bytes,
    start: int,
    weight: Any,  # noqa: ANN401 - int32, as a scalar of NumPy or of compiled code
    sums: npt.NDArray[np.int32],
) -> None:
    row = pixels[start : start + sums.size]
    for k in range(sums.size):
        sums[k] += np.int32(row[k]) * weight


@kernel
def _mean_columns(
    sums: npt.NDArray[np.int32], n_channels: int, source_height: int, width: int, pitch: int, line: Bytes
) -> None:
    """Give the mean of each target column from the weighted sums of its rows."""
    source_width = sums.size // n_channels
    # Exact in float64: numerators are below 2**38 and a quotient below an integer is so by more than its rounding.
    twice_area = np.float64(2 * source_height * source_width)
    for x in range(width):
        left, right = x * source_width, (x + 1) * source_width
        first, last = left // width, (right - 1) // width
        first_weight = min(right, (first + 1) * width) - left
        last_weight = right - last * width
        for c in range(n_channels):
            total = np.int64(0)
            for column in range(first + 1, last):
                total += np.int64(sums[column * n_channels + c])
            total = total * width + first_weight * np.int64(sums[first * n_channels + c])
            if last > first:
                total += last_weight * np.int64(sums[last * n_channels + c])
            line[x * pitch + c] = np.uint8(np.float64(2 * total + source_height * source_width) / twice_area)


@kernel
def fill_area(
    pixels: Bytes,
    row_bytes: int,
    n_channels: int,
    source_height: int,
    source_width: int,
    height: int,
    width: int,
    order: Index,
    tables: npt.NDArray[Any],
    out: npt.NDArray[Any],
    out_start: int,
    out_row: int,
) -> None:
    """Resize into ``out``."""
    pitch = BGR_PITCH if n_channels == 3 else 1  # noqa: PLR2004 - blue, green, red
    sums = np.empty(source_width * n_channels, np.int32)
    line = np.empty(width * pitch, np.uint8)
    for y in range(height):
        top, bottom = y * source_height, (y + 1) * source_height
        sums[:] = 0
        for row in range(top // height, (bottom - 1) // height + 1):
            overlap = min(bottom, (row + 1) * height) - max(top, row * height)
            _add_row(pixels, row * row_bytes, np.int32(overlap), sums)
        _mean_columns(sums, n_channels, source_height, width, pitch, line)
        _emit_row(line, pitch, order, tables, out, out_start + y * out_row)


@kernel
def fill_nearest(
    pixels: Bytes,
    row_bytes: int,
    n_channels: int,
    rows: Index,
    columns: npt.NDArray[np.uint64],
    order: Index,
    tables: npt.NDArray[Any],
    out: npt.NDArray[Any],
    out_start: int,
    out_row: int,
) -> None:
    """Resize into ``out``; ``columns`` are bytes from the start of a row."""
    pitch = BGR_PITCH if n_channels == 3 else 1  # noqa: PLR2004 - blue, green, red
    line = np.empty(columns.size * pitch, np.uint8)
    for y in range(rows.size):
        start = np.uint64(rows[y] * row_bytes)
        for x in range(columns.size):
            for c in range(n_channels):
                line[x * pitch + c] = pixels[start + columns[x] + np.uint64(c)]
        _emit_row(line, pitch, order, tables, out, out_start + y * out_row)
