"""Evidence as a consumer gets it from a running daemon."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from typing import Any

import pytest

from edge_runtime.mqtt.evidence import read_window
from tests.integration.daemon_rig import Consumer, Plant, running_plant, settle, until
from tests.integration.factory_inputs import block_times_ms, picture, samples

pytestmark = pytest.mark.broker

N_INPUTS = 12


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """A plant with alarms of a camera and of a machine."""
    with running_plant(tmp_path_factory.mktemp("evidence")) as running:
        for number, ts_ms in enumerate(block_times_ms(N_INPUTS)):
            now_ms = round(time.time() * 1000)
            running.publisher.publish("plant/cam/cam1/frame", picture(number), part=f"p{number}", ts_ms=now_ms)
            running.publisher.publish("plant/sensor/press1", samples(number).tobytes(), ts_ms=ts_ms)
        until(lambda: len(running.consumer.verdicts()) == N_INPUTS, "all verdicts")
        until(lambda: {"life", "surface"} <= {event["pipeline"] for event in raised(running)}, "alarms of both")
        settle(lambda: len(running.consumer.messages), quiet_s=0.3, within_s=5.0)
        until(lambda: all(event["evidence_topic"] in names(running) for event in raised(running)), "evidence of all")
        yield running


def names(plant: Plant) -> dict[str, bytes]:
    """Everything received, by its full topic."""
    return {f"edge/gw1/{topic}": payload for topic, payload, _ in plant.consumer.messages}


def raised(plant: Plant, pipeline: str | None = None) -> list[dict[str, Any]]:
    """Alarms that were raised."""
    events = plant.consumer.all_of("alert/event")
    return [each for each in events if each["event_type"] == "raised" and pipeline in {None, each["pipeline"]}]


def test_every_evidence_has_the_digest_that_its_alert_names(plant: Plant) -> None:
    for event in raised(plant):
        evidence = names(plant)[event["evidence_topic"]]
        assert hashlib.sha256(evidence).hexdigest() == event["evidence_sha256"]


def test_picture_is_the_one_that_the_camera_sent(plant: Plant) -> None:
    sent = {picture(number) for number in range(N_INPUTS)}
    for event in raised(plant, "surface"):
        assert (
            event["evidence_topic"] == event["snapshot_topic"] == f"edge/gw1/evidence/{event['alert_id']}/snapshot.jpg"
        )
        assert names(plant)[event["snapshot_topic"]] in sent


def test_window_holds_samples_that_the_machine_sent(plant: Plant) -> None:
    stream = b"".join(samples(number).tobytes() for number in range(N_INPUTS))
    for event in raised(plant, "life"):
        window = read_window(names(plant)[event["evidence_topic"]])
        assert window.samples in stream
        assert [name for name, _ in window.channels] == ["vibration", "temperature", "current", "pressure"]


def test_evidence_is_not_retained(plant: Plant) -> None:
    assert any(topic.startswith("evidence/") for topic, _, _ in plant.consumer.messages)
    latecomer = plant.join(Consumer(plant.broker, "latecomer"))
    until(lambda: "alert/summary" in latecomer.retained, "retained messages")
    time.sleep(0.3)
    assert not any(retained for topic, _, retained in latecomer.messages if topic.startswith("evidence/"))


def test_kept_bytes_are_counted(plant: Plant) -> None:
    kept = sum(len(names(plant)[event["evidence_topic"]]) for event in raised(plant, "surface"))
    assert plant.daemon.metric("edge_evidence_bytes_total", pipeline="surface") == kept
