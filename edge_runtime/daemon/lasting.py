"""Seconds that never jump and go on over restarts of the daemon: for what lasts longer than one run.

Within one start of the machine they follow the kernel's clock since that start, so that the time between two runs of
the daemon counts too. Over a start of the machine they go on from the last mark; the time that the machine was off
counts where the wall clock was synchronized before and is afterwards. A mark is made once a minute, so the last minute
before a power cut may count twice.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from edge_runtime.daemon.clock import NEVER_SET_BEFORE_S, Clock, clock_quality
from edge_runtime.messages import ClockQuality

#: Key of the mark in the outbox's state table.
LASTING = "clock/lasting"

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def kernel_boot_id() -> str:
    """Name this start of the machine; empty where the kernel does not tell."""
    try:
        return _BOOT_ID.read_text().strip()[:64]
    except OSError:
        return ""


class Mark(msgspec.Struct, frozen=True):
    """Where the lasting clock stood.

    ``kernel`` and ``boottime_s`` are the start of the machine and the time since it, ``wall_s`` and ``clock`` the wall
    clock and its quality.
    """

    kernel: str
    boottime_s: float
    lasting_s: float
    wall_s: float
    clock: ClockQuality


class LastingClock:
    """Tells the lasting seconds.

    Parameters
    ----------
    clock : Clock
        All clocks.
    kernel : str
        This start of the machine.
    quality : callable
        How far a wall clock reading can be trusted.
    """

    def __init__(self, clock: Clock, kernel: str, *, quality: Callable[[float], ClockQuality] = clock_quality) -> None:
        self._clock = clock
        self._quality = quality
        self.kernel = kernel
        self._base_s = max(clock.wall(), NEVER_SET_BEFORE_S) - clock.boottime()

    def resume(self, stored: bytes | None) -> None:
        """Go on from the mark of an earlier run; without one, or with one that cannot be read, from the wall clock."""
        try:
            mark = msgspec.msgpack.decode(stored or b"", type=Mark)
        except msgspec.MsgspecError:
            return
        now = self._clock.boottime()
        if self.kernel and mark.kernel == self.kernel and now >= mark.boottime_s:
            away_s = now - mark.boottime_s
        else:
            wall = self._clock.wall()
            known = mark.clock == self._quality(wall) == "synchronized"
            away_s = max(0.0, wall - mark.wall_s) if known else 0.0
        self._base_s = mark.lasting_s + away_s - now

    def now(self) -> float:
        """Seconds: near the wall clock at the first start, and then only forward at the pace of real time."""
        return self._base_s + self._clock.boottime()

    def mark(self) -> bytes:
        """Say where the clock stands, for the next run."""
        wall = self._clock.wall()
        boottime = self._clock.boottime()
        return msgspec.msgpack.encode(Mark(self.kernel, boottime, self._base_s + boottime, wall, self._quality(wall)))


def lasting_now(mark: bytes) -> float:
    """Tell the lasting seconds beside a daemon, from its last mark."""
    clock = LastingClock(Clock(), kernel_boot_id())
    clock.resume(mark)
    return clock.now()
