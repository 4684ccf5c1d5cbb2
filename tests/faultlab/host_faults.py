"""The machine around the daemon is short of something."""

from __future__ import annotations

import fcntl
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

from tests.faultlab.lab import Lab
from tests.faultlab.link_faults import AWAY
from tests.faultlab.scene import Scene
from tests.faultlab.table import fault

HOSTS = Scene("hosts", own_hosts=True)
_BURNERS = 4
_CONNECTIONS = 300


@fault("four processes use all the processor time there is (400 %)", "host", lasts_s=6.0, quick=True)
def processor_busy(lab: Lab) -> Iterator[None]:
    burners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(_BURNERS)]
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


@fault("no descriptor is left, while the link breaks and the worker dies", "host", *AWAY, "worker_restarting")
def descriptors_exhausted(lab: Lab) -> Iterator[None]:
    pid = lab.daemon.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, before[1]))
    lab.proxy.cut()
    os.kill(lab.worker(), signal.SIGKILL)
    yield
    with suppress(ProcessLookupError):
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


@fault("the supervisor gets no more memory", "host", restarts=True, lasts_s=4.0)
def memory_of_supervisor_exhausted(lab: Lab) -> Iterator[None]:
    pid = lab.daemon.pid
    before = resource.prlimit(pid, resource.RLIMIT_DATA)
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[5])
    resource.prlimit(pid, resource.RLIMIT_DATA, (pages * resource.getpagesize(), before[1]))
    yield
    with suppress(ProcessLookupError):
        resource.prlimit(pid, resource.RLIMIT_DATA, before)


@fault("300 clients connect to the HTTP port and say nothing", "host", lasts_s=4.0)
def http_flooded(lab: Lab) -> Iterator[None]:
    with ExitStack() as stack:
        for _ in range(_CONNECTIONS):
            with suppress(OSError):
                stack.enter_context(closing(socket.create_connection(("127.0.0.1", lab.daemon.http_port), timeout=1)))
        yield


@fault("the HTTP port is taken when the daemon starts", "host", "exit 5", restarts=True)
def http_port_taken(lab: Lab) -> Iterator[None]:
    lab.daemon.stop()
    with closing(socket.socket()) as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", lab.daemon.http_port))
        other.listen()
        lab.daemon.start(ready=False)
        yield


@fault("another process holds the state folder when the daemon starts", "host", "exit 5", restarts=True)
def state_folder_held(lab: Lab) -> Iterator[None]:
    lab.daemon.stop()
    with (lab.daemon.state / "lock").open("r+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lab.daemon.start(ready=False)
        yield


@fault("the broker's name is not resolved any more, then it is", "host", *AWAY, scene=HOSTS, needs=("mounts",))
def name_not_resolved(lab: Lab) -> Iterator[None]:
    lab.set_hosts("127.0.0.1 localhost")
    lab.proxy.cut()
    yield
    lab.set_hosts("127.0.0.1 localhost broker.plant.test")


@fault("the broker's name means another machine for a while", "host", *AWAY, scene=HOSTS, needs=("mounts",))
def name_means_another_machine(lab: Lab) -> Iterator[None]:
    lab.set_hosts("127.0.0.1 localhost\n127.7.7.7 broker.plant.test")
    lab.proxy.cut()
    yield
    lab.set_hosts("127.0.0.1 localhost broker.plant.test")
