"""A configuration and bundles that change while the daemon runs under load: no input is lost or judged twice."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from edge_runtime.bundle.reader import read_bundle
from edge_runtime.bundle.store import BundleStore
from tests.bundles import TRUSTED, TinyModel, image_bundle, image_model, sign_tiny
from tests.integration.daemon_rig import Plant, running_plant, until
from tests.integration.factory_inputs import picture, samples

pytestmark = pytest.mark.broker

EXTRA = """
[[camera]]
id = "late"
topic = "plant/cam/late/frame"
format = "jpeg"
qos = 1
[[pipeline]]
id = "extra"
kind = "inspection"
bundle = "tiny-surface"
cameras = ["late"]
"""
PICTURES = [picture(number) for number in range(8)]


class Load:
    """Pictures with a part each, 30 a second, and blocks of a sensor, at QoS 1, until it is left."""

    def __init__(self, plant: Plant) -> None:
        self._plant = plant
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._publish)
        self.parts: list[str] = []
        self.n_blocks = 0

    def __enter__(self) -> Self:
        self._thread.start()
        until(lambda: len(self._plant.consumer.verdicts()) > 2, "the load arrives")
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._plant.publisher.flush()

    def _publish(self) -> None:
        name, publisher = f"load{time.monotonic_ns()}", self._plant.publisher
        for number in range(3000):
            if self._over.wait(1 / 30):
                return
            part = f"{name}-{number}"
            publisher.publish("plant/cam/cam1/frame", PICTURES[number % 8], part=part)
            self.parts.append(part)
            if number % 10 == 0:
                publisher.publish("plant/sensor/press1", samples(number).tobytes())
                self.n_blocks += 1


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    with running_plant(tmp_path_factory.mktemp("reload")) as plant:
        yield plant


@pytest.fixture
def plant(running: Plant) -> Iterator[Plant]:
    """A plant whose configuration is as at its start, before the test and after it."""
    text = running.daemon.config.read_text()
    yield running
    running.daemon.config.write_text(text)
    assert reload(running)["ok"]


def reload(plant: Plant) -> dict[str, Any]:
    """Have the configuration read again; gives the reply."""
    command = plant.consumer.command("config/reload")
    until(lambda: f"reply/{command}" in plant.consumer.retained, "a reply", within_s=20)
    return plant.consumer.reply(command)


def rewrite(plant: Plant, old: str, new: str) -> None:
    text = plant.daemon.config.read_text()
    assert old in text
    plant.daemon.config.write_text(text.replace(old, new))


def assert_judged_once(plant: Plant, load: Load, n_blocks_before: float) -> None:
    """Every part has one verdict that inspection gave, and every block was processed."""
    until(lambda: plant.consumer.verdicts().keys() >= set(load.parts), "a verdict on every part", within_s=20)
    verdicts = [plant.consumer.verdicts()[part] for part in load.parts]
    assert {len(each) for each in verdicts} == {1}
    assert [each[0]["reasons"] for each in verdicts if "no_answer" in each[0]["reasons"]] == []
    until(lambda: blocks(plant) == n_blocks_before + load.n_blocks, "every block is processed")


def blocks(plant: Plant) -> float:
    return plant.daemon.metric("edge_processed_total", source="press1")


def test_nothing_is_lost_while_pipelines_rules_and_sources_come_and_go(plant: Plant) -> None:
    before = blocks(plant)
    original = plant.daemon.config.read_text()
    with Load(plant) as load:
        replies = []
        for change in (EXTRA, "[outbox]\ndrain_per_s = 500.0\n", EXTRA.replace("late", "later")):
            plant.daemon.config.write_text(f"{original}\n{change}")
            replies.append(reload(plant))
        rewrite(plant, 'bundle = "tiny-surface"', 'bundle = "tiny-surface"\nrule = [{ label = "*", raise_at = 0.9 }]')
        replies.append(reload(plant))
        rewrite(plant, '{ name = "vibration" }', '{ name = "vibration", scale = 2.0 }')
        replies.append(reload(plant))
    assert [(reply["ok"], reply["reason"]) for reply in replies] == [(True, "")] * 5
    assert_judged_once(plant, load, before)


def test_a_new_source_and_pipeline_work_at_once(plant: Plant) -> None:
    plant.daemon.config.write_text(plant.daemon.config.read_text() + EXTRA)
    reply = reload(plant)
    plant.publisher.publish("plant/cam/late/frame", PICTURES[0], part="of-the-new-one")
    until(lambda: "of-the-new-one" in plant.consumer.verdicts(), "a verdict of the new pipeline")
    assert "$.pipeline[extra] (new)" in reply["text"]
    assert '"running"' in plant.consumer.retained["pipe/extra/status"].decode()


def test_birth_tells_the_new_configuration(plant: Plant) -> None:
    (before,) = plant.consumer.all_of("birth")[-1:]
    plant.daemon.config.write_text(plant.daemon.config.read_text() + EXTRA)
    reload(plant)
    until(lambda: "extra" in plant.consumer.all_of("birth")[-1]["pipelines"], "a birth with the new pipeline")
    after = plant.consumer.all_of("birth")[-1]
    assert (after["boot_id"], after["config_sha256"] != before["config_sha256"]) == (before["boot_id"], True)


def test_what_a_gone_pipeline_said_is_emptied(plant: Plant) -> None:
    plant.daemon.config.write_text(plant.daemon.config.read_text() + EXTRA)
    reload(plant)
    until(lambda: plant.consumer.retained.get("pipe/extra/status"), "its status")
    plant.daemon.config.write_text(plant.daemon.config.read_text().replace(EXTRA, ""))
    reload(plant)
    until(lambda: plant.consumer.retained["pipe/extra/status"] == b"", "an empty status")


def test_a_faulty_file_changes_nothing_and_every_fault_is_told(plant: Plant) -> None:
    n_births = len(plant.consumer.all_of("birth"))
    rewrite(plant, 'format = "jpeg"', 'format = "bmp"')
    rewrite(plant, "rate_hz = 16.0", 'rate_hz = "fast"')
    reply = reload(plant)
    assert (reply["ok"], reply["reason"]) == (False, "invalid_config")
    assert all(path in reply["text"] for path in ("$.camera[0].format", "$.camera[1].format", "$.sensor[0].rate_hz"))
    assert len(plant.consumer.all_of("birth")) == n_births


def test_what_needs_a_restart_is_named_and_the_rest_is_done(plant: Plant) -> None:
    rewrite(plant, "reconnect_min_s = 0.05", "reconnect_min_s = 0.06")
    plant.daemon.config.write_text(plant.daemon.config.read_text() + EXTRA)
    reply = reload(plant)
    assert reply["ok"]
    assert "as before until a restart: $.broker.reconnect_min_s" in reply["text"]
    assert "$.camera[late] (new)" in reply["text"]


def test_an_unchanged_file_changes_nothing(plant: Plant) -> None:
    worker = plant.daemon.worker_pid()
    assert reload(plant)["text"] == "nothing differs"
    assert plant.daemon.worker_pid() == worker


def test_the_hang_up_signal_reads_the_file_again(plant: Plant) -> None:
    plant.daemon.config.write_text(plant.daemon.config.read_text() + EXTRA)
    os.kill(plant.daemon.pid, signal.SIGHUP)
    until(lambda: plant.consumer.retained.get("pipe/extra/status"), "its status")


def store(plant: Plant) -> BundleStore:
    return BundleStore(plant.daemon.folder / "bundles")


def test_a_bundle_that_was_installed_beside_runs_after_a_reload_and_nothing_is_lost(plant: Plant) -> None:
    before = blocks(plant)
    with Load(plant) as load:
        store(plant).install(read_bundle(image_bundle(release=2, version="2.0.0"), TRUSTED), activate=True)
        reply = reload(plant)
    assert "surface runs tiny-surface 2.0.0 (was 1.0.0)" in reply["text"]
    until(lambda: b"2.0.0" in plant.consumer.retained["model/tiny-surface/installed"], "the new model is told")
    assert_judged_once(plant, load, before)


def test_a_bundle_that_does_not_come_up_leaves_the_old_one_running_and_nothing_is_lost(plant: Plant) -> None:
    before, version = blocks(plant), status(plant)["model_version"]
    release = store(plant).active("tiny-surface")
    assert release is not None
    bad = TinyModel(image_model().manifest, {**image_model().members, "model.tflite": b"no model at all"})
    with Load(plant) as load:
        store(plant).install(read_bundle(sign_tiny(bad, release=9, version="9.0.0"), TRUSTED), activate=True)
        reply = reload(plant)
        store(plant).activate("tiny-surface", release.release)
    assert (reply["ok"], reply["reason"]) == (False, "swap_failed")
    until(lambda: "goes on with tiny-surface" in status(plant)["reason"], "the reason is told")
    assert (status(plant)["status"], status(plant)["model_version"]) == ("running", version)
    assert_judged_once(plant, load, before)


def status(plant: Plant, name: str = "surface") -> dict[str, Any]:
    return plant.consumer.all_of(f"pipe/{name}/status")[-1]


def test_a_present_worker_that_is_killed_during_a_reload_costs_nothing(plant: Plant) -> None:
    before = blocks(plant)
    with Load(plant) as load:
        plant.daemon.config.write_text(plant.daemon.config.read_text() + EXTRA)
        command = plant.consumer.command("config/reload")
        worker = plant.daemon.worker_pid()
        assert worker is not None
        os.kill(worker, signal.SIGKILL)
        assert plant.consumer.reply(command)["ok"]
    assert_judged_once(plant, load, before)


def test_a_stopped_pipeline_stays_stopped_until_it_is_started(tmp_path: Path) -> None:
    with running_plant(tmp_path) as plant:
        reply = plant.consumer.reply(plant.consumer.command("pipe/stop", pipeline="surface"))
        assert reply["ok"]
        until(lambda: status(plant)["status"] == "stopped", "it is told")
        plant.publisher.publish("plant/cam/cam1/frame", PICTURES[0], part="unseen", wait=True)
        until(lambda: plant.daemon.dropped("cam1", "pipeline_stopped") == 1, "it is counted")
        plant.daemon.stop()
        plant.daemon.start()
        until(lambda: status(plant)["status"] == "stopped", "it is told after the restart")
        assert plant.daemon.metric("edge_received_total", source="cam1") == 0
        assert plant.consumer.reply(plant.consumer.command("pipe/start", pipeline="surface"))["ok"]
        plant.publisher.publish("plant/cam/cam1/frame", PICTURES[0], part="seen")
        until(lambda: "seen" in plant.consumer.verdicts(), "a verdict")
        assert "unseen" not in plant.consumer.verdicts()


def test_a_pipeline_that_is_not_configured_cannot_be_stopped(plant: Plant) -> None:
    reply = plant.consumer.reply(plant.consumer.command("pipe/stop", pipeline="nobody"))
    assert (reply["ok"], reply["reason"]) == (False, "unknown_pipeline")
