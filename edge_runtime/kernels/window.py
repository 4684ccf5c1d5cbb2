# ruff: noqa: PLR0913, PLR0917 - a kernel takes its arrays and scalars one by one; structures do not compile.
"""Sensor streams: judge samples, keep the last ones, normalise a window."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from edge_runtime.kernels._jit import kernel, read_only

Floats = npt.NDArray[np.float32]
Counts = npt.NDArray[np.int64]

#: What is wrong with a sample, in the mask that ``clean_block`` writes; 0 is a valid sample.
NOT_FINITE: Final = 1
OUT_OF_RANGE: Final = 2
STUCK: Final = 3


class SampleRing:
    """The last samples of a multi-channel stream, and when the next window is due.

    A window of ``length`` samples is due when that many have come since the last reset, and again after every
    ``hop`` samples.

    Parameters
    ----------
    n_channels : int > 0
        Values per sample.
    length, hop : int > 0, samples
        Size of a window, and step from one to the next.

    Attributes
    ----------
    count : int
        Samples held, at most ``length``.
    until_due : int
        Samples that must still come before the next window; 0 when one is due now.
    """

    def __init__(self, n_channels: int, length: int, hop: int) -> None:
        if min(n_channels, length, hop) < 1:
            raise ValueError(f"n_channels, length and hop must be positive, got {n_channels}, {length}, {hop}")
        self.length = length
        self.hop = hop
        self._values = np.zeros((length, n_channels), np.float32)
        self._times = np.zeros(length, np.float64)
        self._head = 0
        self.count = 0
        self.until_due = length

    def reset(self) -> None:
        """Forget every sample: the next window begins with the next sample."""
        self._head = 0
        self.count = 0
        self.until_due = self.length

    def append(self, values: Floats, times: npt.NDArray[np.float64]) -> int:
        """Take samples up to the one that completes a window.

        Parameters
        ----------
        values : float32, shape (n, n_channels)
            Samples, oldest first.
        times : float64, shape (n,), s
            Their times.

        Returns
        -------
        taken : int
            How many of them were taken; fewer than n when a window became due.
        """
        if self.until_due == 0:
            self.until_due = self.hop
        taken = min(len(values), self.until_due)
        self.until_due -= taken
        keep = min(taken, self.length)
        values, times = values[taken - keep : taken], times[taken - keep : taken]
        first = min(keep, self.length - self._head)
        self._values[self._head : self._head + first] = values[:first]
        self._times[self._head : self._head + first] = times[:first]
        self._values[: keep - first] = values[first:]
        self._times[: keep - first] = times[first:]
        self._head = (self._head + keep) % self.length
        self.count = min(self.count + keep, self.length)
        return taken

    def restore(self, values: Floats, times: npt.NDArray[np.float64], until_due: int) -> None:
        """Hold given samples.

        Parameters
        ----------
        values : float32, shape (count, n_channels)
            Samples, oldest first; at most ``length``.
        times : float64, shape (count,), s
            Their times.
        until_due : int
            Samples that must still come before the next window.
        """
        count = len(values)
        self._values[:count] = values
        self._times[:count] = times
        self._head = count % self.length
        self.count = count
        self.until_due = until_due

    def fill_samples(self, values: Floats) -> None:
        """Write the samples held, oldest first.

        Parameters
        ----------
        values : float32, shape (count, n_channels)
            Written.
        """
        start = (self._head - self.count) % self.length
        first = min(self.count, self.length - start)
        values[:first] = self._values[start : start + first]
        values[first:] = self._values[: self.count - first]

    def oldest_time(self) -> float | None:
        """Give the time of the oldest sample held.

        Returns
        -------
        time : float or None, s
            None when none is held or its time is not known (NaN).
        """
        time = self._times[(self._head - self.count) % self.length]
        return float(time) if self.count and np.isfinite(time) else None

    def times(self) -> npt.NDArray[np.float64]:
        """Give the times of the samples held, oldest first.

        Returns
        -------
        times : float64, shape (count,), s
            A copy.
        """
        return self._times[(self._head - self.count + np.arange(self.count)) % self.length]


def extract_windows(values: Floats, length: int, hop: int) -> Floats:
    """Cut a recorded stream into the windows that a ``SampleRing`` would give.

    Parameters
    ----------
    values : float32, shape (n, n_channels)
        Samples, oldest first, without a hole.
    length, hop : int > 0, samples
        Size of a window, and step from one to the next.

    Returns
    -------
    windows : float32, shape (n_windows, length, n_channels)
        A read-only view of ``values``; no window when n < length.

    Raises
    ------
    ValueError
        If ``length`` or ``hop`` is not positive, or ``values`` is not two-dimensional.

    Examples
    --------
    >>> extract_windows(np.arange(5, dtype=np.float32)[:, None], length=3, hop=2)[..., 0]
    array([[0., 1., 2.],
           [2., 3., 4.]], dtype=float32)
    """
    if min(length, hop) < 1 or values.ndim != 2:  # noqa: PLR2004 - samples and channels
        raise ValueError(
            f"expected positive length and hop and samples x channels, got {length}, {hop}, {values.shape}"
        )
    if len(values) < length:
        return np.empty((0, length, values.shape[1]), np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(values, length, axis=0)[::hop]
    return np.moveaxis(windows, 2, 1)


@kernel
def _clean(
    values: Floats,
    low: Floats,
    high: Floats,
    stuck_after: Counts,
    max_hold: int,
    last: Floats,
    previous: Floats,
    held: Counts,
    repeated: Counts,
    cleaned: Floats,
    mask: npt.NDArray[np.uint8],
    usable: npt.NDArray[np.uint8],
) -> None:
    for i in range(values.shape[0]):
        usable[i] = 1
        for c in range(values.shape[1]):
            x = values[i, c]
            if x == previous[c]:
                repeated[c] += 1
            else:
                repeated[c] = 0
            previous[c] = x
            fault = 0
            if not np.isfinite(x):
                fault = 1
            elif x < low[c] or x > high[c]:
                fault = 2
            elif stuck_after[c] > 0 and repeated[c] >= stuck_after[c]:
                fault = 3
            mask[i, c] = fault
            if fault == 0:
                last[c] = x
                held[c] = 0
                cleaned[i, c] = x
                continue
            cleaned[i, c] = last[c]
            if held[c] < max_hold and not np.isnan(last[c]):
                held[c] += 1
            else:
                usable[i] = 0


def clean_block(
    values: Floats,
    low: Floats,
    high: Floats,
    stuck_after: Counts,
    max_hold: int,
    last: Floats,
    previous: Floats,
    held: Counts,
    repeated: Counts,
) -> tuple[Floats, npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """Judge every sample and hold the last valid value in place of an invalid one.

    Parameters
    ----------
    values : float32, shape (n, n_channels), C-contiguous
        Samples, oldest first.
    low, high : float32, shape (n_channels,)
        Physical range, both ends valid; infinite where there is none.
    stuck_after : int64, shape (n_channels,)
        After so many exact repetitions in a row a value is stuck; 0 where that is not checked.
    max_hold : int
        How many invalid samples in a row of one channel are replaced by its last valid value.
    last, previous : float32, shape (n_channels,)
        Updated: last valid value (NaN when there is none yet) and last value as it came.
    held, repeated : int64, shape (n_channels,)
        Updated: invalid samples replaced in a row, and repetitions in a row.

    Returns
    -------
    cleaned : float32, shape (n, n_channels)
        Values, or the last valid value; NaN where there was none.
    mask : uint8, shape (n, n_channels)
        0 valid, else ``NOT_FINITE``, ``OUT_OF_RANGE`` or ``STUCK``.
    usable : bool, shape (n,)
        False where a channel is invalid and may not be held any longer.

    Raises
    ------
    TypeError
        If a dtype is another.
    ValueError
        If a shape is another.
    """
    arrays = (low, high, last, previous)
    counts = (stuck_after, held, repeated)
    if any(a.dtype != np.float32 for a in (values, *arrays)) or any(a.dtype != np.int64 for a in counts):
        raise TypeError("values, ranges and last values are float32, counts are int64")
    if values.ndim != 2 or any(a.shape != values.shape[1:] for a in (*arrays, *counts)):  # noqa: PLR2004
        raise ValueError(f"values {values.shape} do not fit {low.shape[0]} channels")
    cleaned = np.empty(values.shape, np.float32)
    mask = np.empty(values.shape, np.uint8)
    usable = np.empty(len(values), np.uint8)
    samples = read_only(np.ascontiguousarray(values))
    _clean(samples, low, high, stuck_after, max_hold, last, previous, held, repeated, cleaned, mask, usable)
    return cleaned, mask, usable.view(np.bool_)


@kernel
def _normalise(
    window: Floats,
    columns: npt.NDArray[np.int64],
    spread: Floats,
    centroids: Floats,
    centre: Floats,
    scale: Floats,
    clip: np.float32,
    normalised: Floats,
) -> None:
    for i in range(window.shape[0]):
        regime = 0
        nearest = np.float32(np.inf)
        for r in range(centroids.shape[0]):
            distance = np.float32(0.0)
            for k in range(columns.size):
                step = window[i, columns[k]] / spread[k] - centroids[r, k]
                distance += step * step
            if distance < nearest:
                nearest = distance
                regime = r
        for c in range(window.shape[1]):
            x = (window[i, c] - centre[regime, c]) / scale[regime, c]
            if x > clip:
                x = clip
            elif x < -clip:
                x = -clip
            normalised[i, c] = x


def fill_normalised(
    window: Floats,
    columns: npt.NDArray[np.int64],
    spread: Floats,
    centroids: Floats,
    centre: Floats,
    scale: Floats,
    clip: float,
    normalised: Floats,
) -> None:
    """Normalise a window: ``(x - centre) / scale`` with the row of the sample's regime, bounded by ``clip``.

    A sample's regime is the row of ``centroids`` with the least squared distance to ``x[columns] / spread``; the
    first of equals, and row 0 where a column is NaN. All arithmetic is float32, in the order of the columns.

    Parameters
    ----------
    window : float32, shape (length, n_channels), C-contiguous
        Samples.
    columns : int64, shape (k,)
        Channels that tell the regime; empty for none.
    spread : float32, shape (k,)
        What they are divided by.
    centroids : float32, shape (n_regimes, k) or (0, 0)
        One row per regime.
    centre, scale : float32, shape (max(1, n_regimes), n_channels)
        One row per regime; ``scale`` is never zero.
    clip : float > 0
        Bound of the result on both sides; infinite for none.
    normalised : float32, shape of ``window``, C-contiguous
        Written; NaN stays NaN.

    Raises
    ------
    TypeError
        If ``window`` or ``normalised`` is not float32.
    ValueError
        If their shapes differ from each other or from ``centre``, or they are not contiguous.
    """
    if window.dtype != np.float32 or normalised.dtype != np.float32:
        raise TypeError(f"windows are float32, got {window.dtype} and {normalised.dtype}")
    if window.shape != normalised.shape or window.shape[1:] != centre.shape[1:] or centre.shape != scale.shape:
        raise ValueError(f"a window {window.shape} does not fit {normalised.shape} and centres {centre.shape}")
    if not (window.flags.c_contiguous and normalised.flags.c_contiguous):
        raise ValueError("windows must be C-contiguous")
    _normalise(read_only(window), columns, spread, centroids, centre, scale, np.float32(clip), normalised)


def warm_up() -> None:
    """Compile or load every kernel of this module for every dtype."""
    one = np.ones((1, 1), np.float32)
    row = one[0].copy()
    fill_normalised(one, np.zeros(1, np.int64), row, one, one, one, np.inf, one.copy())
    clean_block(one, row, row, *(np.zeros(1, np.int64), 0), row.copy(), row.copy(), *np.zeros((2, 1), np.int64))
