"""Surfaces without fault: brushed metal, moulded plastic and woven textile, as relative reflectance around 1."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

Plane = npt.NDArray[np.float32]

#: Height that the sizes of grain, threads and faults are given for; other pictures scale them.
REFERENCE_HEIGHT = 480


def smooth_noise(rng: np.random.Generator, rows: int, columns: int, height: int, width: int) -> Plane:
    """Draw normal noise on a coarse grid and stretch it over the picture.

    Parameters
    ----------
    rng : Generator
        Source of the noise.
    rows, columns : int >= 1
        Size of the coarse grid.
    height, width : int
        Size of the result in pixels.

    Returns
    -------
    noise : float32, shape (height, width)
        About zero; the deviation is somewhat below 1 because stretching averages.
    """
    grid = rng.standard_normal((max(rows, 1), max(columns, 1)), dtype=np.float32)
    stretched: Plane = cv2.resize(grid, (width, height), interpolation=cv2.INTER_LINEAR)
    return stretched


def brushed_metal(rng: np.random.Generator, height: int, width: int) -> Plane:
    """Brush marks along one direction, long and short, a few degrees off the axis of the picture.

    Parameters
    ----------
    rng : Generator
        Source of the grain.
    height, width : int
        Size in pixels.

    Returns
    -------
    reflectance : float32, shape (height, width)
        Around 1.
    """
    upright = bool(rng.random() < 0.3)
    rows, columns = (width, height) if upright else (height, width)
    marks = smooth_noise(rng, rows, 6, rows, columns) * np.float32(rng.uniform(0.02, 0.05))
    marks += smooth_noise(rng, rows, columns // 24, rows, columns) * np.float32(rng.uniform(0.02, 0.05))
    if upright:
        marks = np.ascontiguousarray(marks.T)
    angle = rng.uniform(-8.0, 8.0)
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1.0)
    turned: Plane = cv2.warpAffine(marks, turn, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    turned += np.float32(1.0)
    return turned


def moulded_plastic(rng: np.random.Generator, height: int, width: int) -> Plane:
    """Fine grain over a slow unevenness, as an injection mould leaves it.

    Parameters
    ----------
    rng : Generator
        Source of the grain.
    height, width : int
        Size in pixels.

    Returns
    -------
    reflectance : float32, shape (height, width)
        Around 1.
    """
    grain_px = rng.uniform(2.0, 4.0) * height / REFERENCE_HEIGHT
    rows, columns = round(height / grain_px), round(width / grain_px)
    surface = smooth_noise(rng, rows, columns, height, width)
    surface *= np.float32(rng.uniform(0.015, 0.06))
    surface += smooth_noise(rng, rows // 8, columns // 8, height, width) * np.float32(rng.uniform(0.01, 0.025))
    surface += np.float32(1.0)
    return surface


def _thread_phase(rng: np.random.Generator, length: int, period_px: float) -> tuple[Plane, Plane]:
    """Phase of the weave along one axis, slowly uneven, and the shade of each thread."""
    at, positions, levels = _knots(rng, length, 12)
    steps = 2 * np.pi / period_px * (1 + 0.03 * np.interp(at, positions, levels))
    phase = np.cumsum(steps)
    shades = rng.normal(0.0, 1.0, int(phase[-1] / (2 * np.pi)) + 2)
    shade = shades[(phase / (2 * np.pi)).astype(np.intp)]
    return phase.astype(np.float32), shade.astype(np.float32)


def _knots(rng: np.random.Generator, length: int, count: int) -> tuple[npt.NDArray[np.float64], ...]:
    """Arguments for an interpolation of ``count`` random values over ``length`` samples."""
    return np.arange(length, dtype=np.float64), np.linspace(0, length - 1, count), rng.normal(0.0, 1.0, count)


def woven_textile(rng: np.random.Generator, height: int, width: int) -> Plane:
    """Plain or twill weave with uneven threads.

    Parameters
    ----------
    rng : Generator
        Source of the weave.
    height, width : int
        Size in pixels.

    Returns
    -------
    reflectance : float32, shape (height, width)
        Around 1.
    """
    period_px = rng.uniform(9.0, 15.0) * height / REFERENCE_HEIGHT
    across, shade_across = _thread_phase(rng, width, period_px)
    down, shade_down = _thread_phase(rng, height, period_px * rng.uniform(0.85, 1.15))
    depth = np.float32(rng.uniform(0.06, 0.13))
    if rng.random() < 0.5:
        surface = np.outer(np.sin(down), np.sin(across))
    else:
        surface = np.outer(np.sin(down), np.cos(across)) + np.outer(np.cos(down), np.sin(across))
    surface *= depth
    unevenness = np.float32(rng.uniform(0.015, 0.035))
    surface += (np.float32(1.0) + shade_across * unevenness)[np.newaxis, :]
    surface += (shade_down * unevenness)[:, np.newaxis]
    woven: Plane = surface.astype(np.float32, copy=False)
    return woven


#: What draws the surface of each material.
TEXTURES: dict[str, Callable[[np.random.Generator, int, int], Plane]] = {
    "metal": brushed_metal,
    "plastic": moulded_plastic,
    "textile": woven_textile,
}
