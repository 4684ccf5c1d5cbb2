"""The topics that a running daemon publishes on, what they carry and which of them the broker keeps."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped] # its stubs are a package of their own
import pytest

from edge_runtime.topic_filters import filter_matches
from tests.integration.daemon_rig import Consumer, Plant, running_plant, until
from tests.integration.factory_inputs import block_times_ms, picture, samples

pytestmark = pytest.mark.broker

N_INPUTS = 16
#: Topic below the gateway's, its schema, and whether the broker keeps it.
TOPICS = {
    "birth": ("birth", True),
    "health": ("health", True),
    "metric/+": ("metric-value", False),
    "pipe/+/status": ("pipe-status", True),
    "pipe/+/result": ("pipe-result", False),
    "part/verdict": ("part-verdict", False),
    "alert/event": ("alert", False),
    "alert/state/+": ("alert", True),
    "alert/summary": ("alert-summary", True),
    "model/+/installed": ("model-installed", True),
    "reply/+": ("reply", False),
}


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """A plant with alarms, verdicts, results and an answered command."""
    with running_plant(tmp_path_factory.mktemp("topics")) as running:
        starts_ms = block_times_ms(N_INPUTS)
        for number in range(N_INPUTS):
            now_ms = round(time.time() * 1000)
            running.publisher.publish("plant/cam/cam1/frame", picture(number), part=f"p{number}", ts_ms=now_ms)
            running.publisher.publish("plant/sensor/press1", samples(number).tobytes(), ts_ms=starts_ms[number])
        until(lambda: len(running.consumer.verdicts()) == N_INPUTS, "all verdicts")
        running.consumer.reply(running.consumer.command("alert/ack", alert_id="nobody"))
        until(lambda: len(running.consumer.all_of("pipe/life/result")) == N_INPUTS, "all results")
        time.sleep(0.3)
        yield running


@pytest.fixture(scope="module")
def latecomer(plant: Plant) -> dict[str, bytes]:
    """What the broker tells someone who comes later: the retained messages by topic."""
    consumer = plant.join(Consumer(plant.broker, "latecomer"))
    until(lambda: "alert/summary" in consumer.retained, "retained messages")
    time.sleep(0.3)
    return {topic: payload for topic, payload, retained in consumer.messages if retained}


def schema_of(topic: str) -> str | None:
    """The schema that a topic's payloads have."""
    return next((schema for pattern, (schema, _) in TOPICS.items() if filter_matches(pattern, topic)), None)


@pytest.fixture(scope="module")
def schemas(project: Path) -> dict[str, Any]:
    """Published schemas by name."""
    folder = project / "docs" / "formats"
    return {name: json.loads((folder / f"{name}.schema.json").read_text()) for name, _ in TOPICS.values()}


def test_nothing_is_published_but_the_topics_of_the_contract(plant: Plant) -> None:
    topics = {topic for topic, _, _ in plant.consumer.messages if schema_of(topic) is None}
    others = {topic for topic in topics if not topic.startswith("evidence/")}
    assert others - {"cmd/alert/ack"} == {"availability"}


@pytest.mark.parametrize("pattern", TOPICS)
def test_topic_of_the_contract_appears_with_payloads_of_its_schema(
    plant: Plant, schemas: dict[str, Any], pattern: str
) -> None:
    schema, _ = TOPICS[pattern]
    payloads = [payload for topic, payload, _ in plant.consumer.messages if filter_matches(pattern, topic) and payload]
    assert payloads
    check = jsonschema.Draft202012Validator(schemas[schema]).validate
    for payload in payloads:
        check(json.loads(payload))


@pytest.mark.parametrize("pattern", TOPICS)
def test_broker_keeps_what_the_contract_says(latecomer: dict[str, bytes], pattern: str) -> None:
    _, is_kept = TOPICS[pattern]
    assert any(filter_matches(pattern, topic) for topic in latecomer) == is_kept


def test_times_of_events_are_whole_milliseconds(plant: Plant) -> None:
    for event in plant.consumer.events.values():
        assert {type(value) for name, value in event.items() if name.endswith("_ms") and name != "latency_ms"} <= {
            int,
            type(None),
        }


def test_availability_says_online(latecomer: dict[str, bytes]) -> None:
    assert latecomer["availability"] == b"online"


def test_alarm_state_is_the_last_event_of_its_key(plant: Plant, latecomer: dict[str, bytes]) -> None:
    last = {event["key"]: event for event in plant.consumer.all_of("alert/event")}
    kept = {
        topic.removeprefix("alert/state/"): json.loads(payload)
        for topic, payload in latecomer.items()
        if "state/" in topic
    }
    assert kept
    unstamped = {"publish_ms", "buffered", "replayed"}
    for key, state in kept.items():
        assert {name: state[name] for name in state.keys() - unstamped} == {
            name: last[key][name] for name in last[key].keys() - unstamped
        }


def test_birth_names_the_digests_of_the_bundles(plant: Plant) -> None:
    (birth, *_) = plant.consumer.all_of("birth")
    installed = {each["model"]: each["sha256"] for each in map(json.loads, installed_of(plant))}
    assert birth["bundles"] == installed


def installed_of(plant: Plant) -> list[bytes]:
    """Payloads of ``model/+/installed``."""
    return [payload for topic, payload, _ in plant.consumer.messages if filter_matches("model/+/installed", topic)]


def test_installed_model_names_the_engine_that_runs_it(latecomer: dict[str, bytes]) -> None:
    assert json.loads(latecomer["model/tiny-surface/installed"])["engine"].startswith("litert ")


def test_health_is_good(plant: Plant) -> None:
    assert (plant.consumer.all_of("health")[-1]["ok"], plant.consumer.all_of("health")[-1]["reasons"]) == (True, [])


def test_events_name_model_engine_and_configuration(plant: Plant) -> None:
    event = plant.consumer.all_of("alert/event")[0]
    assert all(event[name] for name in ("model", "model_version", "model_sha256", "engine", "config_sha256"))


@pytest.mark.parametrize("page", ["metrics", "ready"])
def test_page_is_served(plant: Plant, page: str) -> None:
    assert plant.daemon.page(page)[0] == 200
