"""The daemon's folder on disk: made on first use, held by one process at a time."""

from __future__ import annotations

import fcntl
import logging
import os
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.errors import HostEnvironmentError

_log = logging.getLogger(__name__)

#: Says in the state folder that a backup is being put back; one that is left is of a restore that was killed.
UNFINISHED = "restore-unfinished"


@dataclass(slots=True)
class StateDir:
    """A folder that this process holds."""

    folder: Path
    lock_fd: int

    def release(self) -> None:
        """Let another process have it; the end of the process does so too."""
        os.close(self.lock_fd)

    def hold_again(self) -> None:
        """Take the lock anew where its file is gone, with or without its folder.

        Raises
        ------
        HostEnvironmentError
            If it cannot be made or written, or another daemon holds it by now.
        """
        try:
            if os.path.samestat(os.fstat(self.lock_fd), (self.folder / "lock").stat()):
                return
        except FileNotFoundError:
            _log.warning("stage=sending event=lock_lost folder=%s its file was removed", self.folder)
        except OSError as error:
            raise HostEnvironmentError(f"{self.folder}: the state folder cannot be used: {error.strerror}") from error
        lost = self.lock_fd
        self.lock_fd = claim_state_dir(self.folder).lock_fd
        os.close(lost)


def claim_state_dir(folder: Path) -> StateDir:
    """Make the folder where needed and take its lock.

    Parameters
    ----------
    folder : Path
        ``gateway.state_dir``.

    Raises
    ------
    HostEnvironmentError
        If it cannot be made or written, or another daemon holds it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o750)
        lock_fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise HostEnvironmentError(f"{folder}: the state folder cannot be used: {error.strerror}") from error
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock_fd)
        raise HostEnvironmentError(
            f"{folder}: another edge-runtime uses this state folder; stop it, or set another [gateway] state_dir"
        ) from error
    return StateDir(folder, lock_fd)


def claim_finished(folder: Path) -> StateDir:
    """Claim a state folder as ``claim_state_dir`` does, but not one in which a restore was killed half way."""
    state = claim_state_dir(folder)
    try:
        require_finished(folder)
    except HostEnvironmentError:
        state.release()
        raise
    return state


def find_unfinished(folder: Path) -> str:
    """Say what is wrong where a restore was killed half way, and what to do; empty where none was."""
    mark = folder / UNFINISHED
    try:
        words = mark.read_text(errors="replace")[:2000]
    except FileNotFoundError:
        return ""
    except OSError as error:
        words = f"cannot be read: {error.strerror}"
    return f"{mark}: {' '.join(words.split())}"


def require_finished(folder: Path) -> None:
    """Refuse a state folder in which a restore was killed half way.

    Raises
    ------
    HostEnvironmentError
        Saying where the earlier state lies and what to do.
    """
    unfinished = find_unfinished(folder)
    if unfinished:
        raise HostEnvironmentError(unfinished)
