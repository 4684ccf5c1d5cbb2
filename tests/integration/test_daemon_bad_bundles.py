"""Bad bundles: each is refused with one clear error, and a running daemon and its other pipelines do not notice."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_runtime.bundle.reader import read_bundle
from edge_runtime.bundle.signature import public_pem
from edge_runtime.bundle.store import BundleStore
from tests.bundles import (
    STRANGER,
    TRUSTED,
    TinyModel,
    image_bundle,
    sign_tiny,
    window_bundle,
    window_model,
)
from tests.integration.daemon_rig import COMMAND, SOURCES, Daemon, Plant, running_plant, until
from tests.integration.factory_inputs import picture
from tests.integration.hanging_bundle import ANY, hanging_bundle
from tests.integration.mosquitto import Mosquitto

pytestmark = pytest.mark.broker

HANGING = """
[[camera]]
id = "endless"
topic = "plant/cam/endless/frame"
format = "jpeg"
[[pipeline]]
id = "endless"
kind = "inspection"
bundle = "tiny-endless"
cameras = ["endless"]
"""
#: Loads and runs, and corrupts the memory of the process.
ABORTS = "models/tflite-micro/keyword_scrambled_8bit.tflite"


def flipped(data: bytes, at: float) -> bytes:
    """The same bundle with one bit flipped, at a fraction of its length."""
    damaged = bytearray(data)
    damaged[int(at * (len(data) - 1))] ^= 0x10
    return bytes(damaged)


def aborting_bundle(shared_data: Path) -> bytes:
    """A signed bundle whose model file ends the process that loads it."""
    members = {**window_model().members, "model.tflite": (shared_data / ABORTS).read_bytes()}
    return sign_tiny(TinyModel(window_model().manifest, members), release=7)


BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "flipped in the archive's beginning": (lambda: flipped(image_bundle(release=3), 0.0), ""),
    "flipped in the middle": (lambda: flipped(image_bundle(release=3), 0.5), ""),
    "flipped at the end": (lambda: flipped(image_bundle(release=3), 1.0), ""),
    "signed by a stranger": (lambda: image_bundle(key=STRANGER, release=3), "trust"),
    "older than installed": (image_bundle, "release"),
    "cut off": (lambda: image_bundle(release=3)[:-100], ""),
    "empty": (lambda: b"", ""),
    "no bundle": (lambda: b"PK\x03\x04" + bytes(200), ""),
}


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """A plant that runs while bundles are refused beside it."""
    with running_plant(tmp_path_factory.mktemp("bundles")) as running:
        assert install(running, image_bundle(release=2)).returncode == 0
        yield running


def install(plant: Plant, data: bytes) -> subprocess.CompletedProcess[str]:
    """Try to install a bundle into the running daemon's store."""
    file = plant.daemon.folder / "offered.edgebundle"
    file.write_bytes(data)
    store = str(plant.daemon.folder / "bundles")
    command = [*COMMAND, "bundle", "install", "--store", store, str(file)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("kind", BAD)
def test_bad_bundle_is_refused_with_one_clear_error(plant: Plant, kind: str) -> None:
    make, word = BAD[kind]
    done = install(plant, make())
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith("error: ")
    assert word in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.shared_data
def test_model_that_aborts_the_process_is_refused_with_one_clear_error(plant: Plant, shared_data: Path) -> None:
    done = install(plant, aborting_bundle(shared_data))
    assert done.returncode == 4
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr


def test_refused_bundles_leave_the_running_daemon_alone(plant: Plant) -> None:
    install(plant, image_bundle(key=STRANGER, release=2))
    plant.publisher.publish("plant/cam/cam1/frame", picture(4), part="after")
    until(lambda: "after" in plant.consumer.verdicts(), "a verdict")
    (verdict,) = plant.consumer.verdicts()["after"]
    running = read_bundle(image_bundle(), TRUSTED).digest
    assert (verdict["verdict"], verdict["model_sha256"]) == ("ok", running)


def installed_file(store: BundleStore, name: str) -> Path:
    """Where the store keeps the active bundle of a name."""
    return store.root / "bundles" / f"{store.load(name).digest}.edgebundle"


@pytest.fixture
def gateway(tmp_path: Path, mosquitto: Mosquitto) -> Iterator[Daemon]:
    """A gateway that has not started yet."""
    daemon = Daemon(tmp_path / "gateway", mosquitto.port)
    yield daemon
    daemon.end()


def status_of(daemon: Daemon, mosquitto: Mosquitto) -> tuple[str, str]:
    """Start it, and give what it says of the pipeline on sensors, and of the one on cameras."""
    with Plant(mosquitto, daemon) as plant:
        daemon.start()
        statuses = plant.consumer.all_of
        until(lambda: statuses("pipe/life/status")[-1]["status"] == "failed", "one pipeline has failed")
        until(lambda: statuses("pipe/surface/status")[-1]["status"] == "running", "the other runs")
        plant.publisher.publish("plant/cam/cam1/frame", picture(4), part="goes-on")
        until(lambda: "goes-on" in plant.consumer.verdicts(), "a verdict")
        failed = statuses("pipe/life/status")[-1]["reason"]
        return failed, plant.consumer.verdicts()["goes-on"][0]["verdict"]


def test_bundle_that_rots_in_the_store_stops_only_its_pipeline(gateway: Daemon, mosquitto: Mosquitto) -> None:
    path = installed_file(BundleStore(gateway.folder / "bundles"), "tiny-life")
    path.write_bytes(flipped(path.read_bytes(), 0.5))
    reason, verdict = status_of(gateway, mosquitto)
    assert (bool(reason), verdict) == (True, "ok")


def test_bundle_whose_signer_is_trusted_no_longer_stops_only_its_pipeline(
    gateway: Daemon, mosquitto: Mosquitto
) -> None:
    store = BundleStore(gateway.folder / "bundles")
    other = window_bundle(key=STRANGER, release=2)
    store.trust.add(public_pem(STRANGER))
    store.install(read_bundle(other, store.trust.keys()), activate=True)
    store.trust.remove(read_bundle(other, store.trust.keys()).key_id)
    reason, verdict = status_of(gateway, mosquitto)
    assert ("trust" in reason, verdict) == (True, "ok")


@pytest.mark.shared_data
def test_model_that_corrupts_memory_stops_only_its_pipeline(
    gateway: Daemon, mosquitto: Mosquitto, shared_data: Path
) -> None:
    data = aborting_bundle(shared_data)
    BundleStore(gateway.folder / "bundles").install(read_bundle(data, TRUSTED), activate=True)
    reason, verdict = status_of(gateway, mosquitto)
    assert (bool(reason), verdict) == (True, "ok")


@pytest.mark.slow
def test_model_that_hangs_while_it_is_loaded_stops_only_its_pipeline(tmp_path: Path, mosquitto: Mosquitto) -> None:
    sources = f"{SOURCES}{HANGING}"
    daemon = Daemon(tmp_path / "gateway", mosquitto.port, sources, settings="[worker]\nstart_timeout_s = 3")
    bundle = hanging_bundle(ANY, name="tiny-endless")
    BundleStore(daemon.folder / "bundles").install(read_bundle(bundle, TRUSTED), activate=True)
    with Plant(mosquitto, daemon) as plant:
        daemon.start()
        plant.publisher.publish("plant/cam/cam1/frame", picture(4), part="goes-on")
        until(lambda: "goes-on" in plant.consumer.verdicts(), "a verdict")
        (status, *_) = plant.consumer.all_of("pipe/endless/status")[::-1]
    assert (status["status"], "worker down twice" in status["reason"]) == ("failed", True)
