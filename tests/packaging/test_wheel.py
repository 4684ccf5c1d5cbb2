"""The wheel holds our packages and nothing else, and its commands run where it is installed."""

from __future__ import annotations

import resource
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from edge_runtime import __version__

OURS = ("edge_runtime/", "firmware_bridge/")
MAX_WHEEL_BYTES = 4 << 20
COMMANDS = ("edge-runtime", "compress", "edge-compress", "edge-firmware")


def run(*command: str, cwd: Path | None = None) -> str:
    """Run a program to its good end and give what it printed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory, project: Path) -> Path:
    """The wheel, built from this checkout with the build backend that is installed here."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder), cwd=project)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def members(wheel: Path) -> list[str]:
    """Names of the files in the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel alone; what it depends on is lent by this one."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", str(folder))
    python = folder / "bin" / "python"
    options = ("--no-deps", "--no-index", "--quiet", "--disable-pip-version-check")
    run(sys.executable, "-m", "pip", "--python", str(python), "install", *options, str(wheel))
    site = Path(run(str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    (site / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder


def test_wheel_holds_our_packages_and_nothing_else(members: list[str]) -> None:
    strange = [name for name in members if not name.startswith(OURS) and ".dist-info/" not in name]
    assert strange == []


@pytest.mark.parametrize("package", OURS)
def test_wheel_says_that_its_packages_are_typed(members: list[str], package: str) -> None:
    assert f"{package}py.typed" in members


def test_wheel_holds_every_module(members: list[str], project: Path) -> None:
    tracked = run("git", "ls-files", *OURS, cwd=project).split()
    assert [name for name in tracked if name.endswith(".py") and name not in members] == []


def test_wheel_holds_no_caches_keys_or_databases(members: list[str]) -> None:
    secret = [name for name in members if name.endswith(".pem") and not name.endswith(".pub.pem")]
    assert secret == []
    assert [name for name in members if name.endswith((".pyc", ".nbi", ".nbc", ".sqlite"))] == []


def test_wheel_stays_small(wheel: Path) -> None:
    assert wheel.stat().st_size < MAX_WHEEL_BYTES


def test_installed_package_comes_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    where = run(
        str(installed / "bin" / "python"), "-c", "import edge_runtime; print(edge_runtime.__file__)", cwd=tmp_path
    )
    assert where.startswith(str(installed))


@pytest.mark.parametrize("command", COMMANDS)
def test_installed_command_shows_its_help(installed: Path, tmp_path: Path, command: str) -> None:
    assert "Usage:" in run(str(installed / "bin" / command), "--help", cwd=tmp_path)


def test_installed_command_tells_its_version(installed: Path, tmp_path: Path) -> None:
    assert __version__ in run(str(installed / "bin" / "edge-runtime"), "--version", cwd=tmp_path)


@pytest.mark.parametrize("command", ["edge-runtime", "compress", "edge-firmware"])
def test_help_comes_within_twelve_starts_of_the_interpreter(installed: Path, tmp_path: Path, command: str) -> None:
    python, program = str(installed / "bin" / "python"), str(installed / "bin" / command)
    run(program, "--help", cwd=tmp_path)
    bare = min(cpu_seconds(python, "-c", "pass") for _ in range(5))
    shown = min(cpu_seconds(program, "--help") for _ in range(5))
    assert shown < 12 * bare


def cpu_seconds(*command: str) -> float:
    """CPU time of a program; others on the machine do not count."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run(*command)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
