"""A daemon starts, stops, is restarted, finds its broker away, and refuses what cannot work."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as paho
import psutil
import pytest

from tests.integration.certificates import Certificates
from tests.integration.conftest import MosquittoFactory
from tests.integration.daemon_rig import (
    COMMAND,
    SOURCES,
    Consumer,
    Daemon,
    Plant,
    Publisher,
    alive,
    running_plant,
    until,
)
from tests.integration.factory_inputs import block_times_ms, picture, samples
from tests.integration.mosquitto import Mosquitto

pytestmark = pytest.mark.broker

ONLINE_WITHIN_S = 3.0
STOPPED_WITHIN_S = 5.0


@pytest.fixture(scope="module")
def shared_plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """One plant for tests that stop and start its daemon."""
    with running_plant(tmp_path_factory.mktemp("lifecycle")) as running:
        yield running


@pytest.fixture
def plant(shared_plant: Plant) -> Plant:
    """The plant with a running daemon."""
    process = shared_plant.daemon.process
    if process is None or process.poll() is not None:
        shared_plant.daemon.start()
    return shared_plant


@pytest.fixture
def gateway(tmp_path: Path, mosquitto: Mosquitto) -> Iterator[Plant]:
    """A plant whose daemon has not started."""
    with Plant(mosquitto, Daemon(tmp_path / "gateway", mosquitto.port)) as standing:
        yield standing


def show_parts(plant: Plant, names: list[str]) -> None:
    """Publish one frame per part; the names are used once in a plant."""
    for number, name in enumerate(names):
        now_ms = round(time.time() * 1000)
        plant.publisher.publish("plant/cam/cam1/frame", picture(number), part=name, ts_ms=now_ms)


def refused(daemon: Daemon) -> tuple[int, str]:
    """Start a daemon that cannot work: exit code and what it says."""
    done = subprocess.run(
        [*COMMAND, "run", str(daemon.config)], capture_output=True, text=True, timeout=30, check=False
    )
    return done.returncode, done.stderr


def seconds_to_start(plant: Plant) -> float:
    """Stop the daemon, start it again, and give the time until it is ready."""
    plant.daemon.stop()
    began = time.monotonic()
    plant.daemon.start()
    return time.monotonic() - began


def test_daemon_is_online_within_three_seconds(plant: Plant) -> None:
    assert any(seconds_to_start(plant) < ONLINE_WITHIN_S for _ in range(3))


def test_sigterm_under_load_ends_the_daemon_within_five_seconds(plant: Plant) -> None:
    names = [f"stopped-{number}" for number in range(200)]
    show_parts(plant, names)
    until(lambda: names[0] in plant.consumer.verdicts(), "work in progress")
    assert plant.daemon.stop() < STOPPED_WITHIN_S


def test_stopped_daemon_says_so_and_not_offline(plant: Plant) -> None:
    plant.daemon.stop()
    until(lambda: plant.consumer.retained["availability"] == b"stopped", "availability says stopped")
    time.sleep(0.3)
    assert plant.consumer.retained["availability"] == b"stopped"


def test_killed_daemon_is_said_to_be_offline(plant: Plant) -> None:
    plant.daemon.kill()
    until(lambda: plant.consumer.retained["availability"] == b"offline", "the will")


def test_nothing_is_lost_over_a_stop_and_a_start_under_load(plant: Plant) -> None:
    names = [f"restarted-{number}" for number in range(200)]
    show_parts(plant, names)
    until(lambda: names[0] in plant.consumer.verdicts(), "work in progress")
    plant.daemon.stop()
    plant.daemon.start()
    until(lambda: plant.consumer.verdicts().keys() >= set(names), "every verdict", within_s=20)
    given = plant.consumer.verdicts()
    assert {len(given[name]) for name in names} == {1}


def test_no_process_is_left_after_a_stop(plant: Plant) -> None:
    family = [child.pid for child in psutil.Process(plant.daemon.pid).children(recursive=True)]
    plant.daemon.stop()
    assert len(family) >= 2
    assert alive(family) == []


def test_no_process_is_left_after_the_supervisor_was_killed(plant: Plant) -> None:
    family = [child.pid for child in psutil.Process(plant.daemon.pid).children(recursive=True)]
    plant.daemon.kill()
    assert len(family) >= 2
    until(lambda: not alive(family), "launcher and worker end with the supervisor", within_s=3)


def test_alarms_stand_after_a_restart(plant: Plant) -> None:
    for number, ts_ms in enumerate(block_times_ms(12)):
        plant.publisher.publish("plant/sensor/press1", samples(number).tobytes(), ts_ms=ts_ms)
    until(lambda: plant.consumer.all_of("alert/event"), "an alarm")
    time.sleep(0.5)
    before = plant.consumer.all_of("alert/summary")[-1]
    plant.daemon.kill()
    plant.daemon.start()
    until(lambda: plant.consumer.all_of("alert/summary")[-1]["timestamp_ms"] > before["timestamp_ms"], "a summary")
    after = plant.consumer.all_of("alert/summary")[-1]
    kept = ("active", "unacked", "max_severity")
    assert [after[name] for name in kept] == [before[name] for name in kept]


def test_broker_that_is_away_at_the_start_is_waited_for(tmp_path: Path, mosquitto: Mosquitto) -> None:
    mosquitto.stop()
    daemon = Daemon(tmp_path / "gateway", mosquitto.port)
    daemon.start(ready=False)
    time.sleep(0.5)
    mosquitto.start()
    with Plant(mosquitto, daemon) as plant:
        until(daemon.ready, "the daemon is ready")
        show_parts(plant, ["first"])
        until(lambda: "first" in plant.consumer.verdicts(), "a verdict")


def test_events_of_an_outage_arrive_after_it_and_say_so(plant: Plant) -> None:
    names = {f"during-{number}" for number in range(200)}
    show_parts(plant, sorted(names))
    until(lambda: names & plant.consumer.verdicts().keys(), "work in progress")
    plant.broker.kill()
    until(lambda: plant.daemon.page("ready")[0] == 503, "the link is gone")
    time.sleep(0.3)
    plant.broker.start()
    plant.publisher.flush()
    show_parts(plant, ["after-the-outage"])
    until(lambda: "after-the-outage" in plant.consumer.verdicts(), "a verdict after the outage", within_s=20)
    assert plant.consumer.recover(plant.daemon) == set()
    assert any(event["buffered"] for event in plant.consumer.events.values())


def test_events_that_the_broker_lacked_are_sent_after_a_restart(plant: Plant) -> None:
    names = [f"unsent-{number}" for number in range(600)]
    show_parts(plant, names)
    until(lambda: names[0] in plant.consumer.verdicts(), "work in progress")
    plant.broker.kill()
    until(lambda: plant.daemon.page("ready")[0] == 503, "the link is gone")
    time.sleep(0.5)
    plant.daemon.kill()
    unsent = plant.daemon.committed(unsent=True)
    plant.broker.start()
    plant.daemon.start()
    until(lambda: unsent.keys() <= plant.consumer.events.keys(), "events of the boot before")
    assert unsent
    assert all(plant.consumer.events[event_id]["buffered"] for event_id in unsent)


def test_daemon_over_mqtt_3_1_1_takes_envelopes(tmp_path: Path, mosquitto: Mosquitto) -> None:
    daemon = Daemon(tmp_path / "gateway", mosquitto.port, broker='protocol = "3.1.1"')
    with Plant(mosquitto, daemon) as plant:
        daemon.start()
        older = plant.join(Publisher(mosquitto, "older", version=paho.MQTTv311))
        older.publish("plant/cam/cam1/frame", picture(4), part="enveloped", ts_ms=round(time.time() * 1000))
        until(lambda: "enveloped" in plant.consumer.verdicts(), "a verdict")
        assert plant.consumer.verdicts()["enveloped"][0]["verdict"] == "ok"


def test_source_that_was_taken_out_of_the_configuration_is_counted(gateway: Plant) -> None:
    gateway.daemon.start().stop()
    without = SOURCES.replace('["press1", "press2"]', '["press1"]')
    first, last = without.index('[[sensor]]\nid = "press2"'), without.index("[[pipeline]]")
    daemon = Daemon(gateway.daemon.folder, gateway.broker.port, without[:first] + without[last:])
    gateway.publisher.publish("plant/sensor/press2", b"[]", wait=True)
    gateway.daemon = daemon
    daemon.start()
    until(lambda: daemon.dropped("unknown", "unknown_topic") == 1, "it is counted")


def test_second_daemon_on_one_state_folder_is_refused(plant: Plant) -> None:
    second = Daemon(plant.daemon.folder, plant.broker.port, file="second.toml")
    code, said = refused(second)
    assert (code, said.count("\n"), "another edge-runtime uses this state folder" in said) == (5, 1, True)


def test_first_daemon_goes_on_when_a_second_is_refused(plant: Plant) -> None:
    refused(Daemon(plant.daemon.folder, plant.broker.port, file="second.toml"))
    show_parts(plant, ["undisturbed"])
    until(lambda: "undisturbed" in plant.consumer.verdicts(), "a verdict")


def test_configuration_with_faults_is_refused_with_all_of_them(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path / "gateway", 1, SOURCES.replace("qos = 1", "qos = 7").replace("16.0", '"16"'))
    code, said = refused(daemon)
    assert (code, "$.camera[0].qos" in said, said.count("rate_hz")) == (78, True, 2)


def test_port_that_is_taken_is_refused_with_what_to_do(plant: Plant, tmp_path: Path) -> None:
    second = Daemon(tmp_path / "second", plant.broker.port)
    text = second.config.read_text()
    second.config.write_text(text.replace(f"port = {second.http_port}", f"port = {plant.daemon.http_port}"))
    code, said = refused(second)
    assert (code, "[http]" in said) == (5, True)


def test_tls_broker_is_spoken_to(
    tmp_path: Path, mosquitto_factory: MosquittoFactory, certificates: Certificates
) -> None:
    broker = mosquitto_factory(certificates=certificates)
    daemon = Daemon(tmp_path / "gateway", broker.port, broker=f'tls = {{ ca_file = "{certificates.ca_file}" }}')
    with Plant(broker, daemon) as plant:
        daemon.start()
        show_parts(plant, ["over-tls"])
        until(lambda: "over-tls" in plant.consumer.verdicts(), "a verdict")


def test_broker_with_a_certificate_that_nobody_vouches_for_is_not_spoken_to(
    tmp_path: Path, mosquitto_factory: MosquittoFactory, certificates: Certificates
) -> None:
    broker = mosquitto_factory(certificates=certificates)
    daemon = Daemon(tmp_path / "gateway", broker.port, broker="tls = {}")
    try:
        daemon.start(ready=False)
        until(lambda: "TLS with the broker" in daemon.log.read_text(), "a complaint")
        assert daemon.page("ready")[0] == 503
    finally:
        daemon.end()


def test_latecomer_after_a_restart_finds_birth_and_health_of_the_present_boot(plant: Plant) -> None:
    plant.daemon.kill()
    plant.daemon.start()
    until(lambda: len({each["boot_id"] for each in plant.consumer.all_of("health")}) > 1, "two boots")
    time.sleep(0.3)
    late = plant.join(Consumer(plant.broker, "late"))
    until(lambda: "birth" in late.retained and "health" in late.retained, "birth and health")
    assert json.loads(late.retained["birth"])["boot_id"] == json.loads(late.retained["health"])["boot_id"]


def test_service_manager_hears_when_the_daemon_is_ready_alive_and_leaving(
    tmp_path: Path, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(tmp_path / "notify"))
        ear.settimeout(10.0)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "600000")
        with Plant(mosquitto, Daemon(tmp_path / "gateway", mosquitto.port)) as plant:
            plant.daemon.start()
            words = [ear.recv(4096).decode()]
            while "STATUS=online; 2 of 2 pipelines; 0 events wait\nWATCHDOG=1" not in words:
                words.append(ear.recv(4096).decode())
            plant.daemon.stop()
            while words[-1] != "STOPPING=1":
                words.append(ear.recv(4096).decode())
    assert words[0] == "READY=1"
