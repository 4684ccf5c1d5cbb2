"""Pictures of parts with known truth: a surface, perhaps faults in it, under changing light, blur and exposure."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from edge_runtime.simulator.defects import DEFECTS, DefectScale, Patch
from edge_runtime.simulator.textures import REFERENCE_HEIGHT, TEXTURES, Plane

MATERIALS: tuple[str, ...] = tuple(TEXTURES)
DEFECT_CLASSES: tuple[str, ...] = tuple(DEFECTS)

#: Label of a part without a fault.
GOOD = "good"

#: Smallest picture that every fault fits into, in pixels.
SMALLEST_SIDE_PX = 96


@dataclass(frozen=True, slots=True)
class PartPicture:
    """A picture and what is true about it.

    Attributes
    ----------
    pixels : uint8, shape (height, width, 3), C-contiguous
        Blue, green, red.
    label : str
        ``good`` or one of ``DEFECT_CLASSES``.
    boxes : float32, shape (n, 4)
        ``x1 y1 x2 y2`` in pixels, one per fault; ends are exclusive. Empty for a good part.
    mask : uint8, shape (height, width)
        1 where a fault is.
    material : str
        One of ``MATERIALS``.
    conditions : dict of str to float
        What was applied: ``exposure_levels`` (grey level of a surface of reflectance 1 in mean light),
        ``light_gradient`` (relative difference of the light from one side to the other), ``light_angle_rad``,
        ``light_spot`` (relative height of a highlight), ``blur_px`` (deviation of the blur), ``noise_levels``
        (deviation of the noise in grey levels).
    contrast : float
        Mean absolute relative change of the reflectance inside the mask; 0 for a good part.
    size : float
        Longer side of the largest box, relative to the height of the picture; 0 for a good part.
    """

    pixels: npt.NDArray[np.uint8]
    label: str
    boxes: npt.NDArray[np.float32]
    mask: npt.NDArray[np.uint8]
    material: str
    conditions: dict[str, float]
    contrast: float
    size: float


def render_part(
    rng: np.random.Generator,
    *,
    material: str | None = None,
    label: str | None = None,
    difficulty: float = 0.5,
    height: int = 480,
    width: int = 640,
) -> PartPicture:
    """Draw one part.

    Parameters
    ----------
    rng : Generator
        Decides everything that is not given; the same state gives the same picture.
    material : str or None
        One of ``MATERIALS``; drawn evenly where None.
    label : str or None
        ``good`` or one of ``DEFECT_CLASSES``; where None, good in one of two cases, else any class evenly.
    difficulty : float, 0..1
        Lowers contrast and size of faults and raises blur, noise and unevenness of the light.
    height, width : int >= 96
        Size of the picture in pixels.

    Returns
    -------
    picture : PartPicture
        Pixels and truth.

    Raises
    ------
    ValueError
        If material or label is unknown, ``difficulty`` is outside 0..1 or the picture is smaller than 96 x 96.
    """
    if not 0.0 <= difficulty <= 1.0:
        raise ValueError(f"difficulty must be 0..1, got {difficulty}")
    if min(height, width) < SMALLEST_SIDE_PX:
        raise ValueError(f"a picture must be at least {SMALLEST_SIDE_PX} x {SMALLEST_SIDE_PX}, got {height} x {width}")
    drawn_material = str(rng.choice(MATERIALS)) if material is None else material
    if drawn_material not in TEXTURES:
        raise ValueError(f'unknown material "{drawn_material}"; known: {", ".join(MATERIALS)}')
    drawn_label = _drawn_label(rng) if label is None else label
    if drawn_label != GOOD and drawn_label not in DEFECTS:
        raise ValueError(f'unknown label "{drawn_label}"; known: {GOOD}, {", ".join(DEFECT_CLASSES)}')

    surface = TEXTURES[drawn_material](rng, height, width)
    conditions = _drawn_conditions(rng, difficulty)
    mask = np.zeros((height, width), np.uint8)
    placed: list[_Placed] = []
    if drawn_label != GOOD:
        count = 2 if rng.random() < 0.25 else 1
        placed = [_draw_into(surface, mask, rng, drawn_label, difficulty, conditions) for _ in range(count)]
    pixels = _exposed(rng, surface, drawn_material, conditions, placed)
    boxes = np.array([one.box for one in placed], np.float32).reshape(-1, 4)
    return PartPicture(
        pixels=pixels,
        label=drawn_label,
        boxes=boxes,
        mask=mask,
        material=drawn_material,
        conditions=conditions,
        contrast=float(np.mean([one.contrast for one in placed])) if placed else 0.0,
        size=float(max(max(b[2] - b[0], b[3] - b[1]) for b in boxes) / height) if placed else 0.0,
    )


@dataclass(frozen=True, slots=True)
class _Placed:
    """A fault at its place."""

    patch: Patch
    top: int
    left: int
    box: tuple[int, int, int, int]
    contrast: float


def _drawn_label(rng: np.random.Generator) -> str:
    """Good or a class of fault, one to one."""
    return GOOD if rng.random() < 0.5 else str(rng.choice(DEFECT_CLASSES))


def _drawn_conditions(rng: np.random.Generator, difficulty: float) -> dict[str, float]:
    """Light, blur, noise and exposure of one picture."""
    return {
        "exposure_levels": float(np.exp(rng.uniform(np.log(55.0), np.log(150.0)))),
        "light_gradient": float(rng.uniform(0.0, 0.25 + 0.5 * difficulty)),
        "light_angle_rad": float(rng.uniform(0.0, 2 * np.pi)),
        "light_spot": float(rng.uniform(0.0, 0.15 + 0.4 * difficulty)),
        "blur_px": float(rng.uniform(0.3, 0.8 + 1.4 * difficulty)),
        "noise_levels": float(rng.uniform(0.5, 1.5 + 5.0 * difficulty)),
    }


def _draw_into(
    surface: Plane,
    mask: npt.NDArray[np.uint8],
    rng: np.random.Generator,
    label: str,
    difficulty: float,
    conditions: dict[str, float],
) -> _Placed:
    """Draw one fault into ``surface`` and ``mask`` at a random place."""
    height, width = surface.shape
    scale = DefectScale(
        pixels=min(height / REFERENCE_HEIGHT, width / REFERENCE_HEIGHT),
        size=float(rng.uniform(0.3 * (1 - difficulty), 1.0)),
        contrast=float(rng.uniform(0.46 - 0.3 * difficulty, 0.72 - 0.2 * difficulty)),
        light_angle=conditions["light_angle_rad"],
    )
    patch = DEFECTS[label](rng, scale)
    rows, columns = patch.change.shape
    if rows > height or columns > width:
        rows, columns = min(rows, height), min(columns, width)
        patch = Patch(patch.change[:rows, :columns], patch.mask[:rows, :columns], patch.tint)
    top = int(rng.integers(0, height - rows + 1))
    left = int(rng.integers(0, width - columns + 1))
    window = (slice(top, top + rows), slice(left, left + columns))
    surface[window] *= np.maximum(1 + patch.change, np.float32(0.05))
    np.maximum(mask[window], patch.mask, out=mask[window])
    in_rows = np.flatnonzero(patch.mask.any(axis=1))
    in_columns = np.flatnonzero(patch.mask.any(axis=0))
    box = (left + in_columns[0], top + in_rows[0], left + in_columns[-1] + 1, top + in_rows[-1] + 1)
    contrast = float(np.abs(patch.change[patch.mask == 1]).mean())
    return _Placed(patch, top, left, box, contrast)


def _light(rng: np.random.Generator, height: int, width: int, conditions: dict[str, float]) -> Plane:
    """Relative light over the picture, mean 1: a gradient and a highlight."""
    rows, columns = max(height // 16, 2), max(width // 16, 2)
    down = np.linspace(-0.5, 0.5, rows, dtype=np.float32)[:, np.newaxis]
    across = np.linspace(-0.5, 0.5, columns, dtype=np.float32)[np.newaxis, :]
    angle = conditions["light_angle_rad"]
    light = 1 + conditions["light_gradient"] * (across * np.cos(angle) + down * np.sin(angle))
    middle = rng.uniform(-0.5, 0.5, 2)
    reach = rng.uniform(0.2, 0.5)
    light = light + conditions["light_spot"] * np.exp(-((across - middle[0]) ** 2 + (down - middle[1]) ** 2) / reach**2)
    light /= light.mean()
    stretched: Plane = cv2.resize(light.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    return stretched


def _noise(rng: np.random.Generator, height: int, width: int, deviation: float) -> Plane:
    """Noise of the sensor in grey levels; the sum of two even draws, which is near enough to normal and fast."""
    draws = rng.integers(0, 256, (2, height, width), np.uint8)
    total = cv2.add(draws[0], draws[1], dtype=cv2.CV_32F)
    scale = deviation / 104.5
    centred: Plane = cv2.addWeighted(total, scale, total, 0.0, -255.0 * scale)
    return centred


def _tone(rng: np.random.Generator, material: str) -> npt.NDArray[np.float64]:
    """Blue, green, red multipliers of a material, brightest channel 1."""
    spread = {"metal": 0.08, "plastic": 0.6, "textile": 0.5}[material]
    tone = 1 - rng.uniform(0.0, spread, 3)
    normalised: npt.NDArray[np.float64] = tone / tone.max()
    return normalised


def _exposed(
    rng: np.random.Generator,
    surface: Plane,
    material: str,
    conditions: dict[str, float],
    placed: list[_Placed],
) -> npt.NDArray[np.uint8]:
    """Light the surface and take the picture."""
    height, width = surface.shape
    lit = surface * _light(rng, height, width, conditions)
    lit *= np.float32(conditions["exposure_levels"])
    sigma = conditions["blur_px"]
    lit = cv2.GaussianBlur(lit, (7, 7), sigma)
    lit += _noise(rng, height, width, conditions["noise_levels"])
    grey: npt.NDArray[np.uint8] = cv2.convertScaleAbs(np.maximum(lit, 0, out=lit))
    tables = np.rint(np.arange(256)[:, np.newaxis] * _tone(rng, material)).astype(np.uint8)
    pixels: npt.NDArray[np.uint8] = cv2.LUT(cv2.merge([grey, grey, grey]), tables.reshape(1, 256, 3))
    for one in placed:
        _tint_into(pixels, one)
    return pixels


def _tint_into(pixels: npt.NDArray[np.uint8], one: _Placed) -> None:
    """Colour the place of a fault that has a tone of its own."""
    if one.patch.tint == (1.0, 1.0, 1.0):
        return
    rows, columns = one.patch.change.shape
    window = pixels[one.top : one.top + rows, one.left : one.left + columns]
    opacity = np.abs(one.patch.change) / max(float(np.abs(one.patch.change).max()), 1e-6)
    factor = 1 - opacity[:, :, np.newaxis] * (1 - np.array(one.patch.tint, np.float32))
    window[:] = np.rint(window * factor).astype(np.uint8)
