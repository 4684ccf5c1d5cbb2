"""The session with a real mosquitto."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from edge_runtime.config import BrokerSettings, Tls
from edge_runtime.errors import BrokerAuthorizationError, BrokerConnectionError, BrokerError
from edge_runtime.mqtt.interface import Incoming, Outcome, Outgoing, SessionCallbacks, Subscription
from edge_runtime.mqtt.session import Session
from tests.integration.certificates import Certificates
from tests.integration.conftest import MosquittoFactory
from tests.integration.mosquitto import Mosquitto, free_port

pytestmark = pytest.mark.broker

Protocol = Literal["5", "3.1.1"]
both_versions = pytest.mark.parametrize("protocol", ["5", "3.1.1"])


def until(condition: Callable[[], object], *, within_s: float = 8.0) -> None:
    """Wait for something that another thread or process does."""
    give_up_at = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < give_up_at, "it did not happen in time"
        time.sleep(0.005)


class Peer:
    """A session that writes down everything that it is told."""

    def __init__(self, settings: BrokerSettings, *filters: str, acknowledges: bool = True, **options: Any) -> None:
        self.messages: list[Incoming] = []
        self.connections: list[bool] = []
        self.losses: list[BrokerError | None] = []
        self.outcomes: dict[int, Outcome] = {}
        self.refusals: list[tuple[str, BrokerError]] = []
        self.drops: list[tuple[str, str]] = []
        self.subscribed = threading.Event()
        self.acknowledges = acknowledges
        self.session = Session(
            settings,
            SessionCallbacks(
                on_message=self._take,
                on_connected=self.connections.append,
                on_disconnected=self.losses.append,
                on_published=lambda token, outcome, _: self.outcomes.update({token: outcome}),
                on_refused=lambda wanted, error: self.refusals.append((wanted, error)),
                on_dropped=lambda topic, reason: self.drops.append((topic, reason)),
            ),
            subscriptions=[Subscription(item, 1) for item in filters],
            **options,
        )

    def _take(self, message: Incoming) -> None:
        if message.topic.startswith("probe/"):
            self.subscribed.set()
            return
        self.messages.append(message)
        if self.acknowledges:
            self.session.acknowledge(message.token)

    def payloads(self) -> list[bytes]:
        return [message.payload for message in self.messages]

    def send(self, topic: str, payload: bytes, **options: Any) -> int:
        assert self.session.wait_room(timeout_s=5)
        token = self.session.publish(Outgoing(topic, payload, **{"qos": 1, **options}))
        assert token is not None
        return token


Open = Callable[..., Peer]


@pytest.fixture
def peer() -> Iterator[Open]:
    """Open sessions that are stopped with the test."""
    peers: list[Peer] = []

    def open_peer(settings: BrokerSettings, *filters: str, **options: Any) -> Peer:
        made = Peer(settings, *filters, **options)
        peers.append(made)
        made.session.start()
        made.session.wait_connected(5)
        if filters:
            probe = f"probe/{settings.client_id}"
            made.session.subscribe([*(Subscription(item, 1) for item in filters), Subscription(probe, 0)])
            while not made.subscribed.wait(0.02):
                made.session.publish(Outgoing(probe, b""))
        return made

    yield open_peer
    for made in peers:
        made.session.stop(flush_s=0.5)
        assert made.session.failure is None


def publisher(broker: Mosquitto, **changes: Any) -> BrokerSettings:
    return broker.settings("publisher", session_expiry_s=0, **changes)


@both_versions
def test_messages_arrive_once_and_in_order(mosquitto: Mosquitto, peer: Open, protocol: Protocol) -> None:
    receiver = peer(mosquitto.settings("receiver", protocol=protocol), "a/+")
    sender = peer(publisher(mosquitto, protocol=protocol))
    sent = [str(index).encode() for index in range(500)]
    for index, payload in enumerate(sent):
        sender.send(f"a/{index % 3}", payload)
    until(lambda: len(receiver.messages) >= 500)
    assert receiver.payloads() == sent


def test_user_properties_and_correlation_data_travel_with_mqtt_5(mosquitto: Mosquitto, peer: Open) -> None:
    receiver = peer(mosquitto.settings("receiver"), "a")
    peer(publisher(mosquitto)).send("a", b"x", user_properties=(("seq", "7"), ("part", "Ä")), correlation_data=b"\x01")
    until(lambda: receiver.messages)
    got = receiver.messages[0]
    assert (got.user_properties, got.correlation_data) == ((("seq", "7"), ("part", "Ä")), b"\x01")


@both_versions
def test_broker_confirms_each_qos_1_publish(mosquitto: Mosquitto, peer: Open, protocol: Protocol) -> None:
    sender = peer(publisher(mosquitto, protocol=protocol))
    tokens = [sender.send("a", b"x") for _ in range(50)]
    assert sender.session.flush(5)
    assert sender.outcomes == dict.fromkeys(tokens, "done")


@both_versions
def test_unacknowledged_messages_come_again_after_a_new_start(
    mosquitto: Mosquitto, peer: Open, protocol: Protocol
) -> None:
    first = peer(mosquitto.settings("receiver", protocol=protocol), "a", acknowledges=False)
    sender = peer(publisher(mosquitto, protocol=protocol))
    for index in range(5):
        sender.send("a", bytes([index]))
    until(lambda: len(first.messages) == 5)
    for message in first.messages[:2]:
        first.session.acknowledge(message.token)
    first.session.stop()
    second = peer(mosquitto.settings("receiver", protocol=protocol))
    until(lambda: len(second.messages) == 3)
    assert [(message.payload, message.dup) for message in second.messages] == [(bytes([i]), True) for i in (2, 3, 4)]
    assert second.connections == [True]


@both_versions
def test_acknowledgements_wait_for_those_before_them(mosquitto: Mosquitto, peer: Open, protocol: Protocol) -> None:
    first = peer(mosquitto.settings("receiver", protocol=protocol), "a", acknowledges=False)
    sender = peer(publisher(mosquitto, protocol=protocol))
    for index in range(3):
        sender.send("a", bytes([index]))
    until(lambda: len(first.messages) == 3)
    for message in first.messages[1:]:
        first.session.acknowledge(message.token)
    first.session.stop()
    second = peer(mosquitto.settings("receiver", protocol=protocol))
    until(lambda: len(second.messages) == 3)
    assert second.payloads() == [b"\0", b"\1", b"\2"]


def test_broker_holds_back_at_the_receive_maximum(mosquitto: Mosquitto, peer: Open) -> None:
    receiver = peer(mosquitto.settings("receiver", receive_maximum=4), "a", acknowledges=False)
    sender = peer(publisher(mosquitto))
    for index in range(20):
        sender.send("a", bytes([index]))
    assert sender.session.flush(5)
    until(lambda: len(receiver.messages) == 4)
    time.sleep(0.1)
    assert len(receiver.messages) == 4
    for message in receiver.messages[:3]:
        receiver.session.acknowledge(message.token)
    until(lambda: len(receiver.messages) >= 7)
    assert receiver.payloads()[:7] == [bytes([index]) for index in range(7)]


def test_session_stops_reading_from_a_broker_without_receive_maximum(
    mosquitto_factory: MosquittoFactory, peer: Open
) -> None:
    broker = mosquitto_factory(options=("max_inflight_messages 0",))
    settings = broker.settings("receiver", protocol="3.1.1", receive_maximum=2)
    receiver = peer(settings, "a", acknowledges=False)
    sender = peer(publisher(broker))
    for index in range(60):
        sender.send("a", bytes([index]))
    assert sender.session.flush(5)
    time.sleep(0.1)
    assert len(receiver.messages) < 30
    receiver.acknowledges = True
    for message in list(receiver.messages):
        receiver.session.acknowledge(message.token)
    until(lambda: len(receiver.messages) == 60)
    assert receiver.payloads() == [bytes([index]) for index in range(60)]


def test_paused_session_reads_nothing_and_loses_nothing(mosquitto: Mosquitto, peer: Open) -> None:
    receiver = peer(mosquitto.settings("receiver"), "a")
    sender = peer(publisher(mosquitto))
    receiver.session.pause()
    sender.send("a", b"while away")
    assert sender.session.flush(5)
    time.sleep(0.1)
    held = list(receiver.messages)
    receiver.session.resume()
    until(lambda: receiver.messages)
    assert (held, receiver.payloads()) == ([], [b"while away"])


@both_versions
def test_killed_broker_is_found_again_and_every_publish_has_its_outcome(
    mosquitto: Mosquitto, peer: Open, protocol: Protocol
) -> None:
    receiver = peer(mosquitto.settings("receiver", protocol=protocol), "a")
    sender = peer(publisher(mosquitto, protocol=protocol))
    tokens = set()
    for _ in range(3):
        tokens |= {sender.send("a", b"before") for _ in range(50)}
        mosquitto.kill()
        until(lambda: not sender.session.connected and not receiver.session.connected)
        mosquitto.start()
        sender.session.wait_connected(5)
        receiver.session.wait_connected(5)
    assert set(sender.outcomes) == tokens
    assert set(sender.outcomes.values()) <= {"done", "lost"}
    sent = [b"%d" % index for index in range(100)]
    for payload in sent:
        sender.send("a", payload)
    until(lambda: receiver.payloads()[-1:] == sent[-1:])
    assert [payload for payload in receiver.payloads() if payload != b"before"] == sent


@both_versions
def test_broker_that_forgot_the_session_gets_the_subscriptions_again(
    mosquitto_factory: MosquittoFactory, peer: Open, protocol: Protocol
) -> None:
    broker = mosquitto_factory(persistence=False)
    receiver = peer(broker.settings("receiver", protocol=protocol), "a/#")
    sender = peer(publisher(broker, protocol=protocol))
    broker.kill()
    until(lambda: not sender.session.connected and not receiver.session.connected)
    broker.start()
    for each in (sender, receiver):
        each.session.wait_connected(5)
    until(lambda: bool(sender.send("a/b", b"again")) and receiver.messages)
    assert receiver.connections == [False, False]


@both_versions
def test_session_kept_by_the_broker_is_not_subscribed_anew(
    mosquitto: Mosquitto, peer: Open, protocol: Protocol
) -> None:
    sender = peer(publisher(mosquitto, protocol=protocol))
    sender.send("a/state", b"kept", retain=True)
    assert sender.session.flush(5)
    receiver = peer(mosquitto.settings("receiver", protocol=protocol), "a/#")
    until(lambda: receiver.session.connected)
    mosquitto.restart()
    until(lambda: receiver.connections == [False, True])
    sender.session.wait_connected(5)
    receiver.messages.clear()
    until(lambda: bool(sender.send("a/mark", b"mark")) and receiver.messages)
    assert b"kept" not in receiver.payloads()


def test_publish_is_refused_and_kept_nowhere_while_the_broker_is_away(mosquitto: Mosquitto, peer: Open) -> None:
    receiver = peer(mosquitto.settings("receiver"), "a")
    sender = peer(publisher(mosquitto))
    mosquitto.stop()
    until(lambda: not sender.session.connected)
    taken = sender.session.publish(Outgoing("a", b"lost", 1))
    mosquitto.start()
    for each in (sender, receiver):
        each.session.wait_connected(5)
    sender.send("a", b"later")
    until(lambda: receiver.messages)
    assert (taken, receiver.payloads()) == (None, [b"later"])


def test_will_is_published_when_the_link_dies_and_not_when_the_session_stops(mosquitto: Mosquitto, peer: Open) -> None:
    watcher = peer(mosquitto.settings("watcher"), "gw/availability")
    will = Outgoing("gw/availability", b"offline", 1, retain=True)
    orderly = peer(mosquitto.settings("orderly"), will=will)
    orderly.session.stop()
    dying = peer(mosquitto.settings("dying"), will=will)
    before = list(watcher.messages)
    dying.session._link._client.socket().shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr] # inside
    until(lambda: watcher.messages)
    assert (before, watcher.payloads()) == ([], [b"offline"])


def test_retained_message_comes_at_once_and_only_for_a_new_subscription(mosquitto: Mosquitto, peer: Open) -> None:
    sender = peer(publisher(mosquitto))
    sender.send("state/a", b"kept", retain=True)
    assert sender.session.flush(5)
    receiver = peer(mosquitto.settings("receiver"))
    receiver.session.subscribe([Subscription("state/#", 1)])
    until(lambda: receiver.messages)
    receiver.session.subscribe([Subscription("state/#", 1), Subscription("other", 1)])
    until(lambda: bool(sender.send("other", b"mark")) and len(receiver.messages) > 1)
    kept = [message for message in receiver.messages if message.topic == "state/a"]
    assert [(message.payload, message.retain) for message in kept] == [(b"kept", True)]


def test_filter_that_is_no_longer_wanted_is_let_go(mosquitto: Mosquitto, peer: Open) -> None:
    receiver = peer(mosquitto.settings("receiver"), "old", "new")
    receiver.session.subscribe([Subscription("new", 1)])
    sender = peer(publisher(mosquitto))
    until(lambda: bool(sender.send("new", b"mark")) and receiver.messages)
    receiver.messages.clear()
    sender.send("old", b"unwanted")
    sender.send("new", b"end")
    until(lambda: b"end" in receiver.payloads())
    assert b"unwanted" not in receiver.payloads()


def test_large_frames_pass_whole(mosquitto: Mosquitto, peer: Open) -> None:
    receiver = peer(mosquitto.settings("receiver"), "frame")
    frame = bytes(range(256)) * 8192
    peer(publisher(mosquitto)).send("frame", frame, qos=0)
    until(lambda: receiver.messages)
    assert receiver.payloads() == [frame]


@both_versions
def test_message_beyond_the_limit_is_dropped_and_the_next_one_comes(
    mosquitto: Mosquitto, peer: Open, protocol: Protocol
) -> None:
    receiver = peer(mosquitto.settings("receiver", protocol=protocol, max_payload_bytes=4096), "a")
    sender = peer(publisher(mosquitto, protocol=protocol))
    sender.send("a", bytes(4097))
    sender.send("a", bytes(3_000_000))
    sender.send("a", b"next")
    until(lambda: receiver.messages)
    assert receiver.payloads() == [b"next"]
    assert receiver.drops == [("a", "too_large")] * (1 if protocol == "5" else 2)


def test_too_large_a_publish_is_refused_here(mosquitto: Mosquitto, peer: Open) -> None:
    with pytest.raises(ValueError, match="4097 bytes"):
        peer(publisher(mosquitto, max_payload_bytes=4096)).session.publish(Outgoing("a", bytes(4097)))


@both_versions
def test_wrong_password_is_an_authorization_error(
    mosquitto_factory: MosquittoFactory, tmp_path: Path, protocol: Protocol
) -> None:
    broker = mosquitto_factory(users={"ann": "right"})
    (tmp_path / "pw").write_text("wrong\n")
    settings = broker.settings("x", protocol=protocol, username="ann", password_file=str(tmp_path / "pw"))
    session = Session(settings)
    session.start()
    with pytest.raises(BrokerAuthorizationError, match=r"refuses us: .*see broker\.username"):
        session.wait_connected(5)
    session.stop()


def test_right_password_is_accepted(mosquitto_factory: MosquittoFactory, peer: Open, tmp_path: Path) -> None:
    broker = mosquitto_factory(users={"ann": "right"})
    (tmp_path / "pw").write_text("right\n")
    assert peer(broker.settings("x", username="ann", password_file=str(tmp_path / "pw"))).session.connected


def test_absent_password_file_is_an_authorization_error(mosquitto: Mosquitto, tmp_path: Path) -> None:
    session = Session(mosquitto.settings("x", username="ann", password_file=str(tmp_path / "gone")))
    session.start()
    with pytest.raises(BrokerAuthorizationError, match=r"password file .*gone cannot be read"):
        session.wait_connected(5)
    session.stop()


def test_refused_publish_is_told(mosquitto_factory: MosquittoFactory, peer: Open, tmp_path: Path) -> None:
    (tmp_path / "acl").write_text("topic readwrite allowed/#\n")
    sender = peer(mosquitto_factory(options=(f"acl_file {tmp_path / 'acl'}",)).settings("x"))
    token = sender.send("forbidden/a", b"x")
    assert sender.session.flush(5)
    assert sender.outcomes[token] == "refused"


def test_tls_with_authority_and_client_certificate(
    mosquitto_factory: MosquittoFactory, peer: Open, certificates: Certificates
) -> None:
    broker = mosquitto_factory(certificates=certificates, client_certificate=True)
    tls = Tls(
        ca_file=str(certificates.ca_file),
        cert_file=str(certificates.client_file),
        key_file=str(certificates.client_key_file),
    )
    receiver = peer(broker.settings("receiver", tls=tls), "frame")
    sender = peer(broker.settings("sender", tls=tls))
    frame = bytes(range(256)) * 4096
    for _ in range(3):
        sender.send("frame", frame)
    until(lambda: len(receiver.messages) == 3)
    assert receiver.payloads() == [frame] * 3


def test_tls_without_the_asked_client_certificate_is_refused(
    mosquitto_factory: MosquittoFactory, certificates: Certificates
) -> None:
    broker = mosquitto_factory(certificates=certificates, client_certificate=True)
    session = Session(broker.settings("x"))
    session.start()
    with pytest.raises(BrokerError):
        session.wait_connected(1)
    session.stop()


def test_certificate_of_an_unknown_authority_is_refused(
    mosquitto_factory: MosquittoFactory, certificates: Certificates
) -> None:
    broker = mosquitto_factory(certificates=certificates)
    session = Session(broker.settings("x", tls=Tls()))
    session.start()
    until(lambda: session.last_error)
    with pytest.raises(BrokerConnectionError, match=r"TLS with the broker .* failed"):
        session.wait_connected(0.1)
    session.stop()


def test_insecure_tls_accepts_any_certificate(
    mosquitto_factory: MosquittoFactory, peer: Open, certificates: Certificates
) -> None:
    broker = mosquitto_factory(certificates=certificates)
    assert peer(broker.settings("x", tls=Tls(insecure=True))).session.connected


def test_absent_certificate_file_is_a_connection_error(mosquitto: Mosquitto, tmp_path: Path) -> None:
    session = Session(mosquitto.settings("x", tls=Tls(ca_file=str(tmp_path / "gone.pem"))))
    session.start()
    until(lambda: session.last_error)
    with pytest.raises(BrokerConnectionError, match=r"a file of \[broker\.tls\] cannot be used .*gone\.pem"):
        session.wait_connected(0.1)
    session.stop()


def test_start_does_not_wait_for_a_broker_that_is_away() -> None:
    session = Session(BrokerSettings(port=free_port(), client_id="x"))
    begun = time.monotonic()
    session.start()
    taken_s = time.monotonic() - begun
    with pytest.raises(BrokerConnectionError, match="cannot be reached"):
        session.wait_connected(0.3)
    session.stop()
    assert taken_s < 0.2


def test_broker_that_comes_later_is_found(mosquitto_factory: MosquittoFactory) -> None:
    broker = mosquitto_factory()
    broker.stop()
    session = Session(broker.settings("x"))
    session.start()
    until(lambda: session.last_error)
    broker.start()
    session.wait_connected(5)
    session.stop()


def test_server_that_says_nothing_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        session = Session(BrokerSettings(port=port, client_id="x", connect_timeout_s=0.5))
        session.start()
        until(lambda: session.last_error)
        with pytest.raises(BrokerConnectionError, match=r"no answer within 0\.5 s"):
            session.wait_connected(0.1)
        session.stop()


def test_hung_broker_is_noticed_by_its_silence(mosquitto: Mosquitto, peer: Open) -> None:
    receiver = peer(mosquitto.settings("x", keepalive_s=5, connect_timeout_s=0.5))
    mosquitto.suspend()
    until(lambda: not receiver.session.connected, within_s=12)
    mosquitto.resume()
    receiver.session.wait_connected(5)
    assert isinstance(receiver.losses[0], BrokerConnectionError)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_callback_that_raises_ends_the_session_in_the_open(mosquitto: Mosquitto) -> None:
    losses: list[BrokerError | None] = []

    def fail(message: Incoming) -> None:
        raise LookupError(message.topic)

    callbacks = SessionCallbacks(on_message=fail, on_disconnected=losses.append)
    session = Session(mosquitto.settings("x"), callbacks, subscriptions=[Subscription("a", 0)])
    session.start()
    session.wait_connected(5)
    until(lambda: session.failure or (session.publish(Outgoing("a", b"x")) and False))
    until(lambda: losses)
    assert session._thread is not None
    session._thread.join()
    assert isinstance(session.failure, LookupError)
    assert not session.connected
    assert "crashed" in str(losses[-1])


def test_publishers_in_several_threads_do_not_disturb_each_other(mosquitto: Mosquitto, peer: Open) -> None:
    receiver = peer(mosquitto.settings("receiver"), "a/#")
    sender = peer(publisher(mosquitto))

    def work(name: int) -> None:
        for index in range(50):
            while sender.session.publish(Outgoing(f"a/{name}", bytes([index]), 1)) is None:
                sender.session.wait_room(timeout_s=1)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    until(lambda: len(receiver.messages) == 200)
    for name in range(4):
        mine = [message.payload for message in receiver.messages if message.topic == f"a/{name}"]
        assert mine == [bytes([index]) for index in range(50)]
