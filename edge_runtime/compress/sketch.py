"""A small picture of the calibration data for the gateway's drift watch: one histogram per channel or sensor."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.bundle.manifest import Histogram, ImagePreprocessing, Preprocessing
from edge_runtime.compress.data.spool import chunks

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
        counts = np.zeros(_BINS, np.int64)
        for _, block in chunks(x):
            means = block.reshape(len(block), -1).mean(axis=1)
            counts += np.histogram(means, _BINS, (0.0, _BYTE))[0]
        return (Histogram(name="mean_grey_level", low=0.0, high=_BYTE, counts=tuple(counts.tolist())),)
    n_channels = len(preprocessing.channels)
    lows, highs = np.full(n_channels, np.inf), np.full(n_channels, -np.inf)
    for _, block in chunks(x):
        columns = block.reshape(-1, n_channels)
        lows, highs = np.minimum(lows, columns.min(axis=0)), np.maximum(highs, columns.max(axis=0))
    highs = np.where(highs > lows, highs, lows + 1.0)
    table = np.zeros((n_channels, _BINS), np.int64)
    for _, block in chunks(x):
        columns = block.reshape(-1, n_channels)
        for index in range(n_channels):
            table[index] += np.histogram(columns[:, index], _BINS, (lows[index], highs[index]))[0]
    return tuple(
        Histogram(
            name=channel.name, low=float(lows[index]), high=float(highs[index]), counts=tuple(table[index].tolist())
        )
        for index, channel in enumerate(preprocessing.channels)
    )
