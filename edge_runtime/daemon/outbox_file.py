"""The database file of the outbox while it is open: transactions, reads, and a damaged file that is replaced.

Damage that a read or a write comes upon, or that a user of what was read tells, is mended at the next use: the file is
set aside and a new one holds what could be salvaged. Ids stay the same.

A file or log that somebody removed, with or without its folder, lives on until it is closed, and what is committed to
it would be gone after that. So both names are looked at before each use, and the file is written again where it was.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from edge_runtime.daemon.mending import Mending, find_damage, finish_mending, is_damage, mend
from edge_runtime.daemon.outbox_schema import open_database, rename_durably
from edge_runtime.daemon.scrubbing import Scrubber
from edge_runtime.errors import HostEnvironmentError

_log = logging.getLogger(__name__)

_KEPT_STRANGERS = 4


class OutboxFile:
    """One connection to one file; used by one thread.

    Parameters
    ----------
    path : Path
        The database file; its directory exists.
    clock : callable
        Wall clock, s; names the folders of damaged files.
    on_open : callable
        Looks at the database whenever it was opened, also after a mending.

    Attributes
    ----------
    mendings : list of Mending
        What became of the damaged files of this run.
    last_id : int
        The highest id that was given.
    n_rewritten : int
        How often the file or its log was gone and was written again.

    Raises
    ------
    HostEnvironmentError
        If the file cannot be opened or was written by a newer version.
    """

    def __init__(
        self, path: Path, *, clock: Callable[[], float], on_open: Callable[[sqlite3.Connection], None]
    ) -> None:
        self.path = path
        self._log_path = path.with_name(f"{path.name}-wal")
        self._clock = clock
        self._on_open = on_open
        self._connection: sqlite3.Connection | None = None
        self._scrubber = Scrubber(path)
        self.mendings: list[Mending] = []
        self.last_id = 0
        self.n_rewritten = 0
        self._inodes = (0, 0)
        finish_mending(path, now_s=clock())
        self._damage = find_damage(path)
        self._require()

    @property
    def database(self) -> sqlite3.Connection:
        """The open database.

        Raises
        ------
        HostEnvironmentError
            If the file is damaged and the disk does not let it be mended; the next use tries again.
        """
        return self._require()

    def _require(self) -> sqlite3.Connection:
        if self._damage:
            self._mend()
        if self._connection is not None and self._inodes_now() != self._inodes:
            self._write_again(self._connection)
        if self._connection is None:
            finish_mending(self.path, now_s=self._clock())
            try:
                self._connection = self._open()
            except HostEnvironmentError:
                if not self._damage:
                    raise
                self._mend()
                self._connection = self._open()
        return self._connection

    def _mend(self) -> None:
        self.close(fold=False)
        self.mendings.append(mend(self.path, self._damage, now_s=self._clock(), last_id=self.last_id))
        self._damage = ""

    def _inodes_now(self) -> tuple[int, int]:
        """Give the numbers of the files that have the names of file and log now, 0 where none has."""
        return _inode(self.path), _inode(self._log_path)

    def _write_again(self, database: sqlite3.Connection) -> None:
        """Write the open file, which or whose log has lost its name, where it was.

        What has a name now is kept beside. A process that is killed meanwhile finishes at its next start, as a mending.
        """
        new = self.path.with_name(f"{self.path.name}.again")
        mended = self.path.with_name(f"{self.path.name}.mended")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
            new.unlink(missing_ok=True)
            with closing(sqlite3.connect(new)) as target:
                database.backup(target)
            rename_durably(new, mended)
            self._set_strangers_aside()
            self.close(fold=False)
            for ending in ("-wal", "-shm"):  # of the file that goes: they must not be taken for the new one's
                self.path.with_name(f"{self.path.name}{ending}").unlink(missing_ok=True)
            rename_durably(mended, self.path)
        except (sqlite3.Error, OSError) as error:
            if self._connection is not None:  # it goes on; a copy that is left would take its place later
                with suppress(OSError):
                    mended.unlink(missing_ok=True)
            raise HostEnvironmentError(f"{self.path}: is gone and cannot be written again: {error}") from error
        self.n_rewritten += 1
        _log.error("stage=sending event=outbox_written_again path=%s it or its log was removed or exchanged", self.path)

    def _set_strangers_aside(self) -> None:
        """Move what took the name of the open file, or of its log, beside; the oldest of many is deleted."""
        name = f"{self.path.name}.strange-{round(self._clock() * 1000)}"
        for path, ours, ending in zip((self.path, self._log_path), self._inodes, ("", "-wal"), strict=True):
            if _inode(path) not in {0, ours}:
                path.rename(self.path.with_name(f"{name}{ending}"))
        for old in sorted(strangers(self.path), key=lambda each: each.lstat().st_mtime_ns)[:-_KEPT_STRANGERS]:
            old.unlink()

    def _open(self) -> sqlite3.Connection:
        database = None
        try:
            database = open_database(self.path)
            self._on_open(database)
            (given,) = database.execute("SELECT coalesce(max(seq), 0) FROM sqlite_sequence").fetchone()
            self.last_id = max(self.last_id, given)
            self._inodes = self._inodes_now()
        except (sqlite3.Error, OSError) as error:
            if database is not None:
                database.close()
            self._note(error)
            raise HostEnvironmentError(f"{self.path}: the outbox cannot be opened: {error}") from error
        return database

    def scrub(self) -> bool:
        """Look at the next part of the file on the disk; False, and a note for the next use, where it is damaged.

        Raises
        ------
        HostEnvironmentError
            If the disk cannot be read.
        """
        if self._connection is not None and _inode(self._log_path) != self._inodes[1]:
            self._require()
        try:
            reason = self._scrubber.step()
        except OSError as error:
            raise HostEnvironmentError(f"{self.path}: the outbox cannot be read: {error}") from error
        self._damage = self._damage or reason
        return not reason

    def distrust(self, reason: str) -> None:
        """Note that something in the file makes no sense: it is mended at the next use."""
        self._damage = reason

    def _note(self, error: Exception) -> None:
        """Note damage where an error tells of it."""
        if isinstance(error, sqlite3.Error) and is_damage(error):
            self._damage = str(error)

    @contextmanager
    def transaction(self, purpose: str) -> Iterator[sqlite3.Connection]:
        """Commit what the block writes, or nothing of it.

        Raises
        ------
        HostEnvironmentError
            If the disk refuses or the file is damaged.
        """
        try:
            with self.database as database:
                yield database
        except sqlite3.Error as error:
            self._note(error)
            raise HostEnvironmentError(f"the outbox cannot {purpose}: {error}") from error

    def rows(self, query: str, values: tuple[object, ...] = ()) -> list[Any]:
        """Read; where the file turns out to be damaged, from what could be salvaged.

        Raises
        ------
        HostEnvironmentError
            If it cannot be read.
        """
        try:
            return self._read(query, values)
        except HostEnvironmentError:
            if not self._damage:
                raise
        return self._read(query, values)

    def _read(self, query: str, values: tuple[object, ...]) -> list[Any]:
        try:
            return self.database.execute(query, values).fetchall()
        except sqlite3.Error as error:
            self._note(error)
            raise HostEnvironmentError(f"{self.path}: the outbox cannot be read: {error}") from error

    def close(self, *, fold: bool = True) -> None:
        """Close the file, and fold its log into it first."""
        if self._connection is not None:
            with suppress(sqlite3.Error):
                if fold:
                    self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                self._connection.close()
            self._connection = None
        self._scrubber.close()


def strangers(path: Path) -> list[Path]:
    """Give the files that had taken the name of the outbox or of its log, and were moved beside."""
    return [each for each in path.parent.glob(f"{path.name}.strange-*") if not each.is_dir()]


def _inode(path: Path) -> int:
    """Give the number of the file that has a name now, 0 when none has."""
    try:
        return path.stat().st_ino
    except OSError:
        return 0
