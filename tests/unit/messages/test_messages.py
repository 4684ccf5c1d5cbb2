"""Payloads: finite, complete, checked."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from msgspec import Struct

from edge_runtime import messages
from edge_runtime.errors import MessageError, PayloadFormatError, PayloadSizeError
from edge_runtime.messages import Alert, EventIds, Health, decode, decode_command, encode
from edge_runtime.mqtt.topics import CHANNELS
from tests.unit.messages.payloads import EXAMPLES

each_payload = pytest.mark.parametrize("name", EXAMPLES)


def changed(name: str, **changes: Any) -> bytes:
    """An example's JSON with some keys changed."""
    tree = json.loads(encode(EXAMPLES[name]))
    return json.dumps({**tree, **changes}).encode()


def reason_of(payload: bytes, kind: type[Struct], **options: Any) -> str:
    """Why a payload is refused."""
    with pytest.raises(MessageError) as caught:
        decode(payload, kind, **options)
    return caught.value.reason


@each_payload
def test_payload_is_read_back_as_it_was_written(name: str) -> None:
    assert decode(encode(EXAMPLES[name]), type(EXAMPLES[name])) == EXAMPLES[name]


@each_payload
def test_every_field_is_written_even_without_a_value(name: str) -> None:
    assert tuple(json.loads(encode(EXAMPLES[name]))) == EXAMPLES[name].__struct_fields__


def test_examples_are_all_payloads() -> None:
    kinds = {channel.payload for channel in CHANNELS if not isinstance(channel.payload, str)}
    assert {type(example) for example in EXAMPLES.values()} == kinds


def test_alert_is_flat() -> None:
    tree = json.loads(encode(EXAMPLES["alert"]))
    assert {key for key, value in tree.items() if isinstance(value, (list, dict))} == {"boxes", "regions"}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("field", ["score", "value", "drift", "latency_ms"])
def test_number_that_is_not_finite_is_not_written(field: str, value: float) -> None:
    message = msgspec.structs.replace(EXAMPLES["alert"], **{field: value})
    with pytest.raises(ValueError, match=rf"\$\.{field}: (nan|inf|-inf) is not a finite number"):
        encode(message)


def test_number_that_is_not_finite_is_found_inside_lists_and_tables() -> None:
    alert = msgspec.structs.replace(EXAMPLES["alert"], boxes=((0.0, 0.0, 1.0, 1.0, float("nan")),))
    with pytest.raises(ValueError, match=r"\$\.boxes\[0\]\[4\]"):
        encode(alert)
    result = EXAMPLES["pipe-result"]
    assert isinstance(result, messages.PipeResult)
    finding = msgspec.structs.replace(result.findings[0], score=float("inf"))
    with pytest.raises(ValueError, match=r"\$\.findings\[0\]\.score"):
        encode(msgspec.structs.replace(result, findings=(finding,)))
    birth = msgspec.structs.replace(EXAMPLES["birth"], versions={"a": float("nan")})
    with pytest.raises(ValueError, match=r"\$\.versions\.a"):
        encode(birth)


def test_unknown_key_of_a_newer_gateway_is_passed_over() -> None:
    assert decode(changed("health", new_key=1), Health) == EXAMPLES["health"]


def test_unknown_key_of_a_command_is_refused() -> None:
    assert reason_of(changed("pipe-stop", foo=1), messages.PipeStop) == "bad_schema"


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"severity": "urgent"}, "alert"),
        ({"severity_n": 0}, "alert"),
        ({"seq": -1}, "alert"),
        ({"seq": "7"}, "alert"),
        ({"score": None}, "alert"),
        ({"event_id": "x"}, "alert"),
        ({"key": "a/b"}, "alert"),
        ({"key": "A"}, "alert"),
        ({"timestamp_ms": 1.5}, "alert"),
        ({"boxes": [[1, 2, 3, 4]]}, "alert"),
        ({"schema": "edge.alert/2"}, "alert"),
        ({"confidence": 1.5}, "process-advice"),
        ({"duration_s": 0}, "alert-shelve"),
        ({"duration_s": 1e9}, "alert-shelve"),
        ({"issuer": ""}, "alert-ack"),
        ({"text": "x" * 2049}, "alert-ack"),
        ({"sha256": "0" * 63}, "model-install"),
        ({"n_messages": 10_001}, "capture-start"),
    ],
)
def test_value_outside_its_range_is_refused(changes: dict[str, Any], name: str) -> None:
    assert reason_of(changed(name, **changes), type(EXAMPLES[name])) == "bad_schema"


@pytest.mark.parametrize("payload", [b"", b"{", b"\xff\xfe", b'{"a":NaN}', b"[" * 100_000, b'{"text":"\xff"}'])
def test_bytes_that_are_no_json_are_refused(payload: bytes) -> None:
    assert reason_of(payload, Health) in {"bad_json", "bad_schema"}


def test_payload_beyond_the_limit_is_refused_unread() -> None:
    with pytest.raises(PayloadSizeError, match="11 bytes, at most 10"):
        decode(b"[" * 11, Alert, max_bytes=10)


def test_command_is_read_by_its_name() -> None:
    assert decode_command("alert/shelve", encode(EXAMPLES["alert-shelve"])) == EXAMPLES["alert-shelve"]


def test_unknown_command_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(PayloadFormatError, match=r"no command 'alert/explode'; there are alert/ack, .*") as caught:
        decode_command("alert/explode", b"{}")
    assert caught.value.reason == "unknown_command"


def test_command_beyond_its_limit_is_refused_unread() -> None:
    with pytest.raises(PayloadSizeError):
        decode_command("alert/ack", b" " * (messages.MAX_COMMAND_BYTES + 1))


def test_event_ids_increase_while_the_clock_stands_still() -> None:
    ids = EventIds(lambda: 5)
    given = [ids.next() for _ in range(1000)]
    assert given == sorted(set(given))


def test_event_ids_increase_while_the_clock_goes_back() -> None:
    times = iter([10_000, 9_000, 10, 10_001])
    ids = EventIds(lambda: next(times))
    given = [ids.next() for _ in range(4)]
    assert given == sorted(set(given))


def test_event_ids_go_on_when_one_millisecond_is_used_up() -> None:
    ids = EventIds(lambda: 5, randomness=lambda n: b"\xff" * n)
    first, second = ids.next(), ids.next()
    assert first < second
    assert msgspec.json.decode(msgspec.json.encode(second), type=messages.EventId) == second


def test_severity_numbers_rise_with_their_words() -> None:
    numbers = list(messages.SEVERITY_NUMBERS.values())
    assert numbers == sorted(set(numbers))
