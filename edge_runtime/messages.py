"""Every payload that this gateway publishes or obeys: the one source of the schemas in ``docs/formats``.

Payloads are JSON objects. Numbers are finite, times are integer epoch milliseconds UTC, and a field that has no value
is ``null`` rather than absent, so that a dashboard always finds the same columns. Readers ignore keys that they do not
know; commands refuse them, because an order must be understood as a whole.

Which payload travels on which topic is in :mod:`edge_runtime.mqtt.topics`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct
from ulid import ULID

from edge_runtime.errors import PayloadFormatError, PayloadSizeError
from edge_runtime.findings import Kind

Identifier = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_.-]{0,127}$")]
EventId = Annotated[str, Meta(pattern=r"^[0-7][0-9A-HJKMNP-TV-Z]{25}$")]
Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
Milliseconds = Annotated[int, Meta(ge=0, le=2**53)]
Count = Annotated[int, Meta(ge=0, le=2**53)]
Text = Annotated[str, Meta(max_length=2048)]
Probability = Annotated[float, Meta(ge=0, le=1)]
Box = tuple[float, float, float, float, float]

EventType = Literal["raised", "updated", "acked", "shelved", "unshelved", "cleared"]
Severity = Literal["low", "medium", "high", "critical"]
SeverityNumber = Annotated[int, Meta(ge=1, le=1000)]
Precision = Literal["int8", "int16x8", "float"]
ClockQuality = Literal["synchronized", "unsynchronized", "unset"]
Verdict = Literal["ok", "ng", "unsure"]

#: The number that goes with a severity word where a rule names no other (OPC UA's scale, 1-1000).
SEVERITY_NUMBERS: dict[Severity, int] = {"low": 200, "medium": 500, "high": 700, "critical": 900}

#: Payloads of ``availability``, which is plain text: it is also the will.
ONLINE = b"online"
OFFLINE = b"offline"
STOPPED = b"stopped"

#: The longest command that is looked at.
MAX_COMMAND_BYTES = 65_536
#: The longest payload of ours that :func:`decode` reads without being told otherwise.
MAX_PAYLOAD_BYTES = 1_048_576


class Alert(Struct, frozen=True, kw_only=True):
    """One transition of one alarm, as told on ``alert/event`` and kept on ``alert/state/<key>``."""

    schema: Literal["edge.alert/1"] = "edge.alert/1"
    event_type: EventType  #: the transition that this event tells
    event_id: EventId  #: ULID, the de-duplication key: the same event sent twice has the same id
    alert_id: Identifier  #: the occurrence of the alarm; evidence and acknowledgements refer to it
    key: Identifier  #: the alarm itself, the same at every occurrence, such as ``inspect-1.cam1.scratch``
    seq: Count  #: counts the alarm events of one boot from 1 without a gap; a gap asks for ``events/resend``
    boot_id: Identifier  #: the run of the daemon that ``seq`` belongs to
    buffered: bool = False  #: sent later than it happened, because the broker was away
    replayed: bool = False  #: sent again on ``events/resend``
    active: bool  #: the condition holds
    acked: bool = False  #: a person has taken note of it
    shelved: bool = False  #: a person has set it aside for a time: not to be annunciated
    shelved_until_ms: Milliseconds | None = None  #: when that ends by itself; null when it is not shelved
    #: raised in a flood of alarms and counted in ``system.alarm_flood``: not to be annunciated by itself
    flooded: bool = False
    severity: Severity  #: the rule's severity as a word
    severity_n: SeverityNumber  #: the same as a number, 1-1000
    pipeline: Identifier  #: the pipeline of the configuration that found it; ``system`` for the gateway's own alarms
    kind: Kind  #: the family of the finding
    label: Annotated[str, Meta(max_length=128)]  #: the class or the quantity, as in the bundle's labels
    score: float  #: what was compared with the threshold
    threshold: float  #: where the condition begins
    clear_below: float  #: where the alarm may clear
    value: float | None = None  #: measured or predicted quantity, in ``unit``
    value_low: float | None = None  #: lower end of the quantity's interval
    value_high: float | None = None  #: upper end of the quantity's interval
    unit: Annotated[str, Meta(max_length=16)] = ""  #: unit of ``value``, empty when there is none
    count: Count  #: findings that support this occurrence so far
    first_ms: Milliseconds  #: time of the first of them
    last_ms: Milliseconds  #: time of the last of them
    timestamp_ms: Milliseconds  #: time of the transition
    source_ms: Milliseconds | None = None  #: time that the source gave the input that caused it
    ingest_ms: Milliseconds | None = None  #: time at which that input arrived here
    publish_ms: Milliseconds | None = None  #: time at which the event was handed to the broker
    latency_ms: float | None = None  #: from the input's arrival to the event being durable
    clock: ClockQuality  #: how far the times can be trusted
    asset: Identifier | None = None  #: the machine, for a sensor
    camera: Identifier | None = None  #: the camera, for a frame
    part: Annotated[str, Meta(max_length=128)] | None = None  #: the part, where the source tells it
    boxes: tuple[Box, ...] = ()  #: where it was seen, in pixels of the original frame
    regions: tuple[tuple[float, ...], ...] = ()  #: outlines as closed polygons, in pixels of the original frame
    frame_w: Count | None = None  #: width of the original frame, in pixels
    frame_h: Count | None = None  #: height of the original frame, in pixels
    snapshot_topic: str | None = None  #: where the picture lies that raised it, on a topic of its own
    heatmap_topic: str | None = None  #: where the explanation lies
    evidence_topic: str | None = None  #: where the input lies that raised it: the picture, or the window of samples
    evidence_sha256: Digest | None = None  #: digest of the input that raised it, for ``replay``
    #: why the input is not kept although that is wanted, such as ``too_large``
    evidence_missing: Annotated[str, Meta(pattern=r"^[a-z_]{1,64}$")] | None = None
    model: Identifier | None = None  #: name of the bundle
    model_version: str | None = None  #: version of the bundle
    model_sha256: Digest | None = None  #: digest of the bundle
    precision: Precision | None = None  #: arithmetic of the model
    engine: str | None = None  #: engine, version and instruction set that ran it
    config_sha256: Digest | None = None  #: digest of the configuration in force
    drift: float | None = None  #: distance of recent inputs from the calibration data, where it is measured
    text: Text = ""  #: one sentence for a person


class AlertSummary(Struct, frozen=True, kw_only=True):
    """How many alarms stand, retained on ``alert/summary``."""

    schema: Literal["edge.alert.summary/1"] = "edge.alert.summary/1"
    active: Count  #: alarms whose condition holds, without those set aside
    unacked: Count  #: alarms that nobody has taken note of, without those set aside
    shelved: Count  #: alarms set aside, whether their condition holds or not
    max_severity: Severity | None  #: the highest severity among the active ones; null when there is none
    max_severity_n: Annotated[int, Meta(ge=0, le=1000)]  #: the same as a number, 0 when there is none
    timestamp_ms: Milliseconds  #: time of the summary
    clock: ClockQuality | None = None  #: how far the time can be trusted; null from releases that did not tell


class PartVerdict(Struct, frozen=True, kw_only=True):
    """The one verdict on one part, QoS 1 through the outbox on ``part/verdict``."""

    schema: Literal["edge.verdict/1"] = "edge.verdict/1"
    event_id: EventId  #: ULID, the de-duplication key
    seq: Count  #: counts the verdicts of one boot from 1 without a gap
    boot_id: Identifier  #: the run of the daemon that ``seq`` belongs to
    buffered: bool = False  #: sent later than it was decided, because the broker was away
    replayed: bool = False  #: sent again on ``events/resend``
    part: Annotated[str, Meta(min_length=1, max_length=128)]  #: the part, as the source named it
    verdict: Verdict  #: ``ok``, ``ng``, or ``unsure`` when nothing could be decided or inspection failed
    reasons: tuple[Annotated[str, Meta(max_length=128)], ...] = ()  #: labels behind an ``ng``, or why it is ``unsure``
    #: when the line needs the verdict; null when the configuration sets no deadline
    deadline_ms: Milliseconds | None = None
    late: bool = False  #: decided after the deadline
    pipeline: Identifier  #: the pipeline that decided
    camera: Identifier | None = None  #: the camera
    score: float | None = None  #: the highest fault score, null when inspection failed
    timestamp_ms: Milliseconds  #: time of the decision
    source_ms: Milliseconds | None = None  #: time that the source gave the deciding frame, or else the part's first one
    ingest_ms: Milliseconds | None = None  #: time at which the frame arrived here
    publish_ms: Milliseconds | None = None  #: time at which the verdict was handed to the broker
    latency_ms: float | None = None  #: from the frame's arrival to the verdict being durable
    clock: ClockQuality  #: how far the times can be trusted
    model: Identifier | None = None  #: name of the bundle
    model_version: str | None = None  #: version of the bundle
    model_sha256: Digest | None = None  #: digest of the bundle


class ResultFinding(Struct, frozen=True, kw_only=True):
    """One finding inside a :class:`PipeResult`."""

    kind: Kind  #: the family of the finding
    label: str  #: the class or the quantity
    score: float  #: what was compared with the threshold
    threshold: float  #: where the condition begins
    abnormal: bool  #: on the wrong side of it
    value: float | None = None  #: measured or predicted quantity, in ``unit``
    value_low: float | None = None  #: lower end of its interval
    value_high: float | None = None  #: upper end of its interval
    unit: str = ""  #: unit of ``value``
    boxes: tuple[Box, ...] = ()  #: where it was seen, in pixels of the original frame


class PipeResult(Struct, frozen=True, kw_only=True):
    """What a pipeline saw in one frame or window: QoS 0, sampled, on ``pipe/<p>/result``.

    The scalars repeat the finding with the highest score, for dashboards.
    """

    schema: Literal["edge.result/1"] = "edge.result/1"
    pipeline: Identifier  #: the pipeline
    source: Identifier  #: the camera or the asset
    #: the sequence number that the source gave the input (of a window: its last sample's block)
    source_seq: int | None = None
    part: str | None = None  #: the part, where the source tells it
    label: str | None = None  #: label of the highest score, null when there is no finding
    score: float | None = None  #: that score
    abnormal: bool  #: any finding is on the wrong side of its threshold
    value: float | None = None  #: quantity of that finding
    unit: str = ""  #: unit of ``value``
    findings: tuple[ResultFinding, ...] = ()  #: all of them
    timestamp_ms: Milliseconds  #: time of the result
    clock: ClockQuality | None = None  #: how far the time can be trusted; null from releases that did not tell
    source_ms: Milliseconds | None = None  #: time that the source gave the input
    latency_ms: float | None = None  #: from the input's arrival to the result
    input_sha256: Digest | None = None  #: digest of the payload (frames)
    model_sha256: Digest | None = None  #: digest of the bundle


class PipeStatus(Struct, frozen=True, kw_only=True):
    """The state of one pipeline, retained on ``pipe/<p>/status``."""

    schema: Literal["edge.pipe.status/1"] = "edge.pipe.status/1"
    pipeline: Identifier  #: the pipeline
    status: Literal["running", "degraded", "stopped", "failed"]  #: ``running``, ``degraded``, ``stopped`` or ``failed``
    reason: Text = ""  #: why; when running, empty or why it was not changed as ordered
    model: Identifier | None = None  #: name of the bundle in use
    model_version: str | None = None  #: its version
    model_sha256: Digest | None = None  #: its digest
    timestamp_ms: Milliseconds  #: time of the change
    clock: ClockQuality | None = None  #: how far the time can be trusted; null from releases that did not tell


class Birth(Struct, frozen=True, kw_only=True):
    """What started, retained on ``birth``."""

    schema: Literal["edge.birth/1"] = "edge.birth/1"
    gateway: Identifier  #: the gateway's id
    boot_id: Identifier  #: this run of the daemon
    timestamp_ms: Milliseconds  #: time of the start
    clock: ClockQuality  #: how far the times can be trusted
    versions: dict[str, str]  #: versions of the daemon, Python and the libraries that matter
    pipelines: tuple[Identifier, ...]  #: the pipelines of the configuration
    bundles: dict[str, Digest]  #: digest of each bundle in use, by its name
    schemas: tuple[str, ...]  #: ids of the schemas that this gateway publishes
    config_sha256: Digest  #: digest of the configuration in force


class Health(Struct, frozen=True, kw_only=True):
    """How the gateway is, retained on ``health`` every 10 s."""

    schema: Literal["edge.health/1"] = "edge.health/1"
    ok: bool  #: nothing needs a person
    #: stable words for what is wrong, such as ``worker_restarting`` or ``disk_low``; empty when ok
    reasons: tuple[str, ...] = ()
    outbox_depth: Count  #: events that the broker has not yet taken
    oldest_unsent_s: Annotated[float, Meta(ge=0)]  #: age of the oldest of them, 0 when there is none
    rss_mb: Annotated[float, Meta(ge=0)]  #: memory of the supervisor and the worker
    disk_free_mb: Annotated[float, Meta(ge=0)]  #: free space where the state lies
    clock: ClockQuality  #: how far the times can be trusted
    boot_id: Identifier  #: this run of the daemon
    uptime_s: Annotated[float, Meta(ge=0)]  #: since its start
    last_alert_seq: Count  #: highest ``seq`` of the alarm events of this boot: a consumer that lacks it asks for it
    last_verdict_seq: Count  #: the same of the part verdicts
    timestamp_ms: Milliseconds  #: time of the report


class MetricValue(Struct, frozen=True, kw_only=True):
    """One figure, on ``metric/<name>``."""

    value: float  #: the figure
    timestamp_ms: Milliseconds  #: when it was read
    unit: str  #: its unit, empty for a count


class ProcessAdvice(Struct, frozen=True, kw_only=True):
    """A proposed set-point, on ``process/advice``. It is advice: the controller of the plant decides."""

    schema: Literal["edge.advice/1"] = "edge.advice/1"
    event_id: EventId  #: ULID, the de-duplication key
    pipeline: Identifier  #: the pipeline that advises
    asset: Identifier  #: the machine
    setpoint: Identifier  #: the set-point, as the configuration names it
    current: float | None = None  #: its present value, where known
    proposed: float  #: the proposed value, within the bounds
    low: float  #: lower bound
    high: float  #: upper bound
    max_rate_per_s: Annotated[float, Meta(gt=0)]  #: the fastest change that is advised, in ``unit`` per second
    unit: str  #: unit of all of these
    confidence: Probability  #: how sure the model is
    expires_ms: Milliseconds  #: after this the advice is void
    timestamp_ms: Milliseconds  #: time of the advice
    clock: ClockQuality  #: how far the times can be trusted
    text: Text = ""  #: one sentence for a person


class ModelInstalled(Struct, frozen=True, kw_only=True):
    """The model in use, retained on ``model/<m>/installed``."""

    schema: Literal["edge.model.installed/1"] = "edge.model.installed/1"
    model: Identifier  #: name of the bundle
    version: str  #: its version
    release: Count  #: its release number
    sha256: Digest  #: its digest
    precision: Precision  #: its arithmetic
    engine: str  #: engine, version and instruction set that run it
    installed_ms: Milliseconds  #: when it was installed
    clock: ClockQuality | None = None  #: how far the time can be trusted; null from releases that did not tell


class ModelCandidate(Struct, frozen=True, kw_only=True):
    """A model that is being checked, retained on ``model/<m>/candidate``."""

    schema: Literal["edge.model.candidate/1"] = "edge.model.candidate/1"
    model: Identifier  #: name of the bundle
    version: str  #: its version, empty as long as the bundle is not read
    release: Count  #: its release number, 0 as long as the bundle is not read
    sha256: Digest  #: its digest
    #: ``fetching``, ``verifying``, ``ready`` or ``refused``
    state: Literal["fetching", "verifying", "ready", "refused"]
    reason: Text = ""  #: why it is refused
    timestamp_ms: Milliseconds  #: time of the change
    clock: ClockQuality | None = None  #: how far the time can be trusted; null from releases that did not tell


class ModelRollout(Struct, frozen=True, kw_only=True):
    """How a new model replaces the old one, retained on ``model/<m>/rollout``."""

    schema: Literal["edge.model.rollout/1"] = "edge.model.rollout/1"
    model: Identifier  #: name of the bundle
    #: ``shadow``, ``canary``, ``promoted`` or ``rolled_back``
    stage: Literal["shadow", "canary", "promoted", "rolled_back"]
    share: Probability  #: share of the inputs that the new model decides
    from_sha256: Digest | None  #: the model that was in use, null at the first installation
    to_sha256: Digest  #: the new model
    reason: Text = ""  #: why it was promoted or rolled back
    timestamp_ms: Milliseconds  #: time of the change
    clock: ClockQuality | None = None  #: how far the time can be trusted; null from releases that did not tell


class Command(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every command says: who sends it, and under which id it is answered."""

    #: the person or program that gives the order; it is written to the audit log
    issuer: Annotated[str, Meta(min_length=1, max_length=128)]
    id: Identifier  #: names the command; the reply carries it, and the same id is obeyed once


class AlertAck(Command, frozen=True, kw_only=True):
    """``alert/ack``: a person takes note of an alarm."""

    alert_id: Identifier  #: the occurrence
    text: Text = ""  #: A remark for the log


class AlertShelve(Command, frozen=True, kw_only=True):
    """``alert/shelve``: a person sets an alarm aside."""

    alert_id: Identifier  #: its last occurrence, active or not
    duration_s: Annotated[float, Meta(gt=0, le=604_800)]  #: for how long, at most a week
    one_shot: bool = False  #: end when this occurrence clears, if that comes earlier; it must be active
    text: Text = ""  #: A remark for the log


class AlertUnshelve(Command, frozen=True, kw_only=True):
    """``alert/unshelve``: end the shelving now."""

    alert_id: Identifier  #: the occurrence that was shelved, or the last one


class ConfigReload(Command, frozen=True, kw_only=True):
    """``config/reload``: read the configuration file again."""


class ModelInstall(Command, frozen=True, kw_only=True):
    """``model/install``: fetch, verify and install a bundle."""

    model: Identifier  #: name of the bundle
    sha256: Digest  #: digest that the bytes must have
    #: ``fleet`` for the retained topic of that digest, a path on the gateway, or an https URL
    source: Annotated[str, Meta(min_length=1, max_length=2048)] = "fleet"
    again: bool = False  #: also take a bundle that was rolled back here before


class ModelPromote(Command, frozen=True, kw_only=True):
    """``model/promote``: let the candidate decide everything."""

    model: Identifier  #: name of the bundle
    sha256: Digest  #: the candidate that is meant


class ModelRollback(Command, frozen=True, kw_only=True):
    """``model/rollback``: go back to a release that was installed before."""

    model: Identifier  #: name of the bundle
    release: Count | None = None  #: the release; null for the one before


class PipeStart(Command, frozen=True, kw_only=True):
    """``pipe/start``: start a pipeline."""

    pipeline: Identifier  #: the pipeline


class PipeStop(Command, frozen=True, kw_only=True):
    """``pipe/stop``: stop a pipeline."""

    pipeline: Identifier  #: the pipeline


class CaptureStart(Command, frozen=True, kw_only=True):
    """``capture/start``: keep the next inputs of a source for a person to look at."""

    source: Identifier  #: A camera or a sensor of the configuration
    n_messages: Annotated[int, Meta(ge=1, le=10_000)]  #: how many


class EventsResend(Command, frozen=True, kw_only=True):
    """``events/resend``: send kept events again, marked ``replayed``."""

    boot_id: Identifier  #: the run of the daemon whose events are meant
    from_seq: Count  #: the first that is wanted
    series: Literal["alert", "verdict"] = "alert"  #: ``alert`` events or part verdicts, which are numbered apart


class Reply(Struct, frozen=True, kw_only=True):
    """The answer to a command, on its MQTT 5 response topic or on ``reply/<id>``."""

    schema: Literal["edge.reply/1"] = "edge.reply/1"
    id: str  #: id of the command, empty when the command could not be read
    command: str  #: ``noun/verb``
    ok: bool  #: it was obeyed
    reason: str = ""  #: A stable word when it was not
    text: Text = ""  #: what happened, for a person
    timestamp_ms: Milliseconds  #: time of the answer
    clock: ClockQuality | None = None  #: how far the time can be trusted; null from releases that did not tell


#: The payload of each command, by ``noun/verb``.
COMMANDS: dict[str, type[Command]] = {
    "alert/ack": AlertAck,
    "alert/shelve": AlertShelve,
    "alert/unshelve": AlertUnshelve,
    "config/reload": ConfigReload,
    "model/install": ModelInstall,
    "model/promote": ModelPromote,
    "model/rollback": ModelRollback,
    "pipe/start": PipeStart,
    "pipe/stop": PipeStop,
    "capture/start": CaptureStart,
    "events/resend": EventsResend,
}

#: Payloads with a schema id, in the order of the birth's ``schemas``.
SCHEMA_IDS: tuple[str, ...] = (
    "edge.alert/1",
    "edge.alert.summary/1",
    "edge.verdict/1",
    "edge.result/1",
    "edge.pipe.status/1",
    "edge.birth/1",
    "edge.health/1",
    "edge.advice/1",
    "edge.model.installed/1",
    "edge.model.candidate/1",
    "edge.model.rollout/1",
    "edge.reply/1",
)

S = TypeVar("S", bound=Struct)

_ENCODER = msgspec.json.Encoder()


def _require_finite(value: object, path: str) -> None:
    """Refuse NaN and infinity anywhere in a payload: JSON has no such numbers."""
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{path}: {value} is not a finite number, and JSON has no other")
    elif isinstance(value, Struct):
        for name in value.__struct_fields__:
            _require_finite(getattr(value, name), f"{path}.{name}")
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            _require_finite(item, f"{path}[{index}]")
    elif isinstance(value, dict):
        for key, item in value.items():
            _require_finite(item, f"{path}.{key}")


def encode(message: Struct) -> bytes:
    """Write a payload as JSON.

    Parameters
    ----------
    message : Struct
        One of this module's payloads.

    Returns
    -------
    payload : bytes
        UTF-8, fields in the order of the Struct, every field present.

    Raises
    ------
    ValueError
        If a number is NaN or infinite; the message names its path.

    Examples
    --------
    >>> encode(MetricValue(value=0.5, timestamp_ms=1, unit="s"))
    b'{"value":0.5,"timestamp_ms":1,"unit":"s"}'
    """
    _require_finite(message, "$")
    return _ENCODER.encode(message)


def decode(payload: bytes | memoryview, kind: type[S], *, max_bytes: int = MAX_PAYLOAD_BYTES) -> S:
    """Read a JSON payload.

    Parameters
    ----------
    payload : bytes
        As it came.
    kind : type
        One of this module's payloads.
    max_bytes : int
        The longest payload that is looked at.

    Returns
    -------
    message : kind
        Types, patterns and ranges checked.

    Raises
    ------
    PayloadSizeError
        If it is longer than ``max_bytes`` (reason ``too_large``).
    PayloadFormatError
        If it is no JSON or does not fit (reason ``bad_json``, ``bad_schema``).

    Examples
    --------
    >>> decode(b'{"value":0.5,"timestamp_ms":1,"unit":"s"}', MetricValue).value
    0.5
    """
    if len(payload) > max_bytes:
        raise PayloadSizeError(f"{len(payload)} bytes, at most {max_bytes} are read", reason="too_large")
    try:
        return msgspec.json.decode(payload, type=kind)
    except msgspec.ValidationError as error:
        raise PayloadFormatError(str(error), reason="bad_schema") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PayloadFormatError(f"not JSON: {error}", reason="bad_json") from error


def decode_command(name: str, payload: bytes | memoryview) -> Command:
    """Read a command.

    Parameters
    ----------
    name : str
        ``noun/verb`` of the topic that it came on.
    payload : bytes
        As it came; at most ``MAX_COMMAND_BYTES``.

    Returns
    -------
    command : Command
        The Struct that :data:`COMMANDS` names.

    Raises
    ------
    PayloadSizeError
        If it is too long (reason ``too_large``).
    PayloadFormatError
        If there is no such command (reason ``unknown_command``), or its payload does not fit.

    Examples
    --------
    >>> decode_command("pipe/stop", b'{"issuer":"ann","id":"c1","pipeline":"p1"}').pipeline
    'p1'
    """
    kind = COMMANDS.get(name)
    if kind is None:
        known = ", ".join(sorted(COMMANDS))
        raise PayloadFormatError(f"there is no command {name[:64]!r}; there are {known}", reason="unknown_command")
    return decode(payload, kind, max_bytes=MAX_COMMAND_BYTES)


class EventIds:
    """Gives ULIDs that sort in the order of their creation within one process, whatever the clock does.

    Parameters
    ----------
    now_ms : callable
        Wall clock, epoch milliseconds.
    randomness : callable
        Gives so many random bytes.

    Examples
    --------
    >>> ids = EventIds(lambda: 1_700_000_000_000, randomness=bytes)
    >>> ids.next()
    '01HF7YAT000000000000000000'
    >>> ids.next()
    '01HF7YAT000000000000000001'
    """

    def __init__(self, now_ms: Callable[[], int], randomness: Callable[[int], bytes] = os.urandom) -> None:
        self._now_ms = now_ms
        self._randomness = randomness
        self._last = -1

    def next(self) -> str:
        """Give the next id: greater than all before, also when the clock stands still or goes back.

        Returns
        -------
        event_id : str
            26 characters, Crockford base 32.
        """
        value = self._now_ms() << 80 | int.from_bytes(self._randomness(10))
        if value <= self._last or value >> 80 == self._last >> 80:
            value = self._last + 1
        self._last = value
        return str(ULID.from_int(value))
