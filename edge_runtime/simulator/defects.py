"""Faults of a surface: each is drawn as a small patch of relative change of reflectance, with its exact extent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Plane = npt.NDArray[np.float32]
Mask = npt.NDArray[np.uint8]

#: Fixed-point bits of the coordinates given to OpenCV's drawing.
_SHIFT = 4


@dataclass(frozen=True, slots=True)
class Patch:
    """One fault, cropped to its extent.

    Attributes
    ----------
    change : float32, shape (height, width)
        Relative change of the reflectance: -0.3 makes the surface 30 % darker.
    mask : uint8, shape (height, width)
        1 where the fault is.
    tint : tuple of three float
        Blue, green, red multipliers where the change is full; (1, 1, 1) keeps the surface's colour.
    """

    change: Plane
    mask: Mask
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class DefectScale:
    """How large and how visible a fault is drawn.

    Attributes
    ----------
    pixels : float > 0
        Size of the picture relative to one of 480 rows.
    size : float, 0..1
        Where in the range of its class the fault's size lies.
    contrast : float > 0
        Relative change of the reflectance at the fault's strongest place.
    light_angle : float, rad
        Where the light comes from; a dent is bright on the far side.
    """

    pixels: float
    size: float
    contrast: float
    light_angle: float

    def between(self, smallest: float, largest: float) -> float:
        """Size in pixels of this picture, for a range given in pixels at 480 rows."""
        return (smallest + self.size * (largest - smallest)) * self.pixels


def _canvas(reach: float) -> Mask:
    """Make an empty square in which a fault of that reach from its middle fits."""
    side = 2 * int(np.ceil(reach)) + 9
    return np.zeros((side, side), np.uint8)


def _draw_line(canvas: Mask, points: npt.NDArray[np.float64], width_px: float) -> None:
    """Draw a polyline given relative to the middle of ``canvas`` into it, with smooth edges."""
    middle = canvas.shape[0] / 2
    fixed = np.rint((points + middle) * (1 << _SHIFT)).astype(np.int32)
    cv2.polylines(
        canvas,
        [fixed],
        isClosed=False,
        color=255,
        thickness=max(1, round(width_px)),
        lineType=cv2.LINE_AA,
        shift=_SHIFT,
    )


def _cropped(
    change: Plane, support: npt.NDArray[np.bool_], tint: tuple[float, float, float] = (1.0, 1.0, 1.0)
) -> Patch:
    """Cut a drawn fault to the rows and columns that it changes."""
    rows = np.flatnonzero(np.any(np.abs(change) > 1e-3, axis=1))
    columns = np.flatnonzero(np.any(np.abs(change) > 1e-3, axis=0))
    window = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    return Patch(np.ascontiguousarray(change[window]), support[window].astype(np.uint8), tint)


def _softened(canvas: Mask, sigma_px: float) -> Plane:
    """Opacity 0..1 of a drawn shape, its edge softened."""
    soft: Plane = cv2.GaussianBlur(canvas.astype(np.float32), (0, 0), sigma_px) / np.float32(255.0)
    return soft


def _wandering(
    rng: np.random.Generator, length: float, heading: float, unrest: float, steps: int
) -> npt.NDArray[np.float64]:
    """Points of a path of that length whose heading changes at random, starting at the origin."""
    headings = heading + np.cumsum(rng.normal(0.0, unrest, steps))
    stride = length / steps
    path = np.cumsum(np.stack([np.cos(headings), np.sin(headings)], axis=1) * stride, axis=0)
    return np.concatenate([np.zeros((1, 2)), path])


def scratch(rng: np.random.Generator, scale: DefectScale) -> Patch:
    """Draw a smooth thin line, bright or dark, with a shadow on one side.

    Parameters
    ----------
    rng : Generator
        Source of the shape.
    scale : DefectScale
        Size and contrast.

    Returns
    -------
    patch : Patch
        The fault.
    """
    length, width = scale.between(90, 260), scale.between(4.0, 6.5)
    path = _wandering(rng, length, rng.uniform(0, 2 * np.pi), 0.04, 14)
    path -= path.mean(axis=0)
    canvas = _canvas(float(np.abs(path).max()) + 2 * width)
    _draw_line(canvas, path, width)
    opacity = _softened(canvas, 0.35 * width)
    sign = 1.0 if rng.random() < 0.5 else -1.0
    shadow = np.roll(opacity, round(width * 0.8), axis=0)
    change = np.float32(sign * scale.contrast) * (opacity - np.float32(0.4) * np.maximum(shadow - opacity, 0))
    return _cropped(change, opacity > 0.35)


def crack(rng: np.random.Generator, scale: DefectScale) -> Patch:
    """Draw a jagged dark line with branches that thin out.

    Parameters
    ----------
    rng : Generator
        Source of the shape.
    scale : DefectScale
        Size and contrast.

    Returns
    -------
    patch : Patch
        The fault.
    """
    length, width = scale.between(80, 230), scale.between(3.5, 6.0)
    heading = rng.uniform(0, 2 * np.pi)
    trunk = _wandering(rng, length, heading, 0.55, 22)
    middle = trunk.mean(axis=0)
    branches = []
    for _ in range(int(rng.integers(1, 4))):
        start = trunk[int(rng.integers(4, 18))]
        side = heading + rng.choice([-1.0, 1.0]) * rng.uniform(0.5, 1.1)
        branches.append(start + _wandering(rng, length * rng.uniform(0.2, 0.4), side, 0.5, 9))
    reach = max(float(np.abs(line - middle).max()) for line in [trunk, *branches])
    canvas = _canvas(reach + 2 * width)
    _draw_line(canvas, trunk - middle, width)
    for branch in branches:
        _draw_line(canvas, branch - middle, 0.7 * width)
    opacity = _softened(canvas, 0.25 * width)
    return _cropped(np.float32(-1.2 * scale.contrast) * opacity, opacity > 0.35)


def _ellipse_distance(radius: float, flatness: float, angle: float) -> tuple[Plane, Plane, Plane]:
    """Distance from the middle of an ellipse (1 on its edge) on a canvas, and the coordinates in pixels."""
    side = 2 * int(np.ceil(2.2 * radius)) + 1
    axis = np.arange(side, dtype=np.float32) - np.float32(side // 2)
    across, down = axis[np.newaxis, :], axis[:, np.newaxis]
    along = across * np.float32(np.cos(angle)) + down * np.float32(np.sin(angle))
    aside = down * np.float32(np.cos(angle)) - across * np.float32(np.sin(angle))
    squared = along * along + aside * aside / np.float32(flatness * flatness)
    distance = (np.sqrt(squared) / np.float32(radius)).astype(np.float32)
    return distance, across, down


def dent(rng: np.random.Generator, scale: DefectScale) -> Patch:
    """Shade a hollow: dark on the side of the light, bright on the other.

    Parameters
    ----------
    rng : Generator
        Source of the shape.
    scale : DefectScale
        Size and contrast.

    Returns
    -------
    patch : Patch
        The fault.
    """
    radius = scale.between(22, 52)
    distance, across, down = _ellipse_distance(radius, rng.uniform(0.65, 1.0), rng.uniform(0, np.pi))
    facing = (across * np.float32(np.cos(scale.light_angle)) + down * np.float32(np.sin(scale.light_angle))) / radius
    slope = np.exp(-2.0 * distance * distance) * facing * np.float32(3.3)
    change = (np.float32(-1.1 * scale.contrast) * slope).astype(np.float32)
    return _cropped(change, distance < 1.0)


def hole(rng: np.random.Generator, scale: DefectScale) -> Patch:
    """Draw a small dark opening with a rim that catches the light.

    Parameters
    ----------
    rng : Generator
        Source of the shape.
    scale : DefectScale
        Size and contrast.

    Returns
    -------
    patch : Patch
        The fault.
    """
    radius = scale.between(10, 24)
    distance, across, down = _ellipse_distance(radius, rng.uniform(0.7, 1.0), rng.uniform(0, np.pi))
    bearing = np.arctan2(down, across)
    ragged = distance * (1 + 0.12 * np.sin(3 * bearing + rng.uniform(0, 6.3)) + 0.08 * np.sin(5 * bearing))
    inside = 1 / (1 + np.exp((ragged - 1) * 12))
    facing = np.cos(bearing - scale.light_angle)
    rim = np.exp(-((ragged - 1.1) ** 2) * 60) * np.clip(facing, 0, None)
    depth = min(0.85, 1.8 * scale.contrast)
    change = (0.6 * scale.contrast * rim * (1 - inside) - depth * inside).astype(np.float32)
    return _cropped(change, ragged < 1.1)


def stain(rng: np.random.Generator, scale: DefectScale) -> Patch:
    """Spread a blotch with a ragged, soft edge and a darker border, in its own tone.

    Parameters
    ----------
    rng : Generator
        Source of the shape.
    scale : DefectScale
        Size and contrast.

    Returns
    -------
    patch : Patch
        The fault.
    """
    radius = scale.between(26, 70)
    distance, across, down = _ellipse_distance(radius, rng.uniform(0.6, 1.0), rng.uniform(0, np.pi))
    bearing = np.arctan2(down, across)
    for lobes in (2, 3, 5):
        ripple = rng.uniform(0.04, 0.16) * np.sin(lobes * bearing + rng.uniform(0, 2 * np.pi))
        distance = (distance * (1 + ripple)).astype(np.float32)
    soft = 1 / (1 + np.exp(np.minimum((distance - 1) * rng.uniform(9, 18), 60)))
    border = np.exp(-((distance - 0.95) ** 2) * 90)
    sign = -1.0 if rng.random() < 0.65 else 0.9
    change = (sign * scale.contrast * (0.75 * soft + 0.35 * border)).astype(np.float32)
    strength = rng.uniform(0.0, 0.25)
    return _cropped(change, distance < 1.05, (1 - strength, 1 - 0.5 * strength, 1.0))


def contamination(rng: np.random.Generator, scale: DefectScale) -> Patch:
    """Scatter specks around one place, chips or dust, dark or bright.

    Parameters
    ----------
    rng : Generator
        Source of the shape.
    scale : DefectScale
        Size and contrast.

    Returns
    -------
    patch : Patch
        The fault.
    """
    spread = scale.between(20, 46)
    canvas = _canvas(2.4 * spread)
    middle = canvas.shape[0] / 2
    for _ in range(int(rng.integers(6, 15))):
        place = np.clip(rng.normal(0.0, 0.6 * spread, 2), -2 * spread, 2 * spread) + middle
        radii = rng.uniform(3.5, 8.0, 2) * scale.pixels
        cv2.ellipse(
            canvas,
            tuple(int(v) for v in np.rint(place * (1 << _SHIFT))),
            tuple(int(v) for v in np.rint(radii * (1 << _SHIFT))),
            float(rng.uniform(0, 180)), 0, 360, 255, -1, cv2.LINE_AA, _SHIFT,
        )  # fmt: skip
    opacity = _softened(canvas, 0.8 * scale.pixels)
    sign = -1.0 if rng.random() < 0.6 else 1.0
    tint = tuple(float(v) for v in 1 - rng.uniform(0.0, 0.3, 3))
    return _cropped(np.float32(1.2 * sign * scale.contrast) * opacity, opacity > 0.35, (tint[0], tint[1], tint[2]))


#: What draws each class of fault, in the order of ``DEFECT_CLASSES``.
DEFECTS: dict[str, Callable[[np.random.Generator, DefectScale], Patch]] = {
    "scratch": scratch,
    "crack": crack,
    "dent": dent,
    "stain": stain,
    "hole": hole,
    "contamination": contamination,
}
