"""The Debian package installs without a network, and its service lives under a real systemd."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.packaging.systemd_box import Box, booted, why_not

pytestmark = [pytest.mark.long, pytest.mark.skipif(bool(why_not()), reason=why_not() or "never")]

CONFIG = "/etc/edge-runtime/gateway.toml"
STORE = "/var/lib/edge-runtime/bundles"
PIPELINE = """
[[camera]]
id = "cam1"
topic = "plant/cam/cam1/frame"
format = "jpeg"
qos = 1
[[pipeline]]
id = "surface"
kind = "inspection"
bundle = "surface-defect"
cameras = ["cam1"]
"""


@pytest.fixture(scope="module")
def package(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, built from this checkout."""
    folder = tmp_path_factory.mktemp("deb")
    command = [sys.executable, str(project / "tools" / "build_deb.py"), "--out", str(folder)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=600)
    (built,) = folder.glob("*.deb")
    return built


@pytest.fixture(scope="module")
def gateway(package: Path, project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """A machine without a network on which the package is installed and its service runs."""
    with booted(tmp_path_factory.mktemp("machine")) as box:
        shutil.copy(package, box.share / "edge-runtime.deb")
        shutil.copy(project / "models/keys/release.pub.pem", box.share)
        shutil.copy(project / "models/surface-defect/surface-defect.edgebundle", box.share)
        box.run("dpkg", "-i", "/run/share/edge-runtime.deb")
        (box.share / "more.toml").write_text(PIPELINE)
        box.run("sh", "-c", f"cat /run/share/more.toml >> {CONFIG}")
        as_daemon = ("runuser", "-u", "edge-runtime", "--", "edge-runtime", "bundle")
        box.run(*as_daemon, "trust", "add", "/run/share/release.pub.pem", "--store", STORE)
        box.run(*as_daemon, "install", "/run/share/surface-defect.edgebundle", "--store", STORE)
        box.run("sh", "-c", "mosquitto -d -p 1883")
        box.run("systemctl", "enable", "--now", "edge-runtime")
        box.until("systemctl", "status", "edge-runtime", says="online; 1 of 1 pipelines")
        yield box


def shown(box: Box, name: str) -> str:
    """One property of the service."""
    return box.run("systemctl", "show", "--property", name, "--value", "edge-runtime").strip()


def test_files_of_the_package_are_all_verified_by_dpkg(gateway: Box) -> None:
    changed = gateway.run("dpkg", "--verify", "edge-runtime", check=False).splitlines()
    assert [line for line in changed if not line.endswith(CONFIG)] == []


def test_doctor_finds_no_fault_on_the_installed_machine(gateway: Box) -> None:
    assert "FAULT" not in gateway.run("edge-runtime", "doctor", CONFIG)


def test_worker_is_sandboxed_inside_of_the_units_own_sandbox(gateway: Box) -> None:
    assert "no_new_privs,rlimits,seccomp" in gateway.run("journalctl", "--unit", "edge-runtime", "--no-pager")


def test_main_loop_that_stands_still_is_restarted_by_the_watchdog(gateway: Box) -> None:
    gateway.run("mkdir", "-p", "/etc/systemd/system/edge-runtime.service.d")
    (gateway.share / "watchdog.conf").write_text("[Service]\nWatchdogSec=3\n")
    gateway.run("cp", "/run/share/watchdog.conf", "/etc/systemd/system/edge-runtime.service.d/")
    gateway.run("systemctl", "daemon-reload")
    gateway.run("systemctl", "restart", "edge-runtime")
    before = shown(gateway, "MainPID")
    gateway.run("kill", "-STOP", before)
    gateway.until("systemctl", "status", "edge-runtime", says="online; 1 of 1 pipelines")
    gateway.until("systemctl", "show", "--property", "NRestarts", "edge-runtime", says="NRestarts=1")
    assert shown(gateway, "MainPID") != before


def test_upgrade_restarts_the_service_and_keeps_the_configuration(gateway: Box) -> None:
    before = shown(gateway, "MainPID")
    gateway.run("dpkg", "-i", "/run/share/edge-runtime.deb")
    gateway.until("systemctl", "status", "edge-runtime", says="online; 1 of 1 pipelines")
    assert shown(gateway, "MainPID") != before


def test_faulty_configuration_ends_the_service_with_78_and_waits(gateway: Box) -> None:
    gateway.run("sh", "-c", f"echo 'bad = 1' >> {CONFIG}")
    gateway.run("systemctl", "restart", "edge-runtime", check=False)
    gateway.until("systemctl", "show", "--property", "ActiveState", "edge-runtime", says="failed")
    assert shown(gateway, "ExecMainStatus") == "78"


def test_purge_leaves_nothing_behind(gateway: Box) -> None:
    gateway.run("dpkg", "--purge", "edge-runtime")
    left = gateway.run(
        "sh", "-c", "ls -d /usr/lib/edge-runtime /var/*/edge-runtime /etc/edge-runtime 2>&1", check=False
    )
    assert [line for line in left.splitlines() if "No such file" not in line] == []
