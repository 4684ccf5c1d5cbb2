"""Blur, noise and bad light: what int8 loses against float where the line is not as clean as the data."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edge_runtime.compress.figures import loss
from edge_runtime.compress.lines import Line, judge, needed_by_width
from edge_runtime.compress.outcomes import Floats, Outcomes
from edge_runtime.compress.recipe import BudgetKeys
from edge_runtime.compress.statistics import Figure

Array = npt.NDArray[Any]
#: Gives the outputs of the float and the int8 model, in the same engine, for raw samples.
Predict = Callable[[Array], tuple[Floats, Floats]]

#: So many samples are damaged, spread evenly over the evaluation data; fewer large ones, so that memory stays bounded.
MOST_SAMPLES, FEWEST_SAMPLES = 500, 20
MOST_BYTES = 256 << 20
#: Kind and strength for pictures: sigma in pixels, sigma in steps of 255, factor of the light.
PICTURES: Final = (
    ("blur", 1.0),
    ("blur", 2.0),
    ("noise", 8.0),
    ("noise", 20.0),
    ("exposure", 0.7),
    ("exposure", 1.4),
)
#: For windows: samples of a moving average, sigma in standard deviations of the channel, factor.
WINDOWS: Final = (("blur", 3.0), ("blur", 7.0), ("noise", 0.05), ("noise", 0.15), ("gain", 0.95), ("gain", 1.05))
_SEED = 20250102
_WHITE = 255.0
_REACH = 3


@dataclass(frozen=True, slots=True)
class CorruptionFigure:
    """A metric of both models on damaged samples.

    Attributes
    ----------
    kind : str
        "blur", "noise", "exposure" or "gain"; "none" for the same samples undamaged.
    strength : float
        See ``PICTURES`` and ``WINDOWS``.
    before, after : Figure
        The metric of float and int8.
    drop : Figure
        What int8 lost against float, paired.
    """

    kind: str
    strength: float
    before: Figure
    after: Figure
    drop: Figure


def sample_count(sample_bytes: int) -> int:
    """Say how many samples are damaged.

    Parameters
    ----------
    sample_bytes : int
        Of one raw sample.

    Returns
    -------
    count : int
        500, fewer for samples above half a megabyte, never below 20.

    Examples
    --------
    >>> sample_count(128 * 128 * 3), sample_count(2000 * 2000 * 3)
    (500, 22)
    """
    return max(FEWEST_SAMPLES, min(MOST_SAMPLES, MOST_BYTES // max(1, sample_bytes)))


def measure_corruption(x: Array, clean: Outcomes, predict: Predict, metric: str) -> tuple[CorruptionFigure, ...]:
    """Run both models on damaged samples.

    Parameters
    ----------
    x : array, shape (n, ...)
        Raw samples: uint8 pictures, or real windows (n, length, channels).
    clean : Outcomes
        Truth, labels and decision of the same samples; its outputs are not used.
    predict : callable
        See ``Predict``.
    metric : {"accuracy", "rmse", "mae"}
        What is measured.

    Returns
    -------
    figures : tuple of CorruptionFigure
        The undamaged samples first.
    """
    pictures = x.dtype == np.uint8
    found = []
    for kind, strength in (("none", 0.0), *(PICTURES if pictures else WINDOWS)):
        damaged = corrupt_pictures(x, kind, strength) if pictures else corrupt_windows(x, kind, strength)
        before, after = predict(damaged)
        old, new, drop, _ = loss(replace(clean, before=before, after=after), metric, 0.0)
        found.append(CorruptionFigure(kind, strength, old, new, drop))
    return tuple(found)


def corrupt_pictures(x: Array, kind: str, strength: float) -> npt.NDArray[np.uint8]:
    """Damage pictures.

    Parameters
    ----------
    x : uint8, shape (n, height, width[, channels])
        Pictures.
    kind, strength : str, float
        One of ``PICTURES``; another kind leaves them as they are.

    Returns
    -------
    damaged : uint8, shape of ``x``
        Saturated; noise is the same for the same samples.
    """
    if (kind, strength) not in PICTURES:
        return x
    rng = np.random.default_rng(_SEED)
    out = np.empty_like(x)
    for index, picture in enumerate(x):
        values = picture.astype(np.float32)
        if kind == "blur":
            weights = _gaussian(strength)
            values = _smooth(_smooth(values, weights, 0), weights, 1)
        elif kind == "noise":
            values = values + rng.normal(0.0, strength, picture.shape)
        else:
            values = values * np.float32(strength)
        out[index] = _to_bytes(values)
    return out


def corrupt_windows(x: Array, kind: str, strength: float) -> Floats:
    """Damage windows of sensors.

    Parameters
    ----------
    x : array, shape (n, length, channels)
        Physical units.
    kind, strength : str, float
        One of ``WINDOWS``; another kind leaves them as they are.

    Returns
    -------
    damaged : float32, shape of ``x``
        Noise is relative to the channel's own standard deviation over all samples.
    """
    values = x.astype(np.float32)
    if kind == "blur":
        width = int(strength)
        return _smooth(values, np.full(width, 1.0 / width, np.float32), 1)
    if kind == "noise":
        spread = values.std(axis=tuple(range(values.ndim - 1)))
        noise = np.random.default_rng(_SEED).normal(0.0, strength, values.shape)
        return np.asarray(values + noise * spread, np.float32)
    if kind == "gain":
        return np.asarray(values * np.float32(strength), np.float32)
    return values


def corruption_lines(budget: BudgetKeys, figures: Sequence[CorruptionFigure]) -> Iterator[Line]:
    """Judge what int8 loses against float on each kind of damage.

    Parameters
    ----------
    budget : BudgetKeys
        ``max_corruption_drop``.
    figures : sequence of CorruptionFigure
        From :func:`measure_corruption`.

    Yields
    ------
    line : Line
        One per damage.
    """
    goal = budget.max_corruption_drop
    if goal is None:
        return
    for each in figures:
        if each.kind == "none":
            continue
        subject = f"{each.kind} {each.strength:g}"
        yield judge(
            "max_corruption_drop",
            f"with {subject} float has {each.before.value:.4f} and int8 {each.after.value:.4f},"
            f" lost {each.drop.value:.4f}",
            each.drop,
            goal,
            at_most=True,
            proof=budget.proof,
            subject=subject,
            needed=needed_by_width(each.drop, goal, at_most=True),
        )


def _gaussian(sigma: float) -> npt.NDArray[np.float32]:
    """Give the weights of a blur, out to three sigma."""
    reach = math.ceil(_REACH * sigma)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return np.asarray(weights / weights.sum(), np.float32)


def _smooth(values: Floats, weights: npt.NDArray[np.float32], axis: int) -> Floats:
    """Filter along one axis, edges repeated."""
    reach = len(weights) // 2
    padding = [(reach, reach) if place == axis else (0, 0) for place in range(values.ndim)]
    padded = np.pad(values, padding, mode="edge")
    n = values.shape[axis]
    out = np.zeros_like(values)
    for index, weight in enumerate(weights):
        out += weight * padded.take(range(index, index + n), axis=axis)
    return np.asarray(out, np.float32)


def _to_bytes(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Round and saturate."""
    return np.asarray(np.clip(np.rint(values), 0.0, _WHITE), np.uint8)
