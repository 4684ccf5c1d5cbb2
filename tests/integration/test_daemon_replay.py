"""Alarms of a real daemon, given to their models once more."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.bundle.reader import read_bundle
from tests.bundles import TRUSTED, image_bundle, trusting_store
from tests.integration.daemon_rig import COMMAND, Plant, running_plant, settle, until
from tests.integration.factory_inputs import block_times_ms, picture, samples

pytestmark = pytest.mark.broker

N_INPUTS = 12
FIGURES = ("score", "value", "value_low", "value_high")


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """A plant with alarms of a camera and of a machine."""
    with running_plant(tmp_path_factory.mktemp("replay")) as running:
        for number, ts_ms in enumerate(block_times_ms(N_INPUTS)):
            now_ms = round(time.time() * 1000)
            running.publisher.publish("plant/cam/cam1/frame", picture(number), part=f"p{number}", ts_ms=now_ms)
            running.publisher.publish("plant/sensor/press1", samples(number).tobytes(), ts_ms=ts_ms)
        until(lambda: len(running.consumer.verdicts()) == N_INPUTS, "all verdicts")
        until(lambda: {"life", "surface"} <= {event["pipeline"] for event in raised(running)}, "alarms of both")
        settle(lambda: len(running.consumer.messages), quiet_s=0.3, within_s=5.0)
        yield running


def raised(plant: Plant, pipeline: str | None = None) -> list[dict[str, Any]]:
    """Alarms that were raised."""
    events = plant.consumer.all_of("alert/event")
    return [each for each in events if each["event_type"] == "raised" and pipeline in {None, each["pipeline"]}]


def replay(*arguments: str) -> tuple[int, dict[str, Any], str]:
    """Run the command: exit code, its JSON, and what it said besides."""
    done = subprocess.run([*COMMAND, "replay", *arguments, "--json"], capture_output=True, timeout=60, check=False)
    return done.returncode, json.loads(done.stdout or "{}"), done.stderr.decode()


def figures(event: dict[str, Any]) -> dict[str, Any]:
    return {name: event[name] for name in FIGURES}


@pytest.mark.parametrize("pipeline", ["surface", "life"])
def test_alarm_is_replayed_beside_the_running_daemon_to_the_bit(plant: Plant, pipeline: str) -> None:
    event = raised(plant, pipeline)[-1]
    code, told, words = replay(event["alert_id"], str(plant.daemon.config))
    assert (code, told["same"], told["now"]) == (0, True, figures(event)), words
    assert (told["engine_now"], told["same_config"]) == (event["engine"], True)


@pytest.mark.parametrize("pipeline", ["surface", "life"])
def test_alarm_is_replayed_from_what_a_consumer_received(plant: Plant, tmp_path: Path, pipeline: str) -> None:
    event = raised(plant, pipeline)[0]
    received = {f"edge/gw1/{topic}": payload for topic, payload, _ in plant.consumer.messages}
    (tmp_path / "alert.json").write_text(json.dumps(event))
    (tmp_path / "evidence").write_bytes(received[event["evidence_topic"]])
    code, told, words = replay(
        str(plant.daemon.config),
        "--alert-file", str(tmp_path / "alert.json"),
        "--evidence-file", str(tmp_path / "evidence"),
    )  # fmt: skip
    assert (code, told.get("now")) == (0, figures(event)), words


def test_every_alarm_is_replayed_after_a_kill_and_a_newer_release(plant: Plant) -> None:
    events = raised(plant)
    plant.daemon.kill()
    newer = read_bundle(image_bundle(release=2, version="2.0.0"), TRUSTED)
    trusting_store(plant.daemon.folder / "bundles").install(newer, activate=True)
    plant.daemon.start()
    for event in (events[0], events[-1]):
        code, told, words = replay(event["alert_id"].upper(), str(plant.daemon.config))
        assert (code, told["model_sha256"]) == (0, event["model_sha256"]), words
