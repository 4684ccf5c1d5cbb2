"""New models that hang or crash, and processes that die, while a running daemon changes: no input is lost."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from edge_runtime.bundle.reader import read_bundle
from edge_runtime.bundle.store import BundleStore
from tests.bundles import TRUSTED
from tests.integration.daemon_rig import SOURCES, Daemon, Plant, running_plant, until
from tests.integration.hanging_bundle import ANY, hanging_bundle
from tests.integration.test_daemon_bad_bundles import aborting_bundle
from tests.integration.test_daemon_reload import Load, assert_judged_once, blocks, reload

pytestmark = pytest.mark.broker

START_TIMEOUT_S = 5.0
#: Parts wait for their verdict longer than a launcher takes to come back on a busy machine.
PATIENT = SOURCES.replace('cameras = ["cam1", "fast"]', 'cameras = ["cam1", "fast"]\ndeadline_ms = 20000')
NEW = """
[[camera]]
id = "new"
topic = "plant/cam/new/frame"
format = "jpeg"
[[pipeline]]
id = "new"
kind = "inspection"
bundle = "{bundle}"
cameras = ["new"]
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """A plant that gives a new worker five seconds, with a model in its store that hangs on anything.

    A sound model of the same format runs, so that its launcher has the engine.
    """
    folder = tmp_path_factory.mktemp("swap")
    before = Daemon(folder / "gateway", 1)
    for data in (hanging_bundle(ANY, name="tiny-endless"), hanging_bundle()):
        BundleStore(before.folder / "bundles").install(read_bundle(data, TRUSTED), activate=True)
    sources = PATIENT + NEW.format(bundle="tiny-trap").replace("new", "sound")
    with running_plant(folder, sources, settings=f"[worker]\nstart_timeout_s = {START_TIMEOUT_S}") as plant:
        yield plant


@pytest.fixture
def plant(running: Plant) -> Iterator[Plant]:
    """A plant whose configuration is as at its start, before the test and after it."""
    text = running.daemon.config.read_text()
    until(running.daemon.ready, "a worker is ready")
    yield running
    running.daemon.config.write_text(text)
    assert reload(running)["ok"]


def add(plant: Plant, sources: str) -> None:
    plant.daemon.config.write_text(plant.daemon.config.read_text() + sources)


def workers(plant: Plant) -> list[int]:
    """Every worker of the daemon, of whichever launcher."""
    found = []
    for launcher in psutil.Process(plant.daemon.pid).children():
        with suppress(psutil.NoSuchProcess):
            found += [worker.pid for worker in launcher.children() if worker.status() != psutil.STATUS_ZOMBIE]
    return found


def test_a_new_model_that_hangs_is_given_up_and_nothing_is_lost(plant: Plant) -> None:
    before = blocks(plant)
    with Load(plant) as load:
        add(plant, NEW.format(bundle="tiny-endless"))
        began = time.monotonic()
        reply = reload(plant)
        waited_s = time.monotonic() - began
    assert (reply["reason"], "was not ready within worker.start_timeout_s" in reply["text"]) == ("swap_failed", True)
    assert START_TIMEOUT_S <= waited_s < START_TIMEOUT_S + 3.0
    assert_judged_once(plant, load, before)


def test_a_new_model_that_takes_its_process_down_is_given_up_and_nothing_is_lost(
    plant: Plant, shared_data: Path
) -> None:
    store, before = BundleStore(plant.daemon.folder / "bundles"), blocks(plant)
    good = store.active("tiny-life")
    assert good is not None
    with Load(plant) as load:
        store.install(read_bundle(aborting_bundle(shared_data), TRUSTED), activate=True)
        reply = reload(plant)
        store.activate("tiny-life", good.release)
    assert (reply["ok"], reply["reason"]) == (False, "swap_failed")
    assert_judged_once(plant, load, before)


def change_while(plant: Plant, what: Any) -> tuple[Load, dict[str, Any]]:
    """Begin a change to a model that hangs, do something to the daemon's processes, and wait for the answer."""
    with Load(plant) as load:
        (present,) = workers(plant)
        add(plant, NEW.format(bundle="tiny-endless"))
        command = plant.consumer.command("config/reload")
        until(lambda: len(workers(plant)) == 2, "another worker is built")
        (beside,) = set(workers(plant)) - {present}
        what(present, beside)
        until(lambda: f"reply/{command}" in plant.consumer.retained, "a reply", within_s=20)
    return load, plant.consumer.reply(command)


def test_a_new_worker_that_is_killed_is_given_up_and_nothing_is_lost(plant: Plant) -> None:
    before = blocks(plant)
    load, reply = change_while(plant, lambda _present, beside: os.kill(beside, signal.SIGKILL))
    assert "the new worker died" in reply["text"]
    assert_judged_once(plant, load, before)


def test_a_present_worker_that_is_killed_is_replaced_while_the_new_one_hangs(plant: Plant) -> None:
    before = blocks(plant)
    load, reply = change_while(plant, lambda present, _beside: os.kill(present, signal.SIGKILL))
    assert "was not ready within worker.start_timeout_s" in reply["text"]
    assert_judged_once(plant, load, before)


def test_a_launcher_that_is_killed_costs_nothing_but_the_change(plant: Plant) -> None:
    def kill(present: int, _beside: int) -> None:
        os.kill(psutil.Process(present).ppid(), signal.SIGKILL)

    before = blocks(plant)
    load, reply = change_while(plant, kill)
    assert reply["reason"] == "swap_failed"
    assert_judged_once(plant, load, before)


def test_a_daemon_that_is_killed_during_a_change_comes_back_with_the_new_file(tmp_path: Path) -> None:
    with running_plant(tmp_path, PATIENT) as plant:
        with Load(plant) as load:
            add(plant, NEW.format(bundle="tiny-surface"))
            plant.consumer.command("config/reload")
            time.sleep(0.05)
            plant.daemon.kill()
            plant.daemon.start()
        until(lambda: plant.consumer.verdicts().keys() >= set(load.parts), "a verdict on every part", within_s=20)
        assert {len(plant.consumer.verdicts()[part]) for part in load.parts} == {1}
        assert plant.consumer.all_of("birth")[-1]["pipelines"] == ["surface", "life", "new"]
