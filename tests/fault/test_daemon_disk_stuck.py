"""A disk that refuses while inputs come that nobody holds back."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.daemon_rig import Daemon, Plant, running_plant, until
from tests.unit.daemon.dispatchers import picture

pytestmark = pytest.mark.broker
N_FRAMES = 200


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    with running_plant(tmp_path) as plant:
        yield plant


@contextmanager
def stuck_disk(daemon: Daemon) -> Iterator[None]:
    """Let the supervisor write no byte to any file."""
    limits = resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (0, limits[1]))
    yield
    resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, limits)


def test_pictures_at_qos_0_are_dropped_while_the_disk_refuses_and_the_others_wait(plant: Plant) -> None:
    daemon, publisher, consumer = plant.daemon, plant.publisher, plant.consumer
    with stuck_disk(daemon):
        publisher.publish("plant/cam/cam1/frame", picture(), part="waits")
        until(lambda: "outbox_stuck" in json.loads(consumer.retained["health"])["reasons"], "health", within_s=15)
        for number in range(N_FRAMES):
            publisher.publish("plant/cam/fast/frame", picture(), qos=0, part=f"fast-{number}")
        until(lambda: daemon.dropped("fast", "disk_stuck") == N_FRAMES, "all are dropped")
    until(lambda: "waits" in consumer.verdicts(), "a verdict")
    assert list(consumer.verdicts()) == ["waits"]
