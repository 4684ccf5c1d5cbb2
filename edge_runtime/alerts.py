"""Findings to alarms: n-of-m, hysteresis, severity, acknowledgement, after ISA-18.2.

Pure: no clock, no broker, no disk. ``AlarmBook.apply`` takes a finding and the time and returns the transitions that
an operator is told about.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from edge_runtime.findings import Finding
from edge_runtime.messages import EventType, Severity


@dataclass(frozen=True, slots=True)
class AlarmRule:
    """When findings of a pipeline become an alarm.

    Attributes
    ----------
    n, m : int
        An alarm is raised when ``n`` of the last ``m`` findings of its key are abnormal; 1 <= n <= m <= 64.
    clear_after : int
        It clears after this many findings in a row that are on the right side of ``clear_below``.
    severity : Severity
        What the operator reads.
    severity_n : int
        The same on OPC UA's scale, 1..1000.
    latch : bool
        Whether it stays active until a person has acknowledged it.
    update_every_s : float
        While active and abnormal, an ``updated`` event at most this often.
    """

    n: int = 1
    m: int = 1
    clear_after: int = 3
    severity: Severity = "medium"
    severity_n: int = 500
    latch: bool = False
    update_every_s: float = 10.0


class Alarm(msgspec.Struct, frozen=True, omit_defaults=True):
    """The state of one alarm key, as it is checkpointed.

    ``history`` holds the last ``m`` findings as bits, the newest lowest, 1 for abnormal. ``history_n`` counts them.
    """

    key: str
    alert_id: str = ""
    active: bool = False
    acked: bool = False
    severity: Severity = "medium"
    severity_n: int = 500
    history: int = 0
    history_n: int = 0
    clear_run: int = 0
    count: int = 0
    first_s: float = 0.0
    last_s: float = 0.0
    told_s: float = 0.0

    def is_update_due(self, rule: AlarmRule, now_s: float) -> bool:
        """Whether so long nothing was told that it may be told once more; a clock may be set back."""
        return abs(now_s - self.told_s) >= rule.update_every_s


@dataclass(frozen=True, slots=True)
class Transition:
    """One step in an alarm's life that is published.

    Attributes
    ----------
    event_type : EventType
        What happened.
    alarm : Alarm
        The state after it.
    finding : Finding or None
        What caused it; None for a command.
    """

    event_type: EventType
    alarm: Alarm
    finding: Finding | None


class AlarmBook:
    """All alarms of a gateway by key.

    Parameters
    ----------
    alarms : mapping of str to Alarm, optional
        A checkpoint to go on from.
    """

    def __init__(self, alarms: Mapping[str, Alarm] | None = None) -> None:
        self._alarms = dict(alarms or {})

    def apply(self, key: str, finding: Finding, rule: AlarmRule, *, now_s: float, new_id: str) -> list[Transition]:
        """Count a finding towards its alarm.

        Parameters
        ----------
        key : str
            The alarm it belongs to, such as ``press-3.bearing``.
        finding : Finding
            What the model said.
        rule : AlarmRule
            The pipeline's rule.
        now_s : float, s
            Time of the finding (the source's clock).
        new_id : str
            ULID for the alarm if this finding raises it.

        Returns
        -------
        transitions : list of Transition
            Empty when the operator is told nothing.
        """
        alarm = _count(self._alarms.get(key, Alarm(key=key)), finding, rule)
        step: EventType | None = None
        if not alarm.active and _abnormal(alarm, rule.m) >= rule.n and finding.abnormal:
            alarm = _changed(
                alarm,
                active=True,
                acked=False,
                alert_id=new_id,
                severity=rule.severity,
                severity_n=rule.severity_n,
                count=1,
                first_s=now_s,
                clear_run=0,
            )
            step = "raised"
        elif alarm.active and alarm.clear_run >= rule.clear_after and (alarm.acked or not rule.latch):
            alarm = _changed(alarm, active=False, history=0, history_n=0)
            step = "cleared"
        elif alarm.active and finding.abnormal:
            alarm = _changed(alarm, count=alarm.count + 1)
            if alarm.is_update_due(rule, now_s):
                step = "updated"
        if finding.abnormal:
            alarm = _changed(alarm, last_s=now_s)
        if step is not None:
            alarm = _changed(alarm, told_s=now_s)
        self._alarms[key] = alarm
        return [] if step is None else [Transition(step, alarm, finding)]

    def acknowledge(self, alert_id: str, *, now_s: float) -> list[Transition]:
        """Note that a person has seen an alarm.

        Returns
        -------
        transitions : list of Transition
            Empty when no unacknowledged alarm has this id.
        """
        for key, alarm in self._alarms.items():
            if alarm.alert_id and alarm.alert_id == alert_id and not alarm.acked:
                acked = _changed(alarm, acked=True, told_s=now_s)
                self._alarms[key] = acked
                return [Transition("acked", acked, None)]
        return []

    def retire(self, key: str, *, now_s: float) -> list[Transition]:
        """Forget an alarm whose source or pipeline is gone, so that nothing can clear it any more.

        Returns
        -------
        transitions : list of Transition
            ``cleared`` where it was active.
        """
        alarm = self._alarms.pop(key)
        if not alarm.active:
            return []
        return [Transition("cleared", _changed(alarm, active=False, told_s=now_s), None)]

    def __getitem__(self, key: str) -> Alarm:
        return self._alarms[key]

    def get(self, key: str) -> Alarm | None:
        """Give the alarm of a key, or None."""
        return self._alarms.get(key)

    def __contains__(self, key: str) -> bool:
        return key in self._alarms

    def standing(self) -> list[Alarm]:
        """Alarms that are active, or cleared and not acknowledged."""
        return [alarm for alarm in self._alarms.values() if alarm.alert_id and (alarm.active or not alarm.acked)]


def _changed(alarm: Alarm, **changes: object) -> Alarm:
    """Copy an alarm with some fields changed."""
    return msgspec.structs.replace(alarm, **changes)


def _count(alarm: Alarm, finding: Finding, rule: AlarmRule) -> Alarm:
    """Shift a finding into the history and count the run of clearable ones."""
    history = ((alarm.history << 1) | int(finding.abnormal)) & ((1 << rule.m) - 1)
    return _changed(
        alarm,
        history=history,
        history_n=min(alarm.history_n + 1, rule.m),
        clear_run=alarm.clear_run + 1 if finding.clearable and not finding.abnormal else 0,
    )


def _abnormal(alarm: Alarm, m: int) -> int:
    """How many of the last ``m`` findings were abnormal."""
    return (alarm.history & ((1 << m) - 1)).bit_count()
