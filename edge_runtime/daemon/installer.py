"""The supervisor's side of an installation: one child process at a time, and what it says."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress

import msgspec

from edge_runtime.daemon.installing import InstallTask, Progress

_log = logging.getLogger(__name__)

#: For verifying and probing, on top of what fetching may take.
_GRACE_S = 150.0
_LINES_BYTES = 1 << 16
#: How long a child that was killed is waited for; one that hangs in the kernel is left to a later look.
_REAP_S = 0.25


class Installer:
    """Runs ``installing`` in a child and never waits for it.

    Parameters
    ----------
    clock : callable
        Monotonic, s.
    command : sequence of str
        What is started; another program in tests.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        command: tuple[str, ...] = (sys.executable, "-m", "edge_runtime.daemon.installing"),
    ) -> None:
        self._clock = clock
        self._command = command
        self._child: subprocess.Popen[bytes] | None = None
        self._left: list[subprocess.Popen[bytes]] = []
        self._unread = b""
        self._until = 0.0

    @property
    def busy(self) -> bool:
        """Whether a child is at work."""
        return self._child is not None

    def filenos(self) -> list[int]:
        """Descriptors that become readable when ``poll`` has something to do."""
        return [] if self._child is None or self._child.stdout is None else [self._child.stdout.fileno()]

    def start(self, task: InstallTask) -> None:
        """Begin; none may be busy.

        Raises
        ------
        OSError
            If the host has no process or descriptor for it.
        """
        orders = os.memfd_create("edge-install", os.MFD_CLOEXEC)
        with os.fdopen(orders, "wb+") as file:
            file.write(msgspec.json.encode(task))
            file.seek(0)
            self._child = subprocess.Popen(  # noqa: S603 - our own module
                self._command, stdin=file, stdout=subprocess.PIPE
            )
        assert self._child.stdout is not None
        os.set_blocking(self._child.stdout.fileno(), False)
        self._unread, self._until = b"", self._clock() + task.timeout_s + _GRACE_S

    def poll(self) -> list[Progress]:
        """Give what the child said since the last call; its end without a result is a refusal."""
        self._left = [child for child in self._left if child.poll() is None]
        if self._child is None or self._child.stdout is None:
            return []
        said, ended = self._read(self._child.stdout.fileno())
        if any(each.state in {"stored", "refused"} for each in said):
            self.close()
        elif ended:
            status = self.close()
            said.append(Progress(state="refused", word="internal", reason=f"the installer ended with {status}"))
        elif self._clock() > self._until:
            self.close()
            said.append(Progress(state="refused", word="timeout", reason="the installation took too long"))
        return said

    def _read(self, descriptor: int) -> tuple[list[Progress], bool]:
        """Read whole lines, and whether that was the end."""
        try:
            data = os.read(descriptor, _LINES_BYTES)
        except BlockingIOError:
            return [], False
        *lines, self._unread = (self._unread + data).split(b"\n")
        said = []
        for line in lines:
            try:
                said.append(msgspec.json.decode(line, type=Progress))
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                _log.warning("stage=receiving the installer spoke nonsense: %s", error)
        return said, not data or len(self._unread) > _LINES_BYTES

    def close(self) -> int | None:
        """End the child; gives its status, None where there is none yet."""
        child, self._child = self._child, None
        if child is None:
            return None
        with suppress(ProcessLookupError):
            child.kill()
        if child.stdout is not None:
            child.stdout.close()
        try:
            return child.wait(_REAP_S)
        except subprocess.TimeoutExpired:
            self._left.append(child)
            return None
