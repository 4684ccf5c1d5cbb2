"""Events per second that the outbox makes durable, against bare SQLite on the same disk.

Both write the same events into a file of their own with ``journal_mode=WAL`` and ``synchronous=FULL``, so that a commit
returns when the disk has it; they take turns, and their rows must be equal. The bare one is a table with the same
columns and a unique ``event_id``, written by ``executemany`` in one transaction: no index for the order of sending, for
resends or for retention, no account of the sequence. The files lie beside the results, not in a temporary folder that
may be memory.
"""

from __future__ import annotations

import atexit
import json
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from bench.harness import RESULTS, Candidate, Case, Goal, run_benchmark
from edge_runtime.daemon.outbox import Outbox, Outgoing, Priority

OURS, BARE = "outbox", "bare SQLite"
BATCH = 100
_COLUMNS = "event_id, boot_id, series, seq, priority, topic, payload, retain"
_CREATE = """
CREATE TABLE event (
  id INTEGER PRIMARY KEY AUTOINCREMENT, event_id TEXT NOT NULL UNIQUE, boot_id TEXT NOT NULL, series TEXT NOT NULL,
  seq INTEGER NOT NULL, priority INTEGER NOT NULL, topic TEXT NOT NULL, payload BLOB NOT NULL, retain INTEGER NOT NULL,
  committed_ms INTEGER NOT NULL, replayed INTEGER NOT NULL DEFAULT 0, acked_ms INTEGER
)
"""


class Writer(Protocol):
    """Makes events durable."""

    def write(self, events: list[Outgoing]) -> None:
        """Return when the disk has them."""

    def rows(self) -> list[Any]:
        """Give everything that was written, in its order."""


class Ours:
    """The outbox."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "outbox.sqlite"
        self._outbox = Outbox(self._path, boot_id="bench", max_bytes=1 << 40)

    def write(self, events: list[Outgoing]) -> None:
        """Commit them in one transaction."""
        self._outbox.commit(events, {})

    def rows(self) -> list[Any]:
        """Read the file beside the outbox."""
        return read_rows(self._path)


class Bare:
    """SQLite alone."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "bare.sqlite"
        self._database = sqlite3.connect(self._path)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=FULL")
        self._database.execute(_CREATE)

    def write(self, events: list[Outgoing]) -> None:
        """Insert them in one transaction."""
        rows = [
            (e.event_id, "bench", e.series, e.seq, int(e.priority), e.topic, e.payload, int(e.retain)) for e in events
        ]
        with self._database:
            self._database.executemany(f"INSERT INTO event ({_COLUMNS}, committed_ms) VALUES (?,?,?,?,?,?,?,?,0)", rows)

    def rows(self) -> list[Any]:
        """Read the file beside the writer."""
        return read_rows(self._path)


def read_rows(path: Path) -> list[Any]:
    """Read all events of a file through a connection of its own."""
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return database.execute(f"SELECT {_COLUMNS} FROM event ORDER BY id").fetchall()
    finally:
        database.close()


def make_event(number: int) -> Outgoing:
    """Make an alert of usual size: 1.2 kB of JSON."""
    fields = {"schema": "edge.alert/1", "seq": number, "score": number % 97 / 97, "text": "x" * 80}
    fields |= {f"field_{k}": k * 1.5 for k in range(60)}
    return Outgoing(
        f"{number:026d}", "alert", number, Priority.ALERT, "edge/gw/alert/event", json.dumps(fields).encode()
    )


def run(writer: Writer, n_events: int) -> Callable[[int], Writer]:
    """Write the next events at each call; both writers get the same."""
    template = make_event(0)
    last = 0

    def call(_: int) -> Writer:
        nonlocal last
        events = [
            Outgoing(f"{seq:026d}", "alert", seq, template.priority, template.topic, template.payload)
            for seq in range(last + 1, last + n_events + 1)
        ]
        last += n_events
        writer.write(events)
        return writer

    return call


def equal(first: Writer, second: Writer) -> bool:
    """Whether both files hold the same rows."""
    rows = first.rows()
    return bool(rows) and rows == second.rows()


def cases(quick: bool) -> list[Case]:
    """Batches of 100, and one by one."""
    RESULTS.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="outbox-", dir=RESULTS))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    found = []
    for n_events, calls, rounds in ((BATCH, 2, 150), (1, 20, 150)):
        place = folder / str(n_events)
        place.mkdir()
        ours, bare = Ours(place), Bare(place)
        found.append(
            Case(
                f"{n_events} events of 1.2 kB in a transaction" if n_events > 1 else "one event in a transaction",
                [Candidate(BARE, run(bare, n_events)), Candidate(OURS, run(ours, n_events))],
                (Goal(OURS, BARE, 2.0),),
                rounds=20 if quick else rounds,
                calls=calls,
                equal=equal,
                clock="wall",
                items=n_events,
            )
        )
    return found


if __name__ == "__main__":
    run_benchmark("outbox", cases)
