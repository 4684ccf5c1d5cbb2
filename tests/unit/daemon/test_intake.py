"""What becomes of a message at the intake's door."""

from __future__ import annotations

import pytest
from msgspec import structs

from edge_runtime.config import Camera, Config, Gateway
from edge_runtime.daemon.clock import Clock
from edge_runtime.daemon.complaints import Complaints
from edge_runtime.daemon.intake import GivenUp, Intake, Notice, PartSeen
from edge_runtime.daemon.metrics import Metrics
from edge_runtime.mqtt.codec import Arrival, FramePayload, SensorBlock
from edge_runtime.mqtt.interface import Incoming
from tests.unit.daemon.dispatchers import picture

CONFIG = Config(
    gateway=Gateway(id="gw1"),
    cameras=(
        Camera(id="sure", topic="in/sure", format="jpeg", qos=1),
        Camera(id="fast", topic="in/fast", format="jpeg"),
    ),
)


class Door(Intake):
    """An intake that keeps what it told; the codec may be made to fail."""

    def __init__(self) -> None:
        self.told: list[Notice] = []
        self.metrics = Metrics()
        self.bug: Exception | None = None
        self.trouble = ""
        clock = Clock(lambda: 1_700_000_000.0, lambda: 10.0)
        super().__init__(
            CONFIG,
            metrics=self.metrics,
            complaints=Complaints(lambda: 0.0),
            clock=clock,
            notify=self.told.append,
            overload=lambda: self.trouble,
        )

    def _decode(self, source: object, payload: bytes, arrival: Arrival) -> FramePayload | SensorBlock:
        if self.bug is not None:
            raise self.bug
        return super()._decode(source, payload, arrival)  # type: ignore[arg-type] # passed through

    def dropped(self, source: str, reason: str) -> float:
        return self.metrics.registry.get_sample_value("edge_dropped_total", {"source": source, "reason": reason}) or 0.0


def message(source: str, payload: bytes = b"", *, part: str | None = None, qos: int = 1) -> Incoming:
    properties = () if part is None else (("part", part),)
    return Incoming(f"in/{source}", payload, qos, token=(1, 7) if qos else None, user_properties=properties)


@pytest.mark.parametrize("payload", [picture(), b"nonsense", b""], ids=["picture", "nonsense", "nothing"])
def test_what_nobody_holds_back_is_dropped_unseen_while_the_disk_refuses(payload: bytes) -> None:
    door = Door()
    door.trouble = "disk_stuck"
    for _ in range(100):
        assert door.take(message("fast", payload, part="A-17", qos=0))
    assert (door.told, len(door.mailboxes["fast"])) == ([], 0)
    assert door.dropped("fast", "disk_stuck") == 100


def test_what_the_broker_holds_back_is_taken_while_the_disk_refuses() -> None:
    door = Door()
    door.trouble = "disk_stuck"
    door.take(message("sure", picture(), part="A-17"))
    assert len(door.mailboxes["sure"]) == 1


@pytest.mark.parametrize(
    "bug",
    [ValueError("v"), OverflowError("o"), MemoryError(), RecursionError("r"), KeyError("k"), TypeError("t")],
    ids=lambda bug: type(bug).__name__,
)
def test_a_message_that_trips_the_codec_is_given_up_and_its_part_told(bug: Exception) -> None:
    door = Door()
    door.bug = bug
    assert door.take(message("sure", part="A-17"))
    assert door.told == [
        PartSeen("sure", "A-17", 1_700_000_000.0, 1_700_000_000.0),
        GivenUp("sure", "internal", (1, 7), "A-17", 1_700_000_000.0),
    ]
    assert door.dropped("sure", "internal") == 1


def test_what_comes_again_on_a_new_link_does_not_wait_twice() -> None:
    door = Door()
    for _ in range(3):
        door.take(message("sure", picture()))
    door.take(message("fast", picture(), qos=0))
    door.forget()
    assert [len(mailbox) for mailbox in door.mailboxes.values()] == [0, 1]
    assert door.dropped("sure", "redelivered") == 3


def test_a_part_is_told_with_what_the_broker_says_of_its_frame() -> None:
    door = Door()
    for dup in (False, True):
        door.take(structs.replace(message("sure", picture(), part="A-17"), dup=dup))
    assert [each.again for each in door.told if isinstance(each, PartSeen)] == [False, True]
