"""A damaged outbox is set aside, and a new one begun with what can be read of it.

The new file is made beside, under ``<name>.mended``, before the damaged one is moved: a process that is killed in
between finds one of them, whole, and goes on from there.
"""

from __future__ import annotations

import logging
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.daemon.outbox_schema import rename_durably
from edge_runtime.daemon.salvage import Salvaged, salvage
from edge_runtime.daemon.sqlite_pages import read_log
from edge_runtime.errors import HostEnvironmentError

_log = logging.getLogger(__name__)

_KEPT = 2
_FOLDER = "corrupt-"
_SHOWN_S = 86_400.0
_STEPS = 10_000
_LONGEST_CHECK_S = 3.0
#: SQLite's words for a damaged file: CORRUPT, NOTADB, and a read beyond the end.
_DAMAGE = (11, 26)
_SHORT_READ = 522
_NOT_TEXT = "Could not decode to UTF-8"
_NO_VERSION = 1000
_SMALLEST = 512
#: A longer log, which only a long read beside the daemon leaves, is left to SQLite: following it takes too long.
_LONGEST_LOG = 128 << 20


@dataclass(frozen=True, slots=True)
class Mending:
    """What happened to a damaged outbox.

    Attributes
    ----------
    reason : str
        How it was noticed.
    folder : Path
        Where it lies now.
    salvaged : Salvaged
        What was found in it.
    """

    reason: str
    folder: Path
    salvaged: Salvaged


def is_damage(error: sqlite3.Error) -> bool:
    """Whether an error says that the file is damaged; a full or refusing disk is none."""
    code = getattr(error, "sqlite_errorcode", 0)
    return (code & 0xFF) in _DAMAGE or code == _SHORT_READ or str(error).startswith(_NOT_TEXT)


def find_damage(path: Path, *, longest_s: float = _LONGEST_CHECK_S, clock: Callable[[], float] = time.monotonic) -> str:
    """Look for damage before the outbox is opened.

    Parameters
    ----------
    path : Path
        The database file.
    longest_s : float
        So long SQLite may look through the file; what it did not reach is found when it is read.
    clock : callable
        Monotonic, s.

    Returns
    -------
    reason : str
        Empty when nothing is wrong.

    Raises
    ------
    HostEnvironmentError
        If the file cannot be read.
    """
    wal = path.with_name(f"{path.name}-wal")
    try:
        if not path.exists():
            return "the database file is gone, its log is there" if wal.exists() and wal.stat().st_size else ""
        if path.stat().st_size < _SMALLEST:
            return "the file is cut off"
        if wal.exists() and wal.stat().st_size <= _LONGEST_LOG and read_log(wal.read_bytes()).damaged:
            return "its log is damaged"
    except OSError as error:
        raise HostEnvironmentError(f"{path}: the outbox cannot be read: {error.strerror}") from error
    return _check(path, clock() + longest_s, clock)


def _check(path: Path, until: float, clock: Callable[[], float]) -> str:
    """Let SQLite look through the file until it is time to start."""
    try:
        with closing(sqlite3.connect(path, timeout=5.0)) as database:
            version = database.execute("PRAGMA user_version").fetchone()[0]
            if not 0 <= version < _NO_VERSION:
                return "its version makes no sense"
            database.set_progress_handler(lambda: clock() > until, _STEPS)
            (found,) = database.execute("PRAGMA integrity_check(1)").fetchone()
            return "" if found == "ok" else str(found)
    except sqlite3.Error as error:
        if is_damage(error):
            return str(error)
        if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_INTERRUPT:
            _log.info("event=outbox_check_cut_short; the rest is checked when it is read")
            return ""
        raise HostEnvironmentError(f"{path}: the outbox cannot be opened: {error}") from error


def mend(path: Path, reason: str, *, now_s: float, last_id: int = 0) -> Mending:
    """Set a damaged outbox aside and begin a new one with what can be read.

    Parameters
    ----------
    path : Path
        The database file; nobody has it open but the caller, who opens it anew afterwards.
    reason : str
        How it was noticed.
    now_s : float, s
        Wall clock; names the folder.
    last_id : int
        The last id that is known to be given.

    Raises
    ------
    HostEnvironmentError
        If the disk refuses; the damaged file is where it was then, and this can be tried again.
    """
    mended = path.with_name(f"{path.name}.mended")
    new = path.with_name(f"{path.name}.new")
    try:
        if not path.exists():
            path.touch()
        salvaged = salvage(path, new, last_id=last_id)
        rename_durably(new, mended)
        folder = _swap(path, mended, now_s)
    except (OSError, sqlite3.Error) as error:
        raise HostEnvironmentError(f"{path}: the damaged outbox cannot be mended: {error}") from error
    _log.error("stage=sending event=outbox_corrupt reason=%r set_aside=%s %s", reason, folder, salvaged)
    return Mending(reason, folder, salvaged)


def finish_mending(path: Path, *, now_s: float) -> None:
    """Finish what a process that was killed had begun.

    Raises
    ------
    HostEnvironmentError
        If the disk refuses.
    """
    mended = path.with_name(f"{path.name}.mended")
    if not mended.exists():
        return
    try:
        _swap(path, mended, now_s)
    except OSError as error:
        raise HostEnvironmentError(f"{path}: the damaged outbox cannot be set aside: {error}") from error


def _swap(path: Path, mended: Path, now_s: float) -> Path:
    """Move the damaged file and its log into a folder, and the mended one to its name."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now_s))
    folder = path.parent / f"{_FOLDER}{stamp}"
    number = 1
    while folder.exists():
        number += 1
        folder = path.parent / f"{_FOLDER}{stamp}.{number}"
    folder.mkdir(mode=0o750)
    for ending in ("-wal", "-shm", ""):
        part = path.with_name(path.name + ending)
        if part.exists():
            rename_durably(part, folder / part.name)
    rename_durably(mended, path)
    for old in sorted(corpses(path.parent), key=lambda each: each.stat().st_mtime_ns)[:-_KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    return folder


def corpses(folder: Path) -> list[Path]:
    """Give the folders of outboxes that were set aside."""
    return [each for each in folder.glob(f"{_FOLDER}*") if each.is_dir()]


def is_fresh(folder: Path, now_s: float) -> bool:
    """Whether an outbox was set aside within the last day and a person has not removed it yet."""
    try:
        return any(abs(now_s - each.stat().st_mtime) < _SHOWN_S for each in corpses(folder))
    except OSError:
        return False
