"""This machine once more, over a layer of memory, with a systemd of its own and without a network.

What is installed or removed in the box is gone with it. Needs root, a kernel with overlayfs, and systemd's package.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

_BOOT = """
set -e
mount --make-rprivate /
mount -t tmpfs -o size=4g tmpfs "$BOX"
mkdir "$BOX/upper" "$BOX/work" "$BOX/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$BOX/upper,workdir=$BOX/work" "$BOX/root"
cd "$BOX/root"
mount -t proc proc proc; mount -t sysfs sysfs sys; mount -t cgroup2 cgroup2 sys/fs/cgroup; mount --rbind /dev dev
mount -t tmpfs tmpfs run; mount -t tmpfs tmpfs tmp
mkdir -p run/share run/old; mount --bind "$SHARE" run/share
ip link set lo up
pivot_root . run/old
umount -l /run/old
exec /lib/systemd/systemd --system --unit=basic.target --log-target=null
"""


def why_not() -> str:
    """Why there can be no box here; empty where there can."""
    if os.geteuid() != 0:
        return "a systemd of our own needs root"
    missing = [name for name in ("unshare", "nsenter", "systemctl", "dpkg-deb", "ip") if shutil.which(name) is None]
    return f"not on this machine: {', '.join(missing)}" if missing else ""


class Box:
    """A running box; ``share`` is its ``/run/share``."""

    def __init__(self, init: int, share: Path) -> None:
        self._init = init
        self.share = share

    def run(self, *command: str, check: bool = True, within_s: float = 120.0) -> str:
        """Run a command inside; what it says on both streams."""
        enter = ["nsenter", "-t", str(self._init), "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w", *command]
        done = subprocess.run(
            enter, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=within_s, check=False
        )
        assert done.returncode == 0 or not check, f"{command}: {done.stdout}"
        return done.stdout

    def until(self, *command: str, says: str, within_s: float = 60.0) -> None:
        """Repeat a command until it says something."""
        give_up_at = time.monotonic() + within_s
        while says not in (said := self.run(*command, check=False)):
            assert time.monotonic() < give_up_at, f"{command} does not say {says!r} but {said}"
            time.sleep(0.2)


@contextmanager
def booted(folder: Path) -> Iterator[Box]:
    """Boot a box and take it away again."""
    (folder / "box").mkdir()
    (folder / "share").mkdir()
    environment = {
        "PATH": os.environ["PATH"],
        "BOX": str(folder / "box"),
        "SHARE": str(folder / "share"),
        "container": "lxc",
    }
    command = ["unshare", "--fork", "--pid", "--mount", "--cgroup", "--net", "--kill-child", "bash", "-c", _BOOT]
    outer = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        give_up_at = time.monotonic() + 30
        while not (inner := psutil.Process(outer.pid).children()) or inner[0].name() != "systemd":
            assert outer.poll() is None, "the box does not boot"
            assert time.monotonic() < give_up_at, "the box does not boot"
            time.sleep(0.1)
        box = Box(inner[0].pid, folder / "share")
        box.until("systemctl", "is-active", "basic.target", says="active")
        yield box
    finally:
        for process in psutil.Process(outer.pid).children():
            process.send_signal(signal.SIGKILL)  # the first process of its namespace: all others end with it
        outer.wait(timeout=30)
