"""Pages of a database, read without SQLite, against SQLite itself."""

from __future__ import annotations

import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.daemon import sqlite_pages
from edge_runtime.daemon.sqlite_pages import DamagedFile, Row, read_log

VALUES: list[Any] = [
    None,
    0,
    1,
    -1,
    127,
    -32_768,
    8_388_607,
    2**31,
    2**47,
    -(2**63),
    1.5,
    "",
    "a text",
    "Ünïcode " * 20,
    b"",
    b"\x00\xff",
    bytes(range(256)) * 40,
    b"x" * 4061,
]


def make(path: Path, *, page_bytes: int = 4096, n: int = 300, wal: bool = False) -> sqlite3.Connection:
    """Write rows of every kind of value, some overflowing, some deleted and changed."""
    chance = random.Random(5)
    database = sqlite3.connect(path, isolation_level=None)
    database.execute(f"PRAGMA page_size={page_bytes}")
    if wal:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA wal_autocheckpoint=0")
    database.execute("CREATE TABLE t (a, b, c)")
    for number in range(1, n):
        rowid = -number if number % 50 == 0 else number * 997
        database.execute("INSERT INTO t (rowid, a, b, c) VALUES (?, ?, ?, ?)", (rowid, *chance.choices(VALUES, k=3)))
    database.execute("UPDATE t SET a = 'changed' WHERE rowid % 7 = 0")
    return database


def table(database: sqlite3.Connection) -> dict[int, tuple[Any, ...]]:
    return {row[0]: tuple(row[1:]) for row in database.execute("SELECT rowid, a, b, c FROM t")}


def found(rows: list[Row]) -> dict[int, tuple[Any, ...]]:
    return {rowid: values for rowid, values in reversed(rows) if len(values) == 3}


@pytest.mark.parametrize("page_bytes", [512, 1024, 4096, 65_536])
def test_rows_of_every_kind_are_read_as_sqlite_reads_them(tmp_path: Path, page_bytes: int) -> None:
    with closing(make(tmp_path / "a.db", page_bytes=page_bytes)) as database:
        expected = table(database)
    with closing(DamagedFile(tmp_path / "a.db")) as file:
        read = found(list(file.rows()))
    assert {rowid: read.get(rowid) for rowid in expected} == expected


def test_rows_in_the_log_are_read_as_last_committed(tmp_path: Path) -> None:
    with closing(make(tmp_path / "a.db", wal=True)) as database:
        expected = table(database)
        with closing(DamagedFile(tmp_path / "a.db")) as file:
            read = found(list(file.rows()))
            assert not file.log_damaged
    assert {rowid: read.get(rowid) for rowid in expected} == expected


def test_a_transaction_without_its_end_is_left_out(tmp_path: Path) -> None:
    with closing(make(tmp_path / "a.db", wal=True, n=5)) as database:
        whole = (tmp_path / "a.db-wal").stat().st_size
        database.execute("PRAGMA cache_size=2")
        database.execute("BEGIN")
        database.executemany("INSERT INTO t VALUES (?, 'late', 0)", [(bytes(3000),)] * 20)
        shutil.copy(tmp_path / "a.db", tmp_path / "b.db")
        shutil.copy(tmp_path / "a.db-wal", tmp_path / "b.db-wal")
    assert (tmp_path / "b.db-wal").stat().st_size > whole
    with closing(DamagedFile(tmp_path / "b.db")) as file:
        assert [values for _, values in file.rows() if "late" in values] == []
        assert list(file.later_rows()) == []
        assert not file.log_damaged


def test_a_log_of_an_earlier_round_behind_the_present_one_is_no_damage(tmp_path: Path) -> None:
    with closing(make(tmp_path / "a.db", wal=True)) as database:
        database.execute("PRAGMA wal_checkpoint(RESTART)")
        database.execute("INSERT INTO t VALUES (1, 2, 3)")
        log = read_log((tmp_path / "a.db-wal").read_bytes())
    assert not log.damaged
    assert 0 < len(log.pages) < 10


@pytest.mark.parametrize("data", [b"", bytes(31), bytes(32), bytes(55)])
def test_a_log_without_a_frame_is_empty_and_sound(data: bytes) -> None:
    assert read_log(data) == read_log(b"")
    assert not read_log(data).damaged


def test_a_log_of_nonsense_is_damaged() -> None:
    assert read_log(random.Random(1).randbytes(20_000)).damaged


@pytest.mark.parametrize("seed", range(60))
def test_nonsense_in_file_and_log_never_raises(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    with closing(make(tmp_path / "a.db", wal=bool(seed % 2), n=80, page_bytes=chance.choice([512, 4096]))) as database:
        database.execute("DELETE FROM t WHERE rowid % 3 = 0")
        for name in ("a.db", "a.db-wal"):
            if (tmp_path / name).exists():
                data = bytearray((tmp_path / name).read_bytes())
                for _ in range(chance.choice([1, 10, 300])):
                    data[chance.randrange(len(data))] = chance.randrange(256)
                (tmp_path / name.replace("a", "b", 1)).write_bytes(data[: chance.randrange(len(data))])
    with closing(DamagedFile(tmp_path / "b.db")) as file:
        for rows in (file.rows(), file.later_rows()):
            for rowid, values in rows:
                assert isinstance(rowid, int)
                assert isinstance(values, tuple)


def test_an_empty_file_has_no_rows(tmp_path: Path) -> None:
    (tmp_path / "a.db").touch()
    with closing(DamagedFile(tmp_path / "a.db")) as file:
        assert list(file.rows()) == []


def test_a_chain_that_bites_its_tail_ends(tmp_path: Path) -> None:
    with closing(make(tmp_path / "a.db", n=2)) as database:
        database.execute("DELETE FROM t")
        database.execute("INSERT INTO t VALUES (?, 0, 0)", (bytes(50_000),))
    data = bytearray((tmp_path / "a.db").read_bytes())
    for start in range(2 * 4096, len(data), 4096):
        data[start : start + 4] = (start // 4096 + 1).to_bytes(4, "big")
    (tmp_path / "a.db").write_bytes(data)
    with closing(DamagedFile(tmp_path / "a.db")) as file:
        assert [len(values) for _, values in file.rows() if len(values) == 3] == [3]


@pytest.mark.parametrize("record", [b"\x02\x0a", b"\x02\x0b", b"\x02\x06\x00", b"\x02\x0f"])
def test_a_record_of_a_reserved_type_or_cut_short_is_none(record: bytes) -> None:
    kinds, body = sqlite_pages._kinds(record)
    with pytest.raises(ValueError, match=r"reserved|shorter"):
        list(sqlite_pages._values(record, kinds, body))


def test_a_row_longer_than_the_file_is_none(tmp_path: Path) -> None:
    with closing(make(tmp_path / "a.db", n=2)):
        pass
    with closing(DamagedFile(tmp_path / "a.db")) as file:
        assert file._row(b"\xff\xff\xff\x7f\x01" + bytes(4091), 0) is None
