"""Findings to alarms: n-of-m, hysteresis, latch, acknowledgement, shelving, floods, after ISA-18.2 and OPC UA Part 9.

Pure: no clock, no broker, no disk. ``AlarmBook.apply`` takes a finding and the time and returns the transitions that
an operator is told about. The book's time is in seconds, never goes back, and goes on over restarts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from edge_runtime.alarm_flood import Flood
from edge_runtime.findings import Finding
from edge_runtime.messages import EventType, Severity

#: Alarms of these severities are not annunciated one by one in a flood.
QUIET_IN_FLOOD: Final[frozenset[Severity]] = frozenset({"low", "medium"})


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
    exempt : bool
        Whether it neither counts towards a flood nor is quiet in one.
    """

    n: int = 1
    m: int = 1
    clear_after: int = 3
    severity: Severity = "medium"
    severity_n: int = 500
    latch: bool = False
    update_every_s: float = 10.0
    exempt: bool = False

    @property
    def may_be_quiet(self) -> bool:
        """Whether such alarms need not be annunciated one by one in a flood."""
        return self.severity in QUIET_IN_FLOOD and not self.exempt


class Alarm(msgspec.Struct, frozen=True, omit_defaults=True):
    """The state of one alarm key, as it is checkpointed.

    ``history`` holds the last ``m`` findings as bits, the newest lowest, 1 for abnormal. ``history_n`` counts them.
    ``first_s`` and ``last_s`` are wall clock, ``told_s`` and ``shelved_until_s`` the book's time. ``shelved_id`` is the
    occurrence that was shelved. ``flooded``: raised in a flood, and not to be annunciated by itself.
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
    shelving: Literal["", "timed", "one_shot"] = ""
    shelved_until_s: float = 0.0
    shelved_id: str = ""
    flooded: bool = False

    @property
    def shelved(self) -> bool:
        """Whether a person has set it aside."""
        return bool(self.shelving)

    def is_update_due(self, rule: AlarmRule, now_s: float) -> bool:
        """Whether nothing was told for so long that it may be told once more; checkpoints may know another time."""
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
    flood : Flood, optional
        Counts raised alarms, from its own checkpoint; by default there is never a flood.
    """

    def __init__(self, alarms: Mapping[str, Alarm] | None = None, *, flood: Flood | None = None) -> None:
        self._alarms = dict(alarms or {})
        self._shelved = {key for key, alarm in self._alarms.items() if alarm.shelved}
        self.flood = flood or Flood(0, 1.0)

    def apply(
        self,
        key: str,
        finding: Finding,
        rule: AlarmRule,
        *,
        now_s: float,
        new_id: str,
        seen_s: float | None = None,
    ) -> list[Transition]:
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
            The book's time.
        new_id : str
            ULID for the alarm if this finding raises it.
        seen_s : float, s, optional
            Wall clock of the input, by the source where it tells it; ``now_s`` by default.

        Returns
        -------
        transitions : list of Transition
            Empty when the operator is told nothing. A ``cleared`` that ends a one-shot shelving has an ``unshelved``
            behind it.
        """
        at_s = now_s if seen_s is None else seen_s
        alarm = _count(self._alarms.get(key, Alarm(key=key)), finding, rule)
        step: EventType | None = None
        if not alarm.active and _abnormal(alarm, rule.m) >= rule.n and finding.abnormal:
            alarm = self._raised(alarm, rule, now_s=now_s, at_s=at_s, new_id=new_id)
            step = "raised"
        elif alarm.active and alarm.clear_run >= rule.clear_after and (alarm.acked or not rule.latch):
            alarm = _changed(alarm, active=False, history=0, history_n=0)
            step = "cleared"
        elif alarm.active and finding.abnormal:
            alarm = _changed(alarm, count=alarm.count + 1)
            thinned = self.flood.active and rule.may_be_quiet
            if alarm.is_update_due(rule, now_s) and not thinned:
                step = "updated"
        if finding.abnormal:
            alarm = _changed(alarm, last_s=at_s)
        if step is None:
            self._alarms[key] = alarm
            return []
        told = [self._note(step, alarm, finding, now_s)]
        if step == "cleared" and alarm.shelving == "one_shot":
            told.append(self._unshelved(self._alarms[key], now_s))
        return told

    def acknowledge(self, alert_id: str, *, now_s: float) -> list[Transition]:
        """Note that a person has seen an alarm, shelved or not.

        Returns
        -------
        transitions : list of Transition
            Empty when no unacknowledged alarm has this id.
        """
        alarm = self.find(alert_id)
        if alarm is None or alarm.acked:
            return []
        return [self._note("acked", _changed(alarm, acked=True), None, now_s)]

    def shelve(self, alert_id: str, *, duration_s: float, one_shot: bool, now_s: float) -> list[Transition]:
        """Set an alarm aside; while it is, its transitions go on and say that it is.

        Timed shelving covers every occurrence until it ends. One-shot shelving also ends when this occurrence clears.
        An alarm that is shelved already is shelved anew from now on.

        Parameters
        ----------
        alert_id : str
            Its last occurrence, active or not.
        duration_s : float > 0
            For how long.
        one_shot : bool
            End at the first clearing, if that comes earlier.
        now_s : float, s
            The book's time.

        Returns
        -------
        transitions : list of Transition
            Empty when no alarm has this id, or when one-shot shelving is asked for one that is not active.
        """
        alarm = self.find(alert_id)
        if alarm is None or (one_shot and not alarm.active):
            return []
        self._shelved.add(alarm.key)
        shelving = "one_shot" if one_shot else "timed"
        shelved = _changed(alarm, shelving=shelving, shelved_until_s=now_s + duration_s, shelved_id=alarm.alert_id)
        return [self._note("shelved", shelved, None, now_s)]

    def unshelve(self, alert_id: str, *, now_s: float) -> list[Transition]:
        """End a shelving now.

        Parameters
        ----------
        alert_id : str
            The occurrence that was shelved, or the last one.
        now_s : float, s
            The book's time.

        Returns
        -------
        transitions : list of Transition
            Empty when no shelved alarm has this id.
        """
        for key in self._shelved:
            alarm = self._alarms[key]
            if alert_id in {alarm.alert_id, alarm.shelved_id}:
                return [self._unshelved(alarm, now_s)]
        return []

    def tick(self, now_s: float) -> list[Transition]:
        """End what is to end by itself: shelvings and a flood.

        Returns
        -------
        transitions : list of Transition
            ``unshelved``; and after a flood ``updated`` for each active alarm that was quiet in it.
        """
        over = sorted(key for key in self._shelved if self._alarms[key].shelved_until_s <= now_s)
        told = [self._unshelved(self._alarms[key], now_s) for key in over]
        if self.flood.tick(now_s):
            loud = [alarm for alarm in self._alarms.values() if alarm.active and alarm.flooded]
            told += [self._note("updated", _changed(alarm, flooded=False), None, now_s) for alarm in loud]
        return told

    def next_due(self) -> float | None:
        """When ``tick`` has something to do, s in the book's time; None when nothing ends by itself."""
        due = [self._alarms[key].shelved_until_s for key in self._shelved]
        flood = self.flood.due()
        return min(due if flood is None else [*due, flood], default=None)

    def retire(self, key: str, *, now_s: float) -> list[Transition]:
        """Forget an alarm whose source or pipeline is gone, so that nothing can clear it any more.

        Returns
        -------
        transitions : list of Transition
            ``cleared`` where it was active, ``unshelved`` where it was shelved.
        """
        alarm = self._alarms[key]
        told = [self._note("cleared", _changed(alarm, active=False), None, now_s)] if alarm.active else []
        told += [self._unshelved(self._alarms[key], now_s)] if alarm.shelved else []
        del self._alarms[key]
        return told

    def shift(self, offset_s: float, *, before_s: float, since_s: float = 0.0) -> list[str]:
        """Correct the wall clock times of alarms that lie between two times which the clock now shows to be wrong.

        Returns
        -------
        keys : list of str
            The alarms that were changed.
        """
        changed = []
        for alarm in list(self._alarms.values()):
            times = alarm.first_s, alarm.last_s
            first_s, last_s = (each + offset_s if each > 0 and since_s <= each < before_s else each for each in times)
            if (first_s, last_s) != times:
                self._alarms[alarm.key] = _changed(alarm, first_s=first_s, last_s=last_s)
                changed.append(alarm.key)
        return changed

    def find(self, alert_id: str) -> Alarm | None:
        """Give the alarm whose last occurrence has this id."""
        return next((alarm for alarm in self._alarms.values() if alarm.alert_id and alarm.alert_id == alert_id), None)

    def _raised(self, alarm: Alarm, rule: AlarmRule, *, now_s: float, at_s: float, new_id: str) -> Alarm:
        """Begin an occurrence; only what an operator is told counts towards a flood."""
        counts = not (alarm.shelved or rule.exempt)
        return _changed(
            alarm,
            active=True,
            acked=False,
            alert_id=new_id,
            severity=rule.severity,
            severity_n=rule.severity_n,
            count=1,
            first_s=at_s,
            clear_run=0,
            flooded=counts and self.flood.count(now_s, may_be_quiet=rule.may_be_quiet),
        )

    def _unshelved(self, alarm: Alarm, now_s: float) -> Transition:
        self._shelved.discard(alarm.key)
        back = _changed(alarm, shelving="", shelved_until_s=0.0, shelved_id="")
        return self._note("unshelved", back, None, now_s)

    def _note(self, step: EventType, alarm: Alarm, finding: Finding | None, now_s: float) -> Transition:
        """Keep the new state of an alarm that is told about."""
        alarm = _changed(alarm, told_s=now_s)
        self._alarms[alarm.key] = alarm
        return Transition(step, alarm, finding)

    def __getitem__(self, key: str) -> Alarm:
        return self._alarms[key]

    def get(self, key: str) -> Alarm | None:
        """Give the alarm of a key, or None."""
        return self._alarms.get(key)

    def __contains__(self, key: str) -> bool:
        return key in self._alarms

    def shelved(self) -> list[Alarm]:
        """Alarms that are set aside, standing or not."""
        return [self._alarms[key] for key in self._shelved]

    def standing(self) -> list[Alarm]:
        """Alarms that are active, or cleared and not acknowledged, shelved ones too."""
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
