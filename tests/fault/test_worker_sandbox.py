"""What a confined process can still do, tried out by one: as root, as another user, and as root without privileges."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fault.workers import alive, wait_for

PRISONER = Path(__file__).with_name("prisoner.py")
STRANGER = 12_345
WHO = ["as it is", "as another user", "as root without privileges"]


@pytest.fixture(scope="module", params=WHO)
def told(request: pytest.FixtureRequest, project: Path) -> Iterator[dict[str, Any]]:
    """What one prisoner said, and the folder in which it could do everything before."""
    is_root = os.geteuid() == 0
    if request.param != "as it is" and not is_root:
        pytest.skip("only root can become somebody else")
    if request.param == "as root without privileges" and shutil.which("setpriv") is None:
        pytest.skip("setpriv (util-linux) is not there")
    user = STRANGER if request.param == "as another user" else 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fill_prison(folder, owner=user or 65_534)
        command = [sys.executable, str(PRISONER), str(folder), str(user)]
        if request.param == "as root without privileges":
            command = ["setpriv", "--bounding-set=-all", *command]
        done = subprocess.run(command, env=with_path(project), capture_output=True, timeout=30, check=False)
        assert done.stdout, done.stderr.decode()
        yield {**json.loads(done.stdout), "status": done.returncode, "folder": folder, "who": request.param}


def fill_prison(folder: Path, *, owner: int) -> None:
    """Put two files and a folder where everybody may do everything."""
    (folder / "folder").mkdir()
    for name in ("file", "log"):
        (folder / name).write_text("content")
    for path in (folder, *folder.iterdir()):
        path.chmod(0o777)
        if os.geteuid() == 0:
            os.chown(path, owner, -1)


def with_path(project: Path) -> dict[str, str]:
    """Give an environment in which the project is found."""
    return {**os.environ, "PYTHONPATH": str(project), "PYTHONDONTWRITEBYTECODE": "1"}


def test_nothing_forbidden_succeeds(told: dict[str, Any]) -> None:
    succeeded = {name for name, result in told["forbidden"].items() if result == "done"}
    still_root = {"become root again"} if told["user"] == 0 else set()
    assert succeeded == still_root


def test_everything_that_engines_need_succeeds(told: dict[str, Any]) -> None:
    assert {name: result for name, result in told["allowed"].items() if result != "done"} == {}


def test_a_bound_on_memory_is_told_as_such(told: dict[str, Any]) -> None:
    assert told["forbidden"]["take more memory than allowed"] == "MemoryError"


def test_an_engine_that_aborts_ends_the_process_by_its_signal(told: dict[str, Any]) -> None:
    assert told["status"] == -signal.SIGABRT


def test_the_files_are_as_they_were(told: dict[str, Any]) -> None:
    assert sorted(path.name for path in told["folder"].iterdir()) == ["file", "folder", "log"]
    assert [(told["folder"] / name).read_text() for name in ("file", "log")] == ["content", "content"]


def test_the_measures_in_force_are_named(told: dict[str, Any]) -> None:
    changes_user = told["who"] == "as it is" and os.geteuid() == 0
    expected = ["no_new_privs", "rlimits", *(["own_user"] if changes_user else []), "seccomp"]
    assert told["measures"] == expected


def test_root_is_given_up_where_it_can_be(told: dict[str, Any]) -> None:
    expected = {"as it is": 65_534, "as another user": STRANGER, "as root without privileges": 0}
    if os.geteuid() == 0:
        assert told["user"] == expected[told["who"]]


def test_a_lower_limit_of_the_host_is_kept(project: Path) -> None:
    program = (
        "import resource; from edge_runtime.daemon.sandbox import confine;"
        "resource.setrlimit(resource.RLIMIT_DATA, (300 << 20, 300 << 20)); confine(memory_limit_bytes=1 << 30);"
        "print(resource.getrlimit(resource.RLIMIT_DATA)[0] >> 20)"
    )
    command = [sys.executable, "-c", program]
    if os.geteuid() == 0 and shutil.which("setpriv"):
        command = ["setpriv", "--bounding-set=-all", *command]
    done = subprocess.run(command, env=with_path(project), capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.strip() == "300"


def test_a_process_that_outlives_its_parent_is_killed(project: Path) -> None:
    program = (
        "import os, signal, time; from edge_runtime.daemon.sandbox import confine, die_with_parent\n"
        "ready, told = os.pipe()\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    die_with_parent(); confine(memory_limit_bytes=1 << 30); os.write(told, b'x'); time.sleep(60)\n"
        "os.read(ready, 1); os.write(1, str(pid).encode()); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=with_path(project), capture_output=True, timeout=30, check=False
    )
    wait_for(lambda: not alive(int(done.stdout)), patience_s=5.0)
