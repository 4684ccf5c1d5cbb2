"""One source that floods, and what that does to the others on its session."""

from __future__ import annotations

from msgspec import structs

from edge_runtime.config import BrokerSettings, Camera, Config, Gateway, Mailbox
from edge_runtime.daemon.clock import Clock
from edge_runtime.daemon.complaints import Complaints
from edge_runtime.daemon.intake import Intake, Item
from edge_runtime.daemon.mailbox import Rotation
from edge_runtime.daemon.metrics import Metrics
from edge_runtime.mqtt.interface import Incoming
from tests.unit.daemon.dispatchers import picture

CAMERAS = tuple(
    Camera(id=name, topic=f"in/{name}", format="jpeg", qos=1, mailbox=Mailbox(depth=4, overflow="block"))
    for name in ("flood", "calm", "third")
)
CONFIG = Config(gateway=Gateway(id="gw1"), broker=BrokerSettings(receive_maximum=16), cameras=CAMERAS)


def door() -> Intake:
    return Intake(
        CONFIG,
        metrics=Metrics(),
        complaints=Complaints(lambda: 0.0),
        clock=Clock(lambda: 1_700_000_000.0, lambda: 10.0),
        notify=lambda _notice: None,
    )


def message(source: str, payload: bytes | None = None) -> Incoming:
    return Incoming(f"in/{source}", picture() if payload is None else payload, 1, token=(1, 7))


def flooded(intake: Intake) -> int:
    """Let one source send until reading stops."""
    n_read = 0
    while not intake.wants_pause():
        intake.take(message("flood"))
        n_read += 1
    return n_read


def turn_of(intake: Intake, source: str) -> int:
    """Count how many inputs are handed over before the first of a source."""
    rotation: Rotation[Item] = Rotation(intake.mailboxes.values())
    for place in range(100):
        taken = rotation.take(lambda _mailbox: True)
        if taken is not None and taken[1].source == source:
            return place
    raise AssertionError(source)


def test_a_message_behind_a_burst_of_another_source_is_read_and_has_its_turn_among_the_first() -> None:
    intake = door()
    for _ in range(15):  # with the next one all that the broker may have on its way
        intake.take(message("flood"))
    assert not intake.wants_pause()
    intake.take(message("calm"))
    assert turn_of(intake, "calm") <= len(CAMERAS) - 1


def test_what_is_read_beyond_the_mailboxes_is_bounded_by_the_receive_maximum() -> None:
    assert flooded(door()) == 4 + CONFIG.broker.receive_maximum


def test_the_surpluses_of_all_sources_share_one_bound() -> None:
    intake = door()
    for _ in range(12):
        intake.take(message("flood"))
        intake.take(message("calm"))
    assert intake.wants_pause()


def test_large_pictures_stop_the_reader_earlier() -> None:
    intake = door()
    large = picture() + bytes(4_000_000 - len(picture()))
    n_read = 0
    while not intake.wants_pause():
        intake.take(message("flood", large))
        n_read += 1
    assert n_read == 4 + 5


def test_reading_goes_on_when_there_is_room_again() -> None:
    intake = door()
    flooded(intake)
    intake.mailboxes["flood"].take()
    assert not intake.wants_pause()


def test_a_source_whose_mailbox_drops_never_stops_the_reader() -> None:
    intake = door()
    dropping = structs.replace(CAMERAS[0], mailbox=Mailbox(depth=4, overflow="drop_oldest"))
    intake.reconfigure(structs.replace(CONFIG, cameras=(dropping, *CAMERAS[1:])), lambda _message: None)
    for _ in range(100):
        intake.take(message("flood"))
    assert not intake.wants_pause()
