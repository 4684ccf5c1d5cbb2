"""Transitions, verdicts and outcomes as the messages that people and dashboards read."""

from __future__ import annotations

from dataclasses import dataclass

from msgspec.structs import replace

from edge_runtime.alerts import Alarm, Transition
from edge_runtime.daemon.parts import Decided
from edge_runtime.daemon.protocol import Outcome
from edge_runtime.findings import Finding
from edge_runtime.messages import Alert, ClockQuality, PartVerdict, PipeResult, Precision, ResultFinding
from edge_runtime.mqtt.codec import FramePayload, SensorBlock

_LATEST_MS = 2**53


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """Which model a pipeline runs, for every message about it.

    Attributes
    ----------
    name, version, sha256 : str
        Of the bundle.
    precision : {"int8", "int16x8", "float"}
        Its arithmetic.
    engine : str
        Engine, version and instruction set; empty until the worker has built it.
    """

    name: str
    version: str
    sha256: str
    precision: Precision
    engine: str = ""

    def with_engine(self, engine: str) -> ModelFacts:
        """Give the same with an engine."""
        return ModelFacts(self.name, self.version, self.sha256, self.precision, engine)


#: For a pipeline whose bundle was refused: its messages name no model.
NO_MODEL = ModelFacts("", "", "", "int8")


@dataclass(frozen=True, slots=True)
class Occasion:
    """The input behind a message.

    Attributes
    ----------
    pipeline, source : str
        Where it was processed and where it came from; no source for the gateway's own alarms.
    is_camera : bool
        Whether ``source`` is a camera; else it is a sensor's asset.
    model : ModelFacts
        What looked at it.
    at : float, s
        Wall clock of the frame or of the window's last sample.
    received_at : float, s
        Wall clock at which it arrived.
    waited_s : float
        From its arrival until now, monotonic.
    part : str or None
        The part in it.
    seq : int or None
        The source's own number of the input.
    payload : FramePayload, SensorBlock or None
        The input itself.
    """

    pipeline: str
    source: str
    is_camera: bool
    model: ModelFacts
    at: float
    received_at: float
    waited_s: float
    part: str | None = None
    seq: int | None = None
    payload: FramePayload | SensorBlock | None = None


@dataclass(frozen=True, slots=True)
class Gateway:
    """What is the same in every message of a run."""

    boot_id: str
    config_sha256: str


@dataclass(frozen=True, slots=True)
class Stamp:
    """What makes one event: its ULID, its number in its series, the wall clock (s, UTC) and how good that clock is.

    ``lasting_s`` is the time of the alarm book at that moment.
    """

    event_id: str
    seq: int
    now_s: float
    clock: ClockQuality
    lasting_s: float = 0.0


def tell_alert(transition: Transition, occasion: Occasion, gateway: Gateway, stamp: Stamp) -> Alert:
    """Write a transition that a finding caused.

    Parameters
    ----------
    transition : Transition
        With its finding.
    occasion : Occasion
        The input behind it.
    gateway : Gateway
        Who tells.
    stamp : Stamp
        Its identity and time.

    Raises
    ------
    ValueError
        If the transition has no finding; see ``tell_command``.
    """
    alarm, finding = transition.alarm, transition.finding
    frame = occasion.payload.header if isinstance(occasion.payload, FramePayload) else None
    if finding is None:
        raise ValueError("a transition without a finding is told from the last alert of its key")
    return Alert(
        event_type=transition.event_type,
        event_id=stamp.event_id,
        alert_id=alarm.alert_id.lower(),
        key=alarm.key,
        seq=stamp.seq,
        boot_id=gateway.boot_id,
        active=alarm.active,
        acked=alarm.acked,
        shelved=alarm.shelved,
        shelved_until_ms=_shelved_until_ms(alarm, stamp),
        flooded=alarm.flooded,
        severity=alarm.severity,
        severity_n=alarm.severity_n,
        pipeline=occasion.pipeline,
        kind=finding.kind,
        label=finding.label,
        score=finding.score,
        threshold=finding.threshold,
        clear_below=finding.clear_below,
        value=finding.value,
        value_low=finding.value_low,
        value_high=finding.value_high,
        unit=finding.unit,
        count=alarm.count,
        first_ms=_ms(alarm.first_s),
        last_ms=_ms(alarm.last_s),
        timestamp_ms=_ms(stamp.now_s),
        source_ms=_ms(occasion.at),
        ingest_ms=_ms(occasion.received_at),
        latency_ms=round(occasion.waited_s * 1e3, 3),
        clock=stamp.clock,
        asset=None if occasion.is_camera else occasion.source or None,
        camera=occasion.source if occasion.is_camera else None,
        part=occasion.part,
        boxes=finding.boxes,
        frame_w=None if frame is None else frame.width,
        frame_h=None if frame is None else frame.height,
        model=occasion.model.name or None,
        model_version=occasion.model.version or None,
        model_sha256=occasion.model.sha256 or None,
        precision=occasion.model.precision if occasion.model.name else None,
        engine=occasion.model.engine or None,
        config_sha256=gateway.config_sha256,
        text=_sentence(transition.event_type, alarm, finding, occasion),
    )


def tell_command(last: Alert, transition: Transition, gateway: Gateway, stamp: Stamp) -> Alert:
    """Write a transition that a person or the time caused, from the last alert of its key."""
    return replace(
        last,
        event_type=transition.event_type,
        event_id=stamp.event_id,
        seq=stamp.seq,
        boot_id=gateway.boot_id,
        active=transition.alarm.active,
        acked=transition.alarm.acked,
        shelved=transition.alarm.shelved,
        shelved_until_ms=_shelved_until_ms(transition.alarm, stamp),
        flooded=transition.alarm.flooded,
        timestamp_ms=_ms(stamp.now_s),
        publish_ms=None,
        latency_ms=None,
        clock=stamp.clock,
    )


def tell_verdict(
    decided: Decided, model: ModelFacts, gateway: Gateway, stamp: Stamp, *, deadline_s: float, source_s: float | None
) -> PartVerdict:
    """Write the verdict on a part.

    Parameters
    ----------
    decided : Decided
        The verdict.
    model : ModelFacts
        What looked at it.
    gateway : Gateway
        Who tells.
    stamp : Stamp
        Its identity and time.
    deadline_s : float
        After the first frame of the part.
    source_s : float or None, s
        Wall clock that the camera gave the deciding frame.
    """
    return PartVerdict(
        event_id=stamp.event_id,
        seq=stamp.seq,
        boot_id=gateway.boot_id,
        part=decided.part,
        verdict=decided.verdict,
        reasons=tuple(reason[:128] for reason in decided.reasons),
        deadline_ms=_ms(decided.opened_at + deadline_s),
        late=decided.late,
        pipeline=decided.pipeline,
        camera=decided.camera,
        score=decided.score,
        timestamp_ms=_ms(stamp.now_s),
        source_ms=None if source_s is None else _ms(source_s),
        ingest_ms=_ms(decided.opened_at),
        latency_ms=round(decided.waited_s * 1e3, 3),
        clock=stamp.clock,
        model=model.name or None,
        model_version=model.version or None,
        model_sha256=model.sha256 or None,
    )


def tell_result(outcome: Outcome, occasion: Occasion, *, now_s: float, input_sha256: str | None) -> PipeResult:
    """Write what a pipeline saw, for dashboards."""
    worst = max(outcome.findings, key=lambda finding: finding.score, default=None)
    return PipeResult(
        pipeline=occasion.pipeline,
        source=occasion.source,
        source_seq=occasion.seq,
        part=occasion.part,
        label=None if worst is None else worst.label,
        score=None if worst is None else worst.score,
        abnormal=any(finding.abnormal for finding in outcome.findings),
        value=None if worst is None else worst.value,
        unit="" if worst is None else worst.unit,
        findings=tuple(
            ResultFinding(
                kind=finding.kind,
                label=finding.label,
                score=finding.score,
                threshold=finding.threshold,
                abnormal=finding.abnormal,
                value=finding.value,
                value_low=finding.value_low,
                value_high=finding.value_high,
                unit=finding.unit,
                boxes=finding.boxes,
            )
            for finding in outcome.findings
        ),
        timestamp_ms=_ms(now_s),
        source_ms=_ms(occasion.at),
        latency_ms=round(occasion.waited_s * 1e3, 3),
        input_sha256=input_sha256,
        model_sha256=occasion.model.sha256 or None,
    )


def _sentence(event_type: str, alarm: Alarm, finding: Finding, occasion: Occasion) -> str:
    """One sentence for the operator."""
    place = f"camera {occasion.source}" if occasion.is_camera else occasion.source
    what = f"{finding.label} {finding.score:.2f}"
    if finding.value is not None:
        what = f"{finding.label} {finding.value:.4g} {finding.unit}".rstrip()
    if event_type == "cleared":
        return f"{place}: {finding.label} is back to normal ({what})"
    part = f", part {occasion.part}" if occasion.part else ""
    seen = f", seen {alarm.count} times" if alarm.count > 1 else ""
    return f"{place}: {what} (limit {finding.threshold:.4g}){part}{seen}"


def _shelved_until_ms(alarm: Alarm, stamp: Stamp) -> int | None:
    """When a shelving ends by itself, on the wall clock of the event."""
    return _ms(stamp.now_s + alarm.shelved_until_s - stamp.lasting_s) if alarm.shelved else None


def _ms(seconds: float) -> int:
    """Epoch milliseconds, within what our messages can hold: a source may claim any time."""
    return round(min(max(0.0, seconds * 1000), _LATEST_MS))
