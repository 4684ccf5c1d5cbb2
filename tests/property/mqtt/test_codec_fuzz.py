"""Any bytes give a value or a MessageError, quickly."""

from __future__ import annotations

import random
import re
import string
from collections.abc import Callable
from typing import Any, Literal

import cbor2
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.config import Camera, Sensor, SensorChannel
from edge_runtime.errors import MessageError, PayloadSizeError
from edge_runtime.messages import COMMANDS, decode_command, encode
from edge_runtime.mqtt.cbor_limits import MAX_DEPTH, end_of_item
from edge_runtime.mqtt.codec import Arrival, decode_frame, decode_sensor
from edge_runtime.mqtt.metadata import (
    Metadata,
    load_cbor,
    read_envelope,
    read_user_properties,
    write_envelope,
    write_user_properties,
)
from edge_runtime.topic_filters import filter_fault, filter_matches, filters_overlap
from tests.unit.messages.payloads import EXAMPLES

SEED = 20_240_131
N_MUTATIONS = 100_000

Format = Literal["number", "json", "cbor", "f32", "i16"]
FORMATS: tuple[Format, ...] = ("number", "json", "cbor", "f32", "i16")
SENSORS = [
    Sensor(
        id="s",
        topics=("t",),
        format=kind,
        rate_hz=rate,
        channels=tuple(SensorChannel(name=f"c{index}", scale=0.5) for index in range(count)),
    )
    for kind in FORMATS
    for count in (1, 3)
    for rate in (0.0, 100.0)
]
CAMERAS = [Camera(id="c", topic="t", format="jpeg"), Camera(id="c", topic="t", format="png")]
PIXELS = np.random.default_rng(0).integers(0, 255, (16, 24, 3), np.uint8)
PICTURES = [bytes(cv2.imencode(kind, PIXELS)[1]) for kind in (".jpg", ".png")]
SEEDS = [
    b"21.5",
    b'{"value":1,"timestamp_ms":5,"unit":""}',
    b'{"t0_ms":5,"rate_hz":10,"values":[[1,2,3],[4,5,6]]}',
    b"[[1,2,3]]",
    b"[1e400]",
    cbor2.dumps({"values": [1.0] * 30, "t0_ms": 3}),
    cbor2.dumps({"value": 1.5, "unit": ""}),
    bytes(24),
    write_envelope(Metadata(ts_ms=1, seq=2, part="x", rate_hz=5.0), bytes(24)),
    *PICTURES,
    write_envelope(Metadata(part="p"), PICTURES[0]),
    *(encode(EXAMPLES[name]) for name in ("alert-shelve", "model-install", "events-resend")),
]


def mutated(rng: random.Random) -> bytes:
    """A payload with a few bytes changed, cut, repeated or added."""
    data = bytearray(rng.choice(SEEDS))
    for _ in range(rng.randrange(5)):
        place = rng.randrange(len(data) + 1)
        match rng.randrange(4):
            case 0:
                data[place : place + 1] = rng.randbytes(1)
            case 1:
                del data[place:]
            case 2:
                data[place:place] = data[place : place + rng.randrange(9)]
            case _:
                data += rng.randbytes(rng.randrange(8))
    return bytes(data)


def read_as_frame(payload: bytes, rng: random.Random) -> None:
    got = decode_frame(payload, rng.choice(CAMERAS), Arrival("t", 1e9), max_bytes=10_000, max_px=10_000)
    assert 0 < got.header.width * got.header.height <= 10_000


def read_as_samples(payload: bytes, rng: random.Random) -> None:
    source = rng.choice(SENSORS)
    got = decode_sensor(payload, source, Arrival("t", 1e9, (("ts_ms", str(rng.randrange(10**17))),)))
    assert got.values.shape == (len(got.timestamps_s), len(source.channels))
    assert np.isfinite(got.timestamps_s).all()
    assert len(got.values)


def read_as_command(payload: bytes, rng: random.Random) -> None:
    assert decode_command(rng.choice(list(COMMANDS)), payload).issuer


@pytest.mark.parametrize("read", [read_as_frame, read_as_samples, read_as_command])
def test_mutated_payloads_give_a_value_or_a_message_error(read: Callable[[bytes, random.Random], None]) -> None:
    rng = random.Random(SEED)
    outcomes: set[str] = set()
    for _ in range(N_MUTATIONS // 3):
        try:
            read(mutated(rng), rng)
            outcomes.add("value")
        except MessageError as error:
            outcomes.add(error.reason)
    assert "value" in outcomes
    assert all(re.fullmatch("[a-z_]+", word) for word in outcomes)


@settings(max_examples=300, deadline=None)
@given(payload=st.binary(max_size=200), place=st.integers(0, len(SENSORS) - 1))
def test_any_bytes_give_samples_or_a_message_error(payload: bytes, place: int) -> None:
    reason = "value"
    try:
        decode_sensor(payload, SENSORS[place], Arrival("t", 1e9))
    except MessageError as error:
        reason = error.reason
    assert re.fullmatch("[a-z_]+", reason)


plain_cbor = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=10)
    | st.binary(max_size=10),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=5),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None)
@given(tree=plain_cbor, behind=st.binary(max_size=5))
def test_walk_over_plain_cbor_ends_where_the_item_ends(tree: Any, behind: bytes) -> None:
    data = cbor2.dumps(tree)
    if depth(tree) > MAX_DEPTH:
        with pytest.raises(PayloadSizeError):
            end_of_item(data + behind, 0, max_items=1000)
    else:
        assert end_of_item(data + behind, 0, max_items=1000) == len(data)
        assert load_cbor(data) == tree


def depth(tree: Any) -> int:
    """How deep lists and tables are nested."""
    if isinstance(tree, dict):
        tree = list(tree.values())
    return 1 + max((depth(item) for item in tree), default=0) if isinstance(tree, list) else 0


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=60))
def test_what_the_walk_passes_the_library_decodes_within_it(data: bytes) -> None:
    try:
        end = end_of_item(data, 0, max_items=100)
        load_cbor(data[:end])
    except MessageError:
        return
    assert 0 < end <= len(data)


metadata = st.builds(
    Metadata,
    ts_ms=st.none() | st.integers(0, 2**53 - 1),
    seq=st.none() | st.integers(0, 10**15),
    part=st.none() | st.text(string.ascii_letters + string.digits + "-_ äöü", min_size=1, max_size=40),
    rate_hz=st.none() | st.floats(1e-6, 1e6),
    channels=st.none() | st.integers(1, 256),
    dtype=st.none() | st.sampled_from(["f32", "i16"]),
    scale=st.none() | st.floats(1e-30, 1e30),
    quality=st.none() | st.sampled_from(["good", "uncertain", "bad"]),
)


@settings(max_examples=300, deadline=None)
@given(said=metadata, raw=st.binary(max_size=50))
def test_metadata_survives_both_routes_exactly(said: Metadata, raw: bytes) -> None:
    assert read_user_properties(write_user_properties(said)) == said
    found, rest = read_envelope(write_envelope(said, raw))
    assert (found, bytes(rest)) == (said, raw)


levels = st.lists(st.sampled_from(["a", "b", "", "+"]), min_size=1, max_size=4)
filters = st.builds(lambda head, tail: "/".join([*head, *tail]), levels, st.sampled_from([[], ["#"]]))
topics = st.lists(st.sampled_from(["a", "b", ""]), min_size=1, max_size=4).map("/".join)


def matches_by_regular_expression(wanted: str, topic: str) -> bool:
    """The specification's words as a regular expression."""
    pattern = "/".join("[^/]*" if level == "+" else re.escape(level) for level in wanted.split("/"))
    pattern = re.sub(r"/\\#$", "(/.*)?", pattern) if wanted.endswith("/#") else pattern.replace(r"\#", ".*")
    return re.fullmatch(pattern, topic) is not None


@settings(max_examples=500, deadline=None)
@given(wanted=filters, topic=topics)
def test_filter_matches_as_its_regular_expression(wanted: str, topic: str) -> None:
    if filter_fault(wanted) is None and topic:
        assert filter_matches(wanted, topic) == matches_by_regular_expression(wanted, topic)


@settings(max_examples=500, deadline=None)
@given(first=filters, second=filters, topic=topics)
def test_filters_that_share_a_topic_overlap(first: str, second: str, topic: str) -> None:
    if matches_by_regular_expression(first, topic) and matches_by_regular_expression(second, topic):
        assert filters_overlap(first, second)
