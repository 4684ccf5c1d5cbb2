"""What a running daemon says of frames and sensor blocks is what the same models say without it, bit for bit."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from typing import Any

import cbor2
import paho.mqtt.client as paho
import pytest

from tests.integration.daemon_rig import SOURCES, Plant, Publisher, running_plant, until
from tests.integration.factory_inputs import (
    Offline,
    as_json,
    block_times_ms,
    picture,
    said,
    samples,
    times_of,
)

pytestmark = pytest.mark.broker

FRAMES = range(24)
BLOCKS = range(24)
STARTS_MS = block_times_ms(len(BLOCKS))
#: Machines that publish over MQTT 3.1.1, and one that sends CBOR.
FURTHER = {"press3": "f32", "press4": "json", "press5": "cbor"}
MACHINES = ("press1", "press2", *FURTHER)


def sources() -> str:
    """The usual sources and the further machines, all on one model."""
    first = SOURCES.index('id = "press1"')
    declared = SOURCES[first : SOURCES.index("[[sensor]]", first)]
    sections = SOURCES.replace('"press1", "press2"]', ", ".join(f'"{name}"' for name in MACHINES) + "]")
    for name, kind in FURTHER.items():
        sections += "[[sensor]]\n" + declared.replace("press1", name).replace('"f32"', f'"{kind}"')
    return sections


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """A plant that has seen frames and blocks over MQTT 5, and the same over MQTT 3.1.1 in envelopes."""
    at_once = {
        "settings": "[outbox]\ndrain_per_s = 100000.0",
        "broker": "inflight_maximum = 10000",
    }  # results come last
    with running_plant(tmp_path_factory.mktemp("results"), sources(), **at_once) as running:
        older = running.join(Publisher(running.broker, "older", version=paho.MQTTv311))
        for number in FRAMES:
            facts: dict[str, Any] = {"seq": number, "ts_ms": round(time.time() * 1000)}
            running.publisher.publish("plant/cam/cam1/frame", picture(number), part=f"new-{number}", **facts)
            older.publish("plant/cam/cam1/frame", picture(number), part=f"old-{number}", **facts)
        for number, start_ms in zip(BLOCKS, STARTS_MS, strict=True):
            values = samples(number)
            raw, text = values.tobytes(), as_json(values, start_ms)
            facts = {"seq": number, "ts_ms": start_ms}
            running.publisher.publish("plant/sensor/press1", raw, **facts)
            running.publisher.publish("plant/sensor/press2", text, seq=number)
            older.publish("plant/sensor/press3", raw, **facts)
            older.publish("plant/sensor/press4", text, seq=number)
            running.publisher.publish("plant/sensor/press5", cbor2.dumps(json.loads(text)), seq=number)
        until(lambda: len(running.consumer.verdicts()) == 2 * len(FRAMES), "all verdicts")
        until(lambda: len(results_of(running, "life")) == len(BLOCKS) * len(MACHINES), "all results")
        yield running


@pytest.fixture(scope="module")
def offline() -> Offline:
    """The same models without a daemon."""
    return Offline()


def test_every_part_has_one_verdict(plant: Plant) -> None:
    given = plant.consumer.verdicts()
    assert {part: len(verdicts) for part, verdicts in given.items()} == {
        f"{kind}-{number}": 1 for kind in ("new", "old") for number in FRAMES
    }


def test_verdicts_are_those_of_the_same_model_offline(plant: Plant, offline: Offline) -> None:
    given = {part: verdicts[0]["verdict"] for part, verdicts in plant.consumer.verdicts().items()}
    wanted = {f"new-{number}": offline.inspect(picture(number))[0] for number in FRAMES}
    assert len(set(wanted.values())) == 3, "the pictures should give every verdict"
    assert {part: verdict for part, verdict in given.items() if part in wanted} == wanted


def results_of(plant: Plant, pipeline: str) -> list[dict[str, Any]]:
    """Results of a pipeline, as they came."""
    return plant.consumer.all_of(f"pipe/{pipeline}/result")


def test_findings_of_frames_equal_offline_inference_to_the_bit(plant: Plant, offline: Offline) -> None:
    results = {result["part"]: said(result) for result in results_of(plant, "surface")}
    assert results == {
        f"{kind}-{number}": offline.inspect(picture(number))[1] for kind in ("new", "old") for number in FRAMES
    }


def test_result_names_the_digest_of_the_picture_without_its_envelope(plant: Plant) -> None:
    digests = {result["part"]: result["input_sha256"] for result in results_of(plant, "surface")}
    assert digests["old-3"] == digests["new-3"] == hashlib.sha256(picture(3)).hexdigest()


def test_envelope_and_user_properties_carry_the_same_metadata(plant: Plant) -> None:
    facts = {
        result["part"]: (result["source_seq"], result["source_ms"] is not None)
        for result in results_of(plant, "surface")
    }
    assert facts["old-7"] == facts["new-7"] == (7, True)


@pytest.mark.parametrize("machine", MACHINES)
def test_findings_of_sensor_blocks_equal_offline_inference_to_the_bit(
    plant: Plant, offline: Offline, machine: str
) -> None:
    heard = {result["source_seq"]: said(result) for result in results_of(plant, "life") if result["source"] == machine}
    wanted = offline.watch((samples(number), times_of(STARTS_MS[number])) for number in BLOCKS)
    assert [heard[number] for number in BLOCKS] == wanted
