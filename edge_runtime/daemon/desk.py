"""Where findings become alarms and verdicts: the supervisor's decisions, written into the journal.

Knows no broker and no worker. Alarm state is checkpointed with the events that it caused.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import msgspec

from edge_runtime.alerts import Alarm, AlarmBook, AlarmRule
from edge_runtime.config import Pipeline
from edge_runtime.daemon.clock import Clock, clock_quality
from edge_runtime.daemon.evidence import Address, EvidenceClerk, inherit, input_of
from edge_runtime.daemon.journal import Journal
from edge_runtime.daemon.metrics import Metrics
from edge_runtime.daemon.outbox import Outgoing, Priority
from edge_runtime.daemon.parts import Decided, PartBook, PartRule, PartState
from edge_runtime.daemon.protocol import Outcome
from edge_runtime.daemon.system_alarms import SYSTEM, system_finding, system_key, system_occasion, system_rule
from edge_runtime.daemon.telling import (
    NO_MODEL,
    Gateway,
    ModelFacts,
    Occasion,
    Stamp,
    tell_alert,
    tell_command,
    tell_verdict,
)
from edge_runtime.errors import PayloadFormatError, PayloadSizeError
from edge_runtime.findings import UNSURE
from edge_runtime.messages import SEVERITY_NUMBERS, Alert, AlertSummary, EventIds, Severity, decode, encode

_log = logging.getLogger(__name__)

_ALARM = "alarm/"
_ALERT = "alert/"
_PART = "part/"
_KEY_LENGTH = 128


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


class Desk:
    """All alarms and parts of the gateway.

    Parameters
    ----------
    pipelines : iterable of Pipeline
        Rules and verdict policies.
    journal : Journal
        Takes events and state.
    gateway : Gateway
        What every message says about this run.
    addresses : Addresses
        Topics.
    event_ids : EventIds
        Gives ULIDs.
    clock : Clock
        Both clocks.
    metrics : Metrics
        Counts alarm events and verdicts.
    stored : mapping of str to bytes
        Checkpointed state, by key.
    """

    def __init__(
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
    ) -> None:
        self._pipelines = {pipeline.id: pipeline for pipeline in pipelines}
        self._rules = {name: part_rule(pipeline) for name, pipeline in self._pipelines.items()}
        self._journal = journal
        self._gateway = gateway
        self._addresses = addresses
        self._ids = event_ids
        self._clock = clock
        self._metrics = metrics
        alarms, self._last = _restore(stored)
        self._book = AlarmBook(alarms)
        self._evidence = EvidenceClerk(
            self._pipelines.values(),
            addresses.evidence,
            new_id=event_ids.next,
            metrics=metrics,
            max_payload_bytes=addresses.max_payload_bytes,
        )
        self._parts = PartBook()
        self._open_parts = {key: value for key, value in stored.items() if key.startswith(_PART)}
        self.changed = True

    def remember_parts(self, decided: Iterable[tuple[str, str, float]]) -> None:
        """Take over the parts that an earlier run decided (pipeline, part, when seen), and those that it left open."""
        self._parts = PartBook(decided)
        now = self._clock.monotonic()
        for key, value in self._open_parts.items():
            pipeline, _, part = key.removeprefix(_PART).partition("/")
            rule = self._rules.get(pipeline)
            try:
                state = msgspec.msgpack.decode(value, type=PartState)
            except msgspec.MsgspecError:
                rule = None
            if rule is None:
                self._journal.set_state(key, None, now=now)
            else:
                self._parts.restore(pipeline, part, state, rule, now=now)

    def judges(self, pipeline: str) -> bool:
        """Whether the pipeline gives verdicts."""
        return self._pipelines[pipeline].verdict != "none"

    def is_decided(self, pipeline: str, part: str) -> bool:
        """Whether a verdict on the part exists."""
        return self._parts.is_decided(pipeline, part)

    def expect_part(self, pipeline: str, part: str, *, received_at: float, at: float | None = None) -> None:
        """Open a part at its first frame, which was taken ``at`` (wall clock, s)."""
        rule = self._rules[pipeline]
        self._parts.expect(pipeline, part, rule, now=self._clock.monotonic(), wall=received_at, at=at)

    def take(self, outcome: Outcome, occasion: Occasion) -> None:
        """Count an outcome's findings towards alarms, and towards the verdict on its part."""
        pipeline = self._pipelines[outcome.pipeline]
        self._metrics.findings.labels(outcome.pipeline).inc(sum(each.abnormal for each in outcome.findings))
        for place, finding in enumerate(outcome.findings):
            key = alarm_key(outcome.pipeline, occasion.source, finding.label)
            for transition in self._book.apply(
                key, finding, alarm_rule(pipeline, finding.label), now_s=occasion.at, new_id=self._ids.next()
            ):
                alert = tell_alert(transition, occasion, self._gateway, self._stamp("alert"))
                self._tell_with_evidence(alert, outcome, place, occasion)
            self._keep(key)
        if occasion.part is not None and self.judges(outcome.pipeline) and occasion.is_camera:
            self._answer(outcome, occasion, occasion.part)

    def _tell_with_evidence(self, alert: Alert, outcome: Outcome, place: int, occasion: Occasion) -> None:
        """Tell an alert of a finding with the input that raised it, or with what was told of that then."""
        if alert.event_type != "raised":
            self._tell(inherit(alert, self._last.get(alert.key)))
            return
        alert, evidence = self._evidence.attach(alert, input_of(outcome, place, occasion))
        self._tell(alert)
        if evidence is not None:
            self._journal.add_event(evidence)

    def _answer(self, outcome: Outcome, occasion: Occasion, part: str) -> None:
        """Give a camera's word on a part."""
        worst = max(outcome.findings, key=lambda finding: finding.score, default=None)
        reasons = tuple(finding.label for finding in outcome.findings if finding.abnormal)
        if outcome.reason:
            reasons = (outcome.reason,)
        elif outcome.verdict == UNSURE and worst is not None:
            reasons = (f"{UNSURE}:{worst.label}",)
        decided = self._parts.answer(
            outcome.pipeline,
            part,
            occasion.source,
            self._rules[outcome.pipeline],
            verdict=outcome.verdict or UNSURE,
            reasons=reasons,
            score=None if worst is None else worst.score,
            now=self._clock.monotonic(),
        )
        if decided is not None:
            self._judge(decided, occasion.model, occasion.at)
            return
        state = self._parts.state(outcome.pipeline, part)
        if state is not None:
            key = f"{_PART}{outcome.pipeline}/{part}"
            self._open_parts[key] = b""
            self._journal.set_state(key, msgspec.msgpack.encode(state), now=self._clock.monotonic())

    def decide_overdue(self, models: Mapping[str, ModelFacts]) -> None:
        """Give a verdict on every part whose deadline has passed."""
        for decided in self._parts.overdue(self._rules, now=self._clock.monotonic()):
            self._judge(decided, models.get(decided.pipeline, NO_MODEL), None)

    def next_deadline(self) -> float | None:
        """Monotonic time of the next part's deadline, s."""
        return self._parts.next_due()

    def acknowledge(self, alert_id: str) -> bool:
        """Note that a person has seen an alarm; False when there is no such unacknowledged one."""
        transitions = self._book.acknowledge(alert_id.upper(), now_s=self._clock.wall())
        for transition in transitions:
            key = transition.alarm.key
            self._journal.set_state(_ALARM + key, msgspec.msgpack.encode(transition.alarm), now=self._clock.monotonic())
            self._tell(tell_command(self._last[key], transition, self._gateway, self._stamp("alert")))
        return bool(transitions)

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
        now_s = self._clock.wall()
        standing = self._book.get(key)
        is_active = standing is not None and standing.active
        rule = system_rule(severity)
        if is_active == active and not (standing is not None and active and standing.is_update_due(rule, now_s)):
            return
        finding = system_finding(word, active=active, score=score, value=value, unit=unit)
        for transition in self._book.apply(key, finding, rule, now_s=now_s, new_id=self._ids.next()):
            alert = tell_alert(transition, system_occasion(now_s), self._gateway, self._stamp("alert"))
            self._tell(msgspec.structs.replace(alert, text=text[:2048]))
        self._keep(key)

    def _keep(self, key: str) -> None:
        """Put the state of an alarm into the journal."""
        alarm = msgspec.msgpack.encode(self._book[key])
        self._journal.set_state(_ALARM + key, alarm, now=self._clock.monotonic())

    def retire_gone(self) -> None:
        """End the alarms whose pipeline, or source in it, is no longer configured: nothing else would clear them."""
        now = self._clock.monotonic()
        for key, last in list(self._last.items()):
            if self._is_configured(last):
                continue
            if key in self._book:
                for transition in self._book.retire(key, now_s=self._clock.wall()):
                    cleared = tell_command(last, transition, self._gateway, self._stamp("alert"))
                    text = f"{last.camera or last.asset}: {last.label} is no longer watched by {last.pipeline}"
                    self._tell(msgspec.structs.replace(cleared, text=text))
                self._say_state(key, b"")
            del self._last[key]
            for prefix in (_ALARM, _ALERT):
                self._journal.set_state(prefix + key, None, now=now)

    def _is_configured(self, alert: Alert) -> bool:
        """Whether the pipeline of an alert still has its source; the gateway itself is always there."""
        if alert.pipeline == SYSTEM:
            return True
        pipeline = self._pipelines.get(alert.pipeline)
        return pipeline is not None and (alert.camera in pipeline.cameras or alert.asset in pipeline.sensors)

    def summary(self) -> AlertSummary:
        """Count the standing alarms."""
        standing = self._book.standing()
        active = [alarm for alarm in standing if alarm.active]
        worst = max(active, key=lambda alarm: alarm.severity_n, default=None)
        return AlertSummary(
            active=len(active),
            unacked=sum(not alarm.acked for alarm in standing),
            shelved=0,
            max_severity=None if worst is None else worst.severity,
            max_severity_n=0 if worst is None else worst.severity_n,
            timestamp_ms=round(self._clock.wall() * 1000),
        )

    def _judge(self, decided: Decided, model: ModelFacts, source_s: float | None) -> None:
        """Put a verdict into the journal, and forget the checkpoint of its part."""
        key = f"{_PART}{decided.pipeline}/{decided.part}"
        if self._open_parts.pop(key, None) is not None:
            self._journal.set_state(key, None, now=self._clock.monotonic())
        self._metrics.verdicts.labels(decided.pipeline, decided.verdict).inc()
        stamp = self._stamp("verdict")
        deadline_s = self._rules[decided.pipeline].deadline_s
        verdict = tell_verdict(decided, model, self._gateway, stamp, deadline_s=deadline_s, source_s=source_s)
        self._journal.add_event(
            Outgoing(
                stamp.event_id,
                "verdict",
                stamp.seq,
                Priority.VERDICT,
                self._addresses.part_verdict,
                encode(verdict),
            )
        )

    def _tell(self, alert: Alert) -> None:
        """Put an alert and the retained state of its key into the journal."""
        self._metrics.alerts.labels(alert.event_type).inc()
        payload = encode(alert)
        self._journal.add_event(
            Outgoing(alert.event_id, "alert", alert.seq, Priority.ALERT, self._addresses.alert_event, payload)
        )
        standing = alert.active or not alert.acked
        self._say_state(alert.key, payload if standing else b"")
        self._last[alert.key] = alert
        self._journal.set_state(_ALERT + alert.key, payload, now=self._clock.monotonic())
        self.changed = True

    def _say_state(self, key: str, payload: bytes) -> None:
        """Put the retained state of a key into the journal."""
        topic = self._addresses.alert_state(key)
        self._journal.add_event(Outgoing(self._ids.next(), "", 0, Priority.ALERT, topic, payload, retain=True))

    def _stamp(self, series: str) -> Stamp:
        wall = self._clock.wall()
        return Stamp(self._ids.next(), self._journal.next_seq(series), wall, clock_quality(wall))


def _restore(stored: Mapping[str, bytes]) -> tuple[dict[str, Alarm], dict[str, Alert]]:
    """Read the checkpoint; an alarm that cannot be read begins anew, for a gateway must start."""
    alarms: dict[str, Alarm] = {}
    alerts: dict[str, Alert] = {}
    for name, value in stored.items():
        try:
            if name.startswith(_ALERT):
                alerts[name.removeprefix(_ALERT)] = decode(value, Alert)
            elif name.startswith(_ALARM):
                alarms[name.removeprefix(_ALARM)] = msgspec.msgpack.decode(value, type=Alarm)
        except (msgspec.MsgspecError, UnicodeDecodeError, PayloadFormatError, PayloadSizeError) as error:
            _log.error("stage=processing the state of %s cannot be read and begins anew: %s", name, error)
    told = {key: alarm for key, alarm in alarms.items() if key in alerts or not alarm.alert_id}
    return told, alerts


def alarm_key(pipeline: str, source: str, label: str) -> str:
    """Name the alarm of a label at a source: one topic level of ``[a-z0-9_.-]``, at most 128 characters.

    Where the label holds other letters, or the name would be too long, a digest keeps different labels apart.

    Examples
    --------
    >>> alarm_key("surface", "cam1", "Deep Scratch")
    'surface.cam1.deep_scratch'
    >>> alarm_key("surface", "cam1", "Öl")
    'surface.cam1._l-81ebde1c'
    """
    plain = label.lower().replace(" ", "_")
    word = re.sub(r"[^a-z0-9_.-]", "_", plain)
    if word != plain:
        word = f"{word}-{_short_digest(label)}"
    key = f"{pipeline}.{source}.{word}"
    return key if len(key) <= _KEY_LENGTH else f"{key[: _KEY_LENGTH - 9]}-{_short_digest(key)}"


def _short_digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def part_rule(pipeline: Pipeline) -> PartRule:
    """Read a pipeline's verdict policy."""
    cameras = frozenset(pipeline.cameras) if pipeline.verdict == "all" else frozenset()
    return PartRule(cameras, pipeline.deadline_ms / 1000, pipeline.part_reuse_s)


def alarm_rule(pipeline: Pipeline, label: str) -> AlarmRule:
    """Read the rule of a label."""
    rule = pipeline.rule_for(label)
    return AlarmRule(
        n=rule.n,
        m=rule.m,
        clear_after=rule.clear_after,
        severity=rule.severity,
        severity_n=rule.severity_n or SEVERITY_NUMBERS[rule.severity],
        latch=rule.latch,
    )
