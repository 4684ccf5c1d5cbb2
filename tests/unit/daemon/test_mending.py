"""What is damage, and what is a machine that refuses; patterns of damage are in ``tests/fault``."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from edge_runtime.daemon import mending
from edge_runtime.daemon.mending import find_damage, finish_mending, is_damage, is_fresh
from edge_runtime.daemon.outbox import Outbox
from edge_runtime.errors import HostEnvironmentError
from tests.unit.daemon.outboxes import open_outbox


def coded(code: int) -> sqlite3.DatabaseError:
    error = sqlite3.DatabaseError("an error")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize("code", [11, 26, 267, 779, 522])
def test_a_corrupt_file_a_file_of_another_kind_and_a_read_beyond_the_end_are_damage(code: int) -> None:
    assert is_damage(coded(code))


@pytest.mark.parametrize("code", [5, 8, 10, 13, 14, 1])
def test_a_busy_full_or_refusing_disk_is_no_damage(code: int) -> None:
    assert not is_damage(coded(code))


def test_a_text_that_is_none_is_damage() -> None:
    assert is_damage(sqlite3.OperationalError("Could not decode to UTF-8 column 'topic' with text '\\xff'"))


def test_a_new_place_is_sound(tmp_path: Path) -> None:
    assert find_damage(tmp_path / "outbox.db") == ""


def refuse(*_: object, **__: object) -> None:
    raise OSError(5, "Input/output error")


def test_a_disk_that_does_not_let_itself_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_outbox(tmp_path).close()
    (tmp_path / "outbox.db-wal").write_bytes(bytes(100))
    monkeypatch.setattr(mending, "read_log", refuse)
    with pytest.raises(HostEnvironmentError, match="the outbox cannot be read: Input/output error"):
        find_damage(tmp_path / "outbox.db")


def test_a_mending_that_cannot_be_finished_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_outbox(tmp_path).close()
    (tmp_path / "outbox.db.mended").touch()
    monkeypatch.setattr(mending, "_swap", refuse)
    with pytest.raises(HostEnvironmentError, match="cannot be set aside"):
        finish_mending(tmp_path / "outbox.db", now_s=0.0)


def test_a_folder_that_cannot_be_looked_at_is_no_news(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mending, "corpses", refuse)
    assert not is_fresh(tmp_path, 0.0)


def test_a_file_that_cannot_be_opened_for_another_reason_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_outbox(tmp_path).close()
    with monkeypatch.context() as patch:
        patch.setattr("edge_runtime.daemon.outbox_file.open_database", refuse)
        with pytest.raises(HostEnvironmentError, match="cannot be opened"):
            open_outbox(tmp_path)
    with closing(open_outbox(tmp_path)) as outbox:
        assert outbox.mendings == []


def test_a_read_that_fails_for_another_reason_is_not_mended(tmp_path: Path) -> None:
    with closing(Outbox(tmp_path / "outbox.db", boot_id="b")) as outbox:
        outbox._database.execute("DROP TABLE sequence")
        with pytest.raises(HostEnvironmentError, match="no such table"):
            outbox.accounts()
        assert outbox.mendings == []
