"""What is put around a daemon: mounts of its own, a clock of its own, and things that are done again and again."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def again_and_again(action: Callable[[], object], *, every_s: float) -> Iterator[None]:
    """Do something at intervals, from a thread of its own, until the context is left."""
    ended = threading.Event()

    def run() -> None:
        while not ended.is_set():
            action()
            ended.wait(every_s)

    thread = threading.Thread(target=run, name="again-and-again", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(10)


class OwnMounts:
    """A mount namespace that stands as long as a process of ours: what is mounted there goes with it."""

    def __init__(self, script: str, *arguments: str) -> None:
        command = f"set -e; {script}; echo mounted; exec sleep infinity"
        self._process = subprocess.Popen(
            ["unshare", "-m", "--propagation", "private", "sh", "-c", command, "sh", *arguments], stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"mounted\n", "the mounts of the scene cannot be made"

    @property
    def prefix(self) -> tuple[str, ...]:
        """What starts a command there."""
        return ("nsenter", "-t", str(self._process.pid), "-m")

    @property
    def root(self) -> Path:
        """Its files, seen from outside."""
        return Path(f"/proc/{self._process.pid}/root")

    def run(self, *command: str) -> None:
        """Run a command there."""
        subprocess.run([*self.prefix, *command], check=True)

    def close(self) -> None:
        """Let it go."""
        self._process.kill()
        self._process.communicate()


def can_mount() -> bool:
    """Whether this user may mount file systems in a namespace of its own."""
    if shutil.which("unshare") is None or shutil.which("nsenter") is None:
        return False
    try:
        OwnMounts("mount -t tmpfs -o size=1m none /mnt").close()
    except AssertionError:
        return False
    return True


def faketime_library() -> str | None:
    """Path of libfaketime; None where it is not installed."""
    for folder in ("/usr/lib", "/usr/local/lib"):
        for path in Path(folder).glob("**/faketime/libfaketime.so.1"):
            return str(path)
    return None
