"""The session with a broker that misbehaves, byte by byte."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import msgspec
import pytest

from edge_runtime.config import BrokerSettings
from edge_runtime.errors import BrokerAuthorizationError, BrokerConnectionError, BrokerError
from edge_runtime.mqtt import keeper
from edge_runtime.mqtt.interface import Outgoing, SessionCallbacks, Subscription
from edge_runtime.mqtt.session import PACKET_OVERHEAD_BYTES, Session

ACCEPTED = b"\x20\x02\x00\x00"


def until(condition: Callable[[], object], *, within_s: float = 5.0) -> None:
    """Wait for something that another thread does."""
    give_up_at = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < give_up_at, "it did not happen in time"
        time.sleep(0.002)


@contextmanager
def scripted(script: Callable[[socket.socket], None]) -> Iterator[BrokerSettings]:
    """Serve each connection by a script, one at a time, after its CONNECT has been read."""
    listener = socket.create_server(("127.0.0.1", 0))
    closing = threading.Event()

    def serve() -> None:
        while not closing.is_set():
            try:
                link, _ = listener.accept()
            except OSError:
                return
            with link:
                try:
                    link.recv(4096)
                    script(link)
                except OSError:
                    continue

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield BrokerSettings(
            port=listener.getsockname()[1],
            client_id="x",
            protocol="3.1.1",
            connect_timeout_s=2.0,
            reconnect_min_s=0.01,
            reconnect_max_s=0.05,
            max_payload_bytes=65_536,
        )
    finally:
        closing.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def run(settings: BrokerSettings, callbacks: SessionCallbacks, *filters: str) -> Session:
    session = Session(settings, callbacks, subscriptions=[Subscription(item, 1) for item in filters])
    session.start()
    return session


def test_refused_subscription_is_told() -> None:
    refusals: list[tuple[str, BrokerError]] = []

    def script(link: socket.socket) -> None:
        link.sendall(ACCEPTED)
        packet = link.recv(4096)
        link.sendall(b"\x90\x04" + packet[2:4] + b"\x01\x80")
        link.recv(4096)

    with scripted(script) as settings:
        session = run(settings, SessionCallbacks(on_refused=lambda *told: refusals.append(told)), "good", "forbidden")
        until(lambda: refusals)
        session.stop()
    assert [(wanted, type(error)) for wanted, error in refusals] == [("forbidden", BrokerAuthorizationError)]


def test_refused_subscription_is_asked_for_again_and_told_when_it_is_granted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "_ASK_AGAIN_S", 0.05)
    granted: list[str] = []

    def script(link: socket.socket) -> None:
        link.sendall(ACCEPTED)
        for code in (b"\x80", b"\x01"):
            packet = link.recv(4096)
            link.sendall(b"\x90\x03" + packet[2:4] + code)
        link.recv(4096)

    with scripted(script) as settings:
        session = run(settings, SessionCallbacks(on_granted=granted.append), "later")
        until(lambda: granted)
        session.stop()
    assert granted == ["later"]


@pytest.mark.parametrize(
    ("code", "kind"), [(3, BrokerConnectionError), (4, BrokerAuthorizationError), (5, BrokerAuthorizationError)]
)
def test_refused_connection_is_translated(code: int, kind: type[BrokerError]) -> None:
    with scripted(lambda link: link.sendall(bytes([0x20, 2, 0, code]))) as settings:
        session = run(settings, SessionCallbacks())
        until(lambda: session.last_error)
        error = session.last_error
        session.stop()
    assert type(error) is kind


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x00\x00",
        b"\xf0\x00",
        b"\x30\xff\xff\xff\xff\x7f",
        b"\x90\x00",
        b"\x32\x03\x00\x10a",
        b"\x40\x00",
        b"\x30\x00",
    ],
)
def test_garbage_ends_the_link_and_not_the_session(garbage: bytes) -> None:
    losses: list[BrokerError | None] = []

    def script(link: socket.socket) -> None:
        link.sendall(ACCEPTED + garbage)
        link.settimeout(0.3)
        link.recv(1)

    with scripted(script) as settings:
        session = run(settings, SessionCallbacks(on_disconnected=losses.append))
        until(lambda: len(losses) >= 2)
        failure = session.failure
        session.stop()
    assert failure is None


def test_broker_that_hangs_up_at_once_is_tried_again() -> None:
    losses: list[BrokerError | None] = []
    with scripted(lambda link: link.sendall(ACCEPTED)) as settings:
        session = run(settings, SessionCallbacks(on_disconnected=losses.append))
        until(lambda: len(losses) >= 3)
        session.stop()
    assert all(isinstance(loss, BrokerConnectionError) for loss in losses[:3])


def test_enormous_message_is_read_past_and_not_gathered() -> None:
    drops: list[tuple[str, str]] = []
    held: list[int] = []
    size = 50_000_000
    header = b"\x00\x03big" + b"\x00\x07"
    length = size + len(header)
    announced = bytes([length & 127 | 128, length >> 7 & 127 | 128, length >> 14 & 127 | 128, length >> 21])
    answers: list[bytes] = []

    def script(link: socket.socket) -> None:
        link.sendall(ACCEPTED + b"\x32" + announced + header)
        for _ in range(50):
            link.sendall(bytes(size // 50))
            connection = session._link
            if connection is not None:
                held.append(len(connection._client._in_packet["packet"]))  # type: ignore[attr-defined] # looks inside
        link.settimeout(3)
        answers.append(link.recv(4))

    with scripted(script) as settings:
        session = Session(settings, SessionCallbacks(on_dropped=lambda *told: drops.append(told)))
        session.start()
        until(lambda: answers, within_s=10)
        session.stop()
    assert (drops, answers) == ([("big", "too_large")], [b"\x40\x02\x00\x07"])
    assert max(held) <= PACKET_OVERHEAD_BYTES


def test_topic_that_is_no_utf_8_is_dropped_and_acknowledged() -> None:
    drops: list[tuple[str, str]] = []
    answers: list[bytes] = []

    def script(link: socket.socket) -> None:
        link.sendall(ACCEPTED + b"\x32\x06\x00\x01\xff\x00\x07x")
        link.settimeout(3)
        answers.append(link.recv(4))

    with scripted(script) as settings:
        session = run(settings, SessionCallbacks(on_dropped=lambda *told: drops.append(told)))
        until(lambda: answers)
        session.stop()
    assert (drops[0], answers[0]) == (("", "bad_topic"), b"\x40\x02\x00\x07")


def test_messages_on_their_way_when_the_link_breaks_are_told_as_lost() -> None:
    outcomes: list[tuple[int, str]] = []

    def script(link: socket.socket) -> None:
        link.sendall(ACCEPTED)
        link.settimeout(3)
        link.recv(4096)

    with scripted(script) as settings:
        callbacks = SessionCallbacks(on_published=lambda token, outcome, _: outcomes.append((token, outcome)))
        session = run(settings, callbacks)
        session.wait_connected(3)
        token = session.publish(Outgoing("a", b"x", 1))
        until(lambda: outcomes)
        session.stop()
    assert outcomes == [(token, "lost")]


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_random_packets_end_links_and_never_the_session(protocol: Literal["5", "3.1.1"]) -> None:
    rng = random.Random(11)
    losses: list[BrokerError | None] = []
    accepted = b"\x20\x03\x00\x00\x00" if protocol == "5" else ACCEPTED

    def script(link: socket.socket) -> None:
        out = bytearray(accepted)
        for _ in range(3):
            body = rng.randbytes(rng.randrange(12))
            out += bytes([rng.randrange(0x10, 0x100), len(body)]) + body
        link.sendall(out)

    with scripted(script) as settings:
        quick = msgspec.structs.replace(settings, reconnect_min_s=0.001, reconnect_max_s=0.002, protocol=protocol)
        session = run(quick, SessionCallbacks(on_disconnected=losses.append), "a")
        until(lambda: len(losses) >= 300 or session.failure, within_s=20)
        failure = session.failure
        session.stop()
    assert failure is None
