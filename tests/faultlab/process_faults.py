"""The daemon's own processes die, hang, leak, or are told things."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress

from tests.faultlab.lab import Lab
from tests.faultlab.surroundings import again_and_again
from tests.faultlab.table import fault
from tests.integration.daemon_rig import suspend

_LEAK_KB = 16_384


@fault("the worker is killed", "worker", "worker_restarting", quick=True, lasts_s=0.0)
def worker_killed(lab: Lab) -> Iterator[None]:
    os.kill(lab.worker(), signal.SIGKILL)
    yield


@fault("the worker hangs (SIGSTOP)", "worker", "worker_restarting", quick=True, lasts_s=0.0)
def worker_hung(lab: Lab) -> Iterator[None]:
    suspend(lab.worker())
    yield


@fault("each new worker is killed as soon as it is seen, for five seconds", "worker", "worker_restarting", lasts_s=5.0)
def worker_killed_again_and_again(lab: Lab) -> Iterator[None]:
    def strike() -> None:
        pid = lab.daemon.worker_pid()
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    with again_and_again(strike, every_s=0.5):
        yield


@fault("the worker loses 16 MB with each answer", "worker", "worker_restarting", needs=("compiler",))
def worker_leaking(lab: Lab) -> Iterator[None]:
    lab.meddler.set("leak_pid", lab.worker())
    lab.meddler.set("leak_kb", _LEAK_KB)
    yield
    lab.meddler.release()


@fault("the launcher of workers is killed", "worker", "worker_restarting", lasts_s=0.0)
def launcher_killed(lab: Lab) -> Iterator[None]:
    os.kill(lab.launcher(), signal.SIGKILL)
    yield


@fault("the supervisor is killed", "daemon", "exit -9", restarts=True, quick=True, lasts_s=0.0)
def supervisor_killed(lab: Lab) -> Iterator[None]:
    os.kill(lab.daemon.pid, signal.SIGKILL)
    yield


@fault("supervisor, worker and broker are killed at once", "daemon", "exit -9", restarts=True, forgets=True)
def all_killed(lab: Lab) -> Iterator[None]:
    lab.broker.kill()
    os.kill(lab.daemon.pid, signal.SIGKILL)
    yield
    lab.broker.start()


@fault("the supervisor hangs (SIGSTOP) until the broker publishes its will", "daemon", "availability offline")
def supervisor_suspended(lab: Lab) -> Iterator[None]:
    pid = lab.daemon.pid
    suspend(pid)
    yield
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


@fault("the daemon is stopped in good order and started again", "daemon", "availability stopped", restarts=True)
def daemon_stopped(lab: Lab) -> Iterator[None]:
    lab.daemon.stop()
    yield
    lab.daemon.start(ready=False)


@fault("SIGHUP, SIGUSR1, SIGUSR2, SIGPIPE and SIGALRM, twenty a second", "daemon", quick=True)
def signal_noise(lab: Lab) -> Iterator[None]:
    noise = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE, signal.SIGALRM)

    def shout() -> None:
        for number in noise:
            with suppress(ProcessLookupError):
                os.kill(lab.daemon.pid, number)
            time.sleep(0.01)

    with again_and_again(shout, every_s=0.2):
        yield
