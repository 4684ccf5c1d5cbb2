"""What is done for the outbox by the clock, and what people are told of it: purges, audits, dropped evidence."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from edge_runtime.daemon.complaints import Complaints
from edge_runtime.daemon.metrics import Metrics
from edge_runtime.daemon.outbox import Outbox
from edge_runtime.daemon.outbox_audit import SequenceAudit
from edge_runtime.errors import HostEnvironmentError

_log = logging.getLogger(__name__)

_EVERY_S = 60.0


class Bookkeeper:
    """Looks after the outbox.

    Parameters
    ----------
    outbox : Outbox
        What is looked after.
    committed : callable
        Gives the last committed numbers by series.
    remember : callable
        Puts an incident into the reasons of health, for an hour.
    metrics : Metrics
        Counts.
    complaints : Complaints
        Logs.
    """

    def __init__(
        self,
        outbox: Outbox,
        committed: Callable[[], Mapping[str, int]],
        *,
        remember: Callable[[str], None],
        metrics: Metrics,
        complaints: Complaints,
    ) -> None:
        self._outbox = outbox
        self._audit = SequenceAudit(outbox, committed)
        self._remember = remember
        self._metrics = metrics
        self._complaints = complaints
        self._next = 0.0
        self._dropped: dict[str, int] = {}
        self.n_incidents = 0

    def look(self, now: float) -> None:
        """Do what is due.

        Parameters
        ----------
        now : float, s
            Monotonic.
        """
        self._tell_dropped()
        if now < self._next:
            return
        self._next = now + _EVERY_S
        try:
            self._outbox.purge()
        except HostEnvironmentError as error:  # health tells it by the next commit
            self._complaints.say("sending", "outbox", "purge_failed", str(error))
        try:
            violations = self._audit.check()
        except HostEnvironmentError as error:
            self._complaints.say("sending", "outbox", "audit_failed", str(error))
            return
        for violation in violations:
            _log.error("stage=sending event=sequence_gap %s", violation)
            self._metrics.sequence_gaps.labels(violation.series).inc()
            self._incident(f"sequence_gap:{violation.series}")

    def _tell_dropped(self) -> None:
        """Count evidence that was dropped since the last look."""
        for reason, total in self._outbox.evidence_dropped.items():
            new = total - self._dropped.get(reason, 0)
            if new:
                self._dropped[reason] = total
                self._metrics.evidence_dropped.labels(reason).inc(new)
                self._complaints.say("sending", "outbox", "evidence_dropped", f"{new} for its {reason}")
                self._incident("evidence_dropped")

    def _incident(self, reason: str) -> None:
        self._remember(reason)
        self.n_incidents += 1
