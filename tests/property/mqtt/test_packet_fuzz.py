"""Any bytes are a PUBLISH packet or are refused; paho's packets are read as paho meant them."""

from __future__ import annotations

import struct

from hypothesis import given, settings
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge_runtime.errors import PayloadFormatError
from edge_runtime.mqtt.packet import decode_publish

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=10)


@settings(max_examples=500, deadline=None)
@given(command=st.integers(0x30, 0x3F), data=st.binary(max_size=60), v5=st.booleans())
def test_any_bytes_are_a_packet_or_are_refused(command: int, data: bytes, v5: bool) -> None:
    try:
        got = decode_publish(command, data, v5=v5)
    except PayloadFormatError:
        return
    assert got.qos in {0, 1}
    assert data.endswith(got.payload)


@settings(max_examples=200, deadline=None)
@given(
    pairs=st.lists(st.tuples(texts, texts), max_size=4),
    topic=texts.filter(bool),
    payload=st.binary(max_size=20),
    mid=st.integers(1, 65_535),
)
def test_what_paho_writes_is_read_back(pairs: list[tuple[str, str]], topic: str, payload: bytes, mid: int) -> None:
    properties = Properties(PacketTypes.PUBLISH)
    if pairs:
        properties.UserProperty = pairs
    name = topic.encode()
    data = struct.pack(">H", len(name)) + name + struct.pack(">H", mid) + properties.pack() + payload
    got = decode_publish(0x32, data, v5=True)
    assert (got.topic, got.mid, got.user_properties, got.payload) == (topic, mid, tuple(pairs), payload)
