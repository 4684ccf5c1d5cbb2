"""Whatever the worker sends, it is a message of ours or refused by one kind of error."""

from __future__ import annotations

import math

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge_runtime.daemon import protocol
from edge_runtime.findings import Finding

PIPELINES = frozenset({"surface"})
FINDING = Finding(
    "vision.defect", "crack", 0.9, 0.6, 0.4, abnormal=True, clearable=False, boxes=((1.0, 2.0, 3.0, 4.0, 0.5),)
)
WINDOW = protocol.Window(0, 1, (("vibration", "mm/s"), ("load", "")), 16.0, bytes(16), bytes(16), b"\x80")
SPOKEN: tuple[protocol.FromWorker, ...] = (
    protocol.Building("surface"),
    protocol.Built("surface", "litert", protocol.Answers("e", "1", "i", (("int8", (2, 2), b"abcd"),))),
    protocol.Refused("surface", "no"),
    protocol.Ready(("seccomp",)),
    protocol.Done(7, (protocol.Outcome("surface", (FINDING,), verdict="ng", state=b"state", at=5.0),), 1.5),
    protocol.Done(8, (protocol.Outcome("surface", (FINDING,), windows=(WINDOW,)),), 1.5),
)


def is_refused(data: bytes) -> bool:
    try:
        protocol.decode_from_worker(data, PIPELINES)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return True
    return False


@given(st.sampled_from(SPOKEN))
def test_what_a_worker_of_ours_says_is_understood(message: protocol.FromWorker) -> None:
    assert protocol.decode_from_worker(protocol.encode(message), PIPELINES) == message


@settings(max_examples=300)
@given(st.binary(max_size=200))
@example(b"\x91" * 100_000)
@example(b"\x81\xa4type" * 5_000)
@example(b"\xdd\xff\xff\xff\xff")
@example(b"\xc6\xff\xff\xff\xff")
def test_any_bytes_are_a_message_or_refused(data: bytes) -> None:
    assert isinstance(is_refused(data), bool)


@settings(max_examples=400)
@given(
    st.sampled_from(SPOKEN),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=4),
    st.integers(0, 300),
)
def test_any_damaged_message_is_a_message_or_refused(
    message: protocol.FromWorker, changes: list[tuple[int, int]], keep: int
) -> None:
    data = bytearray(protocol.encode(message))
    for place, value in changes:
        data[place % len(data)] = value
    data = data[: max(1, len(data) - keep)] if keep < len(data) else data
    assert isinstance(is_refused(bytes(data)), bool)


@given(st.floats(), st.sampled_from(["score", "threshold", "clear_below", "value", "value_low", "value_high"]))
def test_every_number_of_a_finding_is_finite(number: float, name: str) -> None:
    finding = {**{field: getattr(FINDING, field) for field in FINDING.__slots__}, name: number}
    done = {"type": "done", "id": 1, "outcomes": [{"pipeline": "surface", "findings": [finding]}], "busy_ms": 1.0}
    assert is_refused(msgspec.msgpack.encode(done)) == (not math.isfinite(number))


@given(st.text(max_size=80))
def test_only_pipelines_that_were_ordered_are_spoken_of(name: str) -> None:
    for message in (
        protocol.Building(name),
        protocol.Built(name, "e", None),
        protocol.Refused(name, "r"),
        protocol.Done(1, (protocol.Outcome(name),), 1.0),
    ):
        assert is_refused(protocol.encode(message)) == (name != "surface")
