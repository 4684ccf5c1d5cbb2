"""What the daemon tells the service manager that started it, heard on a real datagram socket."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_runtime.daemon.service import ServiceManager, find_service_manager

PID = 4711


class Ear:
    """The manager's end of the socket."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.setblocking(False)

    def words(self) -> list[str]:
        """Everything that was said since the last call, one text per datagram."""
        heard = []
        while True:
            try:
                heard.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return heard


@pytest.fixture
def ear(tmp_path: Path) -> Iterator[Ear]:
    """A manager that listens."""
    listening = Ear(tmp_path / "notify")
    yield listening
    listening.socket.close()


def manager(ear: Ear, **environment: str) -> ServiceManager:
    """The daemon's side, as the environment asks for it."""
    return find_service_manager({"NOTIFY_SOCKET": str(ear.path), **environment}, PID)


def test_readiness_and_leaving_are_told(ear: Ear) -> None:
    service = manager(ear)
    service.ready()
    service.stopping()
    service.close()
    assert ear.words() == ["READY=1", "STOPPING=1"]


def test_watchdog_is_fed_three_times_per_interval(ear: Ear) -> None:
    service = manager(ear, WATCHDOG_USEC="30000000", WATCHDOG_PID=str(PID))
    for second in range(30):
        service.alive(100.0 + second, "online")
    service.close()
    assert ear.words() == ["STATUS=online\nWATCHDOG=1"] * 3


def test_watchdog_of_another_process_is_not_fed(ear: Ear) -> None:
    service = manager(ear, WATCHDOG_USEC="30000000", WATCHDOG_PID="1")
    service.alive(100.0, "online")
    service.close()
    assert ear.words() == ["STATUS=online"]


@pytest.mark.parametrize("usec", ["", "many", "0", "-5"])
def test_watchdog_interval_that_is_none_means_no_watchdog(ear: Ear, usec: str) -> None:
    service = manager(ear, WATCHDOG_USEC=usec)
    service.alive(0.0, "online")
    service.close()
    assert ear.words() == ["STATUS=online"]


def test_status_stays_one_short_line(ear: Ear) -> None:
    service = manager(ear)
    service.alive(0.0, "a\nREADY=1 " + "x" * 500)
    service.close()
    (line,) = ear.words()
    assert "\n" not in line
    assert len(line) <= len("STATUS=") + 200


def test_reload_is_told_with_its_time(ear: Ear) -> None:
    service = manager(ear)
    service.reloading(12.5)
    service.close()
    assert ear.words() == ["RELOADING=1\nMONOTONIC_USEC=12500000"]


def test_next_word_is_due_when_the_interval_is_over(ear: Ear) -> None:
    service = manager(ear, WATCHDOG_USEC="3000000")
    service.alive(10.0, "")
    assert service.due_in(10.25) == pytest.approx(0.75)
    service.close()
    assert service.due_in(10.25) is None


def test_manager_that_does_not_listen_holds_nobody_up(tmp_path: Path) -> None:
    service = find_service_manager({"NOTIFY_SOCKET": str(tmp_path / "nobody")}, PID)
    service.ready()
    service.alive(0.0, "online")
    service.close()


def test_manager_whose_queue_is_full_holds_nobody_up(ear: Ear) -> None:
    service = manager(ear)
    for _ in range(2000):
        service.ready()
    service.close()
    assert ear.words()


@pytest.mark.parametrize("address", ["", "relative/path"])
def test_without_an_address_nothing_is_told(address: str) -> None:
    service = find_service_manager({"NOTIFY_SOCKET": address}, PID)
    service.ready()
    assert service.due_in(0.0) is None


def test_abstract_address_is_understood() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        name = f"edge-runtime-test-{id(listening)}"
        listening.bind("\0" + name)
        service = find_service_manager({"NOTIFY_SOCKET": "@" + name}, PID)
        service.ready()
        service.close()
        assert listening.recv(64) == b"READY=1"
