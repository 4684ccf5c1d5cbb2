"""``edge-runtime doctor`` on a healthy gateway and on sick ones."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.daemon_rig import COMMAND, Daemon, Plant
from tests.integration.mosquitto import Mosquitto, free_port

pytestmark = pytest.mark.broker


@pytest.fixture
def plant(tmp_path: Path, mosquitto: Mosquitto) -> Iterator[Plant]:
    """A plant whose daemon ran once."""
    with Plant(mosquitto, Daemon(tmp_path / "gateway", mosquitto.port)) as standing:
        standing.daemon.start()
        standing.daemon.stop()
        yield standing


def doctor(daemon: Daemon) -> tuple[int, dict[str, tuple[str, str]]]:
    """Exit code, and level and text by subject."""
    done = subprocess.run(
        [*COMMAND, "doctor", str(daemon.config), "--json"], capture_output=True, text=True, timeout=60, check=False
    )
    found = json.loads(done.stdout)["found"]
    return done.returncode, {line["subject"]: (line["level"], line["text"]) for line in found}


def faults(found: dict[str, tuple[str, str]]) -> list[str]:
    """Subjects with a fault."""
    return [subject for subject, (level, _) in found.items() if level == "fault"]


def test_healthy_gateway_has_no_fault(plant: Plant) -> None:
    code, found = doctor(plant.daemon)
    assert (code, faults(found)) == (0, [])
    assert found["outbox"] == ("ok", "whole; the broker has everything")


def test_running_daemon_is_seen_and_not_disturbed(plant: Plant) -> None:
    plant.daemon.start()
    code, found = doctor(plant.daemon)
    assert (code, faults(found)) == (0, [])
    assert found["daemon"][0] == "ok"
    assert "http" not in found
    assert plant.daemon.ready()


def test_broker_that_is_away_is_a_fault_of_the_environment(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path / "gateway", free_port())
    code, found = doctor(daemon)
    assert (code, faults(found)) == (5, ["broker"])


def test_bundle_of_a_stranger_is_refused_by_name(plant: Plant) -> None:
    for key in (plant.daemon.folder / "bundles" / "trust").glob("*.pem"):
        key.unlink()
    code, found = doctor(plant.daemon)
    assert (code, faults(found)) == (4, ["pipeline surface", "pipeline life"])


def test_damaged_outbox_is_a_fault_that_says_what_happens_next(plant: Plant) -> None:
    outbox = plant.daemon.folder / "state" / "outbox.sqlite"
    content = bytearray(outbox.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    outbox.write_bytes(content)
    code, found = doctor(plant.daemon)
    assert (code, faults(found)) == (5, ["outbox"])
    assert "sets it aside" in found["outbox"][1]


def test_port_of_another_program_is_a_fault_that_names_the_key(plant: Plant) -> None:
    with socket.create_server(("127.0.0.1", plant.daemon.http_port)):
        code, found = doctor(plant.daemon)
    assert (code, faults(found)) == (5, ["http"])
    assert "[http] port" in found["http"][1]
