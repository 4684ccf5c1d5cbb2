"""The samples on which two models differ, each with a picture small enough to look at many."""

from __future__ import annotations

import base64
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edge_runtime.compress.dataset import Dataset
from edge_runtime.compress.outcomes import Outcomes
from edge_runtime.compress.report.record import Flipped

#: So many are shown; all are counted.
MOST_SHOWN: Final = 24
_SIDE = 96
_POINTS, _CURVES = 64, 4
_COLOUR_AXES = 3


def differing(outcomes: Outcomes) -> npt.NDArray[np.intp]:
    """Give the samples on which the models differ.

    Parameters
    ----------
    outcomes : Outcomes
        Both models.

    Returns
    -------
    places : intp, shape (k,)
        Classification: where another label is said, those that were right before first. Regression: where predictions
        lie furthest apart, at most 24.
    """
    if outcomes.classifies:
        changed = np.flatnonzero(outcomes.said(outcomes.before) != outcomes.said(outcomes.after))
        right = outcomes.hits(outcomes.before)[changed]
        return np.concatenate([changed[right], changed[~right]])
    apart = np.abs(outcomes.values(outcomes.after) - outcomes.values(outcomes.before))
    return np.asarray(np.argsort(-apart, kind="stable")[:MOST_SHOWN], np.intp)


def show_differing(outcomes: Outcomes, data: Dataset, colour: str) -> tuple[int, tuple[Flipped, ...]]:
    """List the samples on which the models differ.

    Parameters
    ----------
    outcomes : Outcomes
        Both models.
    data : Dataset
        The evaluation data.
    colour : {"rgb", "bgr"}
        Order of the channels of pictures.

    Returns
    -------
    count : int
        How many there are.
    shown : tuple of Flipped
        The first 24.
    """
    places = differing(outcomes)
    return len(places), tuple(_show(outcomes, data, int(place), colour) for place in places[:MOST_SHOWN])


def _show(outcomes: Outcomes, data: Dataset, place: int, colour: str) -> Flipped:
    """Describe one sample."""
    sample = np.asarray(data.x[place])
    is_picture = sample.dtype == np.uint8
    if outcomes.classifies:
        scores = [outputs[place] for outputs in (outcomes.before, outcomes.after)]
        said = [int(outcomes.said(outputs[place : place + 1])[0]) for outputs in (outcomes.before, outcomes.after)]
        words = [f"{outcomes.labels[label]} ({row.max():.3f})" for label, row in zip(said, scores, strict=True)]
        truth = outcomes.labels[int(outcomes.y[place])]
    else:
        words = [f"{outcomes.values(outputs)[place]:.4g}" for outputs in (outcomes.before, outcomes.after)]
        truth = f"{float(np.asarray(outcomes.y[place]).reshape(-1)[0]):.4g}"
    return Flipped(
        sample=place,
        name=data.name(place)[-120:],
        truth=truth,
        before=words[0],
        after=words[1],
        picture=thumbnail(sample, colour) if is_picture else "",
        curves=() if is_picture else curves(sample),
    )


def thumbnail(picture: npt.NDArray[np.uint8], colour: str) -> str:
    """Give a picture as PNG in base64, its longer side at most 96 pixels.

    Parameters
    ----------
    picture : uint8, shape (height, width[, channels])
        One or three channels.
    colour : {"rgb", "bgr"}
        Order of the channels.

    Returns
    -------
    png : str
        The same for the same picture.
    """
    import cv2  # noqa: PLC0415 - only where a report is wanted

    pixels = picture if picture.ndim == _COLOUR_AXES else picture[..., np.newaxis]
    if pixels.shape[2] == _COLOUR_AXES and colour == "rgb":
        pixels = pixels[..., ::-1]
    height, width = pixels.shape[:2]
    factor = min(1.0, _SIDE / max(height, width))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    small = cv2.resize(np.ascontiguousarray(pixels), size, interpolation=cv2.INTER_AREA)
    _, encoded = cv2.imencode(".png", small)
    return base64.b64encode(encoded.tobytes()).decode()


def curves(window: npt.NDArray[Any]) -> tuple[tuple[float, ...], ...]:
    """Give the first channels of a window as a few points each, 0..1 over the range of the channel.

    Parameters
    ----------
    window : array, shape (length, channels) or (length,)
        Physical units.

    Returns
    -------
    curves : tuple of tuples of float
        At most four of at most 64 points; a half where a channel does not move.
    """
    values = np.asarray(window, np.float64).reshape(len(window), -1)[:, :_CURVES]
    kept = values[np.unique(np.linspace(0, len(values) - 1, min(_POINTS, len(values))).round().astype(int))]
    low, high = values.min(axis=0), values.max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    scaled = np.where(high > low, (kept - low) / span, 0.5)
    return tuple(tuple(round(float(value), 3) for value in column) for column in scaled.T)
