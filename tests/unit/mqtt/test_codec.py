"""Payload bytes and a declaration to sensor blocks and undecoded frames."""

from __future__ import annotations

import json
import struct
from typing import Any, Literal

import cbor2
import cv2
import numpy as np
import pytest

from edge_runtime.config import Camera, Sensor, SensorChannel
from edge_runtime.errors import MessageError, PayloadFormatError, PayloadSizeError
from edge_runtime.mqtt.codec import Arrival, FramePayload, SensorBlock, decode_frame, decode_sensor, part_of_topic
from edge_runtime.mqtt.metadata import Metadata, write_envelope

Format = Literal["number", "json", "cbor", "f32", "i16"]
ARRIVED_AT = 1_700_000_100.0


def sensor(kind: Format, n_channels: int = 1, **changes: Any) -> Sensor:
    channels = tuple(SensorChannel(name=f"c{index}", unit="mm/s") for index in range(n_channels))
    given: dict[str, Any] = {"topics": ("in/m1",), "rate_hz": 10.0, "channels": channels, **changes}
    return Sensor(id="m1", format=kind, **given)


def block(payload: bytes, source: Sensor, topic: str = "in/m1", **properties: str) -> SensorBlock:
    return decode_sensor(payload, source, Arrival(topic, ARRIVED_AT, tuple(properties.items())))


def reason_of(payload: bytes, source: Sensor, topic: str = "in/m1", **properties: str) -> str:
    with pytest.raises(MessageError) as caught:
        block(payload, source, topic, **properties)
    return caught.value.reason


def picture(width: int = 32, height: int = 24, extension: str = ".jpg") -> bytes:
    pixels = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    return bytes(cv2.imencode(extension, pixels)[1])


def frame(payload: bytes, camera: Camera, topic: str = "in/cam1", **properties: str) -> FramePayload:
    arrival = Arrival(topic, ARRIVED_AT, tuple(properties.items()))
    return decode_frame(payload, camera, arrival, max_bytes=100_000, max_px=10_000)


JPEG = Camera(id="cam1", topic="in/cam1", format="jpeg")
PNG = Camera(id="cam1", topic="in/cam1", format="png")


def test_number_is_one_sample_at_its_arrival() -> None:
    got = block(b" -21.5e0\n", sensor("number"))
    assert got.values.tolist() == [[-21.5]]
    assert (got.timestamps_s.tolist(), got.from_source, got.channels) == ([ARRIVED_AT], False, ("c0",))


@pytest.mark.parametrize("text", [b"0x10", b"1_000", b"1,5", b"one", b"1 2", b"--1", b"\xd9\xa1", b"1e", b"{}"])
def test_text_that_is_no_number_is_refused(text: bytes) -> None:
    assert reason_of(text, sensor("number")) == "bad_number"


@pytest.mark.parametrize("text", [b"nan", b"-inf", b"Infinity", b"1e999"])
def test_number_that_is_not_finite_is_refused(text: bytes) -> None:
    assert reason_of(text, sensor("number")) == "not_finite"


def test_very_long_number_is_refused() -> None:
    assert reason_of(b"1" * 65, sensor("number")) == "too_large"
    assert block(b"1" * 64, sensor("number")).values.size == 1


@pytest.mark.parametrize("kind", ["json", "cbor"])
def test_single_value_has_its_own_time(kind: Literal["json", "cbor"]) -> None:
    tree = {"value": 1.5, "timestamp_ms": 1_700_000_000_123, "unit": "mm/s"}
    got = block(json.dumps(tree).encode() if kind == "json" else cbor2.dumps(tree), sensor(kind))
    assert got.values.tolist() == [[1.5]]
    assert (got.timestamps_s.tolist(), got.from_source) == ([1_700_000_000.123], True)


@pytest.mark.parametrize("kind", ["json", "cbor"])
def test_block_is_spread_from_its_first_sample_on(kind: Literal["json", "cbor"]) -> None:
    tree = {"t0_ms": 2000, "rate_hz": 4, "values": [[1, 2], [3, 4], [5, 6]]}
    got = block(json.dumps(tree).encode() if kind == "json" else cbor2.dumps(tree), sensor(kind, 2))
    assert got.values.tolist() == [[1, 2], [3, 4], [5, 6]]
    assert (got.timestamps_s.tolist(), got.rate_hz) == ([2.0, 2.25, 2.5], 4.0)


@pytest.mark.parametrize("kind", ["json", "cbor"])
def test_bare_array_is_samples_by_channels(kind: Literal["json", "cbor"]) -> None:
    rows = [[1, 2], [3, 4]]
    got = block(json.dumps(rows).encode() if kind == "json" else cbor2.dumps(rows), sensor(kind, 2))
    assert got.values.tolist() == rows


@pytest.mark.parametrize(
    "text", [b' \n{"value": 1}', b"\t[1]", b" [ [ 1 ] ] ", b'{"values" : [ [1] ]}', b'{"values":[ 1 ]}\n']
)
def test_white_space_in_json_means_nothing(text: bytes) -> None:
    assert block(text, sensor("json")).values.tolist() == [[1]]


def test_plain_list_is_samples_of_one_channel() -> None:
    assert block(b"[1, 2, 3]", sensor("json")).values.tolist() == [[1], [2], [3]]


def test_plain_list_is_one_sample_of_several_channels() -> None:
    assert block(b'{"values": [1, 2, 3]}', sensor("json", 3)).values.tolist() == [[1, 2, 3]]


def test_samples_without_time_end_at_their_arrival() -> None:
    got = block(b"[1, 2, 3]", sensor("json"))
    assert got.timestamps_s.tolist() == [ARRIVED_AT - 0.2, ARRIVED_AT - 0.1, ARRIVED_AT]


def test_samples_that_are_events_share_one_time() -> None:
    assert block(b"[1, 2]", sensor("json", rate_hz=0)).timestamps_s.tolist() == [ARRIVED_AT, ARRIVED_AT]


def test_source_s_time_is_passed_over_where_it_is_not_trusted() -> None:
    got = block(b'{"value": 1, "timestamp_ms": 5}', sensor("json", clock="arrival"))
    assert (got.timestamps_s.tolist(), got.from_source) == ([ARRIVED_AT], False)


def test_raw_float32_is_taken_as_it_lies() -> None:
    payload = struct.pack("<4f", 1, 2, 3, 4)
    got = block(payload, sensor("f32", 2))
    assert (got.values.tolist(), str(got.values.dtype)) == ([[1, 2], [3, 4]], "float32")
    assert np.shares_memory(got.values, np.frombuffer(payload, np.float32))


def test_raw_int16_is_scaled_per_channel() -> None:
    channels = (SensorChannel(name="a", scale=0.5), SensorChannel(name="b", scale=2.0))
    got = block(struct.pack("<4h", 1, 2, -3, 4), sensor("i16", channels=channels))
    assert (got.values.tolist(), str(got.values.dtype)) == ([[0.5, 4], [-1.5, 8]], "float32")


def test_scale_of_the_message_is_instead_of_the_configured_one() -> None:
    channels = (SensorChannel(name="a", scale=0.5),)
    assert block(struct.pack("<h", 4), sensor("i16", channels=channels), scale="0.25").values.tolist() == [[1.0]]


@pytest.mark.parametrize("broken", [float("nan"), float("inf"), float("-inf")])
def test_broken_sample_stays_visible_in_binary_formats(broken: float) -> None:
    raw = block(struct.pack("<2f", 1, broken), sensor("f32"))
    cbor = block(cbor2.dumps({"values": [1.0, broken]}), sensor("cbor"))
    np.testing.assert_array_equal(raw.values, np.array([[1], [broken]], np.float32))
    np.testing.assert_array_equal(cbor.values, np.array([[1], [broken]]))


@pytest.mark.parametrize("text", ['{"value": NaN}', '{"value": Infinity}', "[NaN]", '{"values": [1, -Infinity]}'])
def test_number_that_json_does_not_have_is_refused(text: str) -> None:
    assert reason_of(text.encode(), sensor("json")) == "bad_json"


@pytest.mark.parametrize("text", ['{"value": 1e999}', "[1e400]", '{"values": [-1e309]}'])
def test_json_number_beyond_float64_is_refused(text: str) -> None:
    assert reason_of(text.encode(), sensor("json")) == "not_finite"


def test_cbor_integer_beyond_float64_is_refused_as_a_tag() -> None:
    assert reason_of(cbor2.dumps([10**400]), sensor("cbor")) == "bad_cbor"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"{", "bad_json"),
        (b"\xff", "bad_json"),
        (b"[" * 100_000, "wrong_type"),
        (b'{"a":' * 5000, "bad_json"),
        (b'"text"', "wrong_type"),
        (b"12", "wrong_type"),
        (b"null", "wrong_type"),
        (b"{}", "wrong_type"),
        (b'{"value": "1"}', "wrong_type"),
        (b'{"value": true}', "wrong_type"),
        (b'{"value": [1]}', "wrong_type"),
        (b'{"value": 1, "values": [1]}', "wrong_type"),
        (b'{"values": 1}', "wrong_type"),
        (b'{"values": [true]}', "wrong_type"),
        (b'{"values": [null]}', "wrong_type"),
        (b'{"values": [[[1]]]}', "wrong_type"),
        (b'{"values": {"a": 1}}', "wrong_type"),
        (b'{"values": []}', "empty"),
        (b"[]", "empty"),
        (b'{"values": [[1, 2]]}', "wrong_shape"),
        (b'{"values": [[1], [2, 3]]}', "wrong_shape"),
        (b'{"value": 1, "unit": "m/s"}', "wrong_unit"),
        (b'{"value": 1, "unit": 5}', "wrong_type"),
        (b'{"value": 1, "timestamp_ms": -1}', "bad_metadata"),
        (b'{"value": 1, "timestamp_ms": 1e20}', "wrong_type"),
        (b'{"value": 1, "timestamp_ms": 99999999999999999999}', "bad_metadata"),
        (b'{"values": [1], "rate_hz": -1}', "bad_metadata"),
        (b'{"values": [1], "rate_hz": 1e-300}', "bad_metadata"),
    ],
)
def test_json_that_does_not_fit_is_refused_with_its_reason(text: bytes, expected: str) -> None:
    assert reason_of(text, sensor("json")) == expected


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        ("text", "wrong_type"),
        (5, "wrong_type"),
        ({}, "wrong_type"),
        ({"value": "1"}, "wrong_type"),
        ({"value": True}, "wrong_type"),
        ({"value": 1, "values": [1]}, "wrong_type"),
        ({"values": [True]}, "wrong_type"),
        ({"values": ["1.5"]}, "wrong_type"),
        ({"values": [None]}, "wrong_type"),
        ({"values": [[[1]]]}, "wrong_type"),
        ({"values": b"raw"}, "wrong_type"),
        ({"values": []}, "empty"),
        ({"values": [[1, 2]]}, "wrong_shape"),
        ({"values": [[1], 2]}, "wrong_type"),
        ({"value": 1, "unit": "m/s"}, "wrong_unit"),
        ({"value": 1, "timestamp_ms": 2**60}, "bad_metadata"),
    ],
)
def test_cbor_that_does_not_fit_is_refused_with_its_reason(tree: object, expected: str) -> None:
    assert reason_of(cbor2.dumps(tree), sensor("cbor")) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("9f01ff", "bad_cbor"),
        ("c249010000000000000000", "bad_cbor"),
        ("f7", "bad_cbor"),
        ("e0", "bad_cbor"),
        ("9bffffffffffffffff", "truncated"),
        ("5bffffffffffffffff00", "truncated"),
        ("a1", "truncated"),
        ("fb0000", "truncated"),
        ("8101ff", "bad_length"),
        ("81" * 20 + "01", "too_deep"),
        ("b90100", "too_many_items"),
        ("a161ff01", "bad_cbor"),
        ("a1a0a0", "wrong_type"),
    ],
)
def test_cbor_beyond_plain_data_is_refused_with_its_reason(text: str, expected: str) -> None:
    assert reason_of(bytes.fromhex(text), sensor("cbor")) == expected


def test_left_over_bytes_are_refused() -> None:
    assert reason_of(bytes(9), sensor("f32")) == "bad_length"
    assert reason_of(bytes(4), sensor("f32", 2)) == "bad_length"


@pytest.mark.parametrize("kind", ["number", "json", "cbor", "f32", "i16"])
def test_empty_payload_is_refused(kind: Format) -> None:
    assert reason_of(b"", sensor(kind)) == "empty"


@pytest.mark.parametrize("kind", ["number", "json", "cbor", "f32", "i16"])
def test_payload_beyond_the_limit_is_refused_unread(kind: Format) -> None:
    assert reason_of(b"[" * 101, sensor(kind, max_payload_bytes=100)) == "too_large"


def test_more_samples_than_allowed_are_refused() -> None:
    assert reason_of(bytes(44), sensor("f32", max_samples=10)) == "too_many_samples"


def test_cbor_of_more_items_than_samples_allow_is_refused_before_all_are_walked_over() -> None:
    assert reason_of(cbor2.dumps([1] * 1000), sensor("cbor", max_samples=10)) == "too_many_items"
    assert len(block(cbor2.dumps([[1, 2]] * 10), sensor("cbor", 2, max_samples=10)).values) == 10


def test_several_topics_carry_one_channel_each() -> None:
    source = sensor("number", 2, topics=("in/a", "in/b"))
    assert block(b"5", source, topic="in/b").channels == ("c1",)


def test_topic_of_no_channel_is_refused() -> None:
    assert reason_of(b"5", sensor("number", 2, topics=("in/a", "in/b")), topic="in/c") == "unknown_topic"


def test_one_value_for_several_channels_is_refused() -> None:
    assert reason_of(b'{"value": 1}', sensor("json", 2)) == "wrong_shape"


@pytest.mark.parametrize("route", ["properties", "envelope"])
def test_metadata_travels_on_both_routes(route: str) -> None:
    raw = struct.pack("<2f", 1, 2)
    if route == "properties":
        said = {"ts_ms": "5000", "seq": "7", "part": "A", "rate_hz": "2.0", "quality": "good", "dtype": "f32"}
        got = block(raw, sensor("f32"), channels="1", **said)
    else:
        metadata = Metadata(ts_ms=5000, seq=7, part="A", rate_hz=2.0, quality="good", channels=1, dtype="f32")
        got = block(write_envelope(metadata, raw), sensor("f32"))
    assert (got.seq, got.part, got.quality, got.rate_hz) == (7, "A", "good", 2.0)
    assert (got.timestamps_s.tolist(), got.values.tolist()) == ([5.0, 5.5], [[1], [2]])


def test_envelope_s_word_counts_where_both_routes_speak() -> None:
    got = block(write_envelope(Metadata(seq=2), b"5"), sensor("number"), seq="1", part="P")
    assert (got.seq, got.part) == (2, "P")


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({"channels": "2"}, "wrong_shape"),
        ({"dtype": "i16"}, "wrong_type"),
        ({"dtype": "f64"}, "bad_metadata"),
        ({"ts_ms": "1.5"}, "bad_metadata"),
        ({"ts_ms": "-1"}, "bad_metadata"),
        ({"ts_ms": "9999999999999999"}, "bad_metadata"),
        ({"rate_hz": "nan"}, "bad_metadata"),
        ({"rate_hz": "1e-300"}, "bad_metadata"),
        ({"scale": "0"}, "bad_metadata"),
        ({"scale": "1e999"}, "bad_metadata"),
        ({"part": ""}, "bad_metadata"),
        ({"part": "a\nb"}, "bad_metadata"),
        ({"quality": "great"}, "bad_metadata"),
        ({"part": "x" * 600}, "metadata_too_large"),
    ],
)
def test_metadata_that_is_wrong_is_refused(properties: dict[str, str], expected: str) -> None:
    assert reason_of(struct.pack("<f", 1), sensor("f32"), **properties) == expected


@pytest.mark.parametrize(
    "properties",
    [
        {"ts_ms": "0"},
        {"ts_ms": str(2**53)},
        {"seq": "0"},
        {"rate_hz": "0"},
        {"rate_hz": "1e-6"},
        {"rate_hz": "1e6"},
        {"scale": "1e30"},
        {"scale": ".5"},
        {"part": "x" * 128},
        {"colour": "x" * 512},
    ],
)
def test_metadata_at_its_limits_is_taken(properties: dict[str, str]) -> None:
    assert block(struct.pack("<f", 1), sensor("f32"), **properties).values.size == 1


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({"ts_ms": str(2**53 + 1)}, "bad_metadata"),
        ({"rate_hz": "9e-7"}, "bad_metadata"),
        ({"rate_hz": "1000001"}, "bad_metadata"),
        ({"scale": "1.1e30"}, "bad_metadata"),
        ({"part": "x" * 129}, "bad_metadata"),
        ({"colour": "x" * 513}, "metadata_too_large"),
    ],
)
def test_metadata_just_beyond_its_limits_is_refused(properties: dict[str, str], expected: str) -> None:
    assert reason_of(struct.pack("<f", 1), sensor("f32"), **properties) == expected


def test_times_of_a_json_message_are_taken_to_their_limits() -> None:
    assert block(b'{"value": 1, "timestamp_ms": 0}', sensor("json")).timestamps_s.tolist() == [0.0]
    assert block(b'{"value": 1, "timestamp_ms": %d}' % 2**53, sensor("json")).from_source
    assert reason_of(b'{"value": 1, "timestamp_ms": %d}' % (2**53 + 1), sensor("json")) == "bad_metadata"


def test_samples_are_taken_to_their_limit() -> None:
    assert len(block(bytes(40), sensor("f32", max_samples=10)).values) == 10


def test_payload_is_taken_to_its_limit() -> None:
    assert block(b"1" * 10, sensor("number", max_payload_bytes=10)).values.size == 1


def test_frame_is_taken_to_its_limits() -> None:
    data = picture()
    arrival = Arrival("in/cam1", ARRIVED_AT)
    assert decode_frame(data, JPEG, arrival, max_bytes=len(data), max_px=32 * 24).header.width == 32
    with pytest.raises(PayloadSizeError):
        decode_frame(data, JPEG, arrival, max_bytes=len(data), max_px=32 * 24 - 1)
    with pytest.raises(PayloadSizeError):
        decode_frame(data, JPEG, arrival, max_bytes=len(data) - 1, max_px=32 * 24)


def test_source_s_time_of_zero_is_a_time() -> None:
    assert (frame(picture(), JPEG, ts_ms="0").captured_at, frame(picture(), JPEG, ts_ms="0").from_source) == (0.0, True)


def test_very_many_user_properties_are_refused() -> None:
    many = Arrival("in/m1", ARRIVED_AT, (("x", "y"),) * 64)
    assert decode_sensor(b"5", sensor("number"), many).values.size == 1
    arrival = Arrival("in/m1", ARRIVED_AT, (("x", "y"),) * 65)
    with pytest.raises(PayloadSizeError, match="too many"):
        decode_sensor(b"5", sensor("number"), arrival)


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"EDGE1", "truncated"),
        (b"EDGE1\x05", "bad_envelope"),
        (b"EDGE1\xa1", "truncated"),
        (b"EDGE1\xbf", "bad_cbor"),
        (b"EDGE1" + cbor2.dumps({"seq": "7"}) + b"5", "bad_metadata"),
        (b"EDGE1" + cbor2.dumps({"x": "y" * 5000}) + b"5", "metadata_too_large"),
        (b"EDGE1" + cbor2.dumps({"x": list(range(500))}) + b"5", "too_many_items"),
        (b"EDGE1" + cbor2.dumps({"seq": 7}), "empty"),
    ],
)
def test_envelope_that_is_wrong_is_refused(payload: bytes, expected: str) -> None:
    assert reason_of(payload, sensor("number")) == expected


def test_block_cannot_be_written_to() -> None:
    with pytest.raises(ValueError, match="read-only"):
        block(b"[1]", sensor("json")).values[0, 0] = 2


def test_frame_keeps_its_bytes_undecoded() -> None:
    payload = picture()
    got = frame(payload, JPEG, ts_ms="5000", seq="3", part="A-17")
    assert (got.payload, got.header.width, got.header.height) == (payload, 32, 24)
    assert (got.captured_at, got.from_source, got.seq, got.part) == (5.0, True, 3, "A-17")


def test_frame_in_an_envelope_is_the_picture_behind_it() -> None:
    payload = picture(extension=".png")
    got = frame(write_envelope(Metadata(part="A"), payload), PNG)
    assert (bytes(got.payload), got.part, got.header.format) == (payload, "A", "png")


def test_frame_without_time_was_captured_at_its_arrival() -> None:
    got = frame(picture(), JPEG)
    assert (got.captured_at, got.from_source) == (ARRIVED_AT, False)


def test_digest_is_that_of_the_picture_without_envelope() -> None:
    payload = picture()
    assert frame(write_envelope(Metadata(seq=1), payload), JPEG).sha256() == frame(payload, JPEG).sha256()


def test_part_can_come_from_the_topic() -> None:
    camera = Camera(id="cam1", topic="line/+/frame", format="jpeg", part="topic")
    assert frame(picture(), camera, topic="line/A-17/frame", part="other").part == "A-17"


def test_part_of_an_empty_level_is_none() -> None:
    assert part_of_topic("line/+", "line/") is None


def test_part_is_passed_over_where_the_camera_declares_none() -> None:
    assert frame(picture(), Camera(id="c", topic="t", format="jpeg", part="none"), part="A").part is None


def test_frame_beyond_the_byte_limit_is_refused_unread() -> None:
    with pytest.raises(PayloadSizeError) as caught:
        frame(bytes(100_001), JPEG)
    assert caught.value.reason == "too_large"


def test_frame_beyond_the_pixel_limit_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(PayloadSizeError, match="320 x 240 pixels, at most 10000") as caught:
        frame(bytes(cv2.imencode(".png", np.zeros((240, 320), np.uint8))[1]), PNG)
    assert caught.value.reason == "too_many_pixels"


@pytest.mark.parametrize(("camera", "extension"), [(JPEG, ".png"), (PNG, ".jpg")])
def test_picture_of_another_type_than_declared_is_refused(camera: Camera, extension: str) -> None:
    with pytest.raises(PayloadFormatError) as caught:
        frame(picture(extension=extension), camera)
    assert caught.value.reason == "wrong_type"
