"""The process that writes the outbox is killed in the middle of it, again and again."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.daemon.outbox import Outbox

WRITER = Path(__file__).with_name("outbox_writer.py")
ROUNDS = 25
SEED = 20_261_122

#: The database, and the lines of each writer.
Killed = tuple[Path, list[list[str]]]


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory, project: Path) -> Killed:
    """An outbox whose writer was killed so many times, and what each writer had been promised."""
    path = tmp_path_factory.mktemp("killed") / "outbox.db"
    choice = random.Random(SEED)
    promises = []
    for number in range(ROUNDS):
        command = [sys.executable, str(WRITER), str(path), f"boot-{number}", str(choice.randrange(1 << 30))]
        environment = {**os.environ, "PYTHONPATH": str(project)}
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as writer:
            assert writer.stdout is not None
            first = os.read(writer.stdout.fileno(), 1 << 20)
            time.sleep(choice.uniform(0.0, 0.06))
            writer.kill()
            rest = writer.stdout.read()
        lines = (first + rest).decode().splitlines()
        assert lines, f"writer {number} ended before its first commit (seed {SEED})"
        promises.append(lines)
    return path, promises


def committed(promises: list[list[str]]) -> dict[str, int]:
    """Give the last number that each writer knew to be durable."""
    return {
        f"boot-{number}": int([line for line in lines if line.startswith("c ")][-1].split()[1])
        for number, lines in enumerate(promises)
    }


def named(promises: list[list[str]], word: str) -> set[tuple[str, int]]:
    """Give the events that lines of one kind name."""
    found = [line.split() for lines in promises for line in lines if line.startswith(f"{word} ")]
    return {(boot_id, int(seq)) for _, boot_id, seq in found}


def rows(path: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute(query).fetchall()


def test_the_file_is_sound(killed: Killed) -> None:
    assert rows(killed[0], "PRAGMA integrity_check") == [("ok",)]


def test_every_committed_event_waits_unless_it_was_to_be_acknowledged(killed: Killed) -> None:
    path, promises = killed
    durable = {(boot_id, seq) for boot_id, last in committed(promises).items() for seq in range(1, last + 1)}
    waiting = set(rows(path, "SELECT boot_id, seq FROM event WHERE acked_ms IS NULL"))
    assert durable - waiting <= named(promises, "i")


def test_events_that_wait_can_be_read(killed: Killed) -> None:
    path, _ = killed
    with closing(Outbox(path, boot_id="after")) as outbox:
        found = [tuple(stored.payload.split(b" ")[:2]) for stored in outbox.unsent(1 << 20)]
    waiting = rows(path, "SELECT boot_id, seq FROM event WHERE acked_ms IS NULL ORDER BY id")
    assert found == [(boot_id.encode(), b"%d" % seq) for boot_id, seq in waiting]


def test_no_event_is_there_twice(killed: Killed) -> None:
    assert rows(killed[0], "SELECT boot_id, seq FROM event GROUP BY boot_id, seq HAVING count(*) > 1") == []


def test_numbers_of_a_run_have_no_gap(killed: Killed) -> None:
    gaps = rows(killed[0], "SELECT boot_id, max(seq) - min(seq) + 1 - count(*) FROM event GROUP BY boot_id")
    assert {gap for _, gap in gaps} == {0}


def test_an_acknowledgement_that_was_promised_is_not_forgotten(killed: Killed) -> None:
    path, promises = killed
    promised = named(promises, "a")
    assert promised
    assert not promised & set(rows(path, "SELECT boot_id, seq FROM event WHERE acked_ms IS NULL"))


def test_the_state_is_that_of_the_last_batch_and_of_no_other(killed: Killed) -> None:
    path, promises = killed
    with closing(Outbox(path, boot_id="after")) as outbox:
        boot_id, _, seq = outbox.load_state("")["newest"].decode().partition(" ")
    assert rows(path, "SELECT boot_id, seq FROM event ORDER BY id DESC LIMIT 1") == [(boot_id, int(seq))]
    assert int(seq) >= committed(promises)[f"boot-{ROUNDS - 1}"]


def test_the_counters_are_right_after_it_all(killed: Killed) -> None:
    path, _ = killed
    with closing(Outbox(path, boot_id="after")) as outbox:
        assert outbox.depth == len(outbox.unsent(1 << 20))
