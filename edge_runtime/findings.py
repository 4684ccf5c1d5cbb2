"""What a model saw, before anyone decides whether an operator is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

Kind = Literal[
    "vision.defect",
    "vision.anomaly",
    "vision.camera",
    "timeseries.failure",
    "timeseries.anomaly",
    "process.control",
    "fusion",
    "system",
]

#: The verdict on a part about which nothing could be decided.
UNSURE: Final = "unsure"


@dataclass(frozen=True, slots=True)
class Frame:
    """One camera picture.

    Attributes
    ----------
    pixels : uint8, shape (height, width, 3), C-contiguous
        Blue, green, red, as OpenCV decodes them.
    source : str
        The camera's id in the configuration.
    captured_at : float, s
        Wall clock, UTC, of the exposure as far as the source tells it.
    part : str or None
        The part in the picture, where the source tells it.
    """

    pixels: npt.NDArray[np.uint8]
    source: str
    captured_at: float
    part: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """What an inspector or a monitor says about one frame or one window.

    A model that looked and saw nothing wrong gives findings too, with ``abnormal`` false: alarms clear on them and
    parts are passed on them.

    Attributes
    ----------
    kind : Kind
        The family of the finding.
    label : str
        The class or the quantity, as in the bundle's labels.
    score : float
        What is compared with the threshold: a probability 0..1, or the value itself for a regression.
    threshold : float
        Where ``abnormal`` begins.
    clear_below : float
        Where an alarm on this label may clear (for a falling quantity: where it may clear above).
    abnormal : bool
        Whether ``score`` is on the wrong side of ``threshold``.
    value, value_low, value_high : float or None
        A measured or predicted quantity with its interval, in ``unit``.
    unit : str
        Unit of ``value``, empty when there is none.
    boxes : tuple of (x1, y1, x2, y2, score)
        Regions in pixels of the original frame.
    clearable : bool
        Whether ``score`` is on the right side of ``clear_below``.
    """

    kind: Kind
    label: str
    score: float
    threshold: float
    clear_below: float
    abnormal: bool
    clearable: bool
    value: float | None = None
    value_low: float | None = None
    value_high: float | None = None
    unit: str = ""
    boxes: tuple[tuple[float, float, float, float, float], ...] = ()
