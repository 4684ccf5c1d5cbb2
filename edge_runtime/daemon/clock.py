"""The clocks of the daemon and how far the wall clock can be trusted."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass

from edge_runtime.messages import ClockQuality

#: A wall clock before 2025-01-01 has never been set.
_NEVER_SET_BEFORE = 1_735_689_600.0
_TIME_ERROR = 5


@dataclass(frozen=True, slots=True)
class Clock:
    """Wall clock (s since the epoch, UTC) and monotonic clock (s), given to whoever needs the time."""

    wall: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic


def clock_quality(wall_s: float) -> ClockQuality:
    """Ask the kernel whether its clock is disciplined.

    Parameters
    ----------
    wall_s : float, s
        The wall clock now.

    Returns
    -------
    quality : {"synchronized", "unsynchronized", "unset"}
        From ``adjtimex(2)``; ``unset`` when the clock stands before the year 2025.
    """
    if wall_s < _NEVER_SET_BEFORE:
        return "unset"
    buffer = ctypes.create_string_buffer(256)  # struct timex with modes = 0: read only
    state = ctypes.CDLL(None).adjtimex(buffer)
    return "synchronized" if 0 <= state < _TIME_ERROR else "unsynchronized"
