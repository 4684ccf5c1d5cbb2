"""The durable output queue: what is committed here reaches the broker, whatever dies in between.

One SQLite file (WAL, ``synchronous=FULL``) holds events with their delivery state, and a small key-value table with
the state that belongs to them (alarms, windows, positions), so that one transaction moves both. The format is
specified in ``docs/formats/outbox.md``.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

from edge_runtime.errors import HostEnvironmentError

SCHEMA_VERSION = 1

_CREATE = """
CREATE TABLE IF NOT EXISTS event (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  event_id TEXT NOT NULL UNIQUE,
  boot_id TEXT NOT NULL,
  series TEXT NOT NULL,
  seq INTEGER NOT NULL,
  priority INTEGER NOT NULL,
  topic TEXT NOT NULL,
  payload BLOB NOT NULL,
  retain INTEGER NOT NULL,
  committed_ms INTEGER NOT NULL,
  replayed INTEGER NOT NULL DEFAULT 0,
  acked_ms INTEGER
);
CREATE INDEX IF NOT EXISTS event_waiting ON event (replayed, priority, id) WHERE acked_ms IS NULL;
CREATE INDEX IF NOT EXISTS event_sequence ON event (boot_id, series, seq);
CREATE INDEX IF NOT EXISTS event_series ON event (series, id);
CREATE INDEX IF NOT EXISTS event_done ON event (acked_ms) WHERE acked_ms IS NOT NULL;
CREATE TABLE IF NOT EXISTS state (key TEXT PRIMARY KEY, value BLOB NOT NULL);
"""


_INSERT = """
INSERT OR IGNORE INTO event (event_id, boot_id, series, seq, priority, topic, payload, retain, committed_ms)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

_ROOM_SHARE = 64


class Priority(IntEnum):
    """What leaves first after an outage."""

    ALERT = 0
    VERDICT = 1
    EVIDENCE = 2


#: By the first of each priority, which the index gives: a long queue is not read for it.
_FIRST = "SELECT min(id) FROM event WHERE acked_ms IS NULL AND priority = {:d}"
_OLDEST = f"SELECT min(committed_ms) FROM event WHERE id IN ({' UNION ALL '.join(map(_FIRST.format, Priority))})"  # noqa: S608 - numbers of our own


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One event before it is committed.

    Attributes
    ----------
    event_id : str
        ULID, the key by which consumers recognise a duplicate.
    series : str
        The numbered sequence it belongs to: ``alert`` or ``verdict``; empty for messages that are only state.
    seq : int
        Its number in the series since the daemon's start, from 1; 0 outside a series.
    priority : Priority
        Which events go first.
    topic : str
        Where it is published, at QoS 1.
    payload : bytes
        What is published.
    retain : bool
        Whether the broker keeps it as the topic's last value.
    """

    event_id: str
    series: str
    seq: int
    priority: Priority
    topic: str
    payload: bytes
    retain: bool = False


@dataclass(frozen=True, slots=True)
class Stored:
    """One event as it waits in the outbox; ``id`` orders events of equal priority."""

    id: int
    topic: str
    payload: bytes
    retain: bool
    committed_ms: int
    replayed: bool


class Outbox:
    """The one writer of the database file; used by one thread.

    Parameters
    ----------
    path : Path
        The database file; its directory exists.
    boot_id : str
        The daemon's present run.
    clock : callable
        Wall clock, s since the epoch, UTC.
    max_bytes : int
        Bound on the payload bytes kept.
    retention_s : float
        How long an event is kept after the broker acknowledged it.

    Raises
    ------
    HostEnvironmentError
        If the file cannot be opened or was written by a newer version.
    """

    def __init__(
        self,
        path: Path,
        *,
        boot_id: str,
        clock: Callable[[], float] = time.time,
        max_bytes: int = 256 << 20,
        retention_s: float = 86_400.0,
    ) -> None:
        self._path = path
        self._boot_id = boot_id
        self._clock = clock
        self._max_bytes = max_bytes
        self._retention_s = retention_s
        self._may_purge = True
        try:
            self._database = _open(path)
            self._bytes = self._scalar("SELECT coalesce(sum(length(payload)), 0) FROM event")
            self._unsent = self._scalar("SELECT count(*) FROM event WHERE acked_ms IS NULL")
        except sqlite3.Error as error:
            raise HostEnvironmentError(f"{path}: the outbox cannot be opened: {error}") from error

    def commit(self, events: Sequence[Outgoing], state: Mapping[str, bytes | None]) -> None:
        """Make events and the state that goes with them durable in one transaction.

        Returns after the disk has them. An ``event_id`` that is there already is left as it is.

        Parameters
        ----------
        events : sequence of Outgoing
            In the order in which they happened.
        state : mapping of str to bytes or None
            Values to store; None deletes the key.

        Raises
        ------
        HostEnvironmentError
            If the disk is full or the file unreadable; nothing of the batch is stored then.
        """
        now_ms = round(self._clock() * 1000)
        with self._transaction(f"store {len(events)} events"):
            added = self._insert(events, now_ms)
            self._database.executemany(
                "INSERT INTO state (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                [(key, value) for key, value in state.items() if value is not None],
            )
            self._database.executemany(
                "DELETE FROM state WHERE key = ?", [(key,) for key, value in state.items() if value is None]
            )
        for event in added:
            self._bytes += len(event.payload)
            self._unsent += 1

    def _insert(self, events: Sequence[Outgoing], now_ms: int) -> list[Outgoing]:
        added = []
        for event in events:
            cursor = self._database.execute(
                _INSERT,
                (
                    event.event_id,
                    self._boot_id,
                    event.series,
                    event.seq,
                    int(event.priority),
                    event.topic,
                    event.payload,
                    int(event.retain),
                    now_ms,
                ),
            )
            if cursor.rowcount:
                added.append(event)
        return added

    def unsent(self, limit: int, *, exclude: Iterable[int] = ()) -> list[Stored]:
        """Give the next events to publish: the most urgent first, and those that are sent once more after all others.

        Parameters
        ----------
        limit : int
            How many at most.
        exclude : iterable of int
            Ids that are on their way already.
        """
        skipped = set(exclude)
        rows = self._rows(
            "SELECT id, topic, payload, retain, committed_ms, replayed FROM event WHERE acked_ms IS NULL"
            " ORDER BY replayed, priority, id LIMIT ?",
            (limit + len(skipped),),
        )
        found = [Stored(row[0], row[1], row[2], bool(row[3]), row[4], bool(row[5])) for row in rows]
        return [event for event in found if event.id not in skipped][:limit]

    def mark_acknowledged(self, ids: Iterable[int]) -> None:
        """Remember that the broker has these events; they stay for the retention window.

        Raises
        ------
        HostEnvironmentError
            If the disk refuses; none of them is marked then.
        """
        now_ms = round(self._clock() * 1000)
        marked = 0
        with self._transaction("mark events as sent"):
            for event_id in ids:
                cursor = self._database.execute(
                    "UPDATE event SET acked_ms = ? WHERE id = ? AND acked_ms IS NULL", (now_ms, event_id)
                )
                marked += cursor.rowcount
        self._unsent -= marked
        self._may_purge = True

    def resend(self, boot_id: str, series: str, from_seq: int) -> int:
        """Put acknowledged events of a series back into the queue, from a sequence number on.

        Returns
        -------
        count : int
            How many will be sent again; they are marked as replayed.

        Raises
        ------
        HostEnvironmentError
            If the disk refuses; none is sent again then.
        """
        with self._transaction("resend events"):
            cursor = self._database.execute(
                "UPDATE event SET acked_ms = NULL, replayed = 1"
                " WHERE boot_id = ? AND series = ? AND seq >= ? AND acked_ms IS NOT NULL",
                (boot_id, series, from_seq),
            )
        self._unsent += cursor.rowcount
        return cursor.rowcount

    def purge(self) -> int:
        """Delete acknowledged events past their retention, and the oldest acknowledged ones over the byte bound.

        Over the bound, a 64th of it is freed beyond, so that not every commit has to delete.

        Returns
        -------
        count : int
            How many events were deleted. Unsent events are never among them.

        Raises
        ------
        HostEnvironmentError
            If the disk refuses; nothing is deleted then.
        """
        limit_ms = round((self._clock() - self._retention_s) * 1000)
        with self._transaction("delete old events"):
            past = self._database.execute(
                "SELECT id, length(payload) FROM event WHERE acked_ms IS NOT NULL AND acked_ms < ?", (limit_ms,)
            )
            doomed = dict(past.fetchall())
            excess = self._bytes - sum(doomed.values()) - self._max_bytes
            if excess > 0:
                doomed |= self._oldest_acknowledged(excess + self._max_bytes // _ROOM_SHARE, besides=doomed)
            self._database.executemany("DELETE FROM event WHERE id = ?", [(number,) for number in doomed])
        self._bytes -= sum(doomed.values())
        self._may_purge = self._bytes <= self._max_bytes
        return len(doomed)

    def _oldest_acknowledged(self, n_bytes: int, *, besides: Mapping[int, int]) -> dict[int, int]:
        """Find the oldest acknowledged events that make up so many bytes; gives their sizes by id."""
        found: dict[int, int] = {}
        # By the table itself, so that the oldest come first without a sort of all of them.
        query = "SELECT id, length(payload) FROM event NOT INDEXED WHERE acked_ms IS NOT NULL ORDER BY id"
        with closing(self._database.execute(query)) as rows:
            for number, size in rows:
                if n_bytes <= 0:
                    break
                if number not in besides:
                    found[number] = size
                    n_bytes -= size
        return found

    @property
    def full(self) -> bool:
        """Whether unsent events alone exceed the byte bound, so that inputs must wait."""
        if self._bytes > self._max_bytes and self._may_purge:
            with suppress(HostEnvironmentError):  # a disk that refuses gives no room either
                self.purge()
        return self._bytes > self._max_bytes

    @property
    def depth(self) -> int:
        """Number of events that the broker has not acknowledged."""
        return self._unsent

    def oldest_unsent_s(self) -> float:
        """Age of the oldest unsent event, s; 0 when there is none."""
        ((oldest_ms,),) = self._rows(_OLDEST)
        return 0.0 if oldest_ms is None else max(0.0, self._clock() - oldest_ms / 1000)

    def last_seq(self, series: str) -> int:
        """Give the highest number of a series during the present run."""
        return self._scalar(
            "SELECT coalesce(max(seq), 0) FROM event WHERE boot_id = ? AND series = ?", (self._boot_id, series)
        )

    def latest(self, series: str, limit: int) -> list[bytes]:
        """Give the payloads of the last events of a series, of any run, the oldest first."""
        rows = self._rows(
            "SELECT payload FROM (SELECT id, payload FROM event WHERE series = ? ORDER BY id DESC LIMIT ?) ORDER BY id",
            (series, limit),
        )
        return [row[0] for row in rows]

    def load_state(self, prefix: str) -> dict[str, bytes]:
        """Every stored state whose key begins with ``prefix``."""
        return dict(self._rows("SELECT key, value FROM state WHERE substr(key, 1, ?) = ?", (len(prefix), prefix)))

    def close(self) -> None:
        """Fold the log into the file and close it."""
        with suppress(sqlite3.Error):
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._database.close()

    @contextmanager
    def _transaction(self, purpose: str) -> Iterator[None]:
        """Commit what the block writes, or nothing of it."""
        try:
            with self._database:
                yield
        except sqlite3.Error as error:
            raise HostEnvironmentError(f"the outbox cannot {purpose}: {error}") from error

    def _scalar(self, query: str, values: tuple[object, ...] = ()) -> int:
        return int(self._rows(query, values)[0][0])

    def _rows(self, query: str, values: tuple[object, ...] = ()) -> list[Any]:
        try:
            return self._database.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise HostEnvironmentError(f"{self._path}: the outbox cannot be read: {error}") from error


def _open(path: Path) -> sqlite3.Connection:
    """Open or create the database and bring it to the present schema."""
    database = sqlite3.connect(path, timeout=5.0)
    try:
        _prepare(database, path)
    except (sqlite3.Error, HostEnvironmentError):
        database.close()
        raise
    return database


def _prepare(database: sqlite3.Connection, path: Path) -> None:
    """Leave a newer release's file untouched; else set the durability and create what is missing."""
    version = database.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise HostEnvironmentError(
            f"{path}: written by a newer release (outbox schema {version}, this one knows {SCHEMA_VERSION});"
            " upgrade edge-runtime or move the file aside"
        )
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    database.execute("PRAGMA journal_size_limit=16777216")
    database.executescript(_CREATE)
    database.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
