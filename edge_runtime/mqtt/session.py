"""The session with a real broker: the one place that imports paho.

paho's own thread is not used. One thread of ours owns the paho client, so that an exception is seen, reading can be
paused, and paho is never called from two threads. Every connection has a paho client of its own: paho would otherwise
keep messages in memory and send them again beside the outbox, which does the same from disk.
"""

from __future__ import annotations

import random
import select
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from typing import Any

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from edge_runtime.config import BrokerSettings
from edge_runtime.errors import BrokerAuthorizationError, BrokerConnectionError, BrokerError, PayloadFormatError
from edge_runtime.mqtt.interface import AckToken, Incoming, Outgoing, SessionCallbacks, Subscription
from edge_runtime.mqtt.keeper import LinkKeeper
from edge_runtime.mqtt.ledger import AckLedger
from edge_runtime.mqtt.packet import Publish, decode_publish, encode_pubacks
from edge_runtime.mqtt.transport import connect_socket, read_password

#: What a packet may hold beside its payload: topic, properties, header.
PACKET_OVERHEAD_BYTES = 131_072
#: Packets read before anything else gets its turn.
_READS_PER_TURN = 64
#: Bytes that are read from the socket at once; larger packets are read without a copy.
_BUFFER_BYTES = 65_536
_PUBACK = 0x40
_FILTERS_PER_PACKET = 100
_MISC_EVERY_S = 0.5
_AUTHORIZATION_CODES = frozenset({0x86, 0x87, 0x8A, 0x8C})


class Session(LinkKeeper):
    """A session with a broker over TCP or TLS that keeps itself up.

    Parameters
    ----------
    settings : BrokerSettings
        Where and how.
    callbacks : SessionCallbacks or None
        Whom to tell; called from the network thread.
    will : Outgoing or None
        What the broker publishes for us when the link dies.
    subscriptions : sequence of Subscription
        Wanted from the start.
    rng : random.Random or None
        Source of the jitter of reconnects.
    """

    def __init__(
        self,
        settings: BrokerSettings,
        callbacks: SessionCallbacks | None = None,
        *,
        will: Outgoing | None = None,
        subscriptions: Sequence[Subscription] = (),
        rng: random.Random | None = None,
    ) -> None:
        super().__init__(settings, callbacks, subscriptions=subscriptions, rng=rng)
        self._will = will

    def _open_link(self, generation: int) -> _PahoLink:
        """Make a paho client and begin to connect it."""
        link = _PahoLink(self._settings, generation, self)
        link.open(self._will)
        return link


class _Head(bytearray):
    """Takes any number of bytes and keeps the first ones."""

    def __iadd__(self, data: bytes) -> _Head:  # type: ignore[misc,override] # noqa: PYI034 - as paho uses it
        self.extend(data[: max(0, PACKET_OVERHEAD_BYTES - len(self))])
        return self


class _PahoClient(paho.Client):  # type: ignore[misc] # paho has no types
    """paho's client with what it lacks: own sockets, a limit before memory is taken, buffered reads, lean messages."""

    link_settings: BrokerSettings
    on_packet: Callable[[Publish], None]
    cut = False
    _unread, _place = b"", 0

    def has_unread(self) -> bool:
        """Whether bytes were read from the socket that paho has not asked for."""
        return self._place < len(self._unread)

    def send_acknowledgements(self, mids: Sequence[int]) -> None:
        """Send several PUBACKs in one write."""
        self._packet_queue(_PUBACK, encode_pubacks(mids), mids[-1], 0)

    def _create_socket(self) -> socket.socket:
        """Make the socket; called by paho's ``connect``."""
        return connect_socket(self.link_settings)

    def _sock_recv(self, n_bytes: int) -> bytes:
        """Read for paho, which asks byte by byte, and would gather 256 MB because a stranger announces them."""
        packet = self._in_packet
        if packet["remaining_length"] > self.link_settings.max_payload_bytes + PACKET_OVERHEAD_BYTES:
            if packet["have_remaining"] and not self.cut:
                packet["packet"], self.cut = _Head(packet["packet"]), True
            n_bytes = min(n_bytes, PACKET_OVERHEAD_BYTES)
        place = self._place
        if place >= len(self._unread):
            if n_bytes >= _BUFFER_BYTES:
                return bytes(super()._sock_recv(n_bytes))
            self._unread, place = super()._sock_recv(_BUFFER_BYTES), 0
        self._place = place + n_bytes
        return self._unread[place : place + n_bytes]

    def _handle_publish(self) -> MQTTErrorCode:
        """Take a PUBLISH packet; called by paho."""
        packet = self._in_packet
        try:
            message = decode_publish(packet["command"], bytes(packet["packet"]), v5=self._protocol == paho.MQTTv5)
        except PayloadFormatError:
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        self.on_packet(message)
        return MQTTErrorCode.MQTT_ERR_SUCCESS


class _PahoLink:
    """One connection: one paho client, used from the network thread only."""

    def __init__(self, settings: BrokerSettings, generation: int, session: LinkKeeper) -> None:
        self._settings = settings
        self._session = session
        self.ledger = AckLedger(generation)
        self.accepted = False
        self._v5 = settings.protocol == "5"
        self._client = self._make_client()
        self._tokens: dict[int, int] = {}
        self._filters: dict[int, tuple[Subscription, ...]] = {}
        self._credit, self._largest_packet = 65_535, 2**32
        self._sending_qos0, self._qos0_mid = False, 0
        self._ended = False
        self._error: BrokerError | None = None
        self._answer_by = 0.0
        self._next_misc = 0.0
        self._held_since: float | None = None

    def _make_client(self) -> Any:  # noqa: ANN401 - paho has no types
        """Build a client with everything that must be set before it connects."""
        settings = self._settings
        client = _PahoClient(
            CallbackAPIVersion.VERSION2,
            client_id=settings.client_id,
            clean_session=None if self._v5 else settings.session_expiry_s == 0 or not settings.client_id,
            protocol=paho.MQTTv5 if self._v5 else paho.MQTTv311,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        client.max_inflight_messages_set(0)
        client.connect_timeout = settings.connect_timeout_s
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_packet = self._on_packet
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        if settings.username is not None:
            client.username_pw_set(settings.username, read_password(settings.password_file))
        return client

    def open(self, will: Outgoing | None) -> None:
        """Connect TCP and TLS and send CONNECT; blocks for the connect time-out at most."""
        settings = self._settings
        if will is not None:
            self._client.will_set(will.topic, will.payload, will.qos, will.retain)
        options: dict[str, Any] = {}
        if self._v5:
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = settings.session_expiry_s
            properties.ReceiveMaximum = settings.receive_maximum
            properties.MaximumPacketSize = settings.max_payload_bytes + PACKET_OVERHEAD_BYTES
            options = {"clean_start": settings.session_expiry_s == 0, "properties": properties}
        self._client.link_settings = settings
        self._client.connect(settings.host, settings.port, settings.keepalive_s, **options)
        self._answer_by = time.monotonic() + settings.connect_timeout_s

    def close(self) -> None:
        """Leave: in good order where the link still stands."""
        if self.accepted and self.is_open():
            self._client.disconnect()
        sock = self._client.socket()
        if sock is not None:
            sock.close()

    def is_open(self) -> bool:
        """Whether the link can still be used."""
        return not self._ended and self._client.socket() is not None

    def fileno(self) -> int:
        """Give the socket's descriptor."""
        return int(self._client.socket().fileno())

    def error(self) -> BrokerError:
        """Say why the link ended."""
        return self._error or BrokerConnectionError("the link to the broker broke")

    def wants_write(self) -> bool:
        """Whether bytes wait for the socket."""
        return bool(self._client.want_write())

    def has_credit(self) -> bool:
        """Whether the broker takes another QoS 1 message now."""
        return len(self._tokens) < self._credit

    def wait_ms(self, *, held: bool) -> int:
        """Say how long the thread may sleep: not at all when TLS has bytes ready."""
        return 0 if not held and self._has_unread() else int(_MISC_EVERY_S * 1000)

    def _has_unread(self) -> bool:
        """Whether there are bytes that the socket no longer shows: in our buffer, or in that of TLS."""
        if self._client.has_unread():
            return True
        sock = self._client.socket()
        return isinstance(sock, ssl.SSLSocket) and sock.pending() > 0

    def turn(self, events: int, *, held: bool) -> None:
        """Read, write and look after time-outs."""
        now = time.monotonic()
        if events & select.POLLOUT and self.is_open():
            self._client.loop_write()
        if held and events & (select.POLLERR | select.POLLHUP):
            self._give_up(BrokerConnectionError("the link to the broker broke"))
        elif not held:
            self._read(ready=bool(events & ~select.POLLOUT))
        self._look_after(now, held=held)
        if not self.accepted and now > self._answer_by:
            self._give_up(BrokerConnectionError(f"no answer within {self._settings.connect_timeout_s:g} s"))

    def _read(self, *, ready: bool) -> None:
        """Read packets as long as there are some, but not for ever."""
        for _ in range(_READS_PER_TURN):
            if not self.is_open() or not (ready or self._has_unread()):
                break
            if self._session.is_held(self):
                return
            self._client.loop_read()
            ready = False
        else:
            return
        self._held_since = None

    def _look_after(self, now: float, *, held: bool) -> None:
        """Let paho send pings and notice silence, unless the broker's answers still wait unread in the socket."""
        if held and self._held_since is None:
            self._held_since = now
        blind = self._held_since is not None and now - self._held_since > self._settings.keepalive_s - 1
        if now >= self._next_misc and not blind and self.is_open():
            self._next_misc = now + _MISC_EVERY_S
            self._client.loop_misc()

    def subscribe(self, wanted: Sequence[Subscription], unwanted: Sequence[str]) -> None:
        """Ask for filters, and let go of others."""
        for start in range(0, len(unwanted), _FILTERS_PER_PACKET):
            self._client.unsubscribe(list(unwanted[start : start + _FILTERS_PER_PACKET]))
        for start in range(0, len(wanted), _FILTERS_PER_PACKET):
            group = tuple(wanted[start : start + _FILTERS_PER_PACKET])
            if self._v5:
                asked = [(item.topic_filter, SubscribeOptions(item.qos, retainHandling=1)) for item in group]
            else:
                asked = [(item.topic_filter, item.qos) for item in group]
            _, mid = self._client.subscribe(asked)
            if mid is not None:
                self._filters[mid] = group

    def acknowledge_due(self) -> None:
        """Send the acknowledgements that are due, in the order of receipt."""
        mids = self.ledger.take_due()
        if mids:
            self._client.send_acknowledgements(mids)

    def send(self, token: int, message: Outgoing) -> None:
        """Give one message to paho, which writes it at once as far as the socket takes it."""
        if len(message.payload) + PACKET_OVERHEAD_BYTES > self._largest_packet:
            self._session.published(token, "refused", f"the broker takes packets up to {self._largest_packet} bytes")
            return
        self._sending_qos0 = message.qos == 0
        properties = self._properties(message)
        info = self._client.publish(message.topic, message.payload, message.qos, message.retain, properties)
        if message.qos:
            self._tokens[info.mid] = token
        elif self.wants_write():
            self._qos0_mid = info.mid
        self._sending_qos0 = False

    def _properties(self, message: Outgoing) -> Any:  # noqa: ANN401 - paho has no types
        """Give the MQTT 5 properties of a message, None where it has none."""
        if not self._v5 or not (message.user_properties or message.correlation_data is not None):
            return None
        properties = Properties(PacketTypes.PUBLISH)
        if message.user_properties:
            properties.UserProperty = list(message.user_properties)
        if message.correlation_data is not None:
            properties.CorrelationData = message.correlation_data
        return properties

    def _give_up(self, error: BrokerError) -> None:
        """End the link from this side."""
        self._error = self._error or error
        self._ended = True

    def _on_connect(self, _client: object, _userdata: object, flags: Any, code: Any, properties: Any) -> None:  # noqa: ANN401 - paho
        """Take the broker's answer."""
        if code.is_failure:
            self._give_up(_translate(code, f"the broker at {self._settings.host}:{self._settings.port} refuses us"))
            return
        self._credit = getattr(properties, "ReceiveMaximum", 65_535)
        self._largest_packet = getattr(properties, "MaximumPacketSize", 2**32)
        self.accepted = True
        self._session.accepted(session_present=bool(flags.session_present))

    def _on_disconnect(self, _client: object, _userdata: object, flags: Any, code: Any, _properties: object) -> None:  # noqa: ANN401 - paho
        """Keep the reason that the broker, or paho, gives."""
        by_broker = flags.is_disconnect_packet_from_server
        self._give_up(_translate(code, "the broker ended the link" if by_broker else "the link to the broker broke"))

    def _on_packet(self, message: Publish) -> None:
        """Hold a message to the limit and pass it on."""
        token = self.ledger.receive(message.mid) if message.qos else None
        cut, self._client.cut = self._client.cut, False
        if not message.topic:
            self._drop("", "bad_topic", token)
        elif cut or len(message.payload) > self._settings.max_payload_bytes:
            self._drop(message.topic, "too_large", token)
        else:
            self._session.received(
                Incoming(
                    topic=message.topic,
                    payload=message.payload,
                    qos=message.qos,
                    retain=message.retain,
                    dup=message.dup,
                    token=token,
                    user_properties=message.user_properties,
                    response_topic=message.response_topic,
                    correlation_data=message.correlation_data,
                )
            )

    def _drop(self, topic: str, reason: str, token: AckToken | None) -> None:
        """Drop a message, acknowledged, so that the broker does not send it for ever."""
        if token is not None:
            self.ledger.settle(token)
        self._session.dropped(topic, reason)

    def _on_publish(self, _client: object, _userdata: object, mid: int, code: Any, _properties: object) -> None:  # noqa: ANN401 - paho
        """Take the broker's acknowledgement; paho calls this for a written QoS 0 message, too."""
        if self._sending_qos0 or mid == self._qos0_mid:
            self._qos0_mid = 0
            return
        token = self._tokens.pop(mid, None)
        if token is not None:
            self._session.published(token, "refused" if code.is_failure else "done", str(code))

    def _on_subscribe(self, _client: object, _userdata: object, mid: int, codes: Any, _properties: object) -> None:  # noqa: ANN401 - paho
        """Tell which filters the broker refuses."""
        for subscription, code in zip(self._filters.pop(mid, ()), codes, strict=False):
            if code.is_failure:
                text = f'the broker refuses the subscription of "{subscription.topic_filter}": {code}'
                self._session.refused(subscription.topic_filter, BrokerAuthorizationError(text))
            else:
                self._session.granted(subscription.topic_filter)


def _translate(code: Any, what: str) -> BrokerError:  # noqa: ANN401 - paho has no types
    """Make one of our errors of a reason code."""
    if code.value in _AUTHORIZATION_CODES:
        return BrokerAuthorizationError(f"{what}: {code}; see broker.username, password_file and tls")
    return BrokerConnectionError(f"{what}: {code}")
