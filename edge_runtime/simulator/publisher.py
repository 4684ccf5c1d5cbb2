"""Where the simulator's messages go: a broker session, or a list in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from edge_runtime.errors import BrokerConnectionError
from edge_runtime.mqtt.interface import Outgoing
from edge_runtime.mqtt.metadata import Metadata, read_user_properties, write_envelope, write_user_properties
from edge_runtime.mqtt.session import Session

UserProperties = tuple[tuple[str, str], ...]

_PATIENCE_S = 30.0


class Publisher(Protocol):
    """Takes messages in order."""

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int,
        metadata: Metadata | None = None,
        properties: UserProperties = (),
    ) -> None:
        """Publish one message; waits while the broker does not take it.

        Parameters
        ----------
        topic : str
            Where.
        payload : bytes
            What.
        qos : int
            0 or 1.
        metadata : Metadata, optional
            Said about the payload: as user properties (MQTT 5) or in an EDGE1 envelope (3.1.1).
        properties : tuple of (name, value)
            User properties as they are, in place of ``metadata``; over 3.1.1 what of them is metadata.

        Raises
        ------
        BrokerConnectionError
            If the broker stays away.
        """
        ...


class SessionPublisher:
    """Publishes through a broker session.

    Parameters
    ----------
    session : Session
        Started.
    envelope : bool
        Whether metadata travel in an envelope (MQTT 3.1.1) or as user properties (MQTT 5).
    """

    def __init__(self, session: Session, *, envelope: bool) -> None:
        self._session = session
        self._envelope = envelope

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int,
        metadata: Metadata | None = None,
        properties: UserProperties = (),
    ) -> None:
        """See :class:`Publisher`."""
        if self._envelope and properties:
            metadata, properties = read_user_properties(properties), ()
        if metadata is not None and self._envelope:
            payload = write_envelope(metadata, payload)
        elif metadata is not None:
            properties = tuple(write_user_properties(metadata))
        message = Outgoing(topic, payload, qos, user_properties=properties)
        while self._session.publish(message) is None:
            if not self._session.wait_room(qos=qos, timeout_s=_PATIENCE_S):
                raise BrokerConnectionError(f"the broker took no message for {_PATIENCE_S:g} s")


@dataclass(slots=True)
class MemoryPublisher:
    """Keeps messages in memory: (topic, payload, metadata)."""

    messages: list[tuple[str, bytes, Metadata | None]] = field(default_factory=list)

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int,
        metadata: Metadata | None = None,
        properties: UserProperties = (),
    ) -> None:
        """See :class:`Publisher`."""
        metadata = read_user_properties(properties) if properties else metadata
        assert qos in {0, 1}
        self.messages.append((topic, payload, metadata))

    def by_topic(self) -> Mapping[str, int]:
        """Count messages by topic."""
        counts: dict[str, int] = {}
        for topic, _, _ in self.messages:
            counts[topic] = counts.get(topic, 0) + 1
        return counts
