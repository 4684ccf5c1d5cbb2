"""Orders over MQTT: acknowledging alarms, asking for events again, and what is answered."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.integration.daemon_rig import BASE, Consumer, Plant, running_plant, until
from tests.integration.factory_inputs import Offline, picture

pytestmark = pytest.mark.broker

STATE = "alert/state/surface.cam1.crack"
CLEAR_AFTER = 3


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """A plant without history."""
    with running_plant(tmp_path_factory.mktemp("commands")) as running:
        yield running


@pytest.fixture(scope="module")
def cracked() -> bytes:
    """A picture that raises ``crack`` and nothing else."""
    return next(picture(number) for number in range(200) if abnormal_labels(picture(number)) == {"crack"})


@pytest.fixture(scope="module")
def good() -> bytes:
    """A picture that lets every alarm clear."""
    return next(picture(number) for number in range(200) if OFFLINE.inspect(picture(number))[0] == "ok")


OFFLINE = Offline()


def abnormal_labels(encoded: bytes) -> set[str]:
    """Labels that a picture shows."""
    return {str(finding["label"]) for finding in OFFLINE.inspect(encoded)[1] if finding["abnormal"]}


def show(plant: Plant, *pictures: bytes) -> None:
    """Show pictures to the camera."""
    for encoded in pictures:
        plant.publisher.publish("plant/cam/cam1/frame", encoded, ts_ms=round(time.time() * 1000))


def wait_for(plant: Plant, event_type: str, alert_id: str | None = None) -> dict[str, Any]:
    """Wait for an event that nobody waited for before."""
    taken: set[str] = plant.__dict__.setdefault("taken", set())

    def newest() -> dict[str, Any] | None:
        for event in plant.consumer.all_of("alert/event"):
            right = event["event_type"] == event_type and alert_id in (None, event["alert_id"])
            if right and event["event_id"] not in taken:
                return event
        return None

    until(newest, f"an event {event_type}")
    found = newest()
    assert found is not None
    taken.add(found["event_id"])
    return found


@pytest.fixture
def alarm(plant: Plant, cracked: bytes) -> str:
    """An active alarm that nobody has acknowledged; gives its alert_id."""
    show(plant, cracked)
    return str(wait_for(plant, "raised")["alert_id"])


def clear(plant: Plant, good: bytes, alert_id: str) -> dict[str, Any]:
    """Show good pictures until the alarm clears."""
    show(plant, *[good] * CLEAR_AFTER)
    return wait_for(plant, "cleared", alert_id)


def acknowledge(plant: Plant, alert_id: str) -> dict[str, Any]:
    """Acknowledge and give the answer."""
    return plant.consumer.reply(plant.consumer.command("alert/ack", alert_id=alert_id))


def test_acknowledgement_is_told_as_an_event(plant: Plant, alarm: str, good: bytes) -> None:
    acknowledge(plant, alarm)
    event = wait_for(plant, "acked", alarm)
    clear(plant, good, alarm)
    assert (event["acked"], event["active"]) == (True, True)


def test_acknowledged_alarm_leaves_no_state_once_it_clears(plant: Plant, alarm: str, good: bytes) -> None:
    acknowledge(plant, alarm)
    wait_for(plant, "acked", alarm)
    clear(plant, good, alarm)
    until(lambda: plant.consumer.retained[STATE] == b"", "an empty state")


def test_cleared_alarm_keeps_its_state_until_it_is_acknowledged(plant: Plant, alarm: str, good: bytes) -> None:
    clear(plant, good, alarm)
    until(lambda: json.loads(plant.consumer.retained[STATE])["event_type"] == "cleared", "the cleared state")
    state = json.loads(plant.consumer.retained[STATE])
    acknowledge(plant, alarm)
    until(lambda: plant.consumer.retained[STATE] == b"", "an empty state")
    assert (state["active"], state["acked"]) == (False, False)


def test_summary_counts_the_standing_alarm(plant: Plant, alarm: str, good: bytes) -> None:
    until(lambda: plant.consumer.all_of("alert/summary")[-1]["active"] == 1, "a summary with one active alarm")
    counted = plant.consumer.all_of("alert/summary")[-1]
    acknowledge(plant, alarm)
    clear(plant, good, alarm)
    until(lambda: plant.consumer.all_of("alert/summary")[-1]["active"] == 0, "a summary without alarms")
    assert (counted["unacked"], counted["max_severity"]) == (1, "medium")


def test_acknowledging_what_does_not_exist_is_answered_by_name(plant: Plant) -> None:
    answer = acknowledge(plant, "01hf7yat000000000000000000")
    assert (answer["ok"], answer["reason"]) == (False, "unknown_alert")


def test_command_that_this_release_does_not_know_is_answered(plant: Plant) -> None:
    answer = plant.consumer.reply(plant.consumer.command("capture/start", source="cam1", n_messages=1))
    assert (answer["ok"], answer["reason"]) == (False, "unsupported")


def test_command_names_its_issuer_in_the_audit_log(plant: Plant) -> None:
    acknowledge(plant, "nobody")
    assert "command=alert/ack issuer='consumer'" in plant.daemon.log.read_text()


def test_answer_goes_to_the_response_topic_with_its_correlation(plant: Plant) -> None:
    answers: list[Any] = []
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="operator", protocol=paho.MQTTv5)
    client.on_message = lambda _client, _userdata, message: answers.append(message)
    client.connect("127.0.0.1", plant.broker.port)
    client.subscribe("operators/answers", qos=1)
    client.loop_start()
    properties = Properties(PacketTypes.PUBLISH)
    properties.ResponseTopic, properties.CorrelationData = "operators/answers", b"\x01\x02"
    order = json.dumps({"issuer": "ann", "id": "o1", "alert_id": "nobody"})
    client.publish(f"{BASE}/cmd/alert/ack", order, qos=1, properties=properties)
    until(lambda: answers, "an answer")
    client.disconnect()
    client.loop_stop()
    assert (json.loads(answers[0].payload)["id"], answers[0].properties.CorrelationData) == ("o1", b"\x01\x02")


@pytest.mark.parametrize("payload", [b"", b"{", b'{"issuer":"x"}', b"\xff\xfe", b"[" * 100_000, b"x" * 1_000_000])
def test_command_that_cannot_be_read_does_no_harm(plant: Plant, payload: bytes) -> None:
    plant.publisher.publish(f"{BASE}/cmd/alert/ack", payload, wait=True)
    assert acknowledge(plant, "nobody")["reason"] == "unknown_alert"


def test_events_are_sent_again_to_a_consumer_that_asks(plant: Plant, alarm: str, good: bytes) -> None:
    acknowledge(plant, alarm)
    clear(plant, good, alarm)
    late = plant.join(Consumer(plant.broker, f"late-{time.monotonic_ns()}"))
    until(lambda: "birth" in late.retained, "the retained birth")
    boot_id = json.loads(late.retained["birth"])["boot_id"]
    answer = late.reply(late.command("events/resend", boot_id=boot_id, series="alert", from_seq=1))
    wanted = {event["event_id"] for event in plant.consumer.all_of("alert/event")}
    until(lambda: wanted <= late.events.keys(), "every event once more")
    assert answer["ok"]
    assert all(late.events[event_id]["replayed"] for event_id in wanted)


def test_commands_of_two_issuers_with_one_id_are_obeyed_apart(plant: Plant) -> None:
    other = plant.join(Consumer(plant.broker, f"other-{time.monotonic_ns()}"))
    for issuer, alert_id in (("ann", "first"), ("bob", "second")):
        other.command("alert/ack", issuer=issuer, id="same", alert_id=alert_id)
    until(lambda: len(other.all_of("reply/same")) == 2, "two answers")
    assert ["first" in answer["text"] for answer in other.all_of("reply/same")] == [True, False]


def test_command_that_comes_twice_is_obeyed_once(plant: Plant, alarm: str, good: bytes) -> None:
    for _ in range(2):
        plant.consumer.command("alert/ack", id="twice", alert_id=alarm)
    until(lambda: len(plant.consumer.all_of("reply/twice")) == 2, "two answers")
    clear(plant, good, alarm)
    assert [answer["ok"] for answer in plant.consumer.all_of("reply/twice")] == [True, True]


def test_asking_for_events_of_an_unknown_boot_sends_nothing(plant: Plant) -> None:
    answer = plant.consumer.reply(plant.consumer.command("events/resend", boot_id="nobody", series="alert", from_seq=1))
    assert (answer["ok"], answer["text"]) == (True, "0 events are sent again")
