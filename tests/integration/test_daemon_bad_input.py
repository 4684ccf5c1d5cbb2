"""Bad input: each is counted under its source and reason, the daemon stays up, and nothing else is disturbed."""

from __future__ import annotations

import itertools
import json
import struct
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from edge_runtime.mqtt.metadata import MAGIC
from tests.integration.daemon_rig import SOURCES, Plant, running_plant, until
from tests.integration.factory_inputs import as_json, picture, samples

pytestmark = pytest.mark.broker

MORE = """
[[camera]]
id = "png"
topic = "plant/cam/png/frame"
format = "png"
qos = 1
[[sensor]]
id = "gauge"
topics = ["plant/sensor/gauge"]
format = "number"
rate_hz = 0
channel = [{ name = "level", unit = "mm" }]
[[sensor]]
id = "metre"
topics = ["plant/sensor/metre"]
format = "json"
rate_hz = 0
channel = [{ name = "level", unit = "mm" }]
[[sensor]]
id = "packed"
topics = ["plant/sensor/packed"]
format = "cbor"
rate_hz = 0
channel = [{ name = "level" }]
"""


@dataclass(frozen=True)
class Bad:
    """An input, and the reason that it is counted under."""

    name: str
    source: str
    payload: bytes
    reason: str
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def topic(self) -> str:
        """Where it is published."""
        return f"plant/cam/{self.source}/frame" if self.source in {"cam1", "png"} else f"plant/sensor/{self.source}"


def png_header(width: int, height: int) -> bytes:
    """A PNG file that says it has this size, and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


def huge_jpeg() -> bytes:
    """A sound JPEG whose header says 60000 x 60000."""
    encoded = bytearray(picture(1))
    at = encoded.index(b"\xff\xc0")
    encoded[at + 5 : at + 9] = struct.pack(">HH", 60_000, 60_000)
    return bytes(encoded)


def damaged_png() -> bytes:
    """A PNG with a sound header and damaged rows."""
    encoded = bytearray(picture(1, ending=".png"))
    at = encoded.index(b"IDAT") + 6
    encoded[at : at + 40] = bytes(40)
    return bytes(encoded)


JPEG, PNG = picture(1), picture(1, ending=".png")
BLOCK = samples(1)
BAD = [
    Bad("truncated JPEG", "cam1", JPEG[:-200], "truncated"),
    Bad("JPEG cut in its header", "cam1", JPEG[:60], "truncated"),
    Bad("JPEG that says 60000 x 60000", "cam1", huge_jpeg(), "too_many_pixels"),
    Bad("PNG of 30000 x 30000", "png", png_header(30_000, 30_000), "too_many_pixels"),
    Bad("damaged PNG", "png", damaged_png(), "image_decode"),
    Bad("PNG where a JPEG is declared", "cam1", PNG, "wrong_type"),
    Bad("text where a picture is declared", "cam1", b"hello", "wrong_type"),
    Bad("empty picture", "cam1", b"", "empty"),
    Bad("picture beyond the size limit", "cam1", JPEG + bytes(4_200_000), "too_large"),
    Bad("picture whose time is no number", "cam1", JPEG, "bad_metadata", {"ts_ms": "noon"}),
    Bad("envelope cut off", "cam1", MAGIC + b"\xa1\x62", "truncated"),
    Bad("envelope with a hostile map", "cam1", MAGIC + b"\xbb" + b"\xff" * 8 + b"x" * 100, "too_many_items"),
    Bad("empty block", "press1", b"", "empty"),
    Bad("block of half a sample", "press1", BLOCK.tobytes()[:-3], "bad_length"),
    Bad("block with other channels", "press1", BLOCK.tobytes(), "wrong_shape", {"channels": 3}),
    Bad("block of another type", "press1", BLOCK.tobytes(), "wrong_type", {"dtype": "i16"}),
    Bad("JSON of 10 MB", "press2", b"[" + b"1," * 5_000_000 + b"1]", "too_large"),
    Bad("JSON nested without end", "press2", b"[" * 500_000, "wrong_type"),
    Bad("JSON with NaN", "press2", b'{"t0_ms": 1, "rate_hz": 16, "values": [[NaN, 1, 2, 3]]}', "bad_json"),
    Bad("JSON beyond float64", "press2", b'{"values": [[1e999, 1, 2, 3]]}', "not_finite"),
    Bad("JSON with text for a number", "press2", b'{"values": [["1", 1, 2, 3]]}', "wrong_type"),
    Bad("JSON with a channel too few", "press2", b'{"values": [[1, 2, 3]]}', "wrong_shape"),
    Bad("JSON cut off", "press2", as_json(BLOCK, 1)[:-5], "bad_json"),
    Bad("JSON without samples", "press2", b'{"values": []}', "wrong_shape"),
    Bad("value in another unit", "metre", b'{"value": 1.5, "unit": "inch"}', "wrong_unit"),
    Bad("number that is text", "gauge", b"high", "bad_number"),
    Bad("number that is NaN", "gauge", b"nan", "not_finite"),
    Bad("number that is endless", "gauge", b"1" * 100, "too_large"),
    Bad("CBOR cut off", "packed", b"\xa1\x65valu", "truncated"),
    Bad("CBOR that claims four billion items", "packed", b"\x9b" + b"\xff" * 8 + bytes(64), "truncated"),
]
_numbers = itertools.count()
FIRST_MS = round(time.time() * 1000) - 86_400_000


def next_block() -> dict[str, Any]:
    """Give number and time of the next block of ``press1``: each follows the one before."""
    number = next(_numbers)
    return {"seq": number, "ts_ms": FIRST_MS + 1000 * number}


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """One plant for all; what is bad for one source must not matter to the next."""
    sources = SOURCES.replace('["cam1", "fast"]', '["cam1", "fast", "png"]') + MORE
    with running_plant(tmp_path_factory.mktemp("bad"), sources) as running:
        yield running


def require_undisturbed(plant: Plant) -> None:
    """Another camera's frame is judged, and a machine's block gives a result."""
    block = next_block()
    number = block["seq"]
    plant.publisher.publish("plant/cam/cam1/frame", picture(4), part=f"sound-{number}")
    plant.publisher.publish("plant/sensor/press1", samples(number).tobytes(), **block)
    until(lambda: f"sound-{number}" in plant.consumer.verdicts(), "the verdict on a sound frame")
    until(
        lambda: any(result["source_seq"] == number for result in plant.consumer.all_of("pipe/life/result")),
        "the result of a sound block",
    )
    assert plant.consumer.verdicts()[f"sound-{number}"][0]["verdict"] == "ok"


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
def test_bad_input_is_counted_and_disturbs_nothing(plant: Plant, bad: Bad) -> None:
    before = plant.daemon.dropped(bad.source, bad.reason)
    plant.publisher.publish(bad.topic, bad.payload, wait=True, **bad.metadata)
    until(lambda: plant.daemon.dropped(bad.source, bad.reason) > before, f"{bad.source}/{bad.reason} is counted")
    assert plant.daemon.dropped(bad.source, bad.reason) == before + 1
    require_undisturbed(plant)


def test_part_in_a_picture_that_cannot_be_read_is_unsure(plant: Plant) -> None:
    plant.publisher.publish("plant/cam/cam1/frame", b"hello", part="unreadable")
    until(lambda: "unreadable" in plant.consumer.verdicts(), "its verdict")
    (verdict,) = plant.consumer.verdicts()["unreadable"]
    assert (verdict["verdict"], verdict["reasons"]) == ("unsure", ["wrong_type"])


def test_part_in_a_picture_that_does_not_decode_is_unsure(plant: Plant) -> None:
    plant.publisher.publish("plant/cam/png/frame", damaged_png(), part="damaged")
    until(lambda: "damaged" in plant.consumer.verdicts(), "its verdict")
    (verdict,) = plant.consumer.verdicts()["damaged"]
    assert (verdict["verdict"], verdict["reasons"]) == ("unsure", ["image_decode"])


def test_broken_samples_are_counted_and_shown_to_no_model(plant: Plant) -> None:
    broken = samples(3)
    broken[2, 1], broken[5, 0] = np.nan, np.inf
    counted = {"pipeline": "life", "source": "press1", "reason": "not_finite"}
    before = plant.daemon.metric("edge_irregular_samples_total", **counted)
    plant.publisher.publish("plant/sensor/press1", broken.tobytes(), **next_block())
    until(lambda: plant.daemon.metric("edge_irregular_samples_total", **counted) == before + 2, "two broken values")
    require_undisturbed(plant)


def test_time_that_does_not_advance_is_counted(plant: Plant) -> None:
    now_ms = round(time.time() * 1000)
    for ts_ms in (now_ms, now_ms):
        plant.publisher.publish("plant/sensor/press2", as_json(BLOCK, ts_ms))
    counted = {"pipeline": "life", "source": "press2", "reason": "late"}
    until(lambda: plant.daemon.metric("edge_irregular_samples_total", **counted) > 0, "late samples")


def test_clock_that_is_set_back_is_counted_and_the_stream_goes_on(plant: Plant) -> None:
    now_ms = round(time.time() * 1000)
    plant.publisher.publish("plant/sensor/press2", as_json(BLOCK, now_ms))
    for ts_ms in (now_ms - 3_600_000, now_ms - 3_599_000):
        plant.publisher.publish("plant/sensor/press2", as_json(BLOCK, ts_ms), seq=ts_ms)
    counted = {"pipeline": "life", "source": "press2", "reason": "clock_steps"}
    until(lambda: plant.daemon.metric("edge_irregular_samples_total", **counted) > 0, "a step of the clock")
    until(lambda: plant.consumer.all_of("pipe/life/result")[-1]["source_seq"] == now_ms - 3_599_000, "a later result")


def test_command_on_an_unknown_topic_is_counted(plant: Plant) -> None:
    plant.publisher.publish("edge/gw1/cmd/pipe/dance", b"{}", wait=True)
    until(lambda: plant.daemon.metric("edge_commands_total", command="unknown") >= 1, "an unknown command")
    require_undisturbed(plant)


def test_worker_was_never_replaced(plant: Plant) -> None:
    require_undisturbed(plant)
    assert plant.consumer.all_of("health")[-1]["ok"]
    assert "edge_worker_replacements_total{" not in plant.daemon.page("metrics")[1]


def test_log_has_no_trace_of_an_unexpected_error(plant: Plant) -> None:
    require_undisturbed(plant)
    assert "Traceback" not in plant.daemon.log.read_text()


def test_daemon_was_never_restarted(plant: Plant) -> None:
    require_undisturbed(plant)
    assert len({event["boot_id"] for event in plant.consumer.events.values()}) == 1
    assert json.loads(plant.consumer.retained["birth"])["boot_id"] in {
        event["boot_id"] for event in plant.consumer.events.values()
    }
