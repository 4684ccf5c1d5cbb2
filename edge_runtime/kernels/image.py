# ruff: noqa: PLR0913, PLR0917 - a kernel takes its arrays and scalars one by one; structures do not compile.
"""Frames to model input: resize, colour order and a table per channel in one pass, into memory that is given.

The arithmetic is ours and is specified in ``docs/formats/preprocessing.md``; it is all integer, so that a device, a
workstation and a microcontroller agree to the bit. ``linear`` is the fixed-point arithmetic of OpenCV's
``INTER_LINEAR`` for bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from edge_runtime.kernels._jit import kernel, read_only

Interpolation = Literal["linear", "area", "nearest"]
Bytes = npt.NDArray[np.uint8]
Index = npt.NDArray[np.intp]
Weights = npt.NDArray[np.int32]

#: Luma weights of blue, green and red (ITU-R BT.601) in units of 2**-15; they add up to 2**15.
LUMA: Final = (3735, 19235, 9798)
#: Largest height or width of a source: sums of area weights stay exact in float64 up to here.
MAX_SOURCE_PX: Final = 16384


@dataclass(frozen=True, slots=True)
class Geometry:
    """Which rectangle of a source becomes which rectangle of a target.

    Attributes
    ----------
    source_top, source_left, source_height, source_width : int, px
        The rectangle that is read.
    top, left, height, width : int, px
        The rectangle that is written; what lies outside is padding.
    target_height, target_width : int, px
        Size of the whole target.
    """

    source_top: int
    source_left: int
    source_height: int
    source_width: int
    top: int
    left: int
    height: int
    width: int
    target_height: int
    target_width: int


@dataclass(frozen=True, slots=True)
class Taps:
    """For each target position of one axis: two source positions and their weights, which add up to 2048.

    Attributes
    ----------
    first, second : intp, shape (n_target,)
        Source positions.
    first_weight, second_weight : int32, shape (n_target,)
        Weights in units of 2**-11.
    """

    first: Index
    second: Index
    first_weight: Weights
    second_weight: Weights


def _require_sizes(*sizes: int) -> None:
    for size in sizes:
        if not 1 <= size <= MAX_SOURCE_PX:
            raise ValueError(f"heights and widths must be in 1..{MAX_SOURCE_PX} px, got {size}")


def _proportional(length: int, numerator: int, denominator: int) -> int:
    """Give ``length * numerator / denominator`` rounded half up, at least 1."""
    return max(1, (2 * length * numerator + denominator) // (2 * denominator))


def stretch(height: int, width: int, target_height: int, target_width: int) -> Geometry:
    """Fill the target with the whole source, whatever becomes of the aspect ratio.

    Parameters
    ----------
    height, width, target_height, target_width : int, px
        Sizes, 1..16384.

    Returns
    -------
    geometry : Geometry

    Raises
    ------
    ValueError
        If a size is outside its range.
    """
    _require_sizes(height, width, target_height, target_width)
    return Geometry(0, 0, height, width, 0, 0, target_height, target_width, target_height, target_width)


def letterbox(height: int, width: int, target_height: int, target_width: int) -> Geometry:
    """Fit the whole source into the target, centred, and leave padding on two sides.

    The fitted side is rounded half up; an odd row or column of padding goes below or to the right.

    Parameters
    ----------
    height, width, target_height, target_width : int, px
        Sizes, 1..16384.

    Returns
    -------
    geometry : Geometry

    Raises
    ------
    ValueError
        If a size is outside its range.

    Examples
    --------
    >>> fit = letterbox(1080, 1920, 224, 224)
    >>> fit.top, fit.left, fit.height, fit.width
    (49, 0, 126, 224)
    """
    _require_sizes(height, width, target_height, target_width)
    if target_height * width <= target_width * height:
        inner_height, inner_width = target_height, min(target_width, _proportional(width, target_height, height))
    else:
        inner_height, inner_width = min(target_height, _proportional(height, target_width, width)), target_width
    top, left = (target_height - inner_height) // 2, (target_width - inner_width) // 2
    return Geometry(0, 0, height, width, top, left, inner_height, inner_width, target_height, target_width)


def crop(height: int, width: int, target_height: int, target_width: int) -> Geometry:
    """Fill the target with the largest centred part of the source that has the target's aspect ratio.

    Parameters
    ----------
    height, width, target_height, target_width : int, px
        Sizes, 1..16384.

    Returns
    -------
    geometry : Geometry

    Raises
    ------
    ValueError
        If a size is outside its range.

    Examples
    --------
    >>> cut = crop(1080, 1920, 224, 224)
    >>> cut.source_top, cut.source_left, cut.source_height, cut.source_width
    (0, 420, 1080, 1080)
    """
    _require_sizes(height, width, target_height, target_width)
    if target_height * width >= target_width * height:
        cut_height, cut_width = height, min(width, _proportional(height, target_width, target_height))
    else:
        cut_height, cut_width = min(height, _proportional(width, target_height, target_width)), width
    top, left = (height - cut_height) // 2, (width - cut_width) // 2
    return Geometry(top, left, cut_height, cut_width, 0, 0, target_height, target_width, target_height, target_width)


def linear_taps(n_source: int, n_target: int, *, clamp_weights: bool) -> Taps:
    """Give the bilinear taps of one axis.

    Position ``d`` lies at ``f = (d + 1/2) * n_source / n_target - 1/2`` in the source (float64, rounded to float32);
    with ``s = floor(f)`` the weights are ``rint((1 - (f - s)) * 2048)`` and ``rint((f - s) * 2048)`` in float32.

    Parameters
    ----------
    n_source, n_target : int > 0
        Lengths of the axis.
    clamp_weights : bool
        Whether a position outside the centres of the outer pixels takes the outer pixel with weight 2048 (columns)
        or with two weights that add up to it (rows). OpenCV differs between its axes, and truncation makes it
        visible.

    Returns
    -------
    taps : Taps
    """
    scale = 1.0 / (n_target / n_source)
    position = ((np.arange(n_target) + 0.5) * scale - 0.5).astype(np.float32)
    floor = np.floor(position)
    first = floor.astype(np.intp)
    part = position - floor
    if clamp_weights:
        outside = (first < 0) | (first >= n_source - 1)
        part[outside] = 0.0
    first_weight = np.rint((np.float32(1.0) - part) * np.float32(2048.0)).astype(np.int32)
    second_weight = np.rint(part * np.float32(2048.0)).astype(np.int32)
    last = n_source - 1
    return Taps(np.clip(first, 0, last), np.clip(first + 1, 0, last), first_weight, second_weight)


def nearest_positions(n_source: int, n_target: int) -> Index:
    """Give the source position of each target position: ``floor(d * n_source / n_target)`` in integers.

    Parameters
    ----------
    n_source, n_target : int > 0
        Lengths of the axis.

    Returns
    -------
    positions : intp, shape (n_target,)
    """
    return np.asarray(np.arange(n_target, dtype=np.intp) * n_source // n_target)


@kernel
def _blend_row(
    pixels: Bytes,
    upper: int,
    lower: int,
    upper_weight: int,
    lower_weight: int,
    first: Index,
    second: Index,
    first_weight: Weights,
    second_weight: Weights,
    n_channels: int,
    line: Bytes,
) -> None:
    """Interpolate one target row between the source rows that start at bytes ``upper`` and ``lower``."""
    k = 0
    for x in range(first.size):
        a, b = first[x], second[x]
        wa, wb = first_weight[x], second_weight[x]
        for c in range(n_channels):
            above = (np.int32(pixels[upper + a + c]) * wa + np.int32(pixels[upper + b + c]) * wb) >> 4
            below = (np.int32(pixels[lower + a + c]) * wa + np.int32(pixels[lower + b + c]) * wb) >> 4
            line[k] = (((above * upper_weight) >> 16) + ((below * lower_weight) >> 16) + 2) >> 2
            k += 1


@kernel
def _emit_row(
    line: Bytes, n_channels: int, order: Index, tables: npt.NDArray[Any], out: npt.NDArray[Any], start: int
) -> None:
    """Write one target row from its interpolated bytes: colour order or luma, then the table of each channel."""
    n_target = order.size
    width = line.size // n_channels
    if n_target == 1 and n_channels == 3:  # noqa: PLR2004 - blue, green, red
        for x in range(width):
            luma = np.int32(3735) * line[3 * x] + np.int32(19235) * line[3 * x + 1] + np.int32(9798) * line[3 * x + 2]
            out[start + x] = tables[0, (luma + 16384) >> 15]
        return
    for x in range(width):
        for c in range(n_target):
            out[start + x * n_target + c] = tables[c, line[x * n_channels + order[c]]]


@kernel
def _fill_linear(
    pixels: Bytes,
    row_bytes: int,
    n_channels: int,
    rows_first: Index,
    rows_second: Index,
    rows_first_weight: Weights,
    rows_second_weight: Weights,
    first: Index,
    second: Index,
    first_weight: Weights,
    second_weight: Weights,
    order: Index,
    tables: npt.NDArray[Any],
    out: npt.NDArray[Any],
    out_start: int,
    out_row: int,
) -> None:
    line = np.empty(first.size * n_channels, np.uint8)
    for y in range(rows_first.size):
        _blend_row(
            pixels,
            rows_first[y] * row_bytes,
            rows_second[y] * row_bytes,
            rows_first_weight[y],
            rows_second_weight[y],
            first,
            second,
            first_weight,
            second_weight,
            n_channels,
            line,
        )
        _emit_row(line, n_channels, order, tables, out, out_start + y * out_row)


@kernel
def _fill_nearest(
    pixels: Bytes,
    row_bytes: int,
    n_channels: int,
    rows: Index,
    columns: Index,
    order: Index,
    tables: npt.NDArray[Any],
    out: npt.NDArray[Any],
    out_start: int,
    out_row: int,
) -> None:
    line = np.empty(columns.size * n_channels, np.uint8)
    for y in range(rows.size):
        start = rows[y] * row_bytes
        for x in range(columns.size):
            for c in range(n_channels):
                line[x * n_channels + c] = pixels[start + columns[x] + c]
        _emit_row(line, n_channels, order, tables, out, out_start + y * out_row)


@kernel
def _add_row(pixels: Bytes, start: int, width: int, n_channels: int, weight: int, sums: npt.NDArray[np.int64]) -> None:
    """Add one source row, summed over each target column's overlap, times its own overlap."""
    n_target = sums.size // n_channels
    for x in range(n_target):
        left, right = x * width, (x + 1) * width
        first, last = left // n_target, (right - 1) // n_target
        for c in range(n_channels):
            total = np.int64(0)
            for column in range(first, last + 1):
                overlap = min(right, (column + 1) * n_target) - max(left, column * n_target)
                total += overlap * np.int64(pixels[start + column * n_channels + c])
            sums[x * n_channels + c] += weight * total


@kernel
def _fill_area(
    pixels: Bytes,
    row_bytes: int,
    n_channels: int,
    source_start: int,
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
    line = np.empty(width * n_channels, np.uint8)
    sums = np.empty(width * n_channels, np.int64)
    area = np.int64(source_height) * np.int64(source_width)
    for y in range(height):
        top, bottom = y * source_height, (y + 1) * source_height
        sums[:] = 0
        for row in range(top // height, (bottom - 1) // height + 1):
            overlap = min(bottom, (row + 1) * height) - max(top, row * height)
            _add_row(pixels, source_start + row * row_bytes, source_width, n_channels, overlap, sums)
        for k in range(line.size):
            line[k] = (2 * sums[k] + area) // (2 * area)
        _emit_row(line, n_channels, order, tables, out, out_start + y * out_row)


class Resampler:
    """Resize frames of one size into model input, with everything that depends on the size worked out once.

    Parameters
    ----------
    geometry : Geometry
        Which part of the frame becomes which part of the target.
    n_channels : {1, 3}
        Channels of the frame: grey, or blue, green, red.
    interpolation : {"linear", "area", "nearest"}
        How bytes between pixels are found.
    order : sequence of int
        For each channel of the target the channel of the frame. One target channel from three is the luma.

    Raises
    ------
    ValueError
        If ``n_channels``, ``interpolation`` or ``order`` is not one of those.
    """

    def __init__(
        self, geometry: Geometry, n_channels: int, interpolation: Interpolation, order: tuple[int, ...]
    ) -> None:
        if n_channels not in (1, 3) or len(order) not in (1, 3) or not all(0 <= c < n_channels for c in order):
            raise ValueError(f"frames have 1 or 3 channels, got {n_channels} and the order {order}")
        if interpolation not in ("linear", "area", "nearest"):
            raise ValueError(f'interpolation must be "linear", "area" or "nearest", got {interpolation!r}')
        self.geometry = geometry
        self.n_channels = n_channels
        self.interpolation = interpolation
        self._order = np.array(order, np.intp)
        height, width = geometry.source_height, geometry.source_width
        if interpolation == "linear":
            self._rows = linear_taps(height, geometry.height, clamp_weights=False)
            columns = linear_taps(width, geometry.width, clamp_weights=True)
            self._columns = Taps(
                columns.first * n_channels, columns.second * n_channels, columns.first_weight, columns.second_weight
            )
        elif interpolation == "nearest":
            self._nearest_rows = nearest_positions(height, geometry.height)
            self._nearest_columns = nearest_positions(width, geometry.width) * n_channels

    def fill(self, pixels: Bytes, tables: npt.NDArray[Any], pad: int, out: npt.NDArray[Any]) -> None:
        """Write one frame into model input.

        Parameters
        ----------
        pixels : uint8, shape (height, width) or (height, width, n_channels), C-contiguous
            The frame; at least the source rectangle of the geometry must lie inside.
        tables : int8, uint8, int16 or float32, shape (n_target_channels, 256), C-contiguous
            Code of each byte, per channel of the target.
        pad : int, 0..255
            Byte that stands outside the written rectangle, before the tables.
        out : dtype of ``tables``, shape (target_height, target_width, n_target_channels), C-contiguous
            Written, every element.

        Raises
        ------
        TypeError
            If a dtype is another.
        ValueError
            If a shape is another, an array is not contiguous, or ``pad`` is not a byte.
        """
        self._require_arrays(pixels, tables, pad, out)
        geometry = self.geometry
        n_target = len(self._order)
        if (geometry.height, geometry.width) != (geometry.target_height, geometry.target_width):
            _fill_padding(geometry, tables[:, pad], out)
        row_bytes = pixels.shape[1] * self.n_channels
        start = geometry.source_top * row_bytes + geometry.source_left * self.n_channels
        out_row = geometry.target_width * n_target
        out_start = geometry.top * out_row + geometry.left * n_target
        flat = read_only(pixels.reshape(-1))
        codes = read_only(tables)
        target = out.reshape(-1)
        if self.interpolation == "linear":
            rows, columns = self._rows, self._columns
            _fill_linear(
                flat[start:],
                row_bytes,
                self.n_channels,
                rows.first,
                rows.second,
                rows.first_weight,
                rows.second_weight,
                columns.first,
                columns.second,
                columns.first_weight,
                columns.second_weight,
                self._order,
                codes,
                target,
                out_start,
                out_row,
            )
        elif self.interpolation == "nearest":
            rows_, columns_ = self._nearest_rows, self._nearest_columns
            _fill_nearest(
                flat[start:],
                row_bytes,
                self.n_channels,
                rows_,
                columns_,
                self._order,
                codes,
                target,
                out_start,
                out_row,
            )
        else:
            _fill_area(
                flat,
                row_bytes,
                self.n_channels,
                start,
                geometry.source_height,
                geometry.source_width,
                geometry.height,
                geometry.width,
                self._order,
                codes,
                target,
                out_start,
                out_row,
            )

    def _require_arrays(self, pixels: Bytes, tables: npt.NDArray[Any], pad: int, out: npt.NDArray[Any]) -> None:
        geometry = self.geometry
        n_target = len(self._order)
        if pixels.dtype != np.uint8 or tables.dtype != out.dtype:
            raise TypeError(f"frames are uint8 and tables have the output's dtype, got {pixels.dtype}, {tables.dtype}")
        if tables.dtype.name not in ("int8", "uint8", "int16", "float32"):
            raise TypeError(f"tables are int8, uint8, int16 or float32, got {tables.dtype}")
        shape = pixels.shape if pixels.ndim == 3 else (*pixels.shape, 1)  # noqa: PLR2004 - height, width, channels
        inside = (
            len(shape) == 3  # noqa: PLR2004 - height, width, channels
            and shape[2] == self.n_channels
            and geometry.source_top + geometry.source_height <= shape[0]
            and geometry.source_left + geometry.source_width <= shape[1]
        )
        if not inside:
            raise ValueError(f"a frame of shape {pixels.shape} does not hold the {self.n_channels}-channel {geometry}")
        wanted = (geometry.target_height, geometry.target_width, n_target)
        if tables.shape != (n_target, 256) or out.shape != wanted:
            raise ValueError(f"expected tables {(n_target, 256)} and output {wanted}, got {tables.shape}, {out.shape}")
        if not all(array.flags.c_contiguous for array in (pixels, tables, out)):
            raise ValueError("frame, tables and output must be C-contiguous")
        if not 0 <= pad <= 255:  # noqa: PLR2004 - a byte
            raise ValueError(f"pad must be a byte 0..255, got {pad}")


def _fill_padding(geometry: Geometry, codes: npt.NDArray[Any], out: npt.NDArray[Any]) -> None:
    """Write the code of the padding into the bands around the inner rectangle."""
    bottom, right = geometry.top + geometry.height, geometry.left + geometry.width
    out[: geometry.top] = codes
    out[bottom:] = codes
    out[geometry.top : bottom, : geometry.left] = codes
    out[geometry.top : bottom, right:] = codes


def resize(pixels: Bytes, height: int, width: int, interpolation: Interpolation = "linear") -> Bytes:
    """Resize a frame, whatever becomes of its aspect ratio.

    Parameters
    ----------
    pixels : uint8, shape (height, width) or (height, width, 3), C-contiguous
        The frame.
    height, width : int, px
        Size to give, 1..16384.
    interpolation : {"linear", "area", "nearest"}
        How bytes between pixels are found.

    Returns
    -------
    resized : uint8, shape (height, width) or (height, width, 3)

    Raises
    ------
    TypeError
        If ``pixels`` is not uint8.
    ValueError
        If a size or the number of channels is another.

    Examples
    --------
    >>> resize(np.array([[0, 100]], np.uint8), 1, 4)
    array([[  0,  25,  75, 100]], dtype=uint8)
    """
    n_channels = 1 if pixels.ndim == 2 else pixels.shape[-1]  # noqa: PLR2004 - height, width
    geometry = stretch(pixels.shape[0], pixels.shape[1], height, width)
    resampler = Resampler(geometry, n_channels, interpolation, tuple(range(n_channels)))
    identity = np.tile(np.arange(256, dtype=np.uint8), (n_channels, 1))
    out = np.empty((height, width, n_channels), np.uint8)
    resampler.fill(np.ascontiguousarray(pixels), identity, 0, out)
    return out if pixels.ndim == 3 else out[..., 0]  # noqa: PLR2004 - height, width, channels


def warm_up() -> None:
    """Compile or load every kernel of this module for every dtype."""
    pixels = np.zeros((2, 2, 3), np.uint8)
    geometry = stretch(2, 2, 1, 1)
    for interpolation in ("linear", "area", "nearest"):
        for dtype in ("int8", "uint8", "int16", "float32"):
            tables, out = np.zeros((3, 256), dtype), np.empty((1, 1, 3), dtype)
            Resampler(geometry, 3, interpolation, (2, 1, 0)).fill(pixels, tables, 0, out)
