"""What is deleted from the outbox, and the account of it: the bounds of events and of evidence."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from itertools import islice
from typing import NamedTuple

_SIZES = "SELECT id, boot_id, series, length(payload), priority = 2, acked_ms IS NOT NULL, held FROM event"
#: A clock that shows less, ms, was never set: it gives no age.
CLOCK_SET_MS = 1_735_689_600_000


class Doomed(NamedTuple):
    """An event that is deleted."""

    id: int
    boot_id: str
    series: str
    size: int
    is_evidence: int
    acknowledged: int
    held: int


def find_past(database: sqlite3.Connection, *, done_ms: int, aged_ms: int, limit: int) -> list[Doomed]:
    """Find events acknowledged before ``done_ms``, and evidence committed before ``aged_ms``, sent or not."""
    done = database.execute(f"{_SIZES} WHERE acked_ms IS NOT NULL AND acked_ms < ? LIMIT ?", (done_ms, limit))
    found = {event.id: event for event in (Doomed(*row) for row in done)}
    query = f"{_SIZES} WHERE priority = 2 AND committed_ms BETWEEN ? AND ? LIMIT ?"
    aged = database.execute(query, (CLOCK_SET_MS, aged_ms, limit))
    found |= {event.id: event for event in (Doomed(*row) for row in aged)}
    return list(found.values())[:limit]


def find_oldest_delivered(database: sqlite3.Connection, n_bytes: int, *, besides: set[int], limit: int) -> list[Doomed]:
    """Find the oldest events that the broker had once, without evidence, that make up so many bytes."""
    # By the table itself, so that the oldest come first without a sort of all of them.
    query = f"{_SIZES} NOT INDEXED WHERE (acked_ms IS NOT NULL OR replayed = 1) AND priority <> 2 ORDER BY id"
    with closing(database.execute(query)) as rows:
        return _up_to(n_bytes, islice((event for row in rows if (event := Doomed(*row)).id not in besides), limit))


def find_oldest_evidence(database: sqlite3.Connection, n_bytes: int) -> list[Doomed]:
    """Find evidence of so many bytes: the oldest that the broker has, then the oldest that it lacks."""
    with closing(database.execute(f"{_SIZES} WHERE priority = 2 ORDER BY acked_ms IS NULL, id")) as rows:
        return _up_to(n_bytes, (Doomed(*row) for row in rows))


def _up_to(n_bytes: int, events: Iterable[Doomed]) -> list[Doomed]:
    """Take events until they make up so many bytes."""
    found = []
    for event in events:
        if n_bytes <= 0:
            break
        found.append(event)
        n_bytes -= event.size
    return found


def delete(database: sqlite3.Connection, doomed: Sequence[Doomed]) -> None:
    """Delete events, and note for the audit how many of each sequence."""
    database.executemany("DELETE FROM event WHERE id = ?", [(event.id,) for event in doomed])
    counts = Counter((event.boot_id, event.series) for event in doomed if event.series)
    database.executemany(
        "UPDATE sequence SET deleted = deleted + ? WHERE boot_id = ? AND series = ?",
        [(count, *key) for key, count in counts.items()],
    )


def forget_ended_sequences(database: sqlite3.Connection, boot_id: str) -> None:
    """Drop the accounts of earlier runs of which nothing is left."""
    database.execute("DELETE FROM sequence WHERE last = deleted AND boot_id <> ?", (boot_id,))
