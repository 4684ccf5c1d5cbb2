"""What happens when the wall clock was never set, is set, or jumps: events are held, corrected and let go.

Nothing of the daemon measures with the wall clock; it only stands in messages. So a jump needs no repair, it is told.
Only times before the year 2025, which no set clock shows, are corrected: what is caused meanwhile is committed and held
back until the clock is set, but not for longer than an alert may wait.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import msgspec

from edge_runtime.daemon.clock import NEVER_SET_BEFORE_S, Clock, clock_quality
from edge_runtime.daemon.complaints import Complaints
from edge_runtime.daemon.journal import Journal
from edge_runtime.daemon.lasting import LASTING, LastingClock
from edge_runtime.daemon.metrics import Metrics
from edge_runtime.daemon.outbox import Outbox
from edge_runtime.daemon.restamping import EVER, Span
from edge_runtime.errors import HostEnvironmentError

_log = logging.getLogger(__name__)

#: Key in the outbox's state table, there as long as events are held.
HELD = "clock/held"
#: A change of the wall clock that is told; smaller steps are what time services do.
JUMP_S = 2.0

_MARK_EVERY_S = 60.0
_READING_S = 0.1
#: Stamps are rounded, and taken a moment before or after this one looks.
_SLACK_S = 1.0


class Unset(msgspec.Struct, frozen=True):
    """A time without a set clock.

    ``kernel`` is the start of the machine in which it began, at ``since_s`` after that start; ``base_s`` is what the
    wall clock showed at the start of the machine, as far as it can be told.
    """

    kernel: str
    base_s: float
    since_s: float


class Wall:
    """The wall clock for messages.

    As long as the real one was never set, it goes on from its first reading, whatever that one jumps to within those
    years: all times of one such period then need the same correction. Used by several threads.

    Parameters
    ----------
    clock : Clock
        The real clocks.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.base_s: float | None = None
        self._offset_s = 0.0

    def __call__(self) -> float:
        """Seconds since the epoch, UTC."""
        real = self._clock.wall()
        if real >= NEVER_SET_BEFORE_S:
            return real
        since_boot = self._clock.boottime()
        if self.base_s is None:
            self.base_s, self._offset_s = real - since_boot, 0.0
        return self.base_s + since_boot

    def correct(self, time_s: float) -> float:
        """Correct a time that was taken before the clock was set, once that is known."""
        return time_s + self._offset_s if time_s < NEVER_SET_BEFORE_S else time_s

    def end(self, offset_s: float) -> None:
        """Note that the clock is set, and by how much."""
        self._offset_s = offset_s
        self.base_s = None


class TimeKeeper:
    """Watches the wall clock from the main loop.

    Parameters
    ----------
    clock : Clock
        The real clocks.
    wall : Wall
        What messages are stamped with.
    lasting : LastingClock
        Marked now and then.
    outbox : Outbox
        Holds events.
    journal : Journal
        Told whether new events are to be held.
    hold_s : float
        So long events are held at the most.
    remember : callable
        Puts an incident into the reasons of health, for an hour.
    metrics, complaints : Metrics, Complaints
        Count and log.
    """

    def __init__(  # noqa: PLR0913 - the clocks, and everything that a clock that is set touches
        self,
        clock: Clock,
        wall: Wall,
        lasting: LastingClock,
        *,
        outbox: Outbox,
        journal: Journal[object],
        hold_s: float,
        remember: Callable[[str], None],
        metrics: Metrics,
        complaints: Complaints,
    ) -> None:
        self._clock = clock
        self._wall = wall
        self._lasting = lasting
        self._outbox = outbox
        self._journal = journal
        self._hold_s = hold_s
        self._remember = remember
        self._metrics = metrics
        self._complaints = complaints
        self._unset: Unset | None = None
        self._strangers: tuple[str, ...] = ()
        self._last: tuple[float, float] | None = None
        self._mark_at = float("-inf")

    @property
    def troubles(self) -> tuple[str, ...]:
        """Why times cannot be trusted."""
        return ("clock_unset",) if self._unset is not None else ()

    def resume(self, stored: bytes | None) -> None:
        """Go on where an earlier run left events held.

        Those of the same start of the machine are corrected when the clock is set. Of others nobody can say when they
        were: they are let go as they are.

        Parameters
        ----------
        stored : bytes or None
            The state under ``HELD``.
        """
        try:
            before = msgspec.msgpack.decode(stored or b"", type=Unset)
        except msgspec.MsgspecError:
            before = None
        if before is not None and before.kernel and before.kernel == self._lasting.kernel:
            self._unset, self._wall.base_s = before, before.base_s
        else:
            self._strangers = self._outbox.held_runs()
            self._journal.set_state(HELD, None, now=self._clock.monotonic())
        if self._clock.wall() < NEVER_SET_BEFORE_S:
            self._wait()

    def tick(self, shift: Callable[[float, Span], None]) -> bool:
        """Look at the clock; to be called before anything else of a turn.

        Parameters
        ----------
        shift : callable
            Corrects the times that are in memory by so many seconds, as far as they lie in the span.

        Returns
        -------
        was_set : bool
            Whether the clock is set since this turn, and all times are corrected: what is retained may be told anew.
        """
        is_unset = self._clock.wall() < NEVER_SET_BEFORE_S
        self._watch_jumps()
        self._mark()
        if self._strangers and self._let_go(self._strangers, 0.0):
            self._strangers = ()
        if is_unset:
            self._wait()
            return False
        return self._unset is not None and self._correct(self._unset, shift)

    def _wait(self) -> None:
        """Hold what is caused without a set clock, as long as it may wait."""
        if self._unset is None:
            since_boot = self._clock.boottime()
            self._unset = Unset(self._lasting.kernel, self._wall() - since_boot, since_boot)
            self._journal.set_state(HELD, msgspec.msgpack.encode(self._unset), now=self._clock.monotonic())
            _log.warning("event=clock_unset hold_s=%g", self._hold_s)
        self._journal.holding = self._clock.boottime() - self._unset.since_s < self._hold_s
        if not self._journal.holding and self._outbox.depth > self._outbox.ready:
            self._let_go(None, 0.0)

    def _correct(self, unset: Unset, shift: Callable[[float, Span], None]) -> bool:
        """Correct what was held, now that the clock is set; again in the next turn where the disk refuses."""
        since_boot = self._clock.boottime()
        offset_s = self._clock.wall() - since_boot - unset.base_s
        until_s = min(unset.base_s + since_boot + _SLACK_S, NEVER_SET_BEFORE_S)
        span = Span(unset.base_s + unset.since_s - _SLACK_S, until_s)
        self._journal.holding = False
        self._wall.end(offset_s)
        shift(offset_s, span)
        self._journal.flush(self._clock.monotonic(), force=True)
        if self._journal.fault or not self._let_go(None, offset_s, span):
            return False
        self._unset = None
        self._journal.set_state(HELD, None, now=self._clock.monotonic())
        _log.warning("event=clock_set by_s=%.3f", offset_s)
        return True

    def _let_go(self, runs: tuple[str, ...] | None, offset_s: float, span: Span = EVER) -> bool:
        """Correct the held events of some runs, or of all, and let them be sent; False when the disk refuses."""
        clock = clock_quality(self._clock.wall()) if offset_s else None
        try:
            for run in self._outbox.held_runs() if runs is None else runs:
                self._outbox.restamp(round(offset_s * 1000), boot_id=run, clock=clock, span=span)
        except HostEnvironmentError as error:
            self._complaints.say("sending", "outbox", "restamp_failed", str(error))
            return False
        return True

    def _watch_jumps(self) -> None:
        """Tell a jump of the wall clock, unless it is the one that sets it."""
        before, wall, after = self._clock.boottime(), self._clock.wall(), self._clock.boottime()
        if after - before > _READING_S:  # the machine was busy in between; the next turn will tell
            return
        last, self._last = self._last, (wall, before)
        if last is None or last[0] < NEVER_SET_BEFORE_S:
            return
        jump_s = (wall - last[0]) - (before - last[1])
        if abs(jump_s) > JUMP_S:
            self._metrics.clock_jumps.inc()
            self._complaints.say("processing", "clock", "clock_jumped", f"by {jump_s:+.3f} s")
            self._remember("clock_jumped")

    def _mark(self) -> None:
        """Keep the lasting clock now and then, so that a start of the machine goes on from there."""
        now = self._clock.monotonic()
        if now >= self._mark_at:
            self._mark_at = now + _MARK_EVERY_S
            self._journal.set_state(LASTING, self._lasting.mark(), now=now)
