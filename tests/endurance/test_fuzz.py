"""The pure readers and a flood of damaged inputs: a value or one of our errors, no other exception, no hang."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence

import cbor2
import cv2
import numpy as np
import pytest

from edge_runtime.bundle.reader import read_bundle
from edge_runtime.config import Camera, Sensor, SensorChannel, parse_config
from edge_runtime.messages import COMMANDS, decode_command
from edge_runtime.mqtt.codec import Arrival, decode_frame, decode_sensor
from edge_runtime.mqtt.image_header import read_image_header
from edge_runtime.mqtt.metadata import Metadata, write_envelope
from tests.bundles import TRUSTED, image_bundle, window_bundle
from tests.endurance.fuzzing import fuzz
from tests.endurance.results import record
from tests.integration.daemon_rig import SOURCES

SEED = 20_261_122
SHORT, LONG = 4_000, 1_000_000
COMMAND = "make test-long (tests/endurance/test_fuzz.py)"

Reader = tuple[Callable[[bytes], object], Sequence[bytes]]
PIXELS = np.random.default_rng(0).integers(0, 255, (24, 32, 3), np.uint8)


def codec() -> Reader:
    """Every input format, chosen by the first byte."""
    channels = (SensorChannel(name="a", unit="mm/s"), SensorChannel(name="b"))
    one, two = channels[:1], channels
    sensors = [
        Sensor(id=word, topics=("t",), format=word, rate_hz=10.0, channels=one if word == "number" else two)
        for word in ("number", "json", "cbor", "f32", "i16")
    ]
    cameras = [Camera(id=word, topic="t", format=word) for word in ("jpeg", "png")]
    arrival = Arrival("t", 1_800_000_000.0)

    def read(data: bytes) -> object:
        number = (data[0] if data else 0) % 7
        if number < 5:
            return decode_sensor(data[1:], sensors[number], arrival)
        return decode_frame(data[1:], cameras[number - 5], arrival, max_bytes=1 << 20, max_px=1 << 20)

    good = [
        b"12.5",
        b'{"t0_ms": 1, "rate_hz": 10, "values": [[1, 2], [3.5, 4e3]]}',
        cbor2.dumps({"t0_ms": 1, "values": [[1.0, 2.0], [3.0, 4.0]]}),
        struct.pack("<4f", 1, 2, 3, 4),
        struct.pack("<4h", 1, 2, 3, 4),
        bytes(cv2.imencode(".jpg", PIXELS)[1]),
        bytes(cv2.imencode(".png", PIXELS)[1]),
    ]
    plain = [bytes([number]) + data for number, data in enumerate(good)]
    wrapped = [
        bytes([number]) + write_envelope(Metadata(ts_ms=1, seq=number, part="p" if number > 4 else None), data)
        for number, data in enumerate(good)
    ]
    return read, [*plain, *wrapped]


def image_header() -> Reader:
    """Headers of pictures."""
    jpeg, png = (bytes(cv2.imencode(ending, PIXELS)[1]) for ending in (".jpg", ".png"))
    progressive = bytes(cv2.imencode(".jpg", PIXELS, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1])

    def read(data: bytes) -> object:
        is_png = bool(data) and data[0] == 1
        return read_image_header(data[1:], "png" if is_png else "jpeg", max_px=1 << 20)

    return read, [b"\x00" + jpeg, b"\x01" + png, b"\x00" + progressive]


def bundle() -> Reader:
    """Signed bundles; what is damaged inside of the archive must not get past the signature."""
    signed = [image_bundle(), window_bundle()]

    def read(data: bytes) -> object:
        found = read_bundle(data, TRUSTED)
        assert found.data in signed, "a changed bundle was accepted"
        return found

    return read, signed


def configuration() -> Reader:
    """Configuration files."""
    text = f'[gateway]\nid = "gw1"\n[broker]\nport = 1883\n{SOURCES}'.encode()
    sensor = b'[[sensor]]\nid = "s"\ntopics = ["a/+"]\nformat = "f32"\nrate_hz = 1.0\nchannel = [{ name = "v" }]\n'
    short = b'[gateway]\nid = "gw1"\n[broker.tls]\ninsecure = false\n' + sensor
    return parse_config, [short, text[:700].rpartition(b"[[")[0]]


def commands() -> Reader:
    """Every command, chosen by the first byte."""
    names = [*COMMANDS, "pipe/explode"]
    fields: dict[str, dict[str, object]] = {
        "alert/ack": {"alert_id": "a1"},
        "alert/shelve": {"alert_id": "a1", "duration_s": 60.0, "one_shot": True},
        "alert/unshelve": {"alert_id": "a1"},
        "model/install": {"model": "m", "sha256": "0" * 64, "source": "https://host/x"},
        "model/promote": {"model": "m", "sha256": "0" * 64},
        "model/rollback": {"model": "m", "release": 3},
        "pipe/start": {"pipeline": "p"},
        "pipe/stop": {"pipeline": "p"},
        "capture/start": {"source": "s", "n_messages": 3},
        "events/resend": {"boot_id": "b", "from_seq": 1},
    }

    def read(data: bytes) -> object:
        return decode_command(names[(data[0] if data else 0) % len(names)], data[1:])

    orders = [
        bytes([number]) + json.dumps({"issuer": "op", "id": f"c{number}", **fields.get(name, {})}).encode()
        for number, name in enumerate(COMMANDS)
    ]
    return read, orders


READERS = {
    "payload codec": codec,
    "image header": image_header,
    "bundle": bundle,
    "configuration": configuration,
    "commands": commands,
}


@pytest.mark.parametrize(
    "n",
    [
        pytest.param(SHORT, id="4,000"),
        pytest.param(LONG, id="1,000,000", marks=[pytest.mark.long, pytest.mark.timeout(7200)]),
    ],
)
@pytest.mark.parametrize("name", READERS)
def test_damaged_inputs_give_values_or_our_errors_and_soon(name: str, n: int) -> None:
    read, seeds = READERS[name]()
    verdicts = fuzz(read, seeds, n=n, seed=SEED)
    assert verdicts.bugs[:3] == []
    assert verdicts.outcomes["read"] < n
    assert verdicts.longest_s <= 1.0, verdicts.longest_input
    if n == LONG:
        n_refused = n - verdicts.outcomes["read"]
        record(
            f"fuzz of the {name}: {n:,} damaged inputs",
            goal="0 crashes, 0 hangs over 1 s",
            measured=f"0 crashes; {n_refused:,} refused, {verdicts.outcomes['read']:,} still valid; longest"
            f" {verdicts.longest_s * 1e3:.1f} ms",
            command=COMMAND,
            refused=n_refused, longest_ms=verdicts.longest_s * 1e3, outcomes=dict(verdicts.outcomes),
        )  # fmt: skip
