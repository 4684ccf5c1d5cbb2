"""A process is killed while it migrates an outbox or mends a damaged one: the next start finds everything."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from edge_runtime.daemon.outbox import Outbox
from tests.fault.test_outbox_damaged import N_ALERTS, N_SENT, folded, look
from tests.unit.daemon.first_schema import write_first_schema

ROUNDS = 25


def open_and_die(path: Path, after_s: float) -> bool:
    """Open the outbox in a process that is killed after a while; says whether it was still at it."""
    child = os.fork()
    if child == 0:
        try:
            Outbox(path, boot_id="killed")
        finally:
            os._exit(0)
    time.sleep(after_s)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def seconds_to_open(path: Path) -> float:
    began = time.monotonic()
    Outbox(path, boot_id="timed").close()
    return time.monotonic() - began


@pytest.fixture(scope="module")
def first_release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of the first release with so many events that its migration takes a while."""
    path = tmp_path_factory.mktemp("first") / "outbox.db"
    write_first_schema(path)
    with closing(sqlite3.connect(path)) as database:
        rows = [(f"x{number}", number, b"{}" * 50) for number in range(5, 5005)]
        database.executemany(
            "INSERT INTO event (event_id, boot_id, series, seq, priority, topic, payload, retain, committed_ms)"
            " VALUES (?, 'boot-0', 'alert', ?, 0, 't', ?, 0, 0)",
            rows,
        )
        database.commit()
    return path


def test_a_migration_that_is_killed_leaves_one_schema_or_the_other_whole(first_release: Path, tmp_path: Path) -> None:
    shutil.copy(first_release, tmp_path / "timed.db")
    longest_s = seconds_to_open(tmp_path / "timed.db") * 1.2
    chance, n_killed = random.Random(7), 0
    for number in range(ROUNDS):
        path = tmp_path / str(number) / "outbox.db"
        path.parent.mkdir()
        shutil.copy(first_release, path)
        n_killed += open_and_die(path, chance.uniform(0.0, longest_s))
        with closing(sqlite3.connect(path)) as database:
            version = database.execute("PRAGMA user_version").fetchone()[0]
            tables = {row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            columns = {row[1] for row in database.execute("PRAGMA table_info(event)")}
        migrated = {"sequence", "meta"} <= tables and "held" in columns
        assert (version, migrated) in {(1, False), (2, True)}
        with closing(Outbox(path, boot_id="after")) as outbox:
            assert outbox.depth == 5005
            assert outbox.mendings == []
        shutil.rmtree(path.parent)
    assert n_killed


def test_a_mending_that_is_killed_loses_nothing(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    damaged = folded(tmp_path / "whole")
    with damaged.open("r+b") as file:
        file.write(b"\xa5" * 100)
    shutil.copy(damaged, tmp_path / "timed.db")
    longest_s = seconds_to_open(tmp_path / "timed.db") * 1.2
    chance, n_killed = random.Random(8), 0
    for number in range(ROUNDS):
        path = tmp_path / str(number) / "outbox.db"
        path.parent.mkdir()
        shutil.copy(damaged, path)
        n_killed += open_and_die(path, chance.uniform(0.0, longest_s))
        with closing(Outbox(path, boot_id="after")) as outbox:
            assert look(outbox).unsent == list(range(N_SENT + 1, N_ALERTS + 1))
        assert not [each.name for each in path.parent.iterdir() if each.name.endswith((".mended", ".new"))]
        shutil.rmtree(path.parent)
    assert n_killed
