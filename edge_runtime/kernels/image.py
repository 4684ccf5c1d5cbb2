"""Frames to model input: resize, colour order and a table per channel in one pass, into memory that is given.

The arithmetic is ours and is specified in ``docs/formats/preprocessing.md``; it is all integer, so that a device, a
workstation and a microcontroller agree to the bit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from edge_runtime.kernels._jit import read_only
from edge_runtime.kernels.geometry import Geometry, linear_taps, nearest_positions, stretch
from edge_runtime.kernels.resample import BGR_PITCH, MIN_FRAME_BYTES, fill_area, fill_linear, fill_nearest

Interpolation = Literal["linear", "area", "nearest"]
Bytes = npt.NDArray[np.uint8]
Fill = Callable[..., None]

_WORDS: Final = {1: np.uint8, 2: np.uint16, 4: np.uint32}


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
        self._fill: Fill
        self._plan: tuple[Any, ...]
        if interpolation == "linear":
            rows = linear_taps(height, geometry.height, clamp_weights=False)
            columns = linear_taps(width, geometry.width, clamp_weights=True)
            starts = (columns.first * n_channels).astype(np.uint64)
            pitch = BGR_PITCH if n_channels == 3 else 1  # noqa: PLR2004 - blue, green, red
            weights = np.repeat(columns.first_weight, pitch), np.repeat(columns.second_weight, pitch)
            self._fill = fill_linear
            self._plan = (rows.first, rows.second, rows.first_weight, rows.second_weight, starts, *weights)
        elif interpolation == "nearest":
            self._fill = fill_nearest
            starts = (nearest_positions(width, geometry.width) * n_channels).astype(np.uint64)
            self._plan = (nearest_positions(height, geometry.height), starts)
        else:
            self._fill = fill_area
            self._plan = (height, width, geometry.height, geometry.width)

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
        # Codes are moved, never computed with: kernels know their size alone.
        word = _WORDS[out.itemsize]
        flat = pixels.reshape(-1)[start:]
        if flat.size < MIN_FRAME_BYTES:
            flat = np.concatenate([flat, np.zeros(MIN_FRAME_BYTES, np.uint8)])
        self._fill(
            read_only(flat),
            row_bytes,
            self.n_channels,
            *self._plan,
            self._order,
            read_only(tables.view(word)),
            out.reshape(-1).view(word),
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
        for dtype in ("int8", "int16", "float32"):
            tables, out = np.zeros((3, 256), dtype), np.empty((1, 1, 3), dtype)
            Resampler(geometry, 3, interpolation, (2, 1, 0)).fill(pixels, tables, 0, out)
