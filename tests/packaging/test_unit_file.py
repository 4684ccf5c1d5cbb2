"""The systemd unit: what it promises, judged by systemd's own tools where they are."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

MAX_EXPOSURE = 2.0


@pytest.fixture(scope="session")
def unit(project: Path) -> Path:
    """The unit file."""
    return project / "deploy" / "systemd" / "edge-runtime.service"


def settings(unit: Path) -> dict[str, list[str]]:
    """Values by key; a key may come several times."""
    found: dict[str, list[str]] = {}
    for line in unit.read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def test_kernel_cache_lies_in_a_folder_that_the_daemon_may_write(unit: Path) -> None:
    (environment,) = settings(unit)["Environment"]
    cache = re.search(r"NUMBA_CACHE_DIR=(\S+)", environment)
    assert cache is not None
    assert cache[1].startswith("/var/cache/" + settings(unit)["CacheDirectory"][0] + "/")


def test_faulty_configuration_waits_for_a_person_and_everything_else_restarts(unit: Path) -> None:
    assert settings(unit)["Restart"] == ["always"]
    assert settings(unit)["RestartPreventExitStatus"] == ["78"]
    assert settings(unit)["StartLimitIntervalSec"] == ["0"]


def test_clock_may_be_read_and_the_processor_be_known(unit: Path) -> None:
    # adjtimex tells the clock's quality, /proc/cpuinfo the instruction set of golden outputs.
    assert "ProtectClock" not in settings(unit)
    assert "ProcSubset" not in settings(unit)
    assert "adjtimex" in settings(unit)["SystemCallFilter"][-1].split()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not on this machine")
def test_systemd_rates_the_exposure_as_low(unit: Path) -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)]
    rated = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    overall = re.search(r"Overall exposure level.*: ([\d.]+)", rated.stdout)
    assert overall is not None, rated.stdout + rated.stderr
    assert float(overall[1]) <= MAX_EXPOSURE
