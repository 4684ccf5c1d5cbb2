"""Where findings become alarms and verdicts: the supervisor's decisions, written into the journal.

Knows no broker and no worker. Alarm state is checkpointed with the events that it caused.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from edge_runtime.alerts import AlarmRule
from edge_runtime.config import Alarms, Pipeline
from edge_runtime.daemon.alarm_desk import USUAL, Addresses, AlarmDesk
from edge_runtime.daemon.clock import Clock
from edge_runtime.daemon.evidence import EvidenceClerk, inherit, input_of
from edge_runtime.daemon.journal import Journal
from edge_runtime.daemon.metrics import Metrics
from edge_runtime.daemon.outbox import Outgoing, Priority
from edge_runtime.daemon.parts import Decided, PartBook, PartRule, PartState
from edge_runtime.daemon.protocol import Outcome
from edge_runtime.daemon.restamping import EVER, Span
from edge_runtime.daemon.telling import NO_MODEL, Gateway, ModelFacts, Occasion, tell_alert, tell_command, tell_verdict
from edge_runtime.findings import UNSURE
from edge_runtime.messages import SEVERITY_NUMBERS, Alert, EventIds, encode

_PART = "part/"
_KEY_LENGTH = 128


class Desk(AlarmDesk):
    """All alarms and parts of the gateway.

    Parameters
    ----------
    pipelines : iterable of Pipeline
        Rules and verdict policies.
    journal, gateway, addresses, event_ids, clock, stored, settings, lasting
        As for ``AlarmDesk``.
    metrics : Metrics
        Counts alarm events and verdicts.
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
        super().__init__(
            pipelines,
            journal,
            gateway,
            addresses,
            event_ids=event_ids,
            clock=clock,
            metrics=metrics,
            stored=stored,
            settings=settings,
            lasting=lasting,
        )
        self._rules = {name: part_rule(pipeline) for name, pipeline in self._pipelines.items()}
        self._evidence = EvidenceClerk(
            self._pipelines.values(),
            addresses.evidence,
            new_id=event_ids.next,
            metrics=metrics,
            max_payload_bytes=addresses.max_payload_bytes,
        )
        self._parts = PartBook()
        self._open_parts = {key: value for key, value in stored.items() if key.startswith(_PART)}

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

    def shift_times(self, offset_s: float, span: Span = EVER) -> None:
        """Correct the times of alarms and parts that a clock which was never set showed in a span."""
        super().shift_times(offset_s, span)
        self._parts.shift(offset_s, before_s=span.until_s, since_s=span.since_s)

    def reconfigure(self, pipelines: Sequence[Pipeline], settings: Alarms, gateway: Gateway) -> None:
        """Take over other rules; what stands of pipelines and sources that are gone is ended, and told.

        Parameters
        ----------
        pipelines : sequence of Pipeline
            From now on.
        settings : Alarms
            From now on.
        gateway : Gateway
            What messages say from now on.
        """
        judging = {pipeline.id for pipeline in pipelines if pipeline.verdict != "none"}
        for decided in self._parts.close(self._rules.keys() - judging, self._rules, now=self._clock.monotonic()):
            self._judge(decided, NO_MODEL, None)
        self._pipelines = {pipeline.id: pipeline for pipeline in pipelines}
        self._rules = {name: part_rule(pipeline) for name, pipeline in self._pipelines.items()}
        self._evidence.reconfigure(pipelines)
        self._gateway = gateway
        self.resettle(settings)
        self.retire_gone()

    def judges(self, pipeline: str) -> bool:
        """Whether the pipeline gives verdicts."""
        return self._pipelines[pipeline].verdict != "none"

    def is_decided(self, pipeline: str, part: str) -> bool:
        """Whether a verdict on the part exists."""
        return self._parts.is_decided(pipeline, part)

    def expect_part(
        self, pipeline: str, part: str, *, received_at: float, at: float | None = None, again: bool = False
    ) -> None:
        """Open a part at its first frame, which was taken ``at`` (wall clock, s), and may be delivered ``again``."""
        rule = self._rules[pipeline]
        self._parts.expect(pipeline, part, rule, now=self._clock.monotonic(), wall=received_at, at=at, again=again)

    def take(self, outcome: Outcome, occasion: Occasion) -> None:
        """Count an outcome's findings towards alarms, and towards the verdict on its part."""
        pipeline = self._pipelines[outcome.pipeline]
        self._metrics.findings.labels(outcome.pipeline).inc(sum(each.abnormal for each in outcome.findings))
        for place, finding in enumerate(outcome.findings):
            key = alarm_key(outcome.pipeline, occasion.source, finding.label)
            rule = alarm_rule(pipeline, finding.label)
            for transition in self._book.apply(
                key, finding, rule, now_s=self._lasting(), seen_s=occasion.at, new_id=self._ids.next()
            ):
                if transition.finding is None:
                    self._tell(tell_command(self._last[key], transition, self._gateway, self._stamp("alert")))
                    continue
                alert = tell_alert(transition, occasion, self._gateway, self._stamp("alert"))
                self._tell_with_evidence(alert, outcome, place, occasion)
            self._keep(key)
        self._say_flood()
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
        """Monotonic time of the next part's deadline, or of what ends by itself, s."""
        due = [each for each in (self._parts.next_due(), self.alarms_due()) if each is not None]
        return min(due, default=None)

    def _judge(self, decided: Decided, model: ModelFacts, source_s: float | None) -> None:
        """Put a verdict into the journal, and forget the checkpoint of its part."""
        key = f"{_PART}{decided.pipeline}/{decided.part}"
        if self._open_parts.pop(key, None) is not None:
            self._journal.set_state(key, None, now=self._clock.monotonic())
        self._metrics.verdicts.labels(decided.pipeline, decided.verdict).inc()
        stamp = self._stamp("verdict")
        source_s = decided.taken_at if source_s is None else source_s
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
