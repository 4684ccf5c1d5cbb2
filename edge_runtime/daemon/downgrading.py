"""The outbox made readable for a release with an older schema, by the release that knows both."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.daemon.outbox_schema import MIN_READER, SCHEMA_VERSION, open_database
from edge_runtime.daemon.state import claim_finished
from edge_runtime.errors import HostEnvironmentError, UsageError

_FIRST = 1


@dataclass(frozen=True, slots=True)
class Downgraded:
    """What had to be given up.

    Attributes
    ----------
    schema : int
        What a release must know to open the file now.
    n_evidence : int
        Unsent evidence that is marked as sent: the older release cannot send it.
    n_held : int
        Held events that are let go with the times that they have.
    """

    schema: int
    n_evidence: int
    n_held: int

    def __str__(self) -> str:
        """Say it for a person."""
        return (
            f"a release that knows outbox schema {self.schema} opens it;"
            f" {self.n_evidence} pieces of evidence will not be sent, {self.n_held} held events go out with the times"
            " they have"
        )

    def as_json(self) -> dict[str, object]:
        """Give it for machines."""
        return {"schema": self.schema, "evidence_not_sent": self.n_evidence, "held_released": self.n_held}


def downgrade(state_dir: Path, schema: int) -> Downgraded:
    """Write the outbox so that a release with an older schema opens it.

    Parameters
    ----------
    state_dir : Path
        ``gateway.state_dir``; no daemon uses it.
    schema : int
        What the older release knows.

    Raises
    ------
    UsageError
        If there is no such schema.
    HostEnvironmentError
        If there is no outbox, a daemon runs, or the disk refuses; the file is as it was then.
    """
    if schema > SCHEMA_VERSION:
        raise UsageError(f"--schema {schema}: this release knows {_FIRST} to {SCHEMA_VERSION}")
    path = state_dir / "outbox.sqlite"
    if not path.exists():
        raise HostEnvironmentError(f"{path}: there is no outbox; an older release makes its own")
    state = claim_finished(state_dir)
    try:
        with closing(open_database(path)) as database:
            if schema >= MIN_READER:
                return Downgraded(MIN_READER, 0, 0)
            return _lower(database)
    except sqlite3.Error as error:
        raise HostEnvironmentError(f"{path}: the outbox cannot be written: {error}") from error
    finally:
        state.release()


def _lower(database: sqlite3.Connection) -> Downgraded:
    """Take away what schema 1 does not know, in one transaction; ``held`` has a default and may stay."""
    database.execute("BEGIN IMMEDIATE")
    with database:
        evidence = database.execute(
            "UPDATE event SET acked_ms = ?, held = 0 WHERE priority = 2 AND acked_ms IS NULL",
            (round(time.time() * 1000),),
        )
        held = database.execute("UPDATE event SET held = 0 WHERE held = 1")
        for statement in (
            "DROP INDEX event_evidence",
            "DROP INDEX event_held",
            "DROP TABLE sequence",
            "DROP TABLE meta",
            f"PRAGMA user_version={_FIRST}",
        ):
            database.execute(statement)
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return Downgraded(_FIRST, evidence.rowcount, held.rowcount)
