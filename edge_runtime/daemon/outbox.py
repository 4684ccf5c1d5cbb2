"""The durable output queue: what is committed here reaches the broker, whatever dies in between.

One SQLite file (WAL, ``synchronous=FULL``) holds events with their delivery state, and a small key-value table with
the state that belongs to them (alarms, windows, positions), so that one transaction moves both. The format is
specified in ``docs/formats/outbox.md``.
"""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from edge_runtime.daemon.mending import Mending
from edge_runtime.daemon.outbox_file import OutboxFile
from edge_runtime.daemon.outbox_room import (
    Doomed,
    delete,
    find_oldest_delivered,
    find_oldest_evidence,
    find_past,
    forget_ended_sequences,
)
from edge_runtime.daemon.restamping import EVER, Span, moved, restamped
from edge_runtime.errors import HostEnvironmentError
from edge_runtime.messages import ClockQuality

_INSERT = """
INSERT OR IGNORE INTO event (event_id, boot_id, series, seq, priority, topic, payload, retain, committed_ms, held)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_COUNT_ON = """
INSERT INTO sequence (boot_id, series, last) VALUES (?, ?, ?)
ON CONFLICT (boot_id, series) DO UPDATE SET last = max(last, excluded.last)
"""

_COUNTS = """
SELECT (SELECT coalesce(sum(length(payload)), 0) FROM event WHERE priority <> 2),
  (SELECT coalesce(sum(length(payload)), 0) FROM event WHERE priority = 2),
  (SELECT count(*) FROM event WHERE acked_ms IS NULL), (SELECT count(*) FROM event WHERE held = 1)
"""
_SET_STATE = "INSERT INTO state (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
_ROOM_SHARE = 64
#: So many events are deleted in one transaction at most: about 0.1 s on a slow disk.
PURGE_ROWS = 2000
_BEYOND = (1 << 63) - 1
#: By the index of what waits: little of a priority is older than what the broker took last.
_OLDER = """
SELECT id, held FROM event
WHERE acked_ms IS NULL AND replayed = 0 AND priority = ? AND id < ? AND retain = 1 AND topic = ?
"""


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
    held : bool
        Whether it is kept back until its times are known: see ``Outbox.restamp``.
    """

    event_id: str
    series: str
    seq: int
    priority: Priority
    topic: str
    payload: bytes
    retain: bool = False
    held: bool = False


@dataclass(frozen=True, slots=True)
class Stored:
    """One event as it waits in the outbox; ``id`` orders events of equal priority."""

    id: int
    topic: str
    payload: bytes
    retain: bool
    committed_ms: int
    replayed: bool
    priority: int = Priority.ALERT


@dataclass(frozen=True, slots=True)
class Account:
    """The account of a series of one run: its last number, and how many of its events were deleted after their time."""

    boot_id: str
    series: str
    last: int
    deleted: int


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
        Bound on the payload bytes kept, without evidence.
    retention_s : float
        How long an event is kept after the broker acknowledged it.
    evidence_max_bytes : int
        Bound on the payload bytes of evidence. Beyond it the oldest goes: what the broker has first, then unsent ones.
    evidence_max_age_s : float
        Older evidence is dropped, sent or not.

    Attributes
    ----------
    boot_id : str
        The present run.
    evidence_dropped : dict of str to int
        Unsent evidence that this run dropped, by reason: ``bytes`` or ``age``.
    n_removed : int
        Grows whenever an unsent event is gone.

    Raises
    ------
    HostEnvironmentError
        If the file cannot be opened or was written by a newer version. A damaged one is set aside, a new one begun.
    """

    def __init__(
        self,
        path: Path,
        *,
        boot_id: str,
        clock: Callable[[], float] = time.time,
        max_bytes: int = 256 << 20,
        retention_s: float = 86_400.0,
        evidence_max_bytes: int = 64 << 20,
        evidence_max_age_s: float = 604_800.0,
    ) -> None:
        self.boot_id = boot_id
        self._clock = clock
        self._max_bytes = max_bytes
        self._retention_s = retention_s
        self._evidence_max_bytes = evidence_max_bytes
        self._evidence_max_age_s = evidence_max_age_s
        self.evidence_dropped = {"bytes": 0, "age": 0}
        self.n_removed = 0
        self._may_purge = True
        self._bytes = self._evidence_bytes = self._unsent = self._held = 0
        self._states: dict[str, bytes] | None = None
        self._file = OutboxFile(path, clock=clock, on_open=self._count)

    @property
    def _database(self) -> sqlite3.Connection:
        return self._file.database

    @property
    def folder(self) -> Path:
        """Where the file lies, and the folders of damaged ones."""
        return self._file.path.parent

    @property
    def mendings(self) -> list[Mending]:
        """What became of the damaged files of this run."""
        return self._file.mendings

    @property
    def n_rewritten(self) -> int:
        """How often the file was gone and was written again."""
        return self._file.n_rewritten

    def scrub(self) -> bool:
        """Look at the next part of the file on the disk; False when it is damaged: it is mended at the next use.

        Raises
        ------
        HostEnvironmentError
            If the disk cannot be read.
        """
        return self._file.scrub()

    def distrust(self, reason: str) -> None:
        """Note that something in the file makes no sense: it is set aside, and a new one begun, at the next use."""
        self._file.distrust(reason)

    def _count(self, database: sqlite3.Connection) -> None:
        """Learn from the file what is in it; into one that was mended, write back every state as it is now."""
        if self._states is None:
            self._states = dict(database.execute("SELECT key, value FROM state").fetchall())
        else:
            with database:
                database.execute("DELETE FROM state")
                database.executemany(_SET_STATE, self._states.items())
        self._bytes, self._evidence_bytes, self._unsent, self._held = database.execute(_COUNTS).fetchone()
        self.n_removed += 1
        self._may_purge = True

    def rebound(
        self, *, max_bytes: int, retention_s: float, evidence_max_bytes: int, evidence_max_age_s: float
    ) -> None:
        """Keep other bounds from the next purge and commit on; the parameters are those of the constructor."""
        self._max_bytes = max_bytes
        self._retention_s = retention_s
        self._evidence_max_bytes = evidence_max_bytes
        self._evidence_max_age_s = evidence_max_age_s
        self._may_purge = True

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
        with self._file.transaction(f"store {len(events)} events") as database:
            added = self._insert(database, events, now_ms)
            doomed = self._evidence_over(database, added)
            delete(database, doomed)
            kept = {key: value for key, value in state.items() if value is not None}
            gone = state.keys() - kept.keys()
            database.executemany(_SET_STATE, kept.items())
            database.executemany("DELETE FROM state WHERE key = ?", [(key,) for key in gone])
        self._remember(kept, gone)
        for event in added:
            self._grow(event.priority, len(event.payload))
            self._unsent += 1
            self._held += event.held
        self._forget(doomed, dropped="bytes")

    def _remember(self, kept: Mapping[str, bytes], gone: Iterable[str]) -> None:
        """Note the states that are on disk now."""
        assert self._states is not None
        self._states |= kept
        for key in gone:
            self._states.pop(key, None)

    def _insert(self, database: sqlite3.Connection, events: Sequence[Outgoing], now_ms: int) -> list[Outgoing]:
        added = []
        for event in events:
            cursor = database.execute(
                _INSERT,
                (
                    event.event_id,
                    self.boot_id,
                    event.series,
                    event.seq,
                    int(event.priority),
                    event.topic,
                    event.payload,
                    int(event.retain),
                    now_ms,
                    int(event.held),
                ),
            )
            if cursor.rowcount:
                added.append(event)
                self._file.last_id = cursor.lastrowid or 0
        last = {event.series: event.seq for event in added if event.series}
        database.executemany(_COUNT_ON, [(self.boot_id, series, seq) for series, seq in last.items()])
        return added

    def _grow(self, priority: int, n_bytes: int) -> None:
        if priority == Priority.EVIDENCE:
            self._evidence_bytes += n_bytes
        else:
            self._bytes += n_bytes

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
        rows = self._file.rows(
            "SELECT id, topic, payload, retain, committed_ms, replayed, priority FROM event"
            " WHERE acked_ms IS NULL AND held = 0 ORDER BY replayed, priority, id LIMIT ?",
            (limit + len(skipped),),
        )
        if any(not isinstance(row[1], str) or not isinstance(row[2], bytes) for row in rows):
            self.distrust("an event of no kind")
            raise HostEnvironmentError(f"{self._file.path}: an event in the outbox makes no sense")
        found = [Stored(row[0], row[1], row[2], bool(row[3]), row[4], bool(row[5]), row[6]) for row in rows]
        return [event for event in found if event.id not in skipped][:limit]

    def mark_acknowledged(self, ids: Collection[int]) -> None:
        """Remember that the broker has these events; they stay for the retention window.

        What the broker is to keep as a topic's last value replaces every older value of its topic that waits: those
        are never sent, and count as sent.

        Raises
        ------
        HostEnvironmentError
            If the disk refuses; none of them is marked then.
        """
        now_ms = round(self._clock() * 1000)
        marked = 0
        with self._file.transaction("mark events as sent") as database:
            for event_id in ids:
                cursor = database.execute(
                    "UPDATE event SET acked_ms = ? WHERE id = ? AND acked_ms IS NULL", (now_ms, event_id)
                )
                marked += cursor.rowcount
            older = _replaced(database, ids)
            database.executemany("UPDATE event SET acked_ms = ?, held = 0 WHERE id = ?", [(now_ms, n) for n in older])
        self._unsent -= marked + len(older)
        self._held -= sum(older.values())
        self.n_removed += len(older)
        self._may_purge = True

    def kept_range(self, boot_id: str, series: str, from_seq: int) -> tuple[int, int] | None:
        """Give the lowest and the highest number of a series that are kept, from one on; None when there is none."""
        condition = "FROM event WHERE boot_id = ? AND series = ? AND seq >= ?"
        query = f"SELECT (SELECT min(seq) {condition}), (SELECT max(seq) {condition})"
        ((first, last),) = self._file.rows(query, (boot_id, series, from_seq) * 2)
        return None if first is None else (first, last)

    def resend(self, boot_id: str, series: str, from_seq: int, *, below: int | None = None) -> int:
        """Put acknowledged events of a series back into the queue.

        Parameters
        ----------
        boot_id, series : str
            Whose.
        from_seq : int
            The first number.
        below : int, optional
            The number before which it ends; by default all that follow are put back.

        Returns
        -------
        count : int
            How many will be sent again; they are marked as replayed.

        Raises
        ------
        HostEnvironmentError
            If the disk refuses; none is sent again then.
        """
        with self._file.transaction("resend events") as database:
            cursor = database.execute(
                "UPDATE event SET acked_ms = NULL, replayed = 1"
                " WHERE boot_id = ? AND series = ? AND seq >= ? AND seq < ? AND acked_ms IS NOT NULL",
                (boot_id, series, from_seq, _BEYOND if below is None else below),
            )
        self._unsent += cursor.rowcount
        return cursor.rowcount

    def purge(self) -> int:
        """Delete acknowledged events past their retention, and over the byte bound the oldest that the broker had once.

        Over the bound, a 64th of it is freed beyond, so that not every commit has to delete.

        Returns
        -------
        count : int
            How many events were deleted; where it is ``PURGE_ROWS`` there may be more to delete. Alerts and verdicts
            that were never sent are not among them; those that are to be sent once more may be.

        Raises
        ------
        HostEnvironmentError
            If the disk refuses; nothing is deleted then.
        """
        now_s = self._clock()
        done_ms = round((now_s - self._retention_s) * 1000)
        aged_ms = round((now_s - self._evidence_max_age_s) * 1000)
        with self._file.transaction("delete old events") as database:
            doomed = find_past(database, done_ms=done_ms, aged_ms=aged_ms, limit=PURGE_ROWS)
            excess = self._bytes - sum(event.size for event in doomed if not event.is_evidence) - self._max_bytes
            if excess > 0:
                wanted = excess + self._max_bytes // _ROOM_SHARE
                rest, known = PURGE_ROWS - len(doomed), {event.id for event in doomed}
                doomed += find_oldest_delivered(database, wanted, besides=known, limit=rest)
            delete(database, doomed)
            forget_ended_sequences(database, self.boot_id)
        self._forget(doomed, dropped="age")
        self._may_purge = self._bytes <= self._max_bytes or len(doomed) >= PURGE_ROWS
        return len(doomed)

    def _evidence_over(self, database: sqlite3.Connection, added: Iterable[Outgoing]) -> list[Doomed]:
        """Find the evidence that must go for what was just added."""
        n_bytes = sum(len(event.payload) for event in added if event.priority == Priority.EVIDENCE)
        excess = self._evidence_bytes + n_bytes - self._evidence_max_bytes
        if not n_bytes or excess <= 0:
            return []
        return find_oldest_evidence(database, excess + self._evidence_max_bytes // _ROOM_SHARE)

    def _forget(self, doomed: Iterable[Doomed], *, dropped: str) -> None:
        """Count what was deleted out of what is there."""
        for event in doomed:
            self._grow(Priority.EVIDENCE if event.is_evidence else Priority.ALERT, -event.size)
            self._held -= event.held
            if not event.acknowledged:
                self._unsent -= 1
                self.n_removed += 1
                if event.is_evidence:
                    self.evidence_dropped[dropped] += 1

    @property
    def full(self) -> bool:
        """Whether events that were never sent exceed the byte bound alone, so that inputs must wait."""
        if self._bytes > self._max_bytes and self._may_purge:
            try:
                self.purge()
            except HostEnvironmentError:  # a disk that refuses gives no room either
                return True
        return self._bytes > self._max_bytes and not self._may_purge

    @property
    def depth(self) -> int:
        """Number of events that the broker has not acknowledged, with those that are held."""
        return self._unsent

    @property
    def ready(self) -> int:
        """Number of events that may be sent."""
        return self._unsent - self._held

    def held_runs(self) -> tuple[str, ...]:
        """Give the boot ids whose events are held."""
        return tuple(row[0] for row in self._file.rows("SELECT DISTINCT boot_id FROM event WHERE held = 1"))

    def restamp(self, offset_ms: int, *, boot_id: str, clock: ClockQuality | None = None, span: Span = EVER) -> int:
        """Correct the times of a run's held events and let them go.

        To every whole number in the payload whose name ends in ``_ms`` and that lies before the year 2025 the offset
        is added, except to ``latency_ms``, which is a duration. A payload that is no JSON object is left as it is.

        Parameters
        ----------
        offset_ms : int
            What the wall clock was set forward by, ms.
        boot_id : str
            The run.
        clock : ClockQuality, optional
            What takes the place of ``clock`` in the payload.
        span : Span
            Only times within are corrected.

        Returns
        -------
        count : int
            How many events may be sent now.

        Raises
        ------
        HostEnvironmentError
            If the disk refuses; all stay held then.
        """
        grown = Counter[int]()
        with self._file.transaction("restamp held events") as database:
            ids = database.execute("SELECT id FROM event WHERE held = 1 AND boot_id = ?", (boot_id,)).fetchall()
            for (number,) in ids:
                payload, committed_ms, priority = database.execute(
                    "SELECT payload, committed_ms, priority FROM event WHERE id = ?", (number,)
                ).fetchone()
                corrected = restamped(payload, offset_ms, clock, span=span)
                grown[priority] += len(corrected) - len(payload)
                database.execute(
                    "UPDATE event SET payload = ?, committed_ms = ?, held = 0 WHERE id = ?",
                    (corrected, moved(committed_ms, offset_ms), number),
                )
        for priority, n_bytes in grown.items():
            self._grow(priority, n_bytes)
        self._held -= len(ids)
        return len(ids)

    def oldest_unsent_s(self) -> float:
        """Age of the oldest unsent event, s; 0 when there is none."""
        ((oldest_ms,),) = self._file.rows(_OLDEST)
        return 0.0 if oldest_ms is None else max(0.0, self._clock() - oldest_ms / 1000)

    @property
    def last_id(self) -> int:
        """The highest ``id`` that is kept; what is committed later has a higher one."""
        return self._scalar("SELECT coalesce(max(id), 0) FROM event")

    def last_seq(self, series: str) -> int:
        """Give the highest number of a series during the present run."""
        return self._scalar(
            "SELECT coalesce(max(seq), 0) FROM event WHERE boot_id = ? AND series = ?", (self.boot_id, series)
        )

    def accounts(self) -> list[Account]:
        """Give the account of every series of every run of which something is kept."""
        return [Account(*row) for row in self._file.rows("SELECT boot_id, series, last, deleted FROM sequence")]

    def n_kept(self, boot_id: str, series: str, *, after: int = 0) -> int:
        """Count the numbers of a series that are in the outbox, beyond one of them."""
        query = "SELECT count(DISTINCT seq) FROM event WHERE boot_id = ? AND series = ? AND seq > ?"
        return self._scalar(query, (boot_id, series, after))

    def still_unsent(self, ids: Iterable[int]) -> set[int]:
        """Give those of the ids that wait: evidence may be dropped while it is refused."""
        query = "SELECT 1 FROM event WHERE id = ? AND acked_ms IS NULL"
        return {number for number in ids if self._file.rows(query, (number,))}

    def latest(self, series: str, limit: int) -> list[bytes]:
        """Give the payloads of the last events of a series, of any run, the oldest first."""
        rows = self._file.rows(
            "SELECT payload FROM (SELECT id, payload FROM event WHERE series = ? ORDER BY id DESC LIMIT ?) ORDER BY id",
            (series, limit),
        )
        return [row[0] for row in rows if isinstance(row[0], bytes)]

    def find_topic(self, topic: str) -> bytes | None:
        """Give the payload that was last committed for a topic; None when none is kept. Quick for evidence only."""
        for condition in ("topic = ? AND priority = 2", "topic = ?"):
            query = f"SELECT payload FROM event WHERE {condition} ORDER BY id DESC LIMIT 1"  # noqa: S608 - ours
            found = self._file.rows(query, (topic,))
            if found:
                return found[0][0] if isinstance(found[0][0], bytes) else None
        return None

    def load_state(self, prefix: str) -> dict[str, bytes]:
        """Every stored state whose key begins with ``prefix``."""
        return {key: value for key, value in (self._states or {}).items() if key.startswith(prefix)}

    def close(self) -> None:
        """Fold the log into the file and close it."""
        self._file.close()

    def _scalar(self, query: str, values: tuple[object, ...] = ()) -> int:
        return int(self._file.rows(query, values)[0][0])


def _replaced(database: sqlite3.Connection, ids: Iterable[int]) -> dict[int, bool]:
    """Find what waits and is older than a retained event that the broker has, on its topic; and whether it is held."""
    older: dict[int, bool] = {}
    for event_id in ids:
        query = "SELECT priority, id, topic FROM event WHERE id = ? AND retain = 1"
        for row in database.execute(query, (event_id,)).fetchall():
            older |= database.execute(_OLDER, row).fetchall()
    return older
