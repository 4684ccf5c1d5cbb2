"""A small picture of the calibration data for the gateway's drift watch: one histogram per channel or sensor."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.bundle.manifest import Histogram, ImagePreprocessing, Preprocessing

_BINS = 32
_BYTE = 256.0


def sketch(x: npt.NDArray[Any], preprocessing: Preprocessing) -> tuple[Histogram, ...]:
    """Count calibration values per channel.

    Parameters
    ----------
    x : array, shape (n, ...)
        Raw samples.
    preprocessing : Preprocessing
        Names the channels of windows; pictures are counted in grey levels 0..255.

    Returns
    -------
    histograms : tuple of Histogram
        32 bins each, from the smallest to the largest value.
    """
    if isinstance(preprocessing, ImagePreprocessing):
        means = x.reshape(len(x), -1).mean(axis=1)
        counts, _ = np.histogram(means, _BINS, (0.0, _BYTE))
        return (Histogram(name="mean_grey_level", low=0.0, high=_BYTE, counts=tuple(counts.tolist())),)
    columns = x.reshape(-1, len(preprocessing.channels))
    found = []
    for index, channel in enumerate(preprocessing.channels):
        low, high = float(columns[:, index].min()), float(columns[:, index].max())
        high = high if high > low else low + 1.0
        counts, _ = np.histogram(columns[:, index], _BINS, (low, high))
        found.append(Histogram(name=channel.name, low=low, high=high, counts=tuple(counts.tolist())))
    return tuple(found)
