"""``edge-runtime watch`` and ``top``: what a gateway tells, in a terminal."""

from __future__ import annotations

import queue
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import click
import msgspec

from edge_runtime.config import Config
from edge_runtime.errors import BrokerError, MessageError
from edge_runtime.messages import Alert, AlertSummary, Health, PartVerdict, PipeStatus, decode
from edge_runtime.mqtt.interface import Incoming, SessionCallbacks, Subscription
from edge_runtime.mqtt.session import Session
from edge_runtime.mqtt.topics import Topics

_CONNECT_S = 10.0
_GLANCE_S = 0.2
_WAITING = 1000


def _time(ms: int) -> str:
    return time.strftime("%H:%M:%SZ", time.gmtime(ms / 1000))


def event_line(topic: str, payload: bytes, topics: Topics) -> str | None:
    """Write an alert event or a verdict that is not "ok" as one line; None for anything else.

    Parameters
    ----------
    topic : str
        Where it came.
    payload : bytes
        As it came.
    topics : Topics
        Of the gateway.

    Raises
    ------
    MessageError
        If the payload is not what the topic carries.
    """
    if topic == topics.alert_event():
        alert = decode(payload, Alert)
        marks = f"{'  SHELVED' if alert.shelved else ''}{'  FLOODED' if alert.flooded else ''}"
        words = f"{alert.severity:<8} {alert.event_type:<9} {alert.text}"
        return f"{_time(alert.timestamp_ms)}  {words}  [{alert.alert_id}]{marks}"
    if topic == topics.part_verdict():
        verdict = decode(payload, PartVerdict)
        if verdict.verdict == "ok":
            return None
        late = "  LATE" if verdict.late else ""
        reasons = ", ".join(verdict.reasons)
        return f"{_time(verdict.timestamp_ms)}  {verdict.verdict:<8} part      {verdict.part}: {reasons}{late}"
    return None


def watch(config: Config, *, as_json: bool, stop: threading.Event) -> None:
    """Print alert events and bad verdicts as they come, until ``stop``.

    Parameters
    ----------
    config : Config
        Names the broker and the gateway.
    as_json : bool
        The payloads themselves, one a line.
    stop : threading.Event
        Ends it.

    Raises
    ------
    BrokerError
        If the broker cannot be used.
    """
    topics = Topics(config.gateway.root, config.gateway.id)
    messages: queue.Queue[Incoming] = queue.Queue(_WAITING)
    session = _guest(config, messages.put, [topics.alert_event(), topics.part_verdict()])
    try:
        while not stop.is_set():
            try:
                message = messages.get(timeout=_GLANCE_S)
            except queue.Empty:
                continue
            _show(message, topics, as_json=as_json)
    finally:
        session.stop(flush_s=0.2)


def _show(message: Incoming, topics: Topics, *, as_json: bool) -> None:
    """Print one message."""
    if as_json:
        click.echo(message.payload.decode(errors="replace"))
        return
    try:
        line = event_line(message.topic, message.payload, topics)
    except MessageError as error:
        line = f"unreadable: {message.topic}: {error}"
    if line is not None:
        click.echo(line)


@dataclass(slots=True)
class Picture:
    """The last state of a gateway, put together from its retained messages."""

    topics: Topics
    availability: str = "unknown"
    health: Health | None = None
    summary: AlertSummary | None = None
    pipelines: dict[str, PipeStatus] = field(default_factory=dict)

    def take(self, topic: str, payload: bytes) -> None:
        """Take one retained message."""
        if topic == self.topics.availability():
            self.availability = payload.decode(errors="replace")[:32]
        elif topic == self.topics.health():
            self.health = decode(payload, Health)
        elif topic == self.topics.alert_summary():
            self.summary = decode(payload, AlertSummary)
        elif topic.endswith("/status"):
            status = decode(payload, PipeStatus)
            self.pipelines[status.pipeline] = status

    def as_text(self) -> str:
        """Draw it."""
        lines = [f"{self.topics.root}/{self.topics.gateway}: {self.availability}"]
        if self.health is not None:
            health = self.health
            good = "ok" if health.ok else ", ".join(health.reasons)
            lines.append(f"health    {good}")
            lines.append(f"up        {health.uptime_s:.0f} s, {health.rss_mb:.0f} MB, clock {health.clock}")
            lines.append(f"outbox    {health.outbox_depth} unsent, oldest {health.oldest_unsent_s:.1f} s")
            lines.append(f"events    {health.last_alert_seq} alert events, {health.last_verdict_seq} verdicts this run")
        if self.summary is not None:
            worst = f", worst {self.summary.max_severity}" if self.summary.max_severity else ""
            shelved = f", {self.summary.shelved} shelved" if self.summary.shelved else ""
            figures = f"{self.summary.active} active, {self.summary.unacked} unacknowledged"
            lines.append(f"alarms    {figures}{worst}{shelved}")
        for name, status in sorted(self.pipelines.items()):
            model = f"{status.model} {status.model_version}" if status.model else "no model"
            lines.append(f"{name:<9} {status.status}, {model} {status.reason}".rstrip())
        return "\n".join(lines)

    def as_json(self) -> dict[str, object]:
        """Give it as plain values."""
        return {
            "availability": self.availability,
            "health": msgspec.to_builtins(self.health),
            "alarms": msgspec.to_builtins(self.summary),
            "pipelines": msgspec.to_builtins(self.pipelines),
        }


def look(config: Config, seconds: float) -> Picture:
    """Gather a gateway's retained state.

    Parameters
    ----------
    config : Config
        Names the broker and the gateway.
    seconds : float
        How long to listen.

    Raises
    ------
    BrokerError
        If the broker cannot be used.
    """
    topics = Topics(config.gateway.root, config.gateway.id)
    picture = Picture(topics)
    lock = threading.Lock()

    def take(message: Incoming) -> None:
        with lock:
            try:
                picture.take(message.topic, message.payload)
            except MessageError as error:
                picture.availability = f"unreadable {message.topic}: {error}"

    wanted = [topics.availability(), topics.health(), topics.alert_summary()]
    wanted.append(f"{topics.root}/{topics.gateway}/pipe/+/status")
    session = _guest(config, take, wanted)
    try:
        time.sleep(seconds)
    finally:
        session.stop(flush_s=0.2)
    return picture


def _guest(config: Config, take: Callable[[Incoming], None], filters: list[str]) -> Session:
    """Connect beside the daemon."""
    broker = msgspec.structs.replace(
        config.broker, client_id=f"{config.broker.client_id}-{secrets.token_hex(3)}", session_expiry_s=0
    )

    def acknowledging(message: Incoming) -> None:
        take(message)
        session.acknowledge(message.token)

    session = Session(broker, SessionCallbacks(on_message=acknowledging))
    session.subscribe([Subscription(each, 1) for each in filters])
    session.start()
    try:
        session.wait_connected(_CONNECT_S)
    except BrokerError:
        session.stop(flush_s=0.0)
        raise
    return session
