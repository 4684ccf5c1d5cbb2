"""Whether a classifier's probabilities mean what they say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_runtime.compress.figures import Groups
from edge_runtime.compress.outcomes import Flags, Floats
from edge_runtime.compress.statistics import Figure, Indices, bootstrap_interval

BINS = 15


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Samples of like confidence.

    Attributes
    ----------
    low, high : float
        Range of the confidence.
    n : int
        Samples in it.
    confidence, accuracy : float
        Their means; 0 without samples.
    """

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float


def reliability(scores: Floats, hits: Flags) -> tuple[ReliabilityBin, ...]:
    """Part samples by the probability of the label that was chosen.

    Parameters
    ----------
    scores : float32, shape (n, n_labels)
        Probabilities.
    hits : bool, shape (n,)
        Which samples got their true label.

    Returns
    -------
    bins : tuple of ReliabilityBin
        15 of equal width, the lowest first.
    """
    confidence, places = _binned(scores)
    bins = []
    for index in range(BINS):
        inside = places == index
        n = int(inside.sum())
        means = (float(confidence[inside].mean()), float(hits[inside].mean())) if n else (0.0, 0.0)
        bins.append(ReliabilityBin(index / BINS, (index + 1) / BINS, n, *means))
    return tuple(bins)


def calibration_error(scores: Floats, hits: Flags, groups: Groups = None) -> Figure:
    """Give the expected calibration error with its bootstrap interval.

    Parameters
    ----------
    scores : float32, shape (n, n_labels)
        Probabilities.
    hits : bool, shape (n,)
        Which samples got their true label.
    groups : array, shape (n,), optional
        What belongs together.

    Returns
    -------
    figure : Figure
        Mean distance of confidence and accuracy over 15 bins of equal width, weighted by their samples. Few samples
        make it too large rather than too small.

    Notes
    -----
    C. Guo et al., On Calibration of Modern Neural Networks, ICML 2017.
    """
    confidence, places = _binned(scores)
    gaps = confidence - hits

    def distance(chosen: Indices | slice) -> float:
        sums = np.bincount(places[chosen], weights=gaps[chosen], minlength=BINS)
        return float(np.abs(sums).sum() / len(gaps[chosen]))

    return Figure(distance(slice(None)), bootstrap_interval(distance, len(gaps), groups), len(gaps))


def _binned(scores: Floats) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.intp]]:
    """Give the confidence of each sample and its bin."""
    confidence = scores.max(axis=1).astype(np.float64)
    return confidence, np.minimum((confidence * BINS).astype(np.intp), BINS - 1)
