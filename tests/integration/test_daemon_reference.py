"""The quantization watchdog in a running daemon: int8 beside the float model of its bundle."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_runtime.bundle.reader import read_bundle
from edge_runtime.daemon.second_look import REFERENCE
from tests.bundles import MODELS, TRUSTED, TinyModel, image_model, sign_tiny, trusting_store, window_bundle
from tests.integration.daemon_rig import SOURCES, Daemon, Plant, until
from tests.integration.factory_inputs import picture
from tests.integration.mosquitto import Mosquitto

pytestmark = pytest.mark.broker

WATCHED = SOURCES.replace(
    'bundle = "tiny-surface"', 'bundle = "tiny-surface"\nreference_every = 1\nreference_window = 60'
)


def install(store: Path, reference: str, release: int) -> None:
    """Install the classifier with a float reference."""
    model = image_model()
    members = {**model.members, REFERENCE: (MODELS / reference).read_bytes()}
    bundle = sign_tiny(TinyModel(model.manifest, members), release=release)
    trusting_store(store).install(read_bundle(bundle, TRUSTED), activate=True)


@pytest.fixture
def plant(tmp_path: Path, mosquitto: Mosquitto) -> Iterator[Plant]:
    """A plant whose classifier came with the float model of another one."""
    store = tmp_path / "gateway" / "bundles"
    install(store, "image_swapped_float.tflite", 1)
    trusting_store(store).install(read_bundle(window_bundle(), TRUSTED), activate=True)
    with Plant(mosquitto, Daemon(tmp_path / "gateway", mosquitto.port, WATCHED)) as standing:
        yield standing


def show(plant: Plant, first: int, count: int) -> None:
    """Show so many pictures, and wait until they are judged."""
    before = plant.daemon.metric("edge_processed_total", source="cam1")
    for number in range(first, first + count):
        plant.publisher.publish("plant/cam/cam1/frame", picture(number), ts_ms=round(time.time() * 1000) + number)
    until(
        lambda: plant.daemon.metric("edge_processed_total", source="cam1") == before + count,
        "all are judged",
        within_s=30,
    )


def events(plant: Plant) -> list[str]:
    """Transitions of the watchdog's alarm."""
    told = list(plant.consumer.events.values())
    return [each["event_type"] for each in told if each.get("key") == "system.quantization.surface"]


def test_int8_that_decides_otherwise_raises_an_alarm_which_ends_with_the_right_reference(plant: Plant) -> None:
    plant.daemon.start()
    show(plant, 0, 40)
    until(lambda: "raised" in events(plant), "the alarm is raised")
    assert plant.daemon.metric("edge_reference_compared_total", pipeline="surface") == 40
    plant.daemon.stop()
    install(plant.daemon.folder / "bundles", "image_float.tflite", 2)
    plant.daemon.start()
    show(plant, 100, 40)
    until(lambda: events(plant)[-1] == "cleared", "the alarm is cleared")
    assert plant.daemon.metric("edge_reference_disagreement_ratio", pipeline="surface") <= 0.05
