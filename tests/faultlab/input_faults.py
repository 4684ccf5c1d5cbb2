"""What comes in is too much, too big, or nonsense."""

from __future__ import annotations

import itertools
import random
import struct
import time
import zlib
from collections.abc import Iterator

import cv2
import numpy as np

from tests.faultlab.broker_faults import forget_session
from tests.faultlab.lab import Lab
from tests.faultlab.scene import Scene
from tests.faultlab.surroundings import again_and_again
from tests.faultlab.table import fault
from tests.integration.daemon_rig import BASE, GATEWAY
from tests.integration.factory_inputs import as_json, picture, samples

_TOPICS = 10_000
_RETAINED = 2_000
_BLOCKS = 600
#: More than the session takes, so that the broker keeps it; and more than a camera may send.
_TOO_LONG, _LONG = 17 << 20, 5 << 20
_numbers = itertools.count()
TRAPPED = Scene("trap", trap=True)
_DEADLY = "input_set_aside:trap"


def bomb() -> bytes:
    """A small PNG that claims to be 30,000 x 30,000."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


@fault("a camera at QoS 0 sends 20 times as fast", "inputs", counted=("overtaken",), lasts_s=5.0, quick=True)
def camera_too_fast(lab: Lab) -> Iterator[None]:
    large = [picture(number, height=900, width=1200) for number in range(4)]

    def send() -> None:
        for data in large:
            lab.publisher.publish("plant/cam/fast/frame", data, qos=0, part=f"much-{next(_numbers)}")

    with again_and_again(send, every_s=0.02):
        yield


@fault("a camera at QoS 1 sends ten times as fast", "inputs", lasts_s=5.0)
def camera_at_qos_1_too_fast(lab: Lab) -> Iterator[None]:
    with again_and_again(lambda: lab.publisher.show(f"more-{next(_numbers)}", 3), every_s=0.01):
        yield


@fault("a sensor at QoS 1 sends 600 blocks at once", "inputs", lasts_s=1.0, quick=True)
def sensor_floods(lab: Lab) -> Iterator[None]:
    now_ms = round(time.time() * 1000)
    for number in range(_BLOCKS):
        data = as_json(samples(number % 32), now_ms + 1000 * number)
        lab.publisher.publish("plant/sensor/press2", data, seq=next(_numbers))
    yield


@fault("a sensor at QoS 0 sends far more than can be taken", "inputs", counted=("overtaken",), lasts_s=4.0)
def sensor_at_qos_0_floods(lab: Lab) -> Iterator[None]:
    data = samples(1, rows=4096).tobytes()

    def send() -> None:
        for _ in range(400):
            lab.publisher.publish("plant/sensor/press3", data, qos=0)

    with again_and_again(send, every_s=0.05):
        yield


@fault("10,000 topics, with nonsense on each", "inputs", counted=("wrong_type",), lasts_s=0.5)
def ten_thousand_topics(lab: Lab) -> Iterator[None]:
    for number in range(_TOPICS):
        last = lab.publisher.client.publish(f"plant/many/camera-{number}/frame", b"nonsense", qos=1)
    yield
    last.wait_for_publish(60)


@fault(
    "2,000 retained messages come at once when the inputs' session is lost",
    "inputs",
    counted=("wrong_type",),
    forgets=True,
)
def retained_storm(lab: Lab) -> Iterator[None]:
    topics = [f"plant/many/kept-{number}/frame" for number in range(_RETAINED)]
    for topic in topics:
        last = lab.publisher.client.publish(topic, b"nonsense", qos=1, retain=True)
    last.wait_for_publish(60)
    forget_session(lab, f"{GATEWAY}-in")
    yield
    for topic in topics:
        last = lab.publisher.client.publish(topic, b"", qos=1, retain=True)
    last.wait_for_publish(60)


@fault("random bytes on every topic, also as commands", "inputs", counted=("wrong_type",), lasts_s=4.0, quick=True)
def everything_malformed(lab: Lab) -> Iterator[None]:
    rng = random.Random(lab.seed)
    topics = ["plant/cam/cam1/frame", "plant/cam/fast/frame", "plant/many/x/frame", "plant/sensor/press2"]
    topics += [f"plant/sensor/press{number}" for number in (2, 3)]
    topics += [f"{BASE}/cmd/{name}" for name in ("alert/ack", "config/reload", "events/resend", "model/install", "a/b")]
    begins = (b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"EDGE1", b'{"values": [[', b"\xbf")

    def send() -> None:
        for topic in topics:
            data = rng.choice(begins) + rng.randbytes(rng.randrange(400))
            lab.publisher.publish(topic, data, qos=rng.randrange(2))

    with again_and_again(send, every_s=0.05):
        yield


@fault("payloads of 5 and 17 MB", "inputs", counted=("too_large",), lasts_s=1.0)
def payloads_too_large(lab: Lab) -> Iterator[None]:
    for topic in ("plant/cam/cam1/frame", "plant/sensor/press2", f"{BASE}/cmd/alert/ack"):
        for size in (_TOO_LONG, _LONG):
            last = lab.publisher.client.publish(topic, bytes(size), qos=1)
    yield
    last.wait_for_publish(60)


@fault("pictures that would decode into gigabytes", "inputs", counted=("too_many_pixels",), lasts_s=1.0)
def picture_bombs(lab: Lab) -> Iterator[None]:
    for number in range(20):
        lab.publisher.publish(f"plant/many/bomb-{number}/frame", bomb())
    yield


@fault("500 commands at once, half of them nonsense", "inputs", lasts_s=1.0)
def commands_flood(lab: Lab) -> Iterator[None]:
    for number in range(250):
        lab.consumer.command("alert/ack", alert_id=f"NOBODY-{number}")
        lab.publisher.publish(f"{BASE}/cmd/alert/ack", b"{")
    yield


@fault("an input takes down each worker that looks at it", "inputs", _DEADLY, scene=TRAPPED, lasting=(_DEADLY,))
def deadly_input(lab: Lab) -> Iterator[None]:
    white = cv2.imencode(".jpg", np.full((64, 64, 3), 255, np.uint8))[1]
    lab.publisher.publish("plant/cam/trap/frame", bytes(white), part="deadly")
    yield
