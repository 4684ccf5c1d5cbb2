"""The worker of a running daemon dies, hangs, or is taken down by an input."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from edge_runtime.bundle.reader import read_bundle
from edge_runtime.bundle.store import BundleStore
from tests.bundles import TRUSTED
from tests.integration.daemon_rig import SOURCES, Daemon, Plant, running_plant, suspend, until
from tests.integration.factory_inputs import picture
from tests.integration.hanging_bundle import hanging_bundle

pytestmark = pytest.mark.broker

REPLACED_WITHIN_S = 2.0
TRAP = """
[[camera]]
id = "trap"
topic = "plant/cam/trap/frame"
format = "jpeg"
qos = 1
[[pipeline]]
id = "trapped"
kind = "inspection"
bundle = "tiny-trap"
cameras = ["trap"]
deadline_ms = 8000
"""
WHITE = bytes(cv2.imencode(".jpg", np.full((64, 64, 3), 255, np.uint8))[1])


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """A plant with one model that hangs on white pictures."""
    folder = tmp_path_factory.mktemp("worker")
    sources = SOURCES.replace('cameras = ["cam1", "fast"]', 'cameras = ["cam1", "fast"]\ndeadline_ms = 8000')
    before = Daemon(folder / "gateway", 1)
    BundleStore(before.folder / "bundles").install(read_bundle(hanging_bundle(), TRUSTED), activate=True)
    with running_plant(folder, sources + TRAP) as running:
        yield running


def worker_of(plant: Plant) -> int:
    """Wait for a worker that is ready, and give its process id."""
    until(plant.daemon.ready, "a worker is ready")
    pid = plant.daemon.worker_pid()
    assert pid is not None
    return pid


def new_worker_after(plant: Plant, old: int) -> float:
    """Wait until another worker is ready; gives the seconds it took."""
    began = time.monotonic()
    until(lambda: plant.daemon.worker_pid() not in (None, old) and plant.daemon.ready(), "another worker", within_s=6)
    return time.monotonic() - began


def verdict_on(plant: Plant, part: str) -> str:
    """Wait for the verdict on a part."""
    until(lambda: part in plant.consumer.verdicts(), f"a verdict on {part}")
    (verdict,) = plant.consumer.verdicts()[part]
    return str(verdict["verdict"])


def test_killed_worker_is_replaced_within_two_seconds(plant: Plant) -> None:
    old = worker_of(plant)
    os.kill(old, signal.SIGKILL)
    assert new_worker_after(plant, old) < REPLACED_WITHIN_S


def test_hung_worker_is_replaced_within_two_seconds(plant: Plant) -> None:
    old = worker_of(plant)
    suspend(old)
    plant.publisher.publish("plant/cam/cam1/frame", picture(1), part="in-hand-of-the-hung", wait=True)
    assert new_worker_after(plant, old) < REPLACED_WITHIN_S


def test_frame_in_the_hand_of_a_hung_worker_is_judged_by_the_next(plant: Plant) -> None:
    old = worker_of(plant)
    suspend(old)
    plant.publisher.publish("plant/cam/cam1/frame", picture(4), part="judged-later")
    assert verdict_on(plant, "judged-later") == "ok"


def test_commands_are_obeyed_while_the_worker_hangs(plant: Plant) -> None:
    old = worker_of(plant)
    suspend(old)
    plant.publisher.publish("plant/cam/cam1/frame", picture(2), part="meanwhile", wait=True)
    began = time.monotonic()
    plant.consumer.reply(plant.consumer.command("alert/ack", alert_id="nobody"))
    waited_s = time.monotonic() - began
    new_worker_after(plant, old)
    assert waited_s < 1.0


def test_replacement_is_counted(plant: Plant) -> None:
    old = worker_of(plant)
    before = plant.daemon.metric("edge_worker_replacements_total", reason="crashed")
    os.kill(old, signal.SIGKILL)
    new_worker_after(plant, old)
    assert plant.daemon.metric("edge_worker_replacements_total", reason="crashed") == before + 1


@pytest.fixture(scope="module")
def trapped(plant: Plant) -> Plant:
    """A white picture has taken down two workers, and another one was shown after it."""
    worker_of(plant)
    plant.publisher.publish("plant/cam/trap/frame", WHITE, part="white")
    plant.publisher.publish("plant/cam/trap/frame", picture(3), part="after-white")
    until(lambda: {"white", "after-white"} <= plant.consumer.verdicts().keys(), "both verdicts", within_s=15)
    return plant


def test_part_in_an_input_that_takes_down_two_workers_is_unsure(trapped: Plant) -> None:
    (verdict,) = trapped.consumer.verdicts()["white"]
    assert (verdict["verdict"], verdict["reasons"]) == ("unsure", ["set_aside"])


def test_frame_behind_a_deadly_one_is_judged(trapped: Plant) -> None:
    (verdict,) = trapped.consumer.verdicts()["after-white"]
    assert verdict["verdict"] == "ok"


def test_deadly_input_is_kept_for_examination(trapped: Plant) -> None:
    (kept,) = (trapped.daemon.folder / "state" / "set-aside").iterdir()
    assert kept.read_bytes() == WHITE


def test_deadly_input_is_counted(trapped: Plant) -> None:
    assert trapped.daemon.dropped("trap", "set_aside") == 1


def test_other_pipelines_go_on_after_a_deadly_input(trapped: Plant) -> None:
    trapped.publisher.publish("plant/cam/cam1/frame", picture(4), part="next-door")
    assert verdict_on(trapped, "next-door") == "ok"
