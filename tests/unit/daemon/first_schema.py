"""An outbox as the first release left it: schema 1, with events of every kind."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

_FIRST = """
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
_INSERT = "INSERT INTO event VALUES (?, ?, 'boot-0', ?, ?, ?, 'edge/gw/x', ?, 0, 1700000000000, ?, ?)"


def write_first_schema(path: Path, *, version: int = 1) -> None:
    """Write four alerts (the first acknowledged, number 2 purged long ago), two verdicts and a state."""
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.executescript(_FIRST)
        rows = [
            (1, "a1", "alert", 1, 0, b'{"n":1}', 0, 1_700_000_000_500),
            (3, "a3", "alert", 3, 0, b'{"n":3}', 0, None),
            (4, "a4", "alert", 4, 0, b'{"n":4}', 1, None),
            (5, "v1", "verdict", 1, 1, b'{"v":1}', 0, None),
            (6, "v2", "verdict", 2, 1, b'{"v":2}', 0, None),
            (7, "s", "", 0, 0, b"", 0, None),
        ]
        database.executemany(_INSERT, rows)
        database.execute("INSERT INTO state VALUES ('alarm/a', x'00ff')")
        database.execute(f"PRAGMA user_version={version}")
        database.commit()


def open_as_first_release(path: Path) -> sqlite3.Connection:
    """Open a file as the first release does: it refuses a higher version, and creates what is missing."""
    database = sqlite3.connect(path)
    version = database.execute("PRAGMA user_version").fetchone()[0]
    if version > 1:
        database.close()
        raise ValueError(f"written by a newer release (outbox schema {version}, this one knows 1)")
    database.executescript(_FIRST)
    return database
