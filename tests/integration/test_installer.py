"""The installer's process as the supervisor sees it: what it says, and every way in which it may end."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from edge_runtime.config import BrokerSettings
from edge_runtime.daemon.installer import Installer
from edge_runtime.daemon.installing import InstallTask, Progress

TASK = InstallTask(
    model="tiny",
    sha256="a" * 64,
    source="fleet",
    topic="t",
    store="bundles",
    broker=BrokerSettings(client_id="gw1"),
    timeout_s=5.0,
)


class Hands:
    """A clock that stands until it is moved."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def run(program: str, *, until: Callable[[list[Progress]], bool], hands: Hands | None = None) -> list[Progress]:
    """Start a program in the installer's place, and give what is said until it is enough."""
    installer = Installer(hands or Hands(), (sys.executable, "-c", program))
    installer.start(TASK)
    said: list[Progress] = []
    give_up_at = time.monotonic() + 10
    while not until(said) and time.monotonic() < give_up_at:
        said += installer.poll()
        time.sleep(0.005)
    assert not installer.busy
    return said


def ended(said: list[Progress]) -> bool:
    return any(each.state in {"stored", "refused"} for each in said)


def test_what_it_says_is_heard_until_its_result() -> None:
    said = run(
        """if True:
        import json, sys
        task = json.load(sys.stdin)
        print(json.dumps({"state": "fetching"}), flush=True)
        print(json.dumps({"state": "stored", "version": task["model"], "release": 2}), flush=True)
        """,
        until=ended,
    )
    assert [each.state for each in said] == ["fetching", "stored"]
    assert (said[-1].version, said[-1].release) == ("tiny", 2)


@pytest.mark.parametrize("program", ["pass", "import os; os.abort()", "print('no json')"])
def test_end_without_a_result_is_a_refusal(program: str) -> None:
    (said,) = run(program, until=ended)
    assert (said.state, said.word) == ("refused", "internal")


def test_line_without_an_end_is_a_refusal() -> None:
    (said,) = run("import time; print('x' * 200_000, end='', flush=True); time.sleep(60)", until=ended)
    assert (said.state, said.word) == ("refused", "internal")


def test_silence_for_too_long_is_a_refusal() -> None:
    hands = Hands()
    installer = Installer(hands, (sys.executable, "-c", "import time; time.sleep(60)"))
    installer.start(TASK)
    before = installer.poll()
    hands.now = 1000.0
    (said,) = installer.poll()
    assert (before, said.word, installer.busy) == ([], "timeout", False)


def test_nothing_is_said_when_nothing_runs() -> None:
    installer = Installer(Hands())
    installer.close()
    assert (installer.poll(), installer.busy, installer.filenos()) == ([], False, [])


class Stuck(subprocess.Popen[bytes]):
    """A child that the kernel does not let go."""

    def wait(self, timeout: float | None = None) -> int:
        assert timeout is not None
        raise subprocess.TimeoutExpired("stuck", timeout)

    def release(self) -> None:
        super().wait()


def test_child_that_does_not_die_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", Stuck)
    installer = Installer(Hands(), (sys.executable, "-c", "import time; time.sleep(60)"))
    installer.start(TASK)
    assert (installer.close(), installer.busy) == (None, False)
    (child,) = installer._left
    assert isinstance(child, Stuck)
    child.release()
    installer.poll()
    assert installer._left == []
