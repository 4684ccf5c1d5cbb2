"""The disk is full, or somebody wrote into the database file."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from edge_runtime.daemon.journal import Journal
from edge_runtime.daemon.outbox import Outbox, Priority
from edge_runtime.errors import HostEnvironmentError
from tests.unit.daemon.outboxes import event, open_outbox

BIG = bytes(200_000)


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    outbox = open_outbox(tmp_path)
    outbox.commit([event(1), event(2)], {"alarm/a": b"old"})
    yield outbox
    outbox.close()


@contextmanager
def full_disk(folder: Path, *, at_bytes: int | None = None) -> Iterator[None]:
    """Let no file grow beyond the largest one of the folder, or beyond a size."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    largest = max(path.stat().st_size for path in folder.iterdir() if path.suffix != ".db-shm")
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest if at_bytes is None else at_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


def test_a_commit_on_a_full_disk_is_refused_with_one_clear_error(outbox: Outbox, tmp_path: Path) -> None:
    with full_disk(tmp_path), pytest.raises(HostEnvironmentError, match="cannot store 1 events"):
        outbox.commit([event(3, payload=BIG)], {})


def test_nothing_of_a_refused_batch_is_stored(outbox: Outbox, tmp_path: Path) -> None:
    with full_disk(tmp_path), pytest.raises(HostEnvironmentError):
        outbox.commit([event(3), event(4, payload=BIG)], {"alarm/a": b"new"})
    assert [stored.id for stored in outbox.unsent(9)] == [1, 2]
    assert outbox.load_state("alarm/") == {"alarm/a": b"old"}
    assert outbox.depth == 2


def test_what_waits_can_be_read_while_the_disk_is_full(outbox: Outbox, tmp_path: Path) -> None:
    with full_disk(tmp_path):
        assert len(outbox.unsent(9)) == 2


def test_the_same_batch_is_stored_once_when_there_is_room_again(outbox: Outbox, tmp_path: Path) -> None:
    batch = [event(3, payload=BIG), event(4)]
    for _ in range(3):
        with full_disk(tmp_path), pytest.raises(HostEnvironmentError):
            outbox.commit(batch, {"alarm/a": b"new"})
    outbox.commit(batch, {"alarm/a": b"new"})
    assert outbox.depth == 4
    assert len(outbox.unsent(9)) == 4


def test_acknowledgements_on_a_full_disk_are_refused_and_mark_nothing(outbox: Outbox, tmp_path: Path) -> None:
    outbox.commit([event(n) for n in range(3, 3000)], {})
    ids = [stored.id for stored in outbox.unsent(5000)]
    outbox._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with full_disk(tmp_path, at_bytes=8192), pytest.raises(HostEnvironmentError, match="cannot mark events as sent"):
        outbox.mark_acknowledged(ids)
    assert outbox.depth == len(outbox.unsent(5000)) == 2999
    outbox.mark_acknowledged(ids)
    assert outbox.depth == 0


def test_purging_on_a_full_disk_is_refused_and_deletes_nothing(outbox: Outbox, tmp_path: Path) -> None:
    outbox.commit([event(n, payload=bytes(100)) for n in range(3, 3000)], {})
    outbox.mark_acknowledged([stored.id for stored in outbox.unsent(5000)])
    outbox._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    outbox._retention_s = -1.0
    with full_disk(tmp_path, at_bytes=8192), pytest.raises(HostEnvironmentError, match="cannot delete old events"):
        outbox.purge()
    assert [outbox.purge() for _ in range(3)] == [2000, 999, 0]


def test_a_resend_on_a_full_disk_is_refused_and_resends_nothing(outbox: Outbox, tmp_path: Path) -> None:
    outbox.commit([event(n) for n in range(3, 3000)], {})
    outbox.mark_acknowledged([stored.id for stored in outbox.unsent(5000)])
    outbox._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with full_disk(tmp_path, at_bytes=8192), pytest.raises(HostEnvironmentError, match="cannot resend events"):
        outbox.resend("boot-1", "alert", 0)
    assert outbox.depth == 0


def test_inputs_wait_for_a_full_disk_and_are_acknowledged_after_it(outbox: Outbox, tmp_path: Path) -> None:
    acknowledged: list[str] = []
    journal = Journal(outbox, acknowledged.append, checkpoint_s=0.2, max_tokens=8)
    journal.add_event(event(3, payload=BIG))
    journal.finish("input", now=0.0)
    with full_disk(tmp_path):
        assert not journal.flush(0.0)
        assert not journal.flush(5.0)
    assert acknowledged == []
    assert journal.flush(10.0)
    assert acknowledged == ["input"]


@pytest.mark.parametrize("page", range(1, 26))
def test_a_page_of_nonsense_is_a_clear_error_or_is_not_noticed(tmp_path: Path, page: int) -> None:
    outbox = open_outbox(tmp_path)
    events = [event(n, priority=Priority.VERDICT, payload=bytes(500)) for n in range(1, 100)]
    outbox.commit(events, {f"key{n}": bytes(100) for n in range(60)})
    outbox.close()
    with (tmp_path / "outbox.db").open("r+b") as file:
        file.seek((page - 1) * 4096 + (100 if page == 1 else 0))
        file.write(b"\xa5" * 3900)
    with suppress(HostEnvironmentError), closing(open_outbox(tmp_path)) as damaged:
        for use in (
            lambda: damaged.unsent(1000),
            damaged.oldest_unsent_s,
            lambda: damaged.load_state(""),
            lambda: damaged.resend("boot-1", "alert", 0),
            lambda: damaged.mark_acknowledged(range(100)),
            lambda: damaged.commit([event(1000)], {"key1": b"new"}),
            damaged.purge,
        ):
            with suppress(HostEnvironmentError):
                use()


def test_a_full_disk_that_also_keeps_old_events_is_full(tmp_path: Path) -> None:
    with closing(open_outbox(tmp_path, max_bytes=10_000)) as outbox:
        outbox.commit([event(n, payload=bytes(100)) for n in range(3000)], {})
        outbox.mark_acknowledged([stored.id for stored in outbox.unsent(5000)])
        outbox._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with full_disk(tmp_path, at_bytes=8192):
            assert outbox.full
        assert not outbox.full
