"""What a broker session gives and takes: the same for the real one and for the in-memory double."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from msgspec import Struct

from edge_runtime.errors import BrokerError
from edge_runtime.topic_filters import filter_fault

#: Names one received QoS 1 message: the connection it came on, and its place there.
AckToken = tuple[int, int]

#: What became of a QoS 1 publish. ``lost``: the link broke first, so nobody knows; publish it again when connected.
Outcome = Literal["done", "refused", "lost"]


class Incoming(Struct, frozen=True):
    """One message from the broker.

    Attributes
    ----------
    topic : str
        Where it was published.
    payload : bytes
        As published, at most the session's limit.
    qos : int
        0 or 1, as delivered.
    retain : bool
        It was kept by the broker and is older than the subscription.
    dup : bool
        The broker sent it before and had no acknowledgement.
    token : AckToken or None
        For ``acknowledge``; None at QoS 0.
    user_properties : tuple of (name, value)
        MQTT 5 user properties; empty at 3.1.1.
    response_topic : str or None
        Where a reply is wanted (MQTT 5).
    correlation_data : bytes or None
        To be sent back with the reply (MQTT 5).
    """

    topic: str
    payload: bytes
    qos: int
    retain: bool = False
    dup: bool = False
    token: AckToken | None = None
    user_properties: tuple[tuple[str, str], ...] = ()
    response_topic: str | None = None
    correlation_data: bytes | None = None


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message to the broker.

    Attributes
    ----------
    topic : str
        Without wildcards.
    payload : bytes
        Empty removes a retained message.
    qos : int
        0 or 1.
    retain : bool
        The broker keeps it for later subscribers.
    user_properties : tuple of (name, value)
        Sent with MQTT 5 only.
    correlation_data : bytes or None
        Sent with MQTT 5 only.
    """

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    user_properties: tuple[tuple[str, str], ...] = ()
    correlation_data: bytes | None = None


@dataclass(frozen=True, slots=True)
class Subscription:
    """A topic filter and the QoS that is asked for."""

    topic_filter: str
    qos: int = 0


def _nothing(*_: object) -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True)
class SessionCallbacks:
    """What the session tells; all are called from its network thread, must not block and must not raise.

    Attributes
    ----------
    on_message : callable of Incoming
        A message came.
    on_connected : callable of bool
        The broker accepted us; True when it still had our session.
    on_disconnected : callable of BrokerError or None
        The link is gone or could not be made; None after ``stop``. It is tried again by itself.
    on_published : callable of (token, Outcome, text)
        What became of a QoS 1 publish; ``text`` says why it was refused.
    on_refused : callable of (str, BrokerError)
        The broker refused a subscription; it is asked for again by itself.
    on_granted : callable of str
        The broker takes a subscription that it refused before.
    on_dropped : callable of (topic, reason)
        A message was dropped here before anybody looked at it: ``too_large`` or ``bad_topic``.
    """

    on_message: Callable[[Incoming], None] = field(default=_nothing)
    on_connected: Callable[[bool], None] = field(default=_nothing)
    on_disconnected: Callable[[BrokerError | None], None] = field(default=_nothing)
    on_published: Callable[[int, Outcome, str], None] = field(default=_nothing)
    on_refused: Callable[[str, BrokerError], None] = field(default=_nothing)
    on_granted: Callable[[str], None] = field(default=_nothing)
    on_dropped: Callable[[str, str], None] = field(default=_nothing)


def require_publishable(message: Outgoing, max_payload_bytes: int) -> None:
    """Refuse a message that no broker would take.

    Parameters
    ----------
    message : Outgoing
        What is to be sent.
    max_payload_bytes : int
        The session's limit.

    Raises
    ------
    ValueError
        If the topic is empty, holds a wildcard or is too long, or the payload is too long.
    """
    fault = filter_fault(message.topic)
    if fault is not None or "+" in message.topic or "#" in message.topic:
        raise ValueError(f"cannot publish on {message.topic[:128]!r}: {fault or 'it holds a wildcard'}")
    if len(message.payload) > max_payload_bytes:
        raise ValueError(f"{len(message.payload)} bytes for {message.topic[:128]!r}, at most {max_payload_bytes}")


class BrokerSession(Protocol):
    """A link to a broker that keeps itself up. Methods may be called from any thread and do not block."""

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted us and the link stands."""
        ...

    def start(self) -> None:
        """Begin to connect."""
        ...

    def stop(self, *, flush_s: float = 2.0) -> None:
        """Send what is queued, for so long at most, then leave."""
        ...

    def subscribe(self, subscriptions: Sequence[Subscription]) -> None:
        """Replace the wanted subscriptions; they are renewed at every new session."""
        ...

    def publish(self, message: Outgoing) -> int | None:
        """Hand over a message.

        Parameters
        ----------
        message : Outgoing
            What to send.

        Returns
        -------
        token : int or None
            Named in ``on_published`` at QoS 1. None: not taken, because the link is down or too much is on its way;
            nothing is kept.

        Raises
        ------
        ValueError
            If the topic is empty, holds a wildcard or is too long, or the payload is longer than the session's limit.
        """
        ...

    def acknowledge(self, token: AckToken | None) -> None:
        """Let the broker forget a message; in the order of receipt, so that it waits for those before it.

        Parameters
        ----------
        token : AckToken or None
            Of a message; one of an earlier connection, or None, does nothing.
        """
        ...

    def pause(self) -> None:
        """Stop reading from the broker."""
        ...

    def resume(self) -> None:
        """Read again."""
        ...
