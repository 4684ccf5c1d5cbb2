"""A broker in memory and sessions with it: real enough for tests of what stands on a session, and without threads.

What it does as a real broker does: filters with wildcards, retained messages, persistent sessions that queue QoS 1
while their owner is away, redelivery of what was not acknowledged with ``dup`` set, receive-maximum, and wills.
Nothing happens between calls, except that ``deliver`` hands out what is queued.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from msgspec import structs

from edge_runtime.config import BrokerSettings
from edge_runtime.errors import BrokerConnectionError
from edge_runtime.mqtt.interface import (
    AckToken,
    Incoming,
    Outgoing,
    SessionCallbacks,
    Subscription,
    require_publishable,
)
from edge_runtime.mqtt.ledger import AckLedger
from edge_runtime.topic_filters import filter_matches


@dataclass(slots=True)
class _Mailbag:
    """What a broker keeps for one client id."""

    subscriptions: dict[str, int] = field(default_factory=dict)
    queued: deque[Incoming] = field(default_factory=deque)
    unacknowledged: deque[Incoming] = field(default_factory=deque)
    owner: MemorySession | None = None


class MemoryBroker:
    """A broker for one process and one thread.

    Examples
    --------
    >>> broker = MemoryBroker()
    >>> session = MemorySession(broker, BrokerSettings(client_id="a"), subscriptions=[Subscription("t/#", 1)])
    >>> session.start()
    >>> broker.publish(Outgoing("t/1", b"hello", qos=1))
    >>> [message.payload for message in session.received]
    [b'hello']
    """

    def __init__(self) -> None:
        self.up = True
        self.published: list[Outgoing] = []
        self.retained: dict[str, Outgoing] = {}
        self._mailbags: dict[str, _Mailbag] = {}
        self._delivering = False

    def publish(self, message: Outgoing) -> None:
        """Take a message, from a session or from a test.

        Parameters
        ----------
        message : Outgoing
            What to hand on.
        """
        self.published.append(message)
        if message.retain:
            if message.payload:
                self.retained[message.topic] = message
            else:
                self.retained.pop(message.topic, None)
        for bag in self._mailbags.values():
            self._offer(bag, message, retained=False)
        self.deliver()

    def deliver(self) -> None:
        """Hand out what waits, as far as each session's receive-maximum allows."""
        if self._delivering:
            return
        self._delivering = True
        try:
            while sum(self._deliver_one(bag) for bag in list(self._mailbags.values())):
                pass
        finally:
            self._delivering = False

    def _deliver_one(self, bag: _Mailbag) -> bool:
        """Hand out one message, if there is one that may go."""
        owner = bag.owner
        if owner is None or owner.paused or not bag.queued:
            return False
        if bag.queued[0].qos and len(bag.unacknowledged) >= owner.receive_maximum:
            return False
        message = bag.queued.popleft()
        if message.qos:
            bag.unacknowledged.append(message)
        owner.take(message)
        return True

    def go_down(self) -> None:
        """Break every link, as a killed broker with persistence does; wills wait for the broker's return."""
        self.up = False
        for bag in self._mailbags.values():
            if bag.owner is not None:
                bag.owner.lose_link()

    def come_up(self) -> None:
        """Answer again; sessions must reconnect."""
        self.up = True

    def attach(self, session: MemorySession, client_id: str, *, clean: bool) -> bool:
        """Open a session's link; what it had not acknowledged comes again.

        Parameters
        ----------
        session : MemorySession
            The new owner.
        client_id : str
            Name of the session.
        clean : bool
            Forget what was kept.

        Returns
        -------
        present : bool
            Whether a kept session was found.

        Raises
        ------
        BrokerConnectionError
            If the broker is down.
        """
        if not self.up:
            raise BrokerConnectionError("the broker is down")
        present = client_id in self._mailbags and not clean
        bag = self._mailbags[client_id] if present else _Mailbag()
        self._mailbags[client_id] = bag
        bag.owner = session
        bag.queued.extendleft(structs.replace(message, dup=True) for message in reversed(bag.unacknowledged))
        bag.unacknowledged.clear()
        return present

    def detach(self, client_id: str) -> None:
        """Close a session's link and keep the session."""
        bag = self._mailbags.get(client_id)
        if bag is not None:
            bag.owner = None

    def subscribe(self, client_id: str, subscriptions: Sequence[Subscription]) -> None:
        """Replace a session's subscriptions; retained messages come for those that are new."""
        bag = self._mailbags[client_id]
        new = [item for item in subscriptions if item.topic_filter not in bag.subscriptions]
        bag.subscriptions = {item.topic_filter: item.qos for item in subscriptions}
        for message in self.retained.values():
            if any(filter_matches(item.topic_filter, message.topic) for item in new):
                self._offer(bag, message, retained=True)
        self.deliver()

    def acknowledge(self, client_id: str, count: int) -> None:
        """Forget the oldest unacknowledged messages of a session."""
        bag = self._mailbags[client_id]
        for _ in range(count):
            bag.unacknowledged.popleft()
        self.deliver()

    def _offer(self, bag: _Mailbag, message: Outgoing, *, retained: bool) -> None:
        """Queue a message for a session that wants it; QoS 0 only while its owner is there."""
        granted = [qos for wanted, qos in bag.subscriptions.items() if filter_matches(wanted, message.topic)]
        if not granted:
            return
        qos = min(message.qos, max(granted))
        if qos or bag.owner is not None:
            bag.queued.append(
                Incoming(
                    topic=message.topic,
                    payload=message.payload,
                    qos=qos,
                    retain=retained,
                    user_properties=message.user_properties,
                    correlation_data=message.correlation_data,
                )
            )


class MemorySession:
    """A session with a :class:`MemoryBroker`; the interface of the real one, all of it in the caller's thread.

    Parameters
    ----------
    broker : MemoryBroker
        The other side.
    settings : BrokerSettings
        Client id, limits and expiry count.
    callbacks : SessionCallbacks or None
        Whom to tell; by default messages gather in ``received``.
    will : Outgoing or None
        Published when the link is lost while the broker is up.
    subscriptions : sequence of Subscription
        Wanted from the start.
    """

    def __init__(
        self,
        broker: MemoryBroker,
        settings: BrokerSettings,
        callbacks: SessionCallbacks | None = None,
        *,
        will: Outgoing | None = None,
        subscriptions: Sequence[Subscription] = (),
    ) -> None:
        self.received: list[Incoming] = []
        self.paused = False
        self.receive_maximum = settings.receive_maximum
        self._broker = broker
        self._settings = settings
        self._callbacks = callbacks or SessionCallbacks(on_message=self.received.append)
        self._will = will
        self._subscriptions = tuple(subscriptions)
        self._ledger = AckLedger(0)
        self._generation = 0
        self._last_token = 0
        self.connected = False

    def start(self) -> None:
        """Connect; when the broker is down, :meth:`reconnect` tries again."""
        self.reconnect()

    def reconnect(self) -> None:
        """Try to connect, as the real session does by itself after a wait."""
        client_id = self._settings.client_id
        try:
            present = self._broker.attach(self, client_id, clean=self._settings.session_expiry_s == 0)
        except BrokerConnectionError as error:
            self._callbacks.on_disconnected(error)
            return
        self._generation += 1
        self._ledger = AckLedger(self._generation)
        self.connected = True
        self._callbacks.on_connected(present)
        self._broker.subscribe(client_id, self._subscriptions)

    def stop(self, *, flush_s: float = 2.0) -> None:  # noqa: ARG002 - nothing is ever queued here
        """Leave in good order."""
        if self.connected:
            self._broker.detach(self._settings.client_id)
        self.connected = False
        self._callbacks.on_disconnected(None)

    def lose_link(self) -> None:
        """Break the link; the broker publishes the will if it is up."""
        self._broker.detach(self._settings.client_id)
        self.connected = False
        if self._will is not None and self._broker.up:
            self._broker.publish(self._will)
        self._callbacks.on_disconnected(BrokerConnectionError("the link to the broker broke"))

    def subscribe(self, subscriptions: Sequence[Subscription]) -> None:
        """Replace the wanted subscriptions."""
        self._subscriptions = tuple(subscriptions)
        if self.connected:
            self._broker.subscribe(self._settings.client_id, self._subscriptions)

    def publish(self, message: Outgoing) -> int | None:
        """Hand over a message; at QoS 1 ``on_published`` is called before this returns.

        Parameters
        ----------
        message : Outgoing
            What to send.

        Returns
        -------
        token : int or None
            None while the link is down.

        Raises
        ------
        ValueError
            If the topic cannot be published to, or the payload is too long.
        """
        require_publishable(message, self._settings.max_payload_bytes)
        if not self.connected:
            return None
        self._last_token += 1
        token = self._last_token
        self._broker.publish(message)
        if message.qos:
            self._callbacks.on_published(token, "done", "Success")
        return token

    def acknowledge(self, token: AckToken | None) -> None:
        """Let the broker forget a message, in the order of receipt."""
        if token is None:
            return
        self._ledger.settle(token)
        due = self._ledger.take_due()
        if due and self.connected:
            self._broker.acknowledge(self._settings.client_id, len(due))

    def pause(self) -> None:
        """Stop taking messages."""
        self.paused = True

    def resume(self) -> None:
        """Take messages again."""
        self.paused = False
        self._broker.deliver()

    def take(self, message: Incoming) -> None:
        """Receive one message; called by the broker."""
        token = self._ledger.receive(0) if message.qos else None
        self._callbacks.on_message(structs.replace(message, token=token))
