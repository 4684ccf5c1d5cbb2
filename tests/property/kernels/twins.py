"""Slow twins of the kernels: exact arithmetic, written from docs/formats/preprocessing.md, not from the kernels."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

HALF = Fraction(1, 2)


def round_exactly(value: Fraction, ties: str) -> int:
    """The nearest integer; halves to even or away from zero."""
    below = math.floor(value)
    rest = value - below
    if rest != HALF:
        return below + (rest > HALF)
    if ties == "even":
        return below + below % 2
    return below + (value > 0)


def quantize_exactly(
    values: npt.NDArray[np.float32], scale: float, zero_point: int, low: int, high: int, ties: str
) -> list[int]:
    """One float32 division, then exact."""
    codes = []
    with np.errstate(all="ignore"):
        quotients = values / np.float32(scale)
    for quotient in quotients.reshape(-1).tolist():
        if math.isnan(quotient):
            codes.append(zero_point)
        elif math.isinf(quotient):
            codes.append(high if quotient > 0 else low)
        else:
            codes.append(min(max(round_exactly(Fraction(quotient), ties) + zero_point, low), high))
    return codes


def linear_positions(n_source: int, n_target: int, *, clamp: bool) -> list[tuple[int, int, int, int]]:
    """Two source positions and their weights, for each target position."""
    taps = []
    for d in range(n_target):
        position = np.float32((d + 0.5) * (1.0 / (n_target / n_source)) - 0.5)
        first = math.floor(position)
        part = np.float32(position - np.float32(first))
        if clamp and not 0 <= first < n_source - 1:
            part = np.float32(0)
        weights = round(float((np.float32(1) - part) * np.float32(2048))), round(float(part * np.float32(2048)))
        taps.append((min(max(first, 0), n_source - 1), min(max(first + 1, 0), n_source - 1), *weights))
    return taps


def resize_linear(pixels: npt.NDArray[np.uint8], height: int, width: int) -> npt.NDArray[np.uint8]:
    """The fixed-point bilinear of the specification, with Python's integers."""
    source = pixels.astype(object)
    rows = []
    columns = linear_positions(pixels.shape[1], width, clamp=True)
    for upper, lower, w0, w1 in linear_positions(pixels.shape[0], height, clamp=False):
        row = []
        for left, right, wl, wr in columns:
            above = (source[upper, left] * wl + source[upper, right] * wr) // 16
            below = (source[lower, left] * wl + source[lower, right] * wr) // 16
            row.append(((above * w0) // 65536 + (below * w1) // 65536 + 2) // 4)
        rows.append(row)
    return np.array(rows).astype(np.uint8).reshape(height, width, *pixels.shape[2:])


def overlaps(n_source: int, n_target: int, d: int) -> list[tuple[int, Fraction]]:
    """Source pixels under target pixel ``d`` with the part of it that each covers."""
    begin, end = Fraction(d * n_source, n_target), Fraction((d + 1) * n_source, n_target)
    return [
        (i, (min(end, Fraction(i + 1)) - max(begin, Fraction(i))) / (end - begin))
        for i in range(math.floor(begin), math.ceil(end))
    ]


def resize_area(pixels: npt.NDArray[np.uint8], height: int, width: int) -> npt.NDArray[np.uint8]:
    """The mean over what a target pixel covers, rounded half up, in fractions."""
    source = pixels.reshape(*pixels.shape[:2], -1).tolist()
    out = np.empty((height, width, len(source[0][0])), np.uint8)
    for y, x, c in np.ndindex(*out.shape):
        mean = sum(
            wy * wx * source[i][j][c]
            for i, wy in overlaps(pixels.shape[0], height, y)
            for j, wx in overlaps(pixels.shape[1], width, x)
        )
        out[y, x, c] = math.floor(mean + HALF)
    return out.reshape(height, width, *pixels.shape[2:])


def resize_nearest(pixels: npt.NDArray[np.uint8], height: int, width: int) -> npt.NDArray[np.uint8]:
    """The pixel under the upper left corner of each target pixel."""
    rows = [math.floor(Fraction(y * pixels.shape[0], height)) for y in range(height)]
    columns = [math.floor(Fraction(x * pixels.shape[1], width)) for x in range(width)]
    return pixels[rows][:, columns]


def luma(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """BT.601 luma of blue, green, red, rounded half up in units of 2**-15."""
    weighted = pixels.astype(np.int64) @ np.array([3735, 19235, 9798])
    return np.asarray((weighted + 16384) // 32768, np.uint8)


def normalise(
    window: npt.NDArray[np.float32],
    regimes: tuple[list[int], list[float], list[list[float]]] | None,
    centre: list[list[float]],
    scale: list[list[float]],
    clip: float,
) -> npt.NDArray[np.float32]:
    """Normalise value by value in float32."""
    out = np.empty(window.shape, np.float32)
    with np.errstate(all="ignore"):
        for i, sample in enumerate(window):
            regime = 0
            if regimes is not None:
                columns, spread, centroids = regimes
                distances = []
                for centroid in centroids:
                    distance = np.float32(0)
                    for column, divisor, value in zip(columns, spread, centroid, strict=True):
                        step = np.float32(sample[column] / np.float32(divisor)) - np.float32(value)
                        distance = np.float32(distance + np.float32(step * step))
                    distances.append(math.inf if np.isnan(distance) else float(distance))
                regime = distances.index(min(distances))
            for c, value in enumerate(sample):
                x = np.float32(np.float32(value - np.float32(centre[regime][c])) / np.float32(scale[regime][c]))
                out[i, c] = x if np.isnan(x) else min(max(x, np.float32(-clip)), np.float32(clip))
    return out


def clean(
    values: npt.NDArray[np.float32], low: list[float], high: list[float], stuck_after: list[int], max_hold: int
) -> tuple[npt.NDArray[np.float32], list[list[int]], list[bool]]:
    """Judge a stream from its beginning, channel by channel, looking back at the whole of it."""
    cleaned = values.copy()
    faults: list[list[int]] = [[0] * values.shape[1] for _ in values]
    usable = [True] * len(values)
    for c in range(values.shape[1]):
        column: list[float] = values[:, c].tolist()
        for i, x in enumerate(column):
            same = 0
            while same < i and column[i - same - 1] == x:
                same += 1
            if not math.isfinite(x):
                faults[i][c] = 1
            elif not low[c] <= x <= high[c]:
                faults[i][c] = 2
            elif stuck_after[c] and same >= stuck_after[c]:
                faults[i][c] = 3
        for i in range(len(column)):
            if not faults[i][c]:
                continue
            valid = [k for k in range(i) if not faults[k][c]]
            cleaned[i, c] = values[valid[-1], c] if valid else np.nan
            if not valid or i - valid[-1] > max_hold:
                usable[i] = False
    return cleaned, faults, usable


def tables(n_channels: int, dtype: Any, seed: int) -> npt.NDArray[Any]:
    """Tables in which every byte of every channel has another code where the dtype has room."""
    random = np.random.default_rng(seed)
    rows = [random.permutation(256) - (128 if dtype == "int8" else 0) for _ in range(n_channels)]
    return np.array(rows).astype(dtype)
