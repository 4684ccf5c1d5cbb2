"""What of a sensor stream may be shown to a model: the validity of samples and the continuity of time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from edge_runtime.bundle.manifest import Channel
from edge_runtime.kernels import window

Floats = npt.NDArray[np.float32]
Times = npt.NDArray[np.float64]

#: What ``check_times`` says about a sample.
KEEP: Final = 0
RESTART: Final = 1
LATE: Final = 2


@dataclass(slots=True)
class CleaningCounts:
    """How many samples were what since the start; values count one per channel.

    Attributes
    ----------
    samples : int
        Samples that came.
    not_finite, out_of_range, stuck : int
        Invalid values, by reason.
    held : int
        Samples with an invalid value that were used with the last valid one.
    unusable : int
        Samples with an invalid value that could not be held: each ends the window.
    late : int
        Samples not newer than the last one, dropped.
    gaps : int
        Holes in time longer than a window may span: each ends the window.
    clock_steps : int
        Times before the window's beginning: the source's clock was set back, and the window ends.
    """

    samples: int = 0
    not_finite: int = 0
    out_of_range: int = 0
    stuck: int = 0
    held: int = 0
    unusable: int = 0
    late: int = 0
    gaps: int = 0
    clock_steps: int = 0


@dataclass(slots=True)
class CleaningState:
    """What cleaning remembers from one block to the next.

    Attributes
    ----------
    last, previous : float32, shape (n_channels,)
        Last valid value, NaN when there is none, and last value as it came.
    held, repeated : int64, shape (n_channels,)
        Invalid samples in a row that were replaced, and exact repetitions in a row.
    """

    last: Floats
    previous: Floats
    held: npt.NDArray[np.int64]
    repeated: npt.NDArray[np.int64]


def initial_state(n_channels: int) -> CleaningState:
    """Give the state of a stream of which nothing came yet.

    Parameters
    ----------
    n_channels : int
        Channels of a sample.

    Returns
    -------
    state : CleaningState
    """
    nothing = np.full(n_channels, np.nan, np.float32)
    zero = np.zeros(n_channels, np.int64)
    return CleaningState(nothing, nothing.copy(), zero, zero.copy())


class Cleaner:
    """Judge samples by the manifest's channels.

    A value is invalid when it is NaN or infinite, outside the physical range of its channel, or has not changed for
    longer than the channel's ``stuck_after``. In its place the channel's last valid value is used for at most
    ``max_hold`` samples in a row; then the sample is unusable.

    Parameters
    ----------
    channels : sequence of Channel
        Ranges, per channel.
    max_hold : int
        Longest hold in samples.
    counts : CleaningCounts
        Updated.
    """

    def __init__(self, channels: Sequence[Channel], max_hold: int, counts: CleaningCounts) -> None:
        self._low = np.array([-np.inf if c.low is None else c.low for c in channels], np.float32)
        self._high = np.array([np.inf if c.high is None else c.high for c in channels], np.float32)
        self._stuck_after = np.array([c.stuck_after for c in channels], np.int64)
        self._max_hold = max_hold
        self._counts = counts
        self.state = initial_state(len(channels))

    def forget(self) -> None:
        """Forget the last values: after a hole in time they say nothing about now."""
        self.state = initial_state(len(self._low))

    def clean(self, values: Floats) -> tuple[Floats, npt.NDArray[np.bool_], npt.NDArray[np.bool_] | None]:
        """Judge a block of samples that follow each other.

        Parameters
        ----------
        values : float32, shape (n, n_channels)
            Samples, oldest first.

        Returns
        -------
        cleaned : float32, shape (n, n_channels)
            Samples with the last valid value in place of invalid ones.
        usable : bool, shape (n,)
            False where a model must not see the sample.
        invalid : bool, shape (n, n_channels), or None
            True where a value was invalid; None when all are valid.
        """
        state = self.state
        cleaned, mask, usable = window.clean_block(
            values,
            self._low,
            self._high,
            self._stuck_after,
            self._max_hold,
            state.last,
            state.previous,
            state.held,
            state.repeated,
        )
        counts = self._counts
        invalid = None
        if mask.any():
            invalid = mask != 0
            counts.not_finite += int(np.count_nonzero(mask == window.NOT_FINITE))
            counts.out_of_range += int(np.count_nonzero(mask == window.OUT_OF_RANGE))
            counts.stuck += int(np.count_nonzero(mask == window.STUCK))
            n_unusable = int(np.count_nonzero(~usable))
            counts.unusable += n_unusable
            counts.held += int(np.count_nonzero(mask.any(axis=1))) - n_unusable
        return cleaned, usable, invalid


@dataclass(frozen=True, slots=True)
class TimeCheck:
    """What ``check_times`` found.

    Attributes
    ----------
    flags : uint8, shape (n,), or None
        ``KEEP``, ``RESTART`` (a window begins here) or ``LATE`` (drop it); None when every sample is to be kept.
    late, gaps, clock_steps : int
        How many of what.
    """

    flags: npt.NDArray[np.uint8] | None
    late: int = 0
    gaps: int = 0
    clock_steps: int = 0


def check_times(
    times: Times, newest: float | None, max_gap_s: float | None, *, late_s: float, equal_follows: bool
) -> TimeCheck:
    """Judge the times of a block of samples.

    A sample that is not newer than the last one is late and dropped (a duplicate, or out of order), unless it is
    older by more than ``late_s``: then the clock was set back, and a new window begins. A hole longer than
    ``max_gap_s`` begins a new window too.

    Parameters
    ----------
    times : float64, shape (n,), s
        Finite times, one per sample; n > 0.
    newest : float or None, s
        Time of the last sample taken; None when there is none.
    max_gap_s : float or None
        Longest hole that a window may span; None for any.
    late_s : float >= 0
        How far back a sample may be and still be taken for a late one.
    equal_follows : bool
        Whether a sample of the same time as the one before follows it (events, several of which may carry one time)
        or is the same sample again (a sampled signal).

    Returns
    -------
    check : TimeCheck
    """
    limit = np.inf if max_gap_s is None else max_gap_s
    shortest = 0.0 if equal_follows else float(np.nextafter(0.0, 1.0))
    joins = newest is None or shortest <= times[0] - newest <= limit
    steps = times[1:] - times[:-1]
    if joins and bool(((steps >= shortest) & (steps <= limit)).all()):
        return TimeCheck(None)
    flags = np.zeros(len(times), np.uint8)
    late = gaps = clock_steps = 0
    for i, time in enumerate(times.tolist()):
        step = shortest if newest is None else time - newest
        if shortest <= step <= limit:
            newest = time
        elif -late_s <= step <= 0:
            flags[i] = LATE
            late += 1
        else:
            flags[i] = RESTART
            gaps += step > 0
            clock_steps += step < 0
            newest = time
    return TimeCheck(flags, late, gaps, clock_steps)


def split_runs(flags: npt.NDArray[np.uint8] | None, n_samples: int) -> Iterator[tuple[int, int, bool]]:
    """Give the runs of samples that follow each other.

    Parameters
    ----------
    flags : uint8, shape (n_samples,), or None
        What ``check_times`` said.
    n_samples : int
        Samples of the block.

    Yields
    ------
    start, stop, restart : int, int, bool
        A run without late samples, and whether a window begins with it.
    """
    if flags is None:
        yield 0, n_samples, False
        return
    start = 0
    restart = False
    for i in np.flatnonzero(flags).tolist():
        if i > start:
            yield start, i, restart
            restart = False
        if flags[i] == RESTART:
            start, restart = i, True
        else:
            start = i + 1
    if start < n_samples:
        yield start, n_samples, restart
