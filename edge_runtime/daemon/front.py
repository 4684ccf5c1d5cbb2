"""The gateway's face towards the broker: which message goes on which topic, and which of them are retained."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from msgspec import Struct

from edge_runtime.daemon.desk import Addresses
from edge_runtime.messages import (
    AlertSummary,
    Birth,
    Health,
    MetricValue,
    ModelInstalled,
    PipeResult,
    PipeStatus,
    Reply,
    encode,
)
from edge_runtime.mqtt.interface import BrokerSession, Incoming, Outgoing, Subscription


def availability(base: str, word: bytes) -> Outgoing:
    """Write the availability: published now, or left with the broker as the will."""
    return Outgoing(f"{base}/availability", word, 1, retain=True)


class Front:
    """Publishes what is only state: it may be lost, and is published again when it changes or after a reconnection.

    Parameters
    ----------
    session : BrokerSession
        The link.
    root, gateway : str
        First levels of every topic.
    """

    def __init__(self, session: BrokerSession, root: str, gateway: str) -> None:
        self._session = session
        self._base = f"{root}/{gateway}"

    @property
    def addresses(self) -> Addresses:
        """Topics of what goes through the outbox."""
        return Addresses(f"{self._base}/alert/event", f"{self._base}/alert/state/", f"{self._base}/part/verdict")

    @property
    def commands(self) -> Subscription:
        """What orders come on."""
        return Subscription(f"{self._base}/cmd/#", 1)

    def command_name(self, topic: str) -> str | None:
        """Give ``noun/verb`` of a command's topic; None for any other topic."""
        prefix = f"{self._base}/cmd/"
        return topic.removeprefix(prefix) if topic.startswith(prefix) else None

    def say_available(self, word: bytes) -> None:
        """Publish the availability."""
        self._session.publish(availability(self._base, word))

    def say_birth(self, message: Birth) -> None:
        """Publish what started."""
        self._retain("birth", message)

    def say_health(self, message: Health, figures: Mapping[str, MetricValue]) -> None:
        """Publish how the gateway is, and its figures."""
        self._retain("health", message)
        for name, figure in figures.items():
            self._session.publish(Outgoing(f"{self._base}/metric/{name}", encode(figure)))

    def say_status(self, pipeline: str, message: PipeStatus) -> None:
        """Publish a pipeline's status."""
        self._retain(f"pipe/{pipeline}/status", message)

    def say_summary(self, message: AlertSummary) -> None:
        """Publish how many alarms stand."""
        self._retain("alert/summary", message)

    def say_installed(self, message: ModelInstalled) -> None:
        """Publish which model runs."""
        self._retain(f"model/{message.model}/installed", message)

    def say_result(self, message: PipeResult) -> None:
        """Publish what a pipeline saw; not retained, QoS 0."""
        self._session.publish(Outgoing(f"{self._base}/pipe/{message.pipeline}/result", encode(message)))

    def answer(self, command: Incoming, reply: Reply) -> None:
        """Answer a command where its sender wants it; an unreadable one without a response topic stays unanswered."""
        if not (reply.id or command.response_topic):
            return
        topic = command.response_topic or f"{self._base}/reply/{reply.id}"
        with suppress(ValueError):  # a response topic that nobody can publish to
            self._session.publish(Outgoing(topic, encode(reply), 1, correlation_data=command.correlation_data))

    def _retain(self, topic: str, message: Struct) -> None:
        self._session.publish(Outgoing(f"{self._base}/{topic}", encode(message), 1, retain=True))
