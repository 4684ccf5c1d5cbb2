"""What is only state, on its way to a broker in memory."""

from __future__ import annotations

import json

import pytest

from edge_runtime.config import BrokerSettings
from edge_runtime.daemon.complaints import Complaints
from edge_runtime.daemon.front import Front
from edge_runtime.messages import PipeResult, PipeStatus, Reply
from edge_runtime.mqtt.interface import Incoming
from edge_runtime.mqtt.memory import MemoryBroker, MemorySession
from edge_runtime.mqtt.topics import Topics


def front_of(broker: MemoryBroker, max_payload_bytes: int = 65_536) -> Front:
    session = MemorySession(broker, BrokerSettings(client_id="gw1", max_payload_bytes=max_payload_bytes))
    session.start()
    return Front(session, Topics("edge", "gw1"), Complaints(lambda: 0.0), lambda: "unset", "plant/cam".__eq__)


def status(reason: str) -> PipeStatus:
    return PipeStatus(pipeline="surface", status="failed", reason=reason, timestamp_ms=1)


def test_what_is_too_long_to_publish_is_dropped_and_the_rest_goes_on() -> None:
    broker = MemoryBroker()
    front = front_of(broker, max_payload_bytes=200)
    front.say_status("surface", status("x" * 300))
    front.say_status("surface", status("short"))
    assert front.flush()
    assert [b"short" in message.payload for message in broker.published] == [True]


def test_a_result_that_is_too_long_is_dropped() -> None:
    broker = MemoryBroker()
    front = front_of(broker, max_payload_bytes=20)
    front.say_result(PipeResult(pipeline="surface", source="cam1", abnormal=False, timestamp_ms=1, latency_ms=1.0))
    assert broker.published == []


@pytest.mark.parametrize(
    ("wanted", "used"),
    [
        ("panel/7", "panel/7"),
        ("edge/gw1/reply/panel", "edge/gw1/reply/panel"),
        ("edge/gw10/x", "edge/gw10/x"),
        (None, "edge/gw1/reply/c1"),
        ("", "edge/gw1/reply/c1"),
        ("a/#", "edge/gw1/reply/c1"),
        ("a/+/b", "edge/gw1/reply/c1"),
        ("a\0b", "edge/gw1/reply/c1"),
        ("$SYS/x", "edge/gw1/reply/c1"),
        ("edge/gw1", "edge/gw1/reply/c1"),
        ("edge/gw1/reply", "edge/gw1/reply/c1"),
        ("edge/gw1/alert/event", "edge/gw1/reply/c1"),
        ("edge/gw1/cmd/model/rollback", "edge/gw1/reply/c1"),
        ("edge/fleet/bundle/00", "edge/gw1/reply/c1"),
        ("plant/cam", "edge/gw1/reply/c1"),
    ],
)
def test_a_reply_goes_where_its_command_wants_it_unless_it_could_be_mistaken_there(
    wanted: str | None, used: str
) -> None:
    broker = MemoryBroker()
    front = front_of(broker)
    order = Incoming("edge/gw1/cmd/alert/ack", b"{}", 1, response_topic=wanted, correlation_data=b"7")
    front.answer(order, Reply(id="c1", command="alert/ack", ok=True, timestamp_ms=1))
    assert [(message.topic, message.correlation_data) for message in broker.published] == [(used, b"7")]


def test_a_command_without_an_id_is_not_answered_where_a_reply_could_be_mistaken() -> None:
    broker = MemoryBroker()
    front = front_of(broker)
    order = Incoming("edge/gw1/cmd/alert/ack", b"not json", 1, response_topic="edge/gw1/alert/event")
    front.answer(order, Reply(id="", command="alert/ack", ok=False, reason="bad_json", timestamp_ms=1))
    assert front.flush()
    assert broker.published == []


def test_every_message_says_how_good_its_time_is() -> None:
    broker = MemoryBroker()
    front = front_of(broker)
    front.say_status("surface", status("x"))
    front.say_result(PipeResult(pipeline="surface", source="cam1", abnormal=False, timestamp_ms=1, latency_ms=1.0))
    assert [json.loads(message.payload)["clock"] for message in broker.published] == ["unset", "unset"]
