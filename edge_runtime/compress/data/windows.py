"""Rows of sensor tables to windows, cut by the device's own rules."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from edge_runtime.bundle.manifest import WindowPreprocessing
from edge_runtime.kernels.window import SampleRing
from edge_runtime.timeseries.cleaning import Cleaner, CleaningCounts, check_times, split_runs

Floats = npt.NDArray[np.float32]
Times = npt.NDArray[np.float64]


class WindowCutter:
    """Cut one stream of samples as the gateway's monitor does: late samples, gaps, invalid and held values alike.

    Parameters
    ----------
    steps : WindowPreprocessing
        The window declaration.
    counts : CleaningCounts
        Updated.
    """

    def __init__(self, steps: WindowPreprocessing, counts: CleaningCounts) -> None:
        self._steps = steps
        self._counts = counts
        self._duration_s = steps.length / steps.rate_hz if steps.rate_hz > 0 else 0.0
        self._cleaner = Cleaner(steps.channels, steps.max_hold, counts)
        # One ring for the samples and their times; the other's "times" are the rows that they came from.
        self._ring = SampleRing(len(steps.channels), steps.length, steps.hop)
        self._rows = SampleRing(1, steps.length, steps.hop)
        self._newest: float | None = None

    def push(self, values: Floats, times: Times | None, rows: Times) -> Iterator[tuple[Floats, Times]]:
        """Take samples.

        Parameters
        ----------
        values : float32, shape (n, n_channels), C-contiguous
            Oldest first; n > 0.
        times : float64, shape (n,), s, or None
            Finite; None when samples simply follow each other.
        rows : float64, shape (n,)
            A number of each sample to find it again.

        Yields
        ------
        window : float32, shape (length, n_channels)
            A window that became due; new memory.
        rows : float64, shape (length,)
            Its samples.
        """
        self._counts.samples += len(values)
        flags = None
        if times is not None:
            check = check_times(
                times,
                self._newest,
                self._steps.max_gap_s,
                late_s=self._late_s(times),
                equal_follows=self._duration_s == 0,
            )
            self._counts.late += check.late
            self._counts.gaps += check.gaps
            self._counts.clock_steps += check.clock_steps
            flags = check.flags
        for start, stop, restart in split_runs(flags, len(values)):
            if restart:
                self._reset()
                self._cleaner.forget()
            run_times = np.full(stop - start, np.nan) if times is None else times[start:stop]
            yield from self._take(values[start:stop], run_times, rows[start:stop])

    def _take(self, values: Floats, times: Times, rows: Times) -> Iterator[tuple[Floats, Times]]:
        if np.isfinite(times[-1]):
            self._newest = float(times[-1])
        cleaned, usable, _ = self._cleaner.clean(values)
        blank = np.zeros((len(values), 1), np.float32)
        for before, after in pairwise([-1, *np.flatnonzero(~usable).tolist(), len(values)]):
            if before >= 0:
                self._reset()
            start = before + 1
            while start < after:
                taken = self._ring.append(cleaned[start:after], times[start:after])
                self._rows.append(blank[start : start + taken], rows[start : start + taken])
                start += taken
                if self._ring.until_due == 0:
                    window = np.empty((self._steps.length, len(self._steps.channels)), np.float32)
                    self._ring.fill_samples(window)
                    yield window, self._rows.times()

    def held_rows(self) -> Times:
        """Give the numbers of the samples that a later window may still hold, oldest first."""
        return self._rows.times()

    def _reset(self) -> None:
        self._ring.reset()
        self._rows.reset()

    def _late_s(self, times: Times) -> float:
        """Give how far back a sample is late and not of a clock set back, as the monitor does."""
        held = self._ring.oldest_time()
        span_s = 0.0 if held is None or self._newest is None else self._newest - held
        return max(span_s, self._duration_s, float(times[-1] - times[0]))
