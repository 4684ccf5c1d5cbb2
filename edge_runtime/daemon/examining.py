"""What ``check`` and ``doctor`` find in the state folder and around the process: promises on disk, ports, limits."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import socket
import sqlite3
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from edge_runtime.config import Http
from edge_runtime.daemon.lasting import LASTING, lasting_now
from edge_runtime.daemon.lines import Line
from edge_runtime.daemon.mending import is_damage
from edge_runtime.daemon.outbox_file import strangers
from edge_runtime.daemon.outbox_schema import SCHEMA_VERSION
from edge_runtime.daemon.state import find_unfinished

_FEW_DESCRIPTORS = 1024
_OLD_S = 600.0
_NOT_ALLOWED = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH, sqlite3.SQLITE_READONLY}
_WAITING = "SELECT count(*), min(committed_ms) FROM event WHERE acked_ms IS NULL"


def is_held(folder: Path) -> bool:
    """Whether a daemon works in the state folder; False where it cannot be known."""
    try:
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def examine_outbox(folder: Path, *, now_s: float) -> Line:
    """Look at the outbox without changing it: whether it is whole, and what it has yet to tell.

    Parameters
    ----------
    folder : Path
        State folder.
    now_s : float, s
        Wall clock, UTC; for an outbox without a mark of the lasting clock.
    """
    path = folder / "outbox.sqlite"
    if not path.exists():
        return Line("ok", "outbox", "none yet; it is made at the first start")
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5.0)) as database:
            needed = database.execute("PRAGMA user_version").fetchone()[0]
            if needed > SCHEMA_VERSION:
                words = f"{path} was written by a newer release (schema {needed}); upgrade edge-runtime"
                return Line("fault", "outbox", words, 5)
            (verdict,) = database.execute("PRAGMA quick_check(1)").fetchone()
            n_waiting, oldest_ms = database.execute(_WAITING).fetchone()
            mark = database.execute("SELECT value FROM state WHERE key = ?", (LASTING,)).fetchone()
    except sqlite3.Error as error:
        return _unread(path, error)
    if verdict != "ok":
        return Line("fault", "outbox", _damaged(path, str(verdict)), 5)
    if not n_waiting:
        return Line("ok", "outbox", "whole; the broker has everything")
    age_s = max(0.0, (now_s if mark is None else lasting_now(mark[0])) - oldest_ms / 1000)
    words = f"whole; {n_waiting} events wait for the broker, the oldest for {age_s:.0f} s"
    return Line("note" if age_s > _OLD_S else "ok", "outbox", words)


def _unread(path: Path, error: sqlite3.Error) -> Line:
    """Say why an outbox could not be looked at; only some reasons are damage."""
    if is_damage(error):
        return Line("fault", "outbox", _damaged(path, str(error)), 5)
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return Line("note", "outbox", f"{path} is busy: another program holds it; try again")
    if code not in _NOT_ALLOWED:
        return Line("fault", "outbox", f"{path} cannot be read: {error}", 5)
    words = f"{path} cannot be read by this user ({error}); repeat as the user of the daemon, or as root"
    return Line("note", "outbox", words)


def _damaged(path: Path, reason: str) -> str:
    """Say what becomes of a damaged file."""
    words = " ".join(reason.split())[:200]
    return f"{path} is damaged ({words}); the daemon sets it aside at its next start and salvages what can be read"


def examine_set_aside(folder: Path) -> Iterable[Line]:
    """Name what earlier faults left behind for a person."""
    kinds = {"set-aside": "inputs that took workers down", "corrupt-*": "damaged databases that were set aside"}
    taken = sorted(strangers(folder / "outbox.sqlite"))
    if taken:
        yield Line("note", "set aside", f"{len(taken)} files that had taken the outbox's name, the last as {taken[-1]}")
    for pattern, what in kinds.items():
        found = [
            each for kept in sorted(folder.glob(pattern)) for each in ([kept] if "*" in pattern else kept.iterdir())
        ]
        if found:
            yield Line("note", "set aside", f"{len(found)} {what}, the last as {found[-1]}")


def examine_port(settings: Http, *, daemon_runs: bool) -> Line | None:
    """Try the HTTP port; None where HTTP is off or our own daemon has it."""
    if not settings.enabled or daemon_runs or settings.port == 0:
        return None
    family = socket.AF_INET6 if ":" in settings.listen else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.listen, settings.port))
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            reason = "another program has it" if taken else (error.strerror or str(error))
            words = f"{settings.listen}:{settings.port}: {reason}; set another [http] port"
            return Line("fault", "http", words, 5)
    return Line("ok", "http", f"{settings.listen}:{settings.port} is free")


def examine_limits() -> Line:
    """Look at how many descriptors this user's processes may open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = soft < _FEW_DESCRIPTORS
    hint = "; raise it (LimitNOFILE of the unit)" if few else ""
    return Line("note" if few else "ok", "descriptors", f"{soft} per process{hint}")


def examine_state(folder: Path) -> Iterable[Line]:
    """Look at everything that the state folder keeps."""
    unfinished = find_unfinished(folder)
    if unfinished and not is_held(folder):
        yield Line("fault", "restore", unfinished, 5)
    yield examine_outbox(folder, now_s=time.time())
    yield from examine_set_aside(folder)
    if is_held(folder):
        yield Line("ok", "daemon", f"one works in {folder}")
