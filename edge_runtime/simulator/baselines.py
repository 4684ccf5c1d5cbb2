"""Two rules that anybody could write in an hour, run on the same stream as the models.

If they did well, the simulated factory would prove nothing.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from edge_runtime.simulator.surfaces import render_part

_FIT_PARTS = 160
_FIT_SEED = 4242
_FIT_SAMPLES = 200
_SIGMAS = 3.0
_HITS, _OF = 3, 5


def mean_brightness(jpeg: bytes) -> float:
    """Give the mean grey level of a picture, decoded at an eighth of its size.

    Parameters
    ----------
    jpeg : bytes
        A JPEG file.

    Returns
    -------
    level : float
        0 to 255; NaN when it does not decode.
    """
    grey = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_REDUCED_GRAYSCALE_8)
    return math.nan if grey is None else float(grey.mean())


@dataclass(frozen=True, slots=True)
class BrightnessRule:
    """A part darker than ``threshold`` is called faulty.

    Attributes
    ----------
    threshold : float
        Grey level, 0 to 255.
    """

    threshold: float

    def verdict(self, jpeg: bytes) -> str:
        """Say "ng" or "ok"."""
        return "ng" if mean_brightness(jpeg) < self.threshold else "ok"


def fit_brightness(difficulty: float = 0.5, *, defect_share: float = 0.3) -> BrightnessRule:
    """Choose the threshold with the best F1 on parts of training seeds.

    Parameters
    ----------
    difficulty : float
        As for :func:`~edge_runtime.simulator.surfaces.render_part`.
    defect_share : float
        Share of faulty parts.

    Returns
    -------
    rule : BrightnessRule
        The best of its kind.
    """
    rng = np.random.default_rng(_FIT_SEED)
    levels, faulty = np.empty(_FIT_PARTS), rng.random(_FIT_PARTS) < defect_share
    for index in range(_FIT_PARTS):
        label = None if faulty[index] else "good"
        picture = render_part(rng, label=label, difficulty=difficulty, height=120, width=160)
        faulty[index] = picture.label != "good"
        levels[index] = picture.pixels.mean()
    best, threshold = -1.0, 0.0
    for candidate in np.quantile(levels, np.linspace(0.02, 0.98, 49)):
        called = levels < candidate
        hits = int((called & faulty).sum())
        f1 = 2 * hits / max(1, int(called.sum() + faulty.sum()))
        if f1 > best:
            best, threshold = f1, float(candidate)
    return BrightnessRule(threshold)


@dataclass(slots=True)
class ThreeSigmaRule:
    """An alarm when 3 of 5 samples in a row leave the mean by three deviations, both of the first 200 samples.

    One per machine.
    """

    _first: list[npt.NDArray[np.float32]] = field(default_factory=list)
    _seen: int = 0
    _mean: npt.NDArray[np.float64] | None = None
    _deviation: npt.NDArray[np.float64] | None = None
    _last: deque[bool] = field(default_factory=lambda: deque(maxlen=_OF))
    active: bool = False

    def push(self, values: npt.NDArray[np.float32]) -> bool:
        """Take samples; True when an alarm begins within them.

        Parameters
        ----------
        values : float32, shape (n, n_channels)
            Oldest first.

        Returns
        -------
        raised : bool
            False while the alarm stands.
        """
        if self._mean is None:
            self._first.append(values)
            self._seen += len(values)
            if self._seen >= _FIT_SAMPLES:
                fitted = np.concatenate(self._first)
                self._mean, self._deviation = fitted.mean(axis=0), fitted.std(axis=0)
                self._first.clear()
            return False
        outside = np.any(np.abs(values - self._mean) > _SIGMAS * np.asarray(self._deviation), axis=1)
        raised = False
        for hit in outside.tolist():
            self._last.append(hit)
            now = sum(self._last) >= _HITS
            raised |= now and not self.active
            self.active = now
        return raised
