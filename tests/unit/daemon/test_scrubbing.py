"""What the scrubber finds, and that it never complains of a sound outbox."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from edge_runtime.daemon import scrubbing
from edge_runtime.daemon.outbox import Outbox, Outgoing, Priority
from edge_runtime.daemon.scrubbing import Scrubber
from edge_runtime.errors import HostEnvironmentError
from tests.unit.daemon.outboxes import Hands, event, open_outbox

PAGE = 4096


def grow(outbox: Outbox, chance: random.Random, n_commits: int, first: int = 0) -> None:
    """Commit, acknowledge and purge events of all sizes, some overflowing into several pages."""
    for number in range(first, first + n_commits):
        sizes = [chance.choice([2, 300, 5000, 40_000]) for _ in range(chance.randrange(1, 6))]
        outbox.commit(
            [
                Outgoing(f"{number}-{k}", "", 0, Priority.ALERT, "t", chance.randbytes(size))
                for k, size in enumerate(sizes)
            ],
            {f"k{number % 5}": chance.randbytes(chance.choice([10, 9000]))},
        )
        if number % 3 == 0:
            outbox.mark_acknowledged([stored.id for stored in outbox.unsent(chance.randrange(8))])
        if number % 7 == 0:
            outbox.purge()


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    outbox = open_outbox(tmp_path, clock=Hands(), max_bytes=300_000, retention_s=-1.0)
    yield outbox
    outbox.close()


@pytest.mark.parametrize("seed", range(8))
def test_a_sound_outbox_is_never_complained_of(outbox: Outbox, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    scrubber = Scrubber(tmp_path / "outbox.db", n_pages=chance.choice([3, 64]))
    outbox._database.execute(f"PRAGMA wal_autocheckpoint={chance.choice([5, 100, 1000])}")
    for number in range(40):
        grow(outbox, chance, 2, number * 2)
        assert scrubber.step() == ""
        if number % 10 == 9:
            outbox._database.execute(f"PRAGMA wal_checkpoint({chance.choice(['PASSIVE', 'RESTART', 'TRUNCATE'])})")
            assert scrubber.step() == ""


def test_every_page_is_looked_at_in_its_turn(outbox: Outbox, tmp_path: Path) -> None:
    grow(outbox, random.Random(1), 30)
    outbox.close()
    path = tmp_path / "outbox.db"
    n_pages = path.stat().st_size // PAGE
    for page in (0, 1, n_pages // 2, n_pages - 1):
        data = path.read_bytes()
        scrubber = Scrubber(path, n_pages=7)
        with path.open("r+b") as file:
            file.seek(page * PAGE + (100 if page == 0 else 0))
            file.write(b"\xa5" * 200)
        rounds = [scrubber.step() for _ in range(n_pages // 7 + 1)]
        assert f"page {page + 1} is none" in rounds
        path.write_bytes(data)
        assert {scrubber.step() for _ in range(2 * (n_pages // 7 + 1))} == {""}


def test_a_destroyed_header_is_found_at_once(outbox: Outbox, tmp_path: Path) -> None:
    with (tmp_path / "outbox.db").open("r+b") as file:
        file.write(b"\xa5" * 100)
    assert not outbox.scrub()
    assert outbox.depth == 0
    outbox.commit([event(1)], {})
    assert len(outbox.mendings) == 1
    assert outbox.scrub()


@pytest.mark.parametrize(
    ("start", "n_bytes"),
    [(0, 32), (32, PAGE + 24), (32 + 24, 200), (32 + 3 * (PAGE + 24) + 8, 8), (32 + 3 * (PAGE + 24) + 24 + 100, 20)],
)
def test_a_destroyed_log_is_found_at_once(outbox: Outbox, tmp_path: Path, start: int, n_bytes: int) -> None:
    grow(outbox, random.Random(1), 10)
    with (tmp_path / "outbox.db-wal").open("r+b") as file:
        file.seek(start)
        file.write(b"\xa5" * n_bytes)
    found = Scrubber(tmp_path / "outbox.db").step()
    assert found.startswith("the log") or start == 32 + 3 * (PAGE + 24) + 24 + 100


def test_of_a_long_log_the_beginning_is_looked_at(
    outbox: Outbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox._database.execute("PRAGMA wal_autocheckpoint=0")
    grow(outbox, random.Random(1), 30)
    monkeypatch.setattr(scrubbing, "_LOOKED_AT", 100_000)
    assert Scrubber(tmp_path / "outbox.db").step() == ""


def test_a_file_without_a_log_is_looked_at_all_the_same(outbox: Outbox, tmp_path: Path) -> None:
    outbox.commit([event(1)], {})
    outbox.close()
    assert Scrubber(tmp_path / "outbox.db").step() == ""


@pytest.mark.parametrize("page_bytes", [512, 65_536])
def test_pages_of_any_size_are_looked_at(tmp_path: Path, page_bytes: int) -> None:
    with closing(sqlite3.connect(tmp_path / "a.db")) as database:
        database.execute(f"PRAGMA page_size={page_bytes}")
        database.execute("CREATE TABLE t (a)")
        database.executemany("INSERT INTO t VALUES (?)", [(bytes(number * 50),) for number in range(100)])
        database.commit()
    assert Scrubber(tmp_path / "a.db").step() == ""


def test_a_disk_that_cannot_be_read_is_an_error_of_the_machine(outbox: Outbox, tmp_path: Path) -> None:
    (tmp_path / "outbox.db").unlink()
    with pytest.raises(HostEnvironmentError, match="cannot be read"):
        outbox.scrub()
