"""Files of earlier and later releases."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.daemon import outbox_schema
from edge_runtime.daemon.outbox import Outbox
from edge_runtime.errors import HostEnvironmentError
from tests.unit.daemon.first_schema import write_first_schema
from tests.unit.daemon.outboxes import event, open_outbox


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


def layout(path: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(path)) as database:
        rows = database.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
    return [(name, "".join(str(sql).split())) for name, sql in rows]


def number(path: Path, query: str) -> int:
    with closing(sqlite3.connect(path)) as database:
        return int(database.execute(query).fetchone()[0])


def test_a_file_of_the_first_release_keeps_its_events_and_state(path: Path, tmp_path: Path) -> None:
    write_first_schema(path)
    with closing(open_outbox(tmp_path)) as outbox:
        waiting = [(stored.payload, stored.replayed) for stored in outbox.unsent(9)]
        assert waiting == [
            (b'{"n":3}', False),
            (b"", False),
            (b'{"v":1}', False),
            (b'{"v":2}', False),
            (b'{"n":4}', True),
        ]
        assert outbox.load_state("") == {"alarm/a": b"\x00\xff"}
        assert (outbox.depth, outbox.ready) == (5, 5)


def test_a_file_of_the_first_release_is_laid_out_as_a_new_one(path: Path, tmp_path: Path) -> None:
    write_first_schema(path)
    open_outbox(tmp_path).close()
    (tmp_path / "new").mkdir()
    open_outbox(tmp_path / "new").close()
    assert layout(path) == layout(tmp_path / "new" / "outbox.db")


def test_numbers_that_the_first_release_deleted_are_no_gap(path: Path, tmp_path: Path) -> None:
    write_first_schema(path)
    with closing(open_outbox(tmp_path)) as outbox:
        rows = outbox._database.execute("SELECT series, last, deleted FROM sequence ORDER BY series").fetchall()
    assert rows == [("alert", 4, 1), ("verdict", 2, 0)]


def test_a_creation_that_was_interrupted_before_the_version_is_completed(path: Path, tmp_path: Path) -> None:
    write_first_schema(path, version=0)
    with closing(open_outbox(tmp_path)) as outbox:
        outbox.commit([event(1)], {})
        assert outbox.depth == 6


@pytest.mark.parametrize("statement", range(14))
def test_a_migration_that_is_interrupted_leaves_the_first_schema_and_is_taken_up(
    path: Path, tmp_path: Path, statement: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_first_schema(path)
    before = layout(path)

    class Failing(sqlite3.Connection):
        """Fails at the n-th statement of the migration."""

        left: int | None = None

        def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
            if sql == "BEGIN IMMEDIATE":
                self.left = statement
            elif self.left == 0:
                raise sqlite3.OperationalError("disk I/O error")
            elif self.left is not None:
                self.left -= 1
            return super().execute(sql, *values)

    with monkeypatch.context() as patch:
        connect = sqlite3.connect
        patch.setattr(
            "edge_runtime.daemon.outbox_schema.sqlite3.connect",
            lambda *args, **options: connect(*args, factory=Failing, **options),
        )
        with pytest.raises(HostEnvironmentError, match="disk I/O error"):
            open_outbox(tmp_path)
    assert (layout(path), number(path, "PRAGMA user_version")) == (before, 1)
    with closing(open_outbox(tmp_path)) as outbox:
        assert outbox.depth == 5


def test_a_file_of_a_later_release_that_only_adds_is_opened_and_found_whole_by_it(path: Path, tmp_path: Path) -> None:
    open_outbox(tmp_path).close()
    with closing(sqlite3.connect(path)) as later:
        later.execute("ALTER TABLE event ADD COLUMN colour TEXT NOT NULL DEFAULT 'red'")
        later.execute("CREATE TABLE extra (name TEXT)")
        later.execute("UPDATE meta SET value = 3 WHERE name = 'schema'")
        later.commit()
    before = layout(path)
    with closing(open_outbox(tmp_path)) as outbox:
        outbox.commit([event(1)], {"a": b"1"})
        outbox.mark_acknowledged([outbox.unsent(1)[0].id])
    assert layout(path) == before
    assert number(path, "SELECT value FROM meta WHERE name = 'schema'") == 3
    assert number(path, "SELECT count(*) FROM event WHERE colour = 'red'") == 1


def test_a_new_file_is_never_seen_half_made(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(_database: sqlite3.Connection) -> None:
        raise sqlite3.OperationalError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(outbox_schema, "_migrate", die)
        with pytest.raises(HostEnvironmentError):
            Outbox(path, boot_id="b")
    assert not path.exists()
    Outbox(path, boot_id="b").close()
    assert [each.name for each in tmp_path.iterdir()] == ["outbox.db"]
