"""The preloaded library does to a real SQLite what it is asked for."""

from __future__ import annotations

import errno
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.faultlab.meddler import Meddler, can_compile

pytestmark = [
    pytest.mark.compiler,
    pytest.mark.skipif(
        not can_compile() and os.environ.get("CI") != "true",
        reason="gcc is not installed; this test needs it and is left out (apt-get install gcc)",
    ),
]

#: Commits a row a line; says how long it took, or why not.
WRITER = """
import sqlite3, sys, time
database = sqlite3.connect(sys.argv[1])
database.execute("PRAGMA journal_mode=WAL")
database.execute("PRAGMA synchronous=" + sys.argv[2])
database.execute("CREATE TABLE IF NOT EXISTS t (x)")
database.commit()
print("ready", flush=True)
for line in sys.stdin:
    began = time.monotonic()
    try:
        database.execute("INSERT INTO t VALUES (?)", (line.strip(),))
        database.commit()
    except sqlite3.Error as error:
        database.rollback()
        print(error, flush=True)
    else:
        print(time.monotonic() - began, flush=True)
"""


class Writer:
    """A process that writes into a database below the folder."""

    def __init__(self, folder: Path, meddler: Meddler, synchronous: str = "FULL") -> None:
        self.path = folder / "x.sqlite"
        self.process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(self.path), synchronous],
            env={**os.environ, **meddler.environment()},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.hear() == "ready"

    def hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def write(self, word: str) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        return self.hear()

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()

    def rows(self) -> list[str]:
        with closing(sqlite3.connect(self.path)) as database:
            return [row[0] for row in database.execute("SELECT x FROM t ORDER BY rowid")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "state"
    path.mkdir()
    return path


@pytest.fixture
def meddler(tmp_path: Path, folder: Path) -> Meddler:
    return Meddler(tmp_path / "tools", folder)


@pytest.fixture
def writer(folder: Path, meddler: Meddler) -> Iterator[Writer]:
    writer = Writer(folder, meddler)
    yield writer
    writer.kill()


def test_without_a_switch_nothing_changes(writer: Writer) -> None:
    assert float(writer.write("a")) < 1.0
    assert writer.rows() == ["a"]


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.EROFS, "disk I/O error"), (errno.EIO, "disk I/O error"), (errno.ENOSPC, "database or disk is full")],
)
def test_disk_refuses_with_the_error_until_it_is_released(
    writer: Writer, meddler: Meddler, number: int, words: str
) -> None:
    meddler.set("refuse_errno", number)
    assert writer.write("a") == words
    meddler.release()
    float(writer.write("b"))
    assert writer.rows() == ["b"]


def test_disk_syncs_slowly(writer: Writer, meddler: Meddler) -> None:
    meddler.set("sync_delay_ms", 200)
    assert float(writer.write("a")) > 0.2


def test_writes_without_a_sync_are_taken_back(folder: Path, meddler: Meddler) -> None:
    meddler.set("keep_undo", 1)
    writer = Writer(folder, meddler, "OFF")
    for word in "abc":
        writer.write(word)
    writer.kill()
    assert meddler.forget_unsynced() > 0
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        writer.rows()


def test_writes_before_a_sync_are_kept(folder: Path, meddler: Meddler) -> None:
    meddler.set("keep_undo", 1)
    writer = Writer(folder, meddler, "FULL")
    for word in "abc":
        writer.write(word)
    writer.kill()
    meddler.forget_unsynced()
    assert writer.rows() == ["a", "b", "c"]


def test_process_that_leaks_grows_with_each_message(tmp_path: Path, meddler: Meddler) -> None:
    code = """
import socket, sys
ours, theirs = socket.socketpair()
for line in sys.stdin:
    ours.send(b"x")
    print(open("/proc/self/statm").read().split()[1], flush=True)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, **meddler.environment()},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None

    def resident_kb() -> int:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("go\n")
        process.stdin.flush()
        return int(process.stdout.readline()) * os.sysconf("SC_PAGE_SIZE") // 1024

    before = resident_kb()
    meddler.set("leak_pid", process.pid)
    meddler.set("leak_kb", 4096)
    assert resident_kb() - before > 4000
    process.kill()
    process.communicate()
