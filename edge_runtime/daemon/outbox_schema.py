"""The tables of the outbox, how a file of an earlier release becomes one of this, and which releases may open a file.

``PRAGMA user_version`` is the lowest schema number that a release must know to open a file; ``meta.schema`` is the
file's own. A schema that only adds leaves ``user_version`` as it is, and releases from there on open each other's
files. The format is specified in ``docs/formats/outbox.md``.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from edge_runtime.errors import HostEnvironmentError

#: What this release writes.
SCHEMA_VERSION = 2
#: The lowest number that a release must know to open what this one writes: 1 cannot send evidence.
MIN_READER = 2

#: So long a commit waits for another program that holds the file, s; the daemon does nothing else meanwhile.
_PATIENCE_S = 1.0

_HELD = ", held INTEGER NOT NULL DEFAULT 0"
_TABLES = (
    """CREATE TABLE IF NOT EXISTS event (
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
  acked_ms INTEGER, held INTEGER NOT NULL DEFAULT 0
)""",
    "CREATE TABLE IF NOT EXISTS state (key TEXT PRIMARY KEY, value BLOB NOT NULL)",
)

_ADDED = (
    """CREATE TABLE IF NOT EXISTS sequence (
  boot_id TEXT NOT NULL,
  series TEXT NOT NULL,
  last INTEGER NOT NULL,
  deleted INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (boot_id, series)
) WITHOUT ROWID""",
    "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL)",
)

_INDICES = (
    "CREATE INDEX IF NOT EXISTS event_waiting ON event (replayed, priority, id) WHERE acked_ms IS NULL",
    "CREATE INDEX IF NOT EXISTS event_sequence ON event (boot_id, series, seq)",
    "CREATE INDEX IF NOT EXISTS event_series ON event (series, id)",
    "CREATE INDEX IF NOT EXISTS event_done ON event (acked_ms) WHERE acked_ms IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS event_evidence ON event (topic, id) WHERE priority = 2",
    "CREATE INDEX IF NOT EXISTS event_held ON event (boot_id) WHERE held = 1",
)

#: Numbers that an earlier release deleted after the broker had them are taken as deleted on purpose.
COUNT_SEQUENCES = (
    "INSERT OR REPLACE INTO sequence (boot_id, series, last, deleted)"
    " SELECT boot_id, series, max(seq), max(seq) - count(DISTINCT seq) FROM event WHERE series <> ''"
    " GROUP BY boot_id, series"
)


def open_database(path: Path) -> sqlite3.Connection:
    """Open or create the database, bring it to the present schema, and set its durability.

    A new file is made beside and renamed, so that an empty one under this name is always a damaged one.

    Raises
    ------
    HostEnvironmentError
        If it was written by a release that this one cannot follow; the file is left untouched then.
    sqlite3.Error
        If it cannot be opened.
    """
    if not path.exists():
        new = path.with_name(f"{path.name}.new")
        create_empty(new)
        rename_durably(new, path)
    database = sqlite3.connect(path, timeout=_PATIENCE_S)
    try:
        _require_readable(database, path)
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
        database.execute("PRAGMA journal_size_limit=16777216")
        if _schema(database) < SCHEMA_VERSION:
            _migrate(database)
    except (sqlite3.Error, HostEnvironmentError):
        database.close()
        raise
    return database


def find_foreign(database: sqlite3.Connection) -> str:
    """Name what an outbox of this release does not consist of: a trigger, a view, a table or index that is not ours.

    Tables and indices are compared by their definition: one of ours under its name may do other things. Nothing of the
    file is carried out meanwhile.

    Returns
    -------
    name : str
        Kind and name of the first; empty where there is none.
    """
    first = _TABLES[0].replace(_HELD, "")
    ours = {_normal(statement) for statement in (*_TABLES, *_ADDED, *_INDICES, first)}
    database.execute("PRAGMA trusted_schema=OFF")
    for kind, name, statement in database.execute("SELECT type, name, sql FROM sqlite_master ORDER BY name"):
        by_sqlite = (kind == "index" and statement is None) or (kind, name) == ("table", "sqlite_sequence")
        if not by_sqlite and _normal(str(statement)) not in ours:
            return f"{kind} {name}"[:200]
    return ""


def _normal(statement: str) -> str:
    """Give a definition as SQLite keeps it, without spaces."""
    return "".join(statement.replace("IF NOT EXISTS ", "", 1).split())


def create_empty(path: Path) -> None:
    """Make an empty outbox; what an interrupted attempt left is removed."""
    for leftover in (path, path.with_name(f"{path.name}-journal")):
        leftover.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as database:
        _migrate(database)


def rename_durably(path: Path, target: Path) -> None:
    """Rename a file or folder so that the disk has it."""
    path.rename(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _require_readable(database: sqlite3.Connection, path: Path) -> None:
    needed = _number(database, "PRAGMA user_version")
    if needed > SCHEMA_VERSION:
        raise HostEnvironmentError(
            f"{path}: written by a newer release (outbox schema {needed}, this one knows {SCHEMA_VERSION});"
            f' upgrade edge-runtime, or run "edge-runtime state downgrade CONFIG --schema {SCHEMA_VERSION}" with the'
            " newer release first, or move the file aside"
        )


def _schema(database: sqlite3.Connection) -> int:
    """Give the file's schema: 0 where its creation was interrupted."""
    if database.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
        row = database.execute("SELECT value FROM meta WHERE name = 'schema'").fetchone()
        return 0 if row is None else int(row[0])
    return min(1, _number(database, "PRAGMA user_version"))


@contextmanager
def _at_once(database: sqlite3.Connection) -> Iterator[None]:
    """Change tables in one transaction: a process that is killed leaves the old schema or the new one."""
    database.execute("BEGIN IMMEDIATE")
    with database:
        yield


def _migrate(database: sqlite3.Connection) -> None:
    """Bring an empty file, one whose creation was interrupted, or one of schema 1 to the present schema."""
    with _at_once(database):
        for statement in _TABLES:
            database.execute(statement)
        if "held" not in {row[1] for row in database.execute("PRAGMA table_info(event)")}:
            database.execute("ALTER TABLE event ADD COLUMN held INTEGER NOT NULL DEFAULT 0")
        for statement in (*_ADDED, *_INDICES, COUNT_SEQUENCES):
            database.execute(statement)
        database.execute(
            "INSERT OR REPLACE INTO meta (name, value) VALUES ('schema', ?)",
            (SCHEMA_VERSION,),
        )
        database.execute(f"PRAGMA user_version={MIN_READER}")


def _number(database: sqlite3.Connection, query: str) -> int:
    return int(database.execute(query).fetchone()[0])
