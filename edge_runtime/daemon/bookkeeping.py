"""What is done for the outbox by the clock, and what people are told of it: purges, audits, dropped evidence."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from edge_runtime.daemon.clock import Clock
from edge_runtime.daemon.complaints import Complaints
from edge_runtime.daemon.lifecycle import HealthReporter
from edge_runtime.daemon.mending import is_fresh
from edge_runtime.daemon.metrics import Metrics
from edge_runtime.daemon.outbox import PURGE_ROWS, Outbox
from edge_runtime.daemon.outbox_audit import SequenceAudit
from edge_runtime.errors import HostEnvironmentError

_log = logging.getLogger(__name__)

#: The reason in health while a damaged outbox lies in the state folder.
SET_ASIDE = "outbox_corrupt_set_aside"

_EVERY_S = 60.0
_SCRUB_EVERY_S = 5.0


class Bookkeeper:
    """Looks after the outbox.

    Parameters
    ----------
    outbox : Outbox
        What is looked after.
    committed : callable
        Gives the last committed numbers by series.
    health : HealthReporter
        Takes incidents, and whether a damaged outbox was set aside.
    metrics : Metrics
        Counts.
    complaints : Complaints
        Logs.
    clock : Clock
        Both clocks.
    hold_folder : callable
        Called when the file, perhaps with the state folder and its lock, was gone and is there again.
    """

    def __init__(
        self,
        outbox: Outbox,
        committed: Callable[[], Mapping[str, int]],
        *,
        health: HealthReporter,
        metrics: Metrics,
        complaints: Complaints,
        clock: Clock,
        hold_folder: Callable[[], None] = lambda: None,
    ) -> None:
        self._hold_folder = hold_folder
        self._n_rewritten = 0
        self._outbox = outbox
        self._audit = SequenceAudit(outbox, committed)
        self._health = health
        self._metrics = metrics
        self._complaints = complaints
        self._clock = clock
        self._next = 0.0
        self._dropped: dict[str, int] = {}
        self._n_mended = 0
        self._next_scrub = 0.0
        self._is_purging = False
        self.n_incidents = 0

    def look(self, now: float) -> None:
        """Do what is due.

        Parameters
        ----------
        now : float, s
            Monotonic.
        """
        self._tell_dropped()
        self._scrub(now)
        if self._outbox.n_rewritten != self._n_rewritten:
            self._n_rewritten = self._outbox.n_rewritten
            self._hold_folder()
            self._incident("state_folder_lost")
        n_new = len(self._outbox.mendings) - self._n_mended
        if n_new:
            self._n_mended += n_new
            self.n_incidents += n_new
            self._metrics.outboxes_mended.inc(n_new)
            self._next = now
        if self._is_purging or now >= self._next:
            self._purge()
        if now < self._next:
            return
        self._next = now + _EVERY_S
        self._tell_set_aside()
        try:
            violations = self._audit.check()
        except HostEnvironmentError as error:
            self._complaints.say("sending", "outbox", "audit_failed", str(error))
            return
        for violation in violations:
            _log.error("stage=sending event=sequence_gap %s", violation)
            self._metrics.sequence_gaps.labels(violation.series).inc()
            self._incident(f"sequence_gap:{violation.series}")

    def _purge(self) -> None:
        """Delete what is past its time; a full batch is followed by another in the next turn."""
        try:
            self._is_purging = self._outbox.purge() >= PURGE_ROWS
        except HostEnvironmentError as error:  # health tells it by the next commit
            self._is_purging = False
            self._complaints.say("sending", "outbox", "purge_failed", str(error))

    def _scrub(self, now: float) -> None:
        """Look for damage on the disk; where there is some, use the outbox at once, which mends it."""
        if now < self._next_scrub:
            return
        self._next_scrub = now + _SCRUB_EVERY_S
        try:
            if not self._outbox.scrub():
                self._outbox.oldest_unsent_s()
        except HostEnvironmentError as error:
            self._complaints.say("sending", "outbox", "scrub_failed", str(error))

    def _tell_dropped(self) -> None:
        """Count evidence that was dropped since the last look."""
        for reason, total in self._outbox.evidence_dropped.items():
            new = total - self._dropped.get(reason, 0)
            if new:
                self._dropped[reason] = total
                self._metrics.evidence_dropped.labels(reason).inc(new)
                self._complaints.say("sending", "outbox", "evidence_dropped", f"{new} for its {reason}")
                self._incident("evidence_dropped")

    def _tell_set_aside(self) -> None:
        """Say so while a damaged outbox lies there: in this run and for a day, unless a person removes it."""
        own = [mending.folder for mending in self._outbox.mendings]
        if any(folder.exists() for folder in own) or is_fresh(self._outbox.folder, self._clock.wall()):
            self._health.hold(SET_ASIDE)
        else:
            self._health.release(SET_ASIDE)

    def _incident(self, reason: str) -> None:
        self._health.remember(reason)
        self.n_incidents += 1
