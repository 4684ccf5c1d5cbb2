"""What an examination says of the state folder, the port and the limits."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from edge_runtime.config import Http
from edge_runtime.daemon.examining import examine_outbox, examine_port, examine_set_aside, is_held
from edge_runtime.daemon.outbox import Outbox, Outgoing, Priority
from edge_runtime.daemon.state import claim_state_dir

NOW_S = 1_800_000_000.0


def outbox_with(folder: Path, *, events: int, age_s: float) -> None:
    """Leave an outbox behind in which so many events wait."""
    outbox = Outbox(folder / "outbox.sqlite", boot_id="boot", clock=lambda: NOW_S - age_s)
    outbox.commit(
        [Outgoing(f"event-{each}", "alert", each + 1, Priority.ALERT, "topic", b"{}") for each in range(events)], {}
    )
    outbox.close()


def test_no_outbox_is_no_fault(tmp_path: Path) -> None:
    assert examine_outbox(tmp_path, now_s=NOW_S).level == "ok"


def test_waiting_events_are_counted_with_their_age(tmp_path: Path) -> None:
    outbox_with(tmp_path, events=3, age_s=100.0)
    line = examine_outbox(tmp_path, now_s=NOW_S)
    assert line.level == "ok"
    assert "3 events wait for the broker, the oldest for 100 s" in line.text


def test_events_that_wait_for_long_deserve_a_note(tmp_path: Path) -> None:
    outbox_with(tmp_path, events=1, age_s=3600.0)
    assert examine_outbox(tmp_path, now_s=NOW_S).level == "note"


def test_file_that_is_no_database_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "outbox.sqlite").write_bytes(b"no database at all" * 1000)
    assert examine_outbox(tmp_path, now_s=NOW_S).level == "fault"


class Refusing:
    """A database that answers every question with an error of SQLite."""

    def __init__(self, code: int, words: str) -> None:
        self.error = sqlite3.OperationalError(words)
        self.error.sqlite_errorcode = code

    def execute(self, *_: object) -> object:
        raise self.error

    def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize(
    ("code", "words", "level", "told"),
    [
        (sqlite3.SQLITE_CANTOPEN, "unable to open database file", "note", "cannot be read by this user"),
        (sqlite3.SQLITE_PERM, "access permission denied", "note", "cannot be read by this user"),
        (
            sqlite3.SQLITE_READONLY_CANTINIT,
            "attempt to write a readonly database",
            "note",
            "cannot be read by this user",
        ),
        (sqlite3.SQLITE_IOERR, "disk I/O error", "fault", "cannot be read: disk"),
        (sqlite3.SQLITE_BUSY, "database is locked", "note", "is busy"),
        (sqlite3.SQLITE_LOCKED, "database table is locked", "note", "is busy"),
        (sqlite3.SQLITE_CORRUPT, "database disk image is malformed", "fault", "is damaged"),
    ],
)
def test_outbox_that_cannot_be_looked_at_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, words: str, level: str, told: str
) -> None:
    outbox_with(tmp_path, events=1, age_s=0.0)
    monkeypatch.setattr(sqlite3, "connect", lambda *_, **__: Refusing(code, words))
    line = examine_outbox(tmp_path, now_s=NOW_S)
    assert (line.level, told in line.text) == (level, True)


def test_files_that_had_taken_the_name_of_the_outbox_are_named(tmp_path: Path) -> None:
    (tmp_path / "outbox.sqlite.strange-1").write_bytes(b"x")
    (tmp_path / "outbox.sqlite.strange-2-wal").write_bytes(b"x")
    (line,) = examine_set_aside(tmp_path)
    assert line.text.startswith("2 files that had taken the outbox's name")


def test_outbox_of_a_newer_release_asks_for_an_upgrade(tmp_path: Path) -> None:
    outbox_with(tmp_path, events=1, age_s=0.0)
    with closing(sqlite3.connect(tmp_path / "outbox.sqlite")) as database:
        database.execute("PRAGMA user_version = 99")
    line = examine_outbox(tmp_path, now_s=NOW_S)
    assert (line.level, line.exit_code) == ("fault", 5)
    assert "upgrade edge-runtime" in line.text


def test_examination_leaves_the_outbox_as_it_was(tmp_path: Path) -> None:
    outbox_with(tmp_path, events=2, age_s=0.0)
    before = (tmp_path / "outbox.sqlite").read_bytes()
    examine_outbox(tmp_path, now_s=NOW_S)
    assert (tmp_path / "outbox.sqlite").read_bytes() == before


def test_inputs_that_were_set_aside_are_named(tmp_path: Path) -> None:
    (tmp_path / "set-aside").mkdir()
    (tmp_path / "set-aside" / "cam1-00.jpeg").write_bytes(b"x")
    (line,) = examine_set_aside(tmp_path)
    assert line.text.startswith("1 inputs")
    assert "cam1-00.jpeg" in line.text


def test_folder_is_held_as_long_as_a_daemon_has_it(tmp_path: Path) -> None:
    claimed = claim_state_dir(tmp_path)
    assert is_held(tmp_path)
    claimed.release()
    assert not is_held(tmp_path)


def test_port_is_not_tried_where_it_is_off_or_ours() -> None:
    assert examine_port(Http(enabled=False), daemon_runs=False) is None
    assert examine_port(Http(port=9464), daemon_runs=True) is None


def test_address_that_is_not_of_this_machine_is_a_fault() -> None:
    line = examine_port(Http(listen="192.0.2.1"), daemon_runs=False)
    assert line is not None
    assert line.level == "fault"
