"""What can be read of a damaged outbox, written into a new one."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from edge_runtime.daemon.outbox_schema import COUNT_SEQUENCES, create_empty
from edge_runtime.daemon.sqlite_pages import DamagedFile, Row

_CHUNK = 1000
_EVIDENCE = 2
_COLUMNS = "id, event_id, boot_id, series, seq, priority, topic, payload, retain, committed_ms, replayed, acked_ms"
_KINDS: tuple[type | tuple[type, ...], ...] = (
    int,
    str,
    str,
    str,
    int,
    int,
    str,
    bytes,
    int,
    int,
    int,
    (int, type(None)),
    int,
)
_N_COLUMNS = (len(_KINDS) - 1, len(_KINDS))
_ACKED = 11
_PUT = f"INSERT OR {{}} INTO event ({_COLUMNS}, held) VALUES ({', '.join('?' * len(_KINDS))})"  # noqa: S608 - ours
_PUT_STATE = "INSERT OR {} INTO state (key, value) VALUES (?, ?)"
_SMALLEST = 512
_SPARE_IDS = 100_000


@dataclass(frozen=True, slots=True)
class Salvaged:
    """What was found.

    Attributes
    ----------
    n_unsent, n_sent, n_states : int
        Events that the broker lacks, events that it has, and states, in the new outbox.
    n_lost : int or None
        Numbers of alerts and verdicts that should be there and are not; None where that cannot be known.
    """

    n_unsent: int
    n_sent: int
    n_states: int
    n_lost: int | None

    def __str__(self) -> str:
        """Say it for the log."""
        lost = "an unknown number of" if self.n_lost is None else str(self.n_lost)
        return (
            f"kept {self.n_unsent} unsent and {self.n_sent} sent events and {self.n_states} states;"
            f" lost {lost} alerts and verdicts"
        )


def salvage(damaged: Path, new: Path, *, last_id: int = 0) -> Salvaged:
    """Write what is left of a damaged outbox into a new file.

    First SQLite itself reads, a thousand events at a time; then the pages are read without it, for what it could not.
    Such a page may be an old copy: an event that the broker has may then be sent once more, with the same id. Unsent
    alerts and verdicts that are no JSON are left out, and so is every row that is none of the outbox's.

    Parameters
    ----------
    damaged : Path
        The damaged file; its log lies beside it. Both stay as they are.
    new : Path
        The file to make; one that is there is replaced.
    last_id : int
        The last id that is known to be given; new ones begin well above it.

    Raises
    ------
    sqlite3.Error, OSError
        If the new one cannot be written or the damaged one not be opened.
    """
    create_empty(new)
    with closing(sqlite3.connect(new)) as database, closing(DamagedFile(damaged)) as file, database:
        complete, accounts = _copy(database, damaged)
        if not complete:
            known = {number for (number,) in database.execute("SELECT id FROM event")}
            _put(database, file.rows(known=known, n_columns=_N_COLUMNS), "IGNORE")
        _put(database, file.later_rows(), "REPLACE")
        n_lost = _account(database, accounts)
        (highest,) = database.execute("SELECT coalesce(max(id), 0) FROM event").fetchone()
        database.execute("DELETE FROM sqlite_sequence")
        database.execute("INSERT INTO sqlite_sequence VALUES ('event', ?)", (max(highest, last_id) + _SPARE_IDS,))
        n_unsent, n_sent, n_states = database.execute(
            "SELECT count(*) FILTER (WHERE acked_ms IS NULL), count(acked_ms), (SELECT count(*) FROM state) FROM event"
        ).fetchone()
    return Salvaged(n_unsent, n_sent, n_states, n_lost)


def _copy(database: sqlite3.Connection, damaged: Path) -> tuple[bool, list[Any] | None]:
    """Copy what SQLite can read; says whether that was all, and gives the accounts of the sequences."""
    if damaged.stat().st_size < _SMALLEST:  # SQLite would take it for an empty one and delete its log
        return False, None
    with closing(_Reader(damaged)) as reader:
        for events in reader.events():
            database.executemany(_PUT.format("IGNORE"), _sound(events))
        database.executemany(_PUT_STATE.format("IGNORE"), _sound_states(reader.states()))
        return reader.complete, reader.accounts()


class _Reader:
    """Reads a damaged file by SQLite as far as it goes; ``complete`` says whether that was to the end."""

    def __init__(self, path: Path) -> None:
        self.complete = True
        self._database = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)
        self._database.text_factory = _text
        columns = self._rows("SELECT name FROM pragma_table_info('event')")
        self._held = "held" if ("held",) in columns else "0"

    def close(self) -> None:
        """Let the file go."""
        self._database.close()

    def _rows(self, query: str, values: tuple[int, ...] = ()) -> list[Any]:
        try:
            return self._database.execute(query, values).fetchall()
        except sqlite3.Error:
            self.complete = False
            return []

    def events(self) -> Iterator[list[Any]]:
        """Give the events that can be read, some at a time."""
        ends = self._rows("SELECT min(id), max(id) FROM event NOT INDEXED")
        given = self._rows("SELECT seq FROM sqlite_sequence WHERE name = 'event'")
        (low, high) = ends[0] if ends else (1, given[0][0] if given else 0)
        query = f"SELECT {_COLUMNS}, {self._held} FROM event NOT INDEXED WHERE id BETWEEN ? AND ?"  # noqa: S608 - ours
        while low is not None and low <= high:
            yield self._rows(query, (low, low + _CHUNK - 1))
            low += _CHUNK

    def states(self) -> list[Any]:
        """Give the states."""
        return self._rows("SELECT key, value FROM state NOT INDEXED")

    def accounts(self) -> list[Any] | None:
        """Give the last and the deleted numbers of each sequence; None where they cannot be read."""
        try:
            return self._database.execute("SELECT boot_id, series, last, deleted FROM sequence").fetchall()
        except sqlite3.Error:
            return None


def _text(data: bytes) -> str | bytes:
    """Decode a text; what is none stays bytes, and its row is left out."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def _sound(rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """Keep the rows that can be events."""
    for row in rows:
        if all(map(isinstance, row, _KINDS)) and (row[_ACKED] is not None or can_be_sent(row[5], row[7])):
            yield row


def can_be_sent(priority: int, payload: bytes) -> bool:
    """Whether a payload is what the sender takes: evidence, nothing, or a JSON object."""
    if priority == _EVIDENCE or not payload:
        return True
    try:
        return isinstance(msgspec.json.decode(payload), dict)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False


def _sound_states(rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """Keep the rows that can be states."""
    for row in rows:
        if isinstance(row[0], str) and isinstance(row[1], bytes):
            yield row


def _put(database: sqlite3.Connection, rows: Iterator[Row], conflict: str) -> None:
    """Store rows of any table that look like events or states; an id of SQLite's stands in no column."""
    while some := list(islice(rows, _CHUNK)):
        states = [values for _, values in some if len(values) == 2]  # noqa: PLR2004 - key and value
        events = [
            (rowid, *values[1:], 0)[: len(_KINDS)]
            for rowid, values in some
            if len(values) in _N_COLUMNS and values[0] is None
        ]
        database.executemany(_PUT_STATE.format(conflict), _sound_states(states))
        database.executemany(_PUT.format(conflict), _sound(events))


def _account(database: sqlite3.Connection, accounts: list[Any] | None) -> int | None:
    """Begin the accounts of all sequences anew; gives how many numbers are missing, where that is known."""
    database.execute(COUNT_SEQUENCES)
    n_lost = 0
    for boot_id, series, last, deleted in accounts or ():
        (n_kept,) = database.execute(
            "SELECT count(DISTINCT seq) FROM event WHERE boot_id = ? AND series = ?", (boot_id, series)
        ).fetchone()
        n_lost += max(0, last - deleted - n_kept)
        database.execute(
            "INSERT INTO sequence VALUES (?, ?, ?, ?) ON CONFLICT (boot_id, series) DO UPDATE"
            " SET last = max(last, excluded.last), deleted = max(last, excluded.last) - ?",
            (boot_id, series, last, last - n_kept, n_kept),
        )
    return None if accounts is None else n_lost
