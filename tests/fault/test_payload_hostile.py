"""Hostile payloads between good ones: each has its reason, none disturbs the next, none takes memory or time."""

from __future__ import annotations

import random
import struct
import tracemalloc
import zlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

import cbor2
import cv2
import numpy as np
import pytest

from edge_runtime.config import BrokerSettings, Camera, Sensor, SensorChannel
from edge_runtime.errors import MessageError
from edge_runtime.mqtt.codec import Arrival, FramePayload, SensorBlock, decode_frame, decode_sensor
from edge_runtime.mqtt.interface import Incoming, Outgoing, SessionCallbacks, Subscription
from edge_runtime.mqtt.memory import MemoryBroker, MemorySession

PIXELS = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
JPEG = bytes(cv2.imencode(".jpg", PIXELS)[1])
PNG = bytes(cv2.imencode(".png", PIXELS)[1])
GOOD = {
    "cam": JPEG,
    "json": b'{"value": 1.5, "unit": "mm/s"}',
    "f32": struct.pack("<2f", 1, 2),
    "cbor": cbor2.dumps([1.5]),
}


def bomb() -> bytes:
    """A PNG of 110 KB that decodes into 30000 x 30000 pixels."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    packer = zlib.compressobj(1)
    row = bytes(1 + 30_000 // 8)
    data = b"".join(packer.compress(row * 100) for _ in range(300)) + packer.flush()
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


HOSTILE: list[tuple[str, bytes, str]] = [
    ("cam", b"", "empty"),
    ("cam", JPEG[:20], "truncated"),
    ("cam", JPEG[: len(JPEG) // 2], "truncated"),
    ("cam", JPEG[:-1], "truncated"),
    ("cam", PNG, "wrong_type"),
    ("cam", b"GIF89a" + bytes(100), "wrong_type"),
    ("cam", b'{"value": 1}', "wrong_type"),
    ("cam", JPEG + bytes(2_000_000), "too_large"),
    ("cam", b"EDGE1\xff", "bad_cbor"),
    ("png", bomb(), "too_many_pixels"),
    ("json", b"", "empty"),
    ("json", b'{"values": [' + b"1," * 5_000_000 + b"1]}", "too_large"),
    ("json", b'{"values": [' + b"1," * 100_000 + b"1]}", "too_many_samples"),
    ("json", b'{"value": NaN}', "bad_json"),
    ("json", b'{"value": 1e999}', "not_finite"),
    ("json", b'{"value": "1.5"}', "wrong_type"),
    ("json", b'{"value": 1.5, "unit": "m/s"}', "wrong_unit"),
    ("json", b'{"a":' * 50_000, "bad_json"),
    ("json", b"\x00" * 1000, "bad_json"),
    ("json", JPEG, "bad_json"),
    ("f32", bytes(5), "bad_length"),
    ("f32", bytes(600_000), "too_many_samples"),
    ("cbor", b"\x9b" + b"\xff" * 8, "truncated"),
    ("cbor", b"\x81" * 1000, "too_deep"),
    ("cbor", bytes.fromhex("d81c81d81d00"), "bad_cbor"),
    ("cbor", bytes.fromhex("c48201") + b"\x1a" + b"\xff" * 4, "bad_cbor"),
    ("nobody", b"1", "unknown_topic"),
]


def sensor(name: str) -> Sensor:
    channels = (SensorChannel(name="v", unit="mm/s"),)
    kind: Any = name
    return Sensor(id=name, topics=(name,), format=kind, rate_hz=0, channels=channels)


class Intake:
    """The shortest way from a session to the codec, with counters."""

    def __init__(self) -> None:
        self.taken: list[FramePayload | SensorBlock] = []
        self.refused: Counter[str] = Counter()
        self._cameras = {
            "cam": Camera(id="cam", topic="cam", format="jpeg"),
            "png": Camera(id="png", topic="png", format="png"),
        }
        self._sensors = {name: sensor(name) for name in ("json", "f32", "cbor")}
        self.broker = MemoryBroker()
        subscriptions = [Subscription("+", 1)]
        callbacks = SessionCallbacks(on_message=self._take)
        self.session = MemorySession(self.broker, BrokerSettings(client_id="g"), callbacks, subscriptions=subscriptions)
        self.session.start()

    def _take(self, message: Incoming) -> None:
        arrival = Arrival(message.topic, 1e9, message.user_properties)
        try:
            if message.topic in self._cameras:
                camera = self._cameras[message.topic]
                self.taken.append(decode_frame(message.payload, camera, arrival, max_bytes=2_000_000, max_px=4_000_000))
            elif message.topic in self._sensors:
                self.taken.append(decode_sensor(message.payload, self._sensors[message.topic], arrival))
            else:
                self.refused["unknown_topic"] += 1
        except MessageError as error:
            self.refused[error.reason] += 1
        self.session.acknowledge(message.token)

    def send(self, topic: str, payload: bytes) -> None:
        self.broker.publish(Outgoing(topic, payload, 1))


@pytest.fixture
def memory() -> Iterator[None]:
    """Measure what Python allocates."""
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.parametrize(("topic", "payload", "reason"), HOSTILE, ids=lambda value: str(value)[:24])
def test_hostile_payload_is_counted_and_the_next_good_one_is_taken(topic: str, payload: bytes, reason: str) -> None:
    intake = Intake()
    intake.send(topic, payload)
    for name, good in GOOD.items():
        intake.send(name, good)
    assert (dict(intake.refused), len(intake.taken)) == ({reason: 1}, len(GOOD))


@pytest.mark.usefixtures("memory")
@pytest.mark.parametrize("place", [7, 9, 11])
def test_bomb_or_flood_is_refused_without_taking_memory(place: int) -> None:
    topic, payload, _ = HOSTILE[place]
    intake = Intake()
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    intake.send(topic, payload)
    _, peak = tracemalloc.get_traced_memory()
    assert peak - before < 500_000
    assert intake.taken == []


def test_hostile_payloads_in_any_order_leave_every_good_one_alone() -> None:
    rng = random.Random(5)
    intake = Intake()
    sent = 0
    for _ in range(300):
        topic, payload, _ = rng.choice(HOSTILE)
        intake.send(topic, payload[:200_000])
        name, good = rng.choice(list(GOOD.items()))
        intake.send(name, good)
        sent += 1
    good_ones = [item for item in intake.taken if item.source in GOOD]
    assert len(good_ones) >= sent
    assert sum(intake.refused.values()) + len(intake.taken) == 2 * sent
