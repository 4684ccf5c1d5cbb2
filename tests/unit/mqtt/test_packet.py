"""PUBLISH packets, read without paho."""

from __future__ import annotations

import struct

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge_runtime.errors import PayloadFormatError
from edge_runtime.mqtt.packet import Publish, decode_publish, encode_pubacks

PAIRS = [("seq", "7"), ("part", "Ä-17"), ("seq", "8")]


def packet(topic: bytes = b"a/b", mid: int | None = None, properties: bytes = b"", payload: bytes = b"hello") -> bytes:
    identifier = b"" if mid is None else struct.pack(">H", mid)
    return struct.pack(">H", len(topic)) + topic + identifier + properties + payload


def properties_by_paho() -> bytes:
    """The properties of a PUBLISH with everything in it, written by another hand."""
    made = Properties(PacketTypes.PUBLISH)
    made.PayloadFormatIndicator = 1
    made.MessageExpiryInterval = 5
    made.TopicAlias = 3
    made.ContentType = "text/plain"
    made.ResponseTopic = "reply/x"
    made.CorrelationData = b"\x00\x01"
    made.SubscriptionIdentifier = 300
    made.UserProperty = PAIRS
    return bytes(made.pack())


@pytest.mark.parametrize(
    ("command", "qos", "retain", "dup"),
    [(0x30, 0, False, False), (0x31, 0, True, False), (0x32, 1, False, False), (0x3B, 1, True, True)],
)
def test_flags_and_payload_are_read(command: int, qos: int, retain: bool, dup: bool) -> None:
    got = decode_publish(command, packet(mid=9 if qos else None), v5=False)
    assert got == Publish("a/b", b"hello", qos, retain, dup, 9 if qos else 0)


def test_properties_that_matter_are_read_among_all_others() -> None:
    got = decode_publish(0x32, packet(mid=9, properties=properties_by_paho()), v5=True)
    assert (got.user_properties, got.response_topic, got.correlation_data) == (tuple(PAIRS), "reply/x", b"\x00\x01")
    assert (got.payload, got.mid) == (b"hello", 9)


def test_packet_without_properties_and_payload_is_read() -> None:
    assert decode_publish(0x30, packet(properties=b"\x00", payload=b""), v5=True).payload == b""


def test_topic_that_is_no_utf_8_is_none() -> None:
    assert decode_publish(0x30, packet(topic=b"\xff"), v5=False).topic is None


def test_property_that_is_no_utf_8_does_not_end_the_link() -> None:
    got = decode_publish(0x30, packet(properties=b"\x07\x26\x00\x01\xff\x00\x01v"), v5=True)
    assert got.user_properties == (("\ufffd", "v"),)


def test_packet_cut_anywhere_before_its_payload_is_refused() -> None:
    whole = packet(mid=9, properties=properties_by_paho(), payload=b"")
    for length in range(len(whole)):
        with pytest.raises(PayloadFormatError):
            decode_publish(0x32, whole[:length], v5=True)


@pytest.mark.parametrize(
    ("command", "data"),
    [
        (0x34, packet(mid=9)),
        (0x36, packet(mid=9)),
        (0x32, packet(mid=0)),
        (0x30, packet(properties=b"\x02\x11\x00")),
        (0x30, packet(properties=b"\x01\x02\x00\x00\x00\x00")),
        (0x30, packet(properties=b"\xff\xff\xff\xff\x01")),
        (0x30, packet(properties=b"\xff\xff\xff\x7f")),
    ],
)
def test_packet_against_the_protocol_is_refused(command: int, data: bytes) -> None:
    with pytest.raises(PayloadFormatError) as caught:
        decode_publish(command, data, v5=command == 0x30)
    assert caught.value.reason == "bad_packet"


def test_acknowledgements_follow_each_other() -> None:
    assert encode_pubacks([1, 0xFFFF]) == b"\x40\x02\x00\x01\x40\x02\xff\xff"
