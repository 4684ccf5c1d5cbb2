"""Where alarms are decided: findings, commands, the gateway's own causes and time, written into the journal.

The state of every alarm is checkpointed in one transaction with the events that it caused.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass

import msgspec

from edge_runtime.alarm_flood import Flood, FloodState
from edge_runtime.alerts import Alarm, AlarmBook, Transition
from edge_runtime.config import Alarms, Pipeline
from edge_runtime.daemon.clock import Clock, clock_quality
from edge_runtime.daemon.evidence import Address
from edge_runtime.daemon.journal import Journal
from edge_runtime.daemon.metrics import Metrics
from edge_runtime.daemon.outbox import Outgoing, Priority
from edge_runtime.daemon.restamping import EVER, Span, restamped
from edge_runtime.daemon.system_alarms import SYSTEM, system_finding, system_key, system_occasion, system_rule
from edge_runtime.daemon.telling import Gateway, Stamp, tell_alert, tell_command
from edge_runtime.errors import PayloadFormatError, PayloadSizeError
from edge_runtime.messages import Alert, AlertSummary, EventIds, Severity, decode, encode

_log = logging.getLogger(__name__)

#: Key prefixes in the outbox's state table: counters and history of an alarm, its last event, and what concerns all.
ALARM = "alarm/"
ALERT = "alert/"
ALARMS = "alarms/"
_FLOOD = ALARMS + "flood"
#: Settings where none are given.
USUAL = Alarms()
#: The word of the summary alarm of a flood.
FLOOD_WORD = "alarm_flood"
_FLOOD_KEY = system_key(FLOOD_WORD)
#: Longer than any command may shelve: a checkpoint that claims more is wrong.
_LONGEST_SHELVING_S = 604_800.0


@dataclass(frozen=True, slots=True)
class Addresses:
    """Topics that the desk publishes on, and the longest message that the session takes.

    ``alert_state`` gives the topic of an alarm's key, ``evidence`` that of the input which raised it.
    """

    alert_event: str
    alert_state: Callable[[str], str]
    part_verdict: str
    evidence: Address = "evidence/{}/{}".format
    max_payload_bytes: int = 1 << 24


class AlarmDesk:
    """All alarms of the gateway.

    Parameters
    ----------
    pipelines : iterable of Pipeline
        Whose alarms are still wanted.
    journal : Journal
        Takes events and state.
    gateway : Gateway
        What every message says about this run.
    addresses : Addresses
        Topics.
    event_ids : EventIds
        Gives ULIDs.
    clock : Clock
        All clocks.
    metrics : Metrics
        Counts alarm events.
    stored : mapping of str to bytes
        Checkpointed state, by key.
    settings : Alarms
        When alarms are a flood.
    lasting : callable, optional
        Seconds that never jump and go on over restarts; by default the clock's monotonic ones.

    Attributes
    ----------
    changed : bool
        Whether the summary is to be told anew.
    """

    def __init__(  # noqa: PLR0913 - where rules, clocks, identity and storage of alarms meet
        self,
        pipelines: Iterable[Pipeline],
        journal: Journal[object],
        gateway: Gateway,
        addresses: Addresses,
        *,
        event_ids: EventIds,
        clock: Clock,
        metrics: Metrics,
        stored: Mapping[str, bytes],
        settings: Alarms = USUAL,
        lasting: Callable[[], float] | None = None,
    ) -> None:
        self._pipelines = {pipeline.id: pipeline for pipeline in pipelines}
        self._journal = journal
        self._gateway = gateway
        self._addresses = addresses
        self._ids = event_ids
        self._clock = clock
        self._metrics = metrics
        self._lasting = lasting or clock.monotonic
        alarms, self._last = _restore(stored, latest_s=self._lasting() + _LONGEST_SHELVING_S)
        flood = Flood(settings.flood_n, settings.flood_window_s, _restore_flood(stored))
        self._flood_kept = (flood, flood.revision)
        self._book = AlarmBook(alarms, flood=flood)
        self._settings = settings
        self.changed = True

    def resettle(self, settings: Alarms) -> None:
        """Take over when alarms are a flood; one that there is goes on under the new limit."""
        if settings != self._settings:
            self._settings = settings
            self._book.flood = Flood(settings.flood_n, settings.flood_window_s, self._book.flood.state)

    def acknowledge(self, alert_id: str) -> bool:
        """Note that a person has seen an alarm; False when there is no such unacknowledged one."""
        return self._tell_all(self._book.acknowledge(alert_id.upper(), now_s=self._lasting()))

    def shelve(self, alert_id: str, *, duration_s: float, one_shot: bool) -> str:
        """Set an alarm aside for a time.

        Parameters
        ----------
        alert_id : str
            Its last occurrence.
        duration_s : float
            For how long.
        one_shot : bool
            End when this occurrence clears, if that comes earlier.

        Returns
        -------
        refusal : str
            Empty when it is done, else ``unknown_alert`` or, for one-shot shelving, ``not_active``.
        """
        told = self._book.shelve(alert_id.upper(), duration_s=duration_s, one_shot=one_shot, now_s=self._lasting())
        if self._tell_all(told):
            return ""
        return "unknown_alert" if self._book.find(alert_id.upper()) is None else "not_active"

    def unshelve(self, alert_id: str) -> bool:
        """End a shelving; False when no shelved alarm has this id."""
        return self._tell_all(self._book.unshelve(alert_id.upper(), now_s=self._lasting()))

    def tick(self) -> None:
        """End what ends by itself: shelvings and floods."""
        due = self._book.next_due()
        if due is not None and due <= self._lasting():
            self._tell_all(self._book.tick(self._lasting()))
            self._say_flood()

    def alarms_due(self) -> float | None:
        """Monotonic time at which ``tick`` has something to do, s; None when nothing ends by itself."""
        due = self._book.next_due()
        return None if due is None else self._clock.monotonic() + due - self._lasting()

    def set_system(
        self,
        word: str,
        *,
        active: bool,
        text: str,
        severity: Severity = "high",
        score: float = 1.0,
        value: float | None = None,
        unit: str = "",
    ) -> None:
        """Raise, keep or clear one of the gateway's own alarms, with the key ``system.<word>``.

        May be called as often as its cause is looked at: the alarm is raised once, updated once a minute while the
        cause lasts, and cleared once. It survives a restart; whoever raised it says anew whether its cause holds.

        Parameters
        ----------
        word : str
            ``[a-z0-9_.-]``, at most 120 characters.
        active : bool
            Whether the cause holds.
        text : str
            One sentence for the operator; cut at 2048 characters.
        severity : Severity
            Of the next raise; one that stands keeps its own.
        score, value, unit : float, float or None, str
            Figures of the alert.

        Raises
        ------
        ValueError
            If the word cannot name an alarm.
        """
        key = system_key(word)
        now_s = self._lasting()
        standing = self._book.get(key)
        is_active = standing is not None and standing.active
        rule = system_rule(severity, exempt=word == FLOOD_WORD)
        if is_active == active and not (standing is not None and active and standing.is_update_due(rule, now_s)):
            return
        wall = self._clock.wall()
        finding = system_finding(word, active=active, score=score, value=value, unit=unit)
        for transition in self._book.apply(key, finding, rule, now_s=now_s, seen_s=wall, new_id=self._ids.next()):
            if transition.finding is None:
                alert = tell_command(self._last[key], transition, self._gateway, self._stamp("alert"))
            else:
                alert = tell_alert(transition, system_occasion(wall), self._gateway, self._stamp("alert"))
            self._tell(msgspec.structs.replace(alert, text=text[:2048]))
        self._keep(key)
        if word != FLOOD_WORD:
            self._say_flood()

    def shift_times(self, offset_s: float, span: Span = EVER) -> None:
        """Correct the times of alarms that a clock which was never set showed in a span, by so many seconds."""
        for key in self._book.shift(offset_s, before_s=span.until_s, since_s=span.since_s):
            self._keep(key)
        for key, last in self._last.items():
            told = encode(last)
            corrected = restamped(told, round(offset_s * 1000), span=span)
            if corrected != told:
                self._last[key] = decode(corrected, Alert)
                self._journal.set_state(ALERT + key, corrected, now=self._clock.monotonic())

    def system_words(self) -> list[str]:
        """Give the words of the gateway's own alarms that are active."""
        active = [alarm.key for alarm in self._book.standing() if alarm.active]
        return [key.removeprefix(f"{SYSTEM}.") for key in active if key.startswith(f"{SYSTEM}.")]

    def _say_flood(self) -> None:
        """Keep the state of the flood with that of its alarms, and tell the summary alarm."""
        flood = self._book.flood
        if (flood, flood.revision) != self._flood_kept:
            self._flood_kept = (flood, flood.revision)
            self._journal.set_state(_FLOOD, msgspec.msgpack.encode(flood.state), now=self._clock.monotonic())
        standing = self._book.get(_FLOOD_KEY)
        if not flood.active and (standing is None or not standing.active):
            return
        quiet = f"{flood.n_quiet} of them, of low or medium severity, are not annunciated one by one"
        limit = f"more than {self._settings.flood_n} within {self._settings.flood_window_s:g} s"
        text = f"a flood of alarms: {flood.n_raised} so far, {limit}; {quiet}"
        if not flood.active:
            text = f"the flood of alarms is over after {flood.n_raised}; {quiet.replace(' are ', ' were ')}"
        self.set_system(FLOOD_WORD, active=flood.active, text=text, value=float(flood.n_raised))

    def _keep(self, key: str) -> None:
        """Put the state of an alarm into the journal."""
        alarm = msgspec.msgpack.encode(self._book[key])
        self._journal.set_state(ALARM + key, alarm, now=self._clock.monotonic())

    def retire_gone(self) -> None:
        """End the alarms that nothing else would clear.

        Their pipeline, or source in it, is no longer configured, or the state of the alarm could not be read.
        """
        for last in list(self._last.values()):
            if not self._is_configured(last):
                self._retire(last, f"is no longer watched by {last.pipeline}")
            elif last.key not in self._book:
                self._retire(last, "begins anew, because its state could not be read")

    def retire_labels(self, pipeline: str, labels: Container[str]) -> None:
        """End the alarms of a pipeline whose label its model does not have: nothing else would clear them."""
        for last in list(self._last.values()):
            if last.pipeline == pipeline and last.label not in labels:
                self._retire(last, f"is not among what the model of {pipeline} tells by now")

    def _retire(self, last: Alert, why: str) -> None:
        """End an alarm that nothing could clear, tell why, and forget it."""
        key = last.key
        if key in self._book:
            told = self._book.retire(key, now_s=self._lasting())
        else:
            alarm = Alarm(key, alert_id=last.alert_id, acked=last.acked)
            told = [Transition("cleared", alarm, None)] if last.active or last.shelved else []
        for transition in told:
            ended = tell_command(last, transition, self._gateway, self._stamp("alert"))
            text = f"{last.camera or last.asset}: {last.label} {why}"
            self._tell(msgspec.structs.replace(ended, text=text))
        self._say_state(key, b"")
        del self._last[key]
        for prefix in (ALARM, ALERT):
            self._journal.set_state(prefix + key, None, now=self._clock.monotonic())

    def _is_configured(self, alert: Alert) -> bool:
        """Whether the pipeline of an alert still has its source; the gateway itself is always there."""
        if alert.pipeline == SYSTEM:
            return True
        pipeline = self._pipelines.get(alert.pipeline)
        return pipeline is not None and (alert.camera in pipeline.cameras or alert.asset in pipeline.sensors)

    def summary(self) -> AlertSummary:
        """Count the standing alarms; shelved ones only as such."""
        standing = [alarm for alarm in self._book.standing() if not alarm.shelved]
        active = [alarm for alarm in standing if alarm.active]
        worst = max(active, key=lambda alarm: alarm.severity_n, default=None)
        return AlertSummary(
            active=len(active),
            unacked=sum(not alarm.acked for alarm in standing),
            shelved=len(self._book.shelved()),
            max_severity=None if worst is None else worst.severity,
            max_severity_n=0 if worst is None else worst.severity_n,
            timestamp_ms=round(self._clock.wall() * 1000),
        )

    def _tell_all(self, transitions: Iterable[Transition]) -> bool:
        """Tell what a person or the time caused; False when it is nothing."""
        told = False
        for transition in transitions:
            key = transition.alarm.key
            self._keep(key)
            self._tell(tell_command(self._last[key], transition, self._gateway, self._stamp("alert")))
            told = True
        return told

    def _tell(self, alert: Alert) -> None:
        """Put an alert and the retained state of its key into the journal."""
        self._metrics.alerts.labels(alert.event_type).inc()
        payload = encode(alert)
        self._journal.add_event(
            Outgoing(alert.event_id, "alert", alert.seq, Priority.ALERT, self._addresses.alert_event, payload)
        )
        standing = alert.active or not alert.acked or alert.shelved
        self._say_state(alert.key, payload if standing else b"")
        self._last[alert.key] = alert
        self._journal.set_state(ALERT + alert.key, payload, now=self._clock.monotonic())
        self.changed = True

    def _say_state(self, key: str, payload: bytes) -> None:
        """Put the retained state of a key into the journal."""
        topic = self._addresses.alert_state(key)
        self._journal.add_event(Outgoing(self._ids.next(), "", 0, Priority.ALERT, topic, payload, retain=True))

    def _stamp(self, series: str) -> Stamp:
        wall = self._clock.wall()
        return Stamp(self._ids.next(), self._journal.next_seq(series), wall, clock_quality(wall), self._lasting())


def _restore(stored: Mapping[str, bytes], *, latest_s: float) -> tuple[dict[str, Alarm], dict[str, Alert]]:
    """Read the checkpoint; an alarm that cannot be read begins anew, for a gateway must start."""
    alarms: dict[str, Alarm] = {}
    alerts: dict[str, Alert] = {}
    for name, value in stored.items():
        try:
            if name.startswith(ALERT):
                alerts[name.removeprefix(ALERT)] = decode(value, Alert)
            elif name.startswith(ALARM):
                alarm = msgspec.msgpack.decode(value, type=Alarm)
                until_s = min(alarm.shelved_until_s, latest_s)
                alarms[name.removeprefix(ALARM)] = msgspec.structs.replace(alarm, shelved_until_s=until_s)
        except (msgspec.MsgspecError, UnicodeDecodeError, PayloadFormatError, PayloadSizeError) as error:
            _log.error("stage=processing the state of %s cannot be read and begins anew: %s", name, error)
    told = {key: alarm for key, alarm in alarms.items() if key in alerts or not alarm.alert_id}
    return told, alerts


def _restore_flood(stored: Mapping[str, bytes]) -> FloodState:
    """Read the checkpoint of a flood; one that cannot be read begins anew."""
    try:
        return msgspec.msgpack.decode(stored[_FLOOD], type=FloodState) if _FLOOD in stored else FloodState()
    except msgspec.MsgspecError as error:
        _log.error("stage=processing the state of the flood of alarms cannot be read and begins anew: %s", error)
        return FloodState()
