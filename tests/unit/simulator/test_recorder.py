"""From a session into a file and back, on a broker in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_runtime.config import BrokerSettings
from edge_runtime.errors import BrokerConnectionError, UsageError
from edge_runtime.mqtt.interface import Outgoing, SessionCallbacks
from edge_runtime.mqtt.memory import MemoryBroker, MemorySession
from edge_runtime.mqtt.metadata import Metadata
from edge_runtime.simulator.guest import broker_at, guest_session
from edge_runtime.simulator.playback import recorded_messages
from edge_runtime.simulator.publisher import MemoryPublisher
from edge_runtime.simulator.recorder import Recorded, Recorder
from edge_runtime.simulator.recording import RecordingReader
from edge_runtime.simulator.running import run_messages

PROPERTIES = (("ts_ms", "17"), ("colour", "red"))


class Link(MemorySession):
    """A session in memory that can be waited for."""

    def wait_connected(self, timeout_s: float) -> None:
        if not self.connected:
            raise BrokerConnectionError("nobody there")


class Soon(threading.Event):
    """Is set when it was looked at a few times."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0

    def is_set(self) -> bool:
        self.looks += 1
        return self.looks > 3


def record(broker: MemoryBroker, path: Path, meanwhile: Callable[[], None], *, max_bytes: int = 1 << 20) -> Recorded:
    """Record what is published meanwhile."""
    stop = Soon()

    def connect(callbacks: SessionCallbacks) -> Link:
        return Link(broker, BrokerSettings(client_id="recorder", session_expiry_s=0), callbacks)

    def started() -> None:
        meanwhile()

    recorder = Recorder(connect, ["plant/#", "edge/#"])
    return recorder.record(path, own="edge/gw1", duration_s=None, max_bytes=max_bytes, stop=stop, on_start=started)


def test_what_a_source_publishes_is_recorded_and_played_again_as_it_was(tmp_path: Path) -> None:
    broker = MemoryBroker()

    def publish() -> None:
        broker.publish(Outgoing("plant/cam/frame", b"picture", 1, user_properties=PROPERTIES))
        broker.publish(Outgoing("plant/press", b"samples", 0))

    done = record(broker, tmp_path / "a.edgerec", publish)
    first, second = recorded_messages(RecordingReader.open(tmp_path / "a.edgerec"))
    assert (done.n_messages, done.n_dropped, done.full) == (2, 0, False)
    assert (first.topic, first.payload, first.qos, first.properties) == ("plant/cam/frame", b"picture", 1, PROPERTIES)
    assert (second.payload, second.qos) == (b"samples", 0)
    assert 0 <= first.at_s <= second.at_s < 5.0


def test_what_the_gateway_itself_says_is_not_played(tmp_path: Path) -> None:
    broker = MemoryBroker()

    def publish() -> None:
        for topic in ("edge/gw1/health", "edge/gw10/health", "plant/press"):
            broker.publish(Outgoing(topic, b"x", 1))

    record(broker, tmp_path / "a.edgerec", publish)
    played = [each.topic for each in recorded_messages(RecordingReader.open(tmp_path / "a.edgerec"))]
    assert played == ["edge/gw10/health", "plant/press"]


def test_recording_ends_when_the_file_may_grow_no_further(tmp_path: Path) -> None:
    broker = MemoryBroker()

    def publish() -> None:
        for _ in range(20):
            broker.publish(Outgoing("plant/press", bytes(1000), 1))

    done = record(broker, tmp_path / "a.edgerec", publish, max_bytes=5000)
    assert (done.full, done.n_messages) == (True, 4)
    assert len(list(RecordingReader.open(tmp_path / "a.edgerec").messages())) == 4


def test_reading_from_the_broker_pauses_while_too_much_waits_for_the_file(tmp_path: Path) -> None:
    broker = MemoryBroker()
    links: list[Link] = []

    def connect(callbacks: SessionCallbacks) -> Link:
        links.append(Link(broker, BrokerSettings(client_id="recorder", session_expiry_s=0), callbacks))
        return links[0]

    stop, seen = Soon(), []

    def flood() -> None:
        for _ in range(40):
            broker.publish(Outgoing("plant/press", bytes(1 << 20), 0))
        seen.append(links[0].paused)

    recorder = Recorder(connect, ["plant/#"])
    recorder.record(tmp_path / "a.edgerec", own="", duration_s=None, max_bytes=1 << 30, stop=stop, on_start=flood)
    assert (seen, links[0].paused) == ([True], False)


def test_a_broker_that_is_away_leaves_no_doubt(tmp_path: Path) -> None:
    broker = MemoryBroker()
    broker.up = False
    with pytest.raises(BrokerConnectionError):
        record(broker, tmp_path / "a.edgerec", lambda: None)


def test_user_properties_reach_the_publisher_as_they_were(tmp_path: Path) -> None:
    broker = MemoryBroker()
    record(
        broker,
        tmp_path / "a.edgerec",
        lambda: broker.publish(Outgoing("plant/press", b"x", 1, user_properties=PROPERTIES)),
    )
    publisher = MemoryPublisher()
    messages = recorded_messages(RecordingReader.open(tmp_path / "a.edgerec"))
    assert run_messages(messages, publisher, speed=0, stop=threading.Event()).messages == 1
    assert publisher.messages == [("plant/press", b"x", Metadata(ts_ms=17))]


@pytest.mark.parametrize(
    ("address", "host", "port"), [("broker", "broker", 1883), ("10.0.0.7:1884", "10.0.0.7", 1884), ("::1", "::1", 1883)]
)
def test_a_broker_is_named_by_host_and_port(address: str, host: str, port: int) -> None:
    assert (broker_at(address).host, broker_at(address).port) == (host, port)


@pytest.mark.parametrize("address", ["", ":1883", "host:", "host:x", "host:0", "host:65536"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="HOST"):
        broker_at(address)


def test_a_guest_has_a_name_of_its_own_and_leaves_nothing_at_the_broker() -> None:
    settings = guest_session(BrokerSettings(client_id="gw1"), "player")._settings
    assert settings.client_id.startswith("gw1-player-")
    assert settings.session_expiry_s == 0
