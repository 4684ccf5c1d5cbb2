"""Where the pixels of a target come from: rectangles, and positions and weights along one axis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Index = npt.NDArray[np.intp]
Weights = npt.NDArray[np.int16]

#: Largest height or width: sums of area weights stay exact up to here.
MAX_SIDE_PX: Final = 16384


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
    first_weight, second_weight : int16, shape (n_target,)
        Weights in units of 2**-11.
    """

    first: Index
    second: Index
    first_weight: Weights
    second_weight: Weights


def _require_sizes(*sizes: int) -> None:
    for size in sizes:
        if not 1 <= size <= MAX_SIDE_PX:
            raise ValueError(f"heights and widths must be in 1..{MAX_SIDE_PX} px, got {size}")


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
    first_weight = np.rint((np.float32(1.0) - part) * np.float32(2048.0)).astype(np.int16)
    second_weight = np.rint(part * np.float32(2048.0)).astype(np.int16)
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
