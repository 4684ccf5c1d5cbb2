"""The clocks of the daemon and how far the wall clock can be trusted."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from edge_runtime.messages import ClockQuality

#: A wall clock before 2025-01-01 has never been set.
NEVER_SET_BEFORE_S = 1_735_689_600.0
_TIME_ERROR = 5


def since_boot() -> float:
    """Seconds since the machine started, also those that it slept; the same for all processes."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True)
class Clock:
    """The clocks, given to whoever needs the time.

    Attributes
    ----------
    wall : callable
        Seconds since the epoch, UTC. It may jump: for messages and for comparing with the times of sources, never for
        measuring how long something took.
    monotonic : callable
        Seconds, for everything that is due or takes time within this run.
    boottime : callable
        Seconds since the machine started, for what outlives this run.
    correct : callable
        Corrects a wall clock reading that was taken before the clock was set, as soon as that is known.
    """

    wall: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    boottime: Callable[[], float] = since_boot
    correct: Callable[[float], float] = float


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)


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
    if wall_s < NEVER_SET_BEFORE_S:
        return "unset"
    buffer = ctypes.create_string_buffer(256)  # struct timex with modes = 0: read only
    state = _libc().adjtimex(buffer)
    return "synchronized" if 0 <= state < _TIME_ERROR else "unsynchronized"
