"""The configuration of a gateway: one TOML file, read into a frozen :class:`Config`.

Defaults stand in the Structs below; ``deploy/edge-runtime.sample.toml`` shows every key with its unit and effect.
Paths in the file are relative to the file's folder and absolute in the Config.
"""

from __future__ import annotations

import hashlib
import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, field

from edge_runtime.config_checks import list_contradictions
from edge_runtime.errors import ConfigError, HostEnvironmentError
from edge_runtime.faults import list_faults

#: The longest configuration file that is read.
MAX_CONFIG_BYTES = 1_048_576

Id = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
FilePath = Annotated[str, Meta(min_length=1, max_length=4096)]
Seconds = Annotated[float, Meta(gt=0, le=31_536_000)]
Overflow = Literal["block", "drop_oldest", "drop_newest"]


class Gateway(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[gateway]``: who this is and where it keeps its state."""

    id: Id  #: the gateway's id, a level of every topic
    root: Annotated[str, Meta(pattern=r"^[a-z0-9_.-]+(/[a-z0-9_.-]+)*$", max_length=256)] = "edge"  #: first levels
    state_dir: FilePath = "state"  #: folder of outbox, alarm state and models
    hold_events_s: Annotated[float, Meta(ge=0, le=86_400)] = 60.0  #: so long events wait for a clock that is not set


class Tls(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[broker.tls]``: present means that the link is encrypted and the broker's certificate is checked."""

    ca_file: FilePath | None = None  #: PEM file of the authorities to trust; none for the system's
    cert_file: FilePath | None = None  #: PEM file of our certificate, for brokers that ask for one
    key_file: FilePath | None = None  #: PEM file of its key
    insecure: bool = False  #: accept any certificate; for trials on a desk only


class BrokerSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[broker]``: the MQTT broker and how the session with it behaves."""

    host: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.:%-]{1,253}$")] = "127.0.0.1"  #: name or address
    port: Annotated[int, Meta(ge=1, le=65_535)] = 1883  #: TCP port
    protocol: Literal["5", "3.1.1"] = "5"  #: MQTT version
    client_id: Annotated[str, Meta(max_length=128)] = ""  #: name of the session; empty for the gateway's id
    username: Annotated[str, Meta(max_length=256)] | None = None  #: name that the broker knows
    password_file: FilePath | None = None  #: file whose first line is the password
    tls: Tls | None = None  #: encryption; none for plain TCP
    keepalive_s: Annotated[int, Meta(ge=5, le=3600)] = 15  #: silence after which either side suspects the other
    session_expiry_s: Annotated[int, Meta(ge=0, le=2**32 - 1)] = 86_400  #: how long the broker keeps our session
    receive_maximum: Annotated[int, Meta(ge=1, le=65_535)] = 64  #: QoS 1 inputs that may wait for their acknowledgement
    inflight_maximum: Annotated[int, Meta(ge=1, le=65_535)] = 64  #: QoS 1 outputs that may wait for theirs
    max_payload_bytes: Annotated[int, Meta(ge=65_536, le=268_435_455)] = 16_777_216  #: longer messages are dropped
    connect_timeout_s: Seconds = 10.0  #: for TCP, TLS and the broker's answer
    tcp_user_timeout_s: Seconds = 10.0  #: sent bytes that stay unconfirmed so long mean a cut link
    reconnect_min_s: Seconds = 0.5  #: first wait after a lost link, jittered
    reconnect_max_s: Seconds = 8.0  #: longest wait


class Http(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[http]``: Prometheus metrics and readiness."""

    enabled: bool = True  #: listen at all
    listen: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.:%-]{1,253}$")] = (
        "127.0.0.1"  #: address; loopback unless changed
    )
    port: Annotated[int, Meta(ge=0, le=65_535)] = 9464  #: TCP port; 0 for any free one


class Outbox(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[outbox]``: what is kept on disk for consumers."""

    max_bytes: Annotated[int, Meta(ge=1_048_576, le=2**40)] = 268_435_456  #: of events; unsent ones stay
    evidence_max_bytes: Annotated[int, Meta(ge=1_048_576, le=2**40)] = 67_108_864  #: of evidence; the oldest goes
    evidence_max_age_s: Annotated[float, Meta(gt=0, le=31_536_000)] = 604_800.0  #: older evidence goes, sent or not
    retention_s: Annotated[float, Meta(ge=0, le=31_536_000)] = 86_400.0  #: sent events stay so long for a resend
    drain_per_s: Annotated[float, Meta(gt=0, le=100_000)] = 200.0  #: events sent per second after an outage


class Alarms(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[alarms]``: what an operator can take in."""

    flood_n: Annotated[int, Meta(ge=0, le=10_000)] = 10  #: more raised within the window are a flood; 0 for never
    flood_window_s: Annotated[float, Meta(gt=0, le=86_400)] = 600.0  #: length of the window


class Worker(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[worker]``: limits of the process that decodes and infers."""

    start_timeout_s: Seconds = 30.0  #: a worker that is not ready by then is replaced
    hang_timeout_s: Seconds = 1.5  #: a worker that is silent so long on one input is replaced
    memory_limit_mb: Annotated[int, Meta(ge=64, le=65_536)] = 1024  #: resident memory at which it is replaced
    ring_slots: Annotated[int, Meta(ge=2, le=4096)] = 16  #: inputs in the shared memory
    slot_bytes: Annotated[int, Meta(ge=65_536, le=268_435_456)] = 4_194_304  #: size of each; holds one payload
    max_frame_px: Annotated[int, Meta(ge=1024, le=268_435_456)] = 16_777_216  #: width times height; larger is refused
    max_frame_bytes: Annotated[int, Meta(ge=1024, le=268_435_456)] = 4_128_768  #: encoded size; larger is refused


class Bundles(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[bundles]``: installed models, and in its folder ``trust`` the public keys of whom to trust."""

    store: FilePath = "bundles"  #: folder of installed bundles and trusted keys


class Rollout(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[rollout]``: how a new model that came over MQTT proves itself beside the one in use."""

    fetch_timeout_s: Seconds = 120.0  #: for a bundle to come; 16 MB at most
    auto_promote: bool = False  #: go on by itself once trial and canary are passed; false: wait for ``model/promote``
    shadow_inputs: Annotated[int, Meta(ge=1, le=10_000_000)] = 200  #: inputs compared before it may decide any
    canary_share: Annotated[float, Meta(ge=0, le=1)] = 0.1  #: share of inputs that it decides then; 0 for no canary
    canary_inputs: Annotated[int, Meta(ge=1, le=10_000_000)] = 50  #: inputs that it decides during the canary
    probation_inputs: Annotated[int, Meta(ge=1, le=10_000_000)] = 500  #: inputs compared after it was promoted
    max_disagreement: Annotated[float, Meta(ge=0, le=1)] = 0.05  #: share of a stage's inputs judged otherwise
    max_error_rate: Annotated[float, Meta(ge=0, le=1)] = 0.02  #: share of a stage's inputs on which it alone fails
    max_latency_ratio: Annotated[float, Meta(ge=1, le=1000)] = 3.0  #: p95 of processor time per input, to the old one's
    latency_slack_ms: Annotated[float, Meta(ge=0, le=60_000)] = 5.0  #: so much more is never too much
    memory_limit_mb: Annotated[int, Meta(ge=64, le=65_536)] = 768  #: resident memory of the process that tries it
    canary_wait_ms: Annotated[int, Meta(ge=1, le=60_000)] = 250  #: an answer later than this is the old model's


class Mailbox(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounded input queue and what happens when it is full."""

    depth: Annotated[int, Meta(ge=1, le=65_536)]  #: messages
    overflow: Overflow  #: ``block`` leaves the rest to the broker, the others drop and count


#: Mailbox of a source that declares none, by its QoS: the latest frame wins where the broker keeps nothing anyway.
LATEST_WINS = Mailbox(depth=1, overflow="drop_oldest")
BACK_PRESSURE = Mailbox(depth=64, overflow="block")
SENSOR_QOS0 = Mailbox(depth=256, overflow="drop_oldest")


class Camera(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[camera]]``: a source of encoded frames."""

    id: Id  #: the camera's id
    topic: str  #: MQTT topic or filter
    format: Literal["jpeg", "png"]  #: encoding of the payload; nothing is guessed
    qos: Literal[0, 1] = 0  #: of the subscription
    mailbox: Mailbox | None = None  #: none: depth 1, drop_oldest at QoS 0; depth 64, block at QoS 1
    part: Literal["metadata", "topic", "none"] = "metadata"  #: where the part's name comes from
    clock: Literal["source", "arrival"] = "source"  #: which time a frame has when the source tells one

    @property
    def queue(self) -> Mailbox:
        """The mailbox in force."""
        return self.mailbox or (LATEST_WINS if self.qos == 0 else BACK_PRESSURE)


class SensorChannel(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[sensor.channel]]``: one measured quantity."""

    name: Id  #: as in the bundle's manifest
    unit: Annotated[str, Meta(max_length=16)] = ""  #: unit of the values; another unit in a message is refused
    scale: float = 1.0  #: raw value times scale is in ``unit``


class Sensor(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, cache_hash=True):
    """``[[sensor]]``: the channels of one asset.

    One topic carries all channels (n samples x channels), or there are as many topics as channels, in their order.
    """

    id: Id  #: the asset's id
    topics: Annotated[tuple[str, ...], Meta(min_length=1, max_length=256)]  #: MQTT topics
    format: Literal["number", "json", "cbor", "f32", "i16"]  #: of the payload; nothing is guessed
    rate_hz: Annotated[float, Meta(ge=0, le=1_000_000)]  #: sampling rate; 0 when a sample is an event, not a time
    channels: Annotated[tuple[SensorChannel, ...], Meta(min_length=1, max_length=256)] = field(name="channel")
    qos: Literal[0, 1] = 1  #: of the subscription
    mailbox: Mailbox | None = None  #: none: depth 256, drop_oldest at QoS 0; depth 64, block at QoS 1
    clock: Literal["source", "arrival"] = "source"  #: which time a sample has when the source tells one
    max_payload_bytes: Annotated[int, Meta(ge=1, le=16_777_216)] = 1_048_576  #: longer payloads are refused
    max_samples: Annotated[int, Meta(ge=1, le=1_048_576)] = 65_536  #: more per message and channel are refused

    @property
    def queue(self) -> Mailbox:
        """The mailbox in force."""
        return self.mailbox or (SENSOR_QOS0 if self.qos == 0 else BACK_PRESSURE)


class AlertRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[pipeline.rule]]``: when findings of a label become an alarm; ``*`` is for labels without a rule."""

    label: Annotated[str, Meta(min_length=1, max_length=64)] = "*"  #: a label of the bundle, or ``*``
    n: Annotated[int, Meta(ge=1, le=64)] = 1  #: abnormal findings needed
    m: Annotated[int, Meta(ge=1, le=64)] = 1  #: among the last so many
    clear_after: Annotated[int, Meta(ge=1, le=10_000)] = 3  #: clears after so many findings in a row past ``clear_at``
    severity: Literal["low", "medium", "high", "critical"] = "medium"  #: told to the operator
    severity_n: Annotated[int, Meta(ge=1, le=1000)] | None = None  #: its number; none for the word's usual one
    raise_at: float | None = None  #: overrides the bundle's threshold
    clear_at: float | None = None  #: overrides where the bundle lets it clear
    latch: bool = False  #: stays until a person acknowledges it


class Pipeline(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[pipeline]]``: a model on sources, and what becomes of its findings."""

    id: Id  #: the pipeline's id
    kind: Literal["inspection", "monitor"]  #: frames of cameras, or windows of sensors
    bundle: Id  #: name of an installed bundle
    cameras: tuple[Id, ...] = ()  #: for an inspection
    sensors: tuple[Id, ...] = ()  #: for a monitor
    rules: Annotated[tuple[AlertRule, ...], Meta(max_length=256)] = field(
        name="rule", default=()
    )  #: none: the defaults
    verdict: Literal["any", "all", "none"] = "any"  #: cameras that must answer for a part; ``none``: no verdicts
    deadline_ms: Annotated[int, Meta(ge=1, le=3_600_000)] = 2000  #: a part is decided so long after its first frame
    part_reuse_s: Annotated[float, Meta(ge=0, le=31_536_000)] = 10.0  #: a frame so far from a verdict is another part
    evidence: Literal["raised", "none"] = "raised"  #: keep and publish the input that raised an alarm
    max_evidence_bytes: Annotated[int, Meta(ge=1024, le=16_777_216)] = 2_097_152  #: a larger input is not kept
    result_every: Annotated[int, Meta(ge=0, le=1_000_000)] = 1  #: publish one result in so many; 0 for none
    reference_every: Annotated[int, Meta(ge=0, le=1_000_000)] = 0  #: the bundle's float model looks at one in so many
    reference_window: Annotated[int, Meta(ge=2, le=10_000)] = 200  #: the last so many of those are judged together
    reference_max_disagreement: Annotated[float, Meta(gt=0, lt=1)] = 0.05  #: surely more decided otherwise is an alarm
    reference_max_gap: Annotated[float, Meta(gt=0)] | None = None  #: a larger mean gap of scores is one too

    def rule_for(self, label: str) -> AlertRule:
        """Find the rule of a label: its own, else ``*``, else the defaults.

        Parameters
        ----------
        label : str
            Label of a finding.

        Returns
        -------
        rule : AlertRule
            The one in force.
        """
        by_label = {rule.label: rule for rule in self.rules}
        return by_label.get(label) or by_label.get("*") or AlertRule()


class Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that a gateway is told."""

    gateway: Gateway
    broker: BrokerSettings = BrokerSettings()
    http: Http = Http()
    outbox: Outbox = Outbox()
    alarms: Alarms = Alarms()
    worker: Worker = Worker()
    bundles: Bundles = Bundles()
    rollout: Rollout = Rollout()
    cameras: Annotated[tuple[Camera, ...], Meta(max_length=256)] = field(name="camera", default=())
    sensors: Annotated[tuple[Sensor, ...], Meta(max_length=10_000)] = field(name="sensor", default=())
    pipelines: Annotated[tuple[Pipeline, ...], Meta(max_length=256)] = field(name="pipeline", default=())


def parse_config(text: bytes, *, path: str = "config.toml") -> Config:
    r"""Read a configuration from its bytes.

    Parameters
    ----------
    text : bytes
        TOML, UTF-8; at most ``MAX_CONFIG_BYTES``.
    path : str
        Where it came from: named in errors, and its folder is the start of relative paths.

    Returns
    -------
    config : Config
        Checked as a whole; paths absolute, ``broker.client_id`` filled.

    Raises
    ------
    ConfigError
        With every fault and its path.

    Examples
    --------
    >>> parse_config(b'[gateway]\nid = "press-4"').broker.client_id
    'press-4'
    >>> parse_config(b'[gateway]\nid = "Press 4"\n[broker]\nport = "1883"')
    Traceback (most recent call last):
        ...
    edge_runtime.errors.ConfigError: config.toml: 2 problems
      $.gateway.id: expected text like ^[a-z0-9][a-z0-9_.-]{0,63}$, got "Press 4"
      $.broker.port: expected a whole number, got "1883"
    """
    tree = _read_toml(text, path)
    faults = [*list_faults(tree, Config), *list_contradictions(tree)]
    if faults:
        raise ConfigError(path, faults)
    config = msgspec.convert(tree, Config, strict=True)
    return _with_absolute_paths(config, Path(path).absolute().parent)


def load_config(path: str | os.PathLike[str]) -> Config:
    """Read a configuration file.

    Parameters
    ----------
    path : path-like
        A TOML file of at most ``MAX_CONFIG_BYTES``.

    Returns
    -------
    config : Config
        As :func:`parse_config` gives it.

    Raises
    ------
    HostEnvironmentError
        If the file cannot be read.
    ConfigError
        With every fault and its path.
    """
    try:
        with Path(path).open("rb") as file:
            text = file.read(MAX_CONFIG_BYTES + 1)
    except OSError as error:
        raise HostEnvironmentError(f"{path}: the configuration cannot be read: {error.strerror or error}") from error
    return parse_config(text, path=os.fspath(path))


def config_sha256(config: Config) -> str:
    """Give the digest of a configuration: of what it says, not of how the file is written.

    Parameters
    ----------
    config : Config
        As :func:`load_config` gives it.

    Returns
    -------
    digest : str
        64 hexadecimal digits.
    """
    return hashlib.sha256(msgspec.json.encode(config, order="deterministic")).hexdigest()


def _read_toml(text: bytes, path: str) -> dict[str, Any]:
    """Decode TOML within the limit."""
    if len(text) > MAX_CONFIG_BYTES:
        raise ConfigError(path, [f"$: the file is longer than {MAX_CONFIG_BYTES} bytes"])
    try:
        return tomllib.loads(text.decode())
    except UnicodeDecodeError as error:
        raise ConfigError(path, [f"$: not UTF-8 text (byte {error.start})"]) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(path, [f"$: not TOML: {error}"]) from error
    except (ValueError, RecursionError) as error:
        reason = re.sub(r"\s+", " ", str(error))[:200]
        raise ConfigError(path, [f"$: not TOML that can be read: {reason}"]) from error


def _with_absolute_paths(config: Config, folder: Path) -> Config:
    """Resolve paths against the file's folder and fill the client id."""

    def resolve(path: str | None) -> str | None:
        return None if path is None else os.path.normpath(folder / path)

    broker, tls = config.broker, config.broker.tls
    if tls is not None:
        tls = msgspec.structs.replace(
            tls, ca_file=resolve(tls.ca_file), cert_file=resolve(tls.cert_file), key_file=resolve(tls.key_file)
        )
    return msgspec.structs.replace(
        config,
        gateway=msgspec.structs.replace(config.gateway, state_dir=resolve(config.gateway.state_dir)),
        bundles=msgspec.structs.replace(config.bundles, store=resolve(config.bundles.store)),
        broker=msgspec.structs.replace(
            broker,
            client_id=broker.client_id or config.gateway.id,
            password_file=resolve(broker.password_file),
            tls=tls,
        ),
    )
