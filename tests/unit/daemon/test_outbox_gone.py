"""The outbox's file is removed or exchanged while it is open."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from edge_runtime.daemon import outbox_file
from edge_runtime.daemon.outbox import Outbox
from edge_runtime.daemon.state import claim_state_dir
from edge_runtime.errors import HostEnvironmentError
from tests.unit.daemon.outboxes import Hands, event, open_outbox


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "state"
    path.mkdir()
    return path


@pytest.fixture
def outbox(folder: Path) -> Iterator[Outbox]:
    outbox = open_outbox(folder)
    outbox.commit([event(1), event(2)], {"alarm/a": b"x"})
    yield outbox
    outbox.close()


def kept(folder: Path) -> tuple[list[str], dict[str, bytes]]:
    """What a later run would find."""
    with closing(open_outbox(folder)) as later:
        return [stored.topic for stored in later.unsent(9)], later.load_state("")


def test_a_removed_file_is_written_again_with_all_that_it_held(outbox: Outbox, folder: Path) -> None:
    (folder / "outbox.db").unlink()
    outbox.commit([event(3)], {"alarm/b": b"y"})
    topics, state = kept(folder)
    assert len(topics) == 3
    assert state == {"alarm/a": b"x", "alarm/b": b"y"}
    assert outbox.n_rewritten == 1


def test_a_removed_folder_is_made_again(outbox: Outbox, folder: Path) -> None:
    shutil.rmtree(folder)
    outbox.commit([event(3)], {})
    assert len(kept(folder)[0]) == 3


def test_reading_notices_it_too(outbox: Outbox, folder: Path) -> None:
    shutil.rmtree(folder)
    assert len(outbox.unsent(9)) == 2
    assert outbox.n_rewritten == 1


def test_a_file_that_took_the_name_is_kept_beside(outbox: Outbox, folder: Path) -> None:
    path = folder / "outbox.db"
    path.unlink()
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE strange (x)")
    outbox.commit([event(3)], {})
    assert len(kept(folder)[0]) == 3
    (strange,) = folder.glob("outbox.db.strange-*")
    with closing(sqlite3.connect(strange)) as other:
        assert other.execute("SELECT count(*) FROM strange").fetchone() == (0,)


def killed(folder: Path, tmp_path: Path) -> tuple[list[str], dict[str, bytes]]:
    """What a later run would find if the process died now."""
    copy = tmp_path / "after"
    shutil.copytree(folder, copy)
    return kept(copy)


def test_a_commit_after_the_log_was_removed_survives_a_kill(outbox: Outbox, folder: Path, tmp_path: Path) -> None:
    (folder / "outbox.db-wal").unlink()
    outbox.commit([event(3)], {"alarm/b": b"y"})
    topics, state = killed(folder, tmp_path)
    assert (len(topics), state) == (3, {"alarm/a": b"x", "alarm/b": b"y"})
    assert outbox.n_rewritten == 1


def test_a_log_that_is_not_ours_is_kept_beside_and_never_read(outbox: Outbox, folder: Path, tmp_path: Path) -> None:
    log = folder / "outbox.db-wal"
    foreign = log.read_bytes()
    log.unlink()
    outbox.commit([event(3)], {})
    (folder / "outbox.db-wal").unlink()
    log.write_bytes(foreign)
    outbox.commit([event(4)], {})
    assert len(killed(folder, tmp_path)[0]) == 4
    (strange,) = folder.glob("outbox.db.strange-*-wal")
    assert strange.read_bytes() == foreign


def test_a_look_at_the_disk_notices_that_the_log_is_gone(outbox: Outbox, folder: Path, tmp_path: Path) -> None:
    (folder / "outbox.db-wal").unlink()
    assert outbox.scrub()
    assert len(killed(folder, tmp_path)[0]) == 2


@pytest.mark.parametrize("lost", ["outbox.db", "outbox.db-wal"])
def test_a_process_killed_before_the_last_rename_finishes_it_at_its_next_start(
    outbox: Outbox, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    (folder / lost).unlink()

    def refusing(path: Path, target: Path) -> None:
        if target == folder / "outbox.db":
            raise OSError(5, "killed here")
        path.rename(target)

    with monkeypatch.context() as patch:
        patch.setattr(outbox_file, "rename_durably", refusing)
        with pytest.raises(HostEnvironmentError, match="cannot be written again"):
            outbox.unsent(9)
    topics, state = killed(folder, tmp_path)
    assert (len(topics), state) == (2, {"alarm/a": b"x"})
    outbox.commit([event(3)], {})  # a process that lives on does so at its next use
    assert outbox.depth == len(kept(folder)[0]) == 3


def test_a_copy_that_is_not_needed_does_not_stay(outbox: Outbox, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "outbox.db").rename(folder / "away")

    def refusing(self: outbox_file.OutboxFile) -> None:
        raise OSError(5, "not now")

    with monkeypatch.context() as patch:
        patch.setattr(outbox_file.OutboxFile, "_set_strangers_aside", refusing)
        with pytest.raises(HostEnvironmentError):
            outbox.unsent(9)
    (folder / "away").rename(folder / "outbox.db")
    outbox.commit([event(3)], {})
    assert not (folder / "outbox.db.mended").exists()


def test_of_many_strangers_the_last_few_are_kept(folder: Path) -> None:
    hands = Hands()
    with closing(open_outbox(folder, clock=hands)) as outbox:
        for number in range(8):
            hands.now_s += 1.0
            (folder / "outbox.db").unlink()
            (folder / "outbox.db").write_bytes(b"%d" % number)
            outbox.commit([event(number + 1)], {})
        assert outbox.depth == 8
    assert {path.read_bytes() for path in folder.glob("outbox.db.strange-*")} == {b"4", b"5", b"6", b"7"}


def test_where_it_cannot_be_written_again_the_disk_refuses_until_it_can(outbox: Outbox, folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("a file in its place")
    for _ in range(2):
        with pytest.raises(HostEnvironmentError, match="is gone and cannot be written again"):
            outbox.commit([event(3)], {})
    folder.unlink()
    outbox.commit([event(3)], {})
    assert len(kept(folder)[0]) == 3


def test_a_lock_whose_file_is_gone_is_taken_anew(folder: Path) -> None:
    state = claim_state_dir(folder)
    shutil.rmtree(folder)
    state.hold_again()
    with pytest.raises(HostEnvironmentError, match="another edge-runtime"):
        claim_state_dir(folder)
    state.release()


def test_a_lock_that_is_there_stays(folder: Path) -> None:
    state = claim_state_dir(folder)
    before = state.lock_fd
    state.hold_again()
    assert state.lock_fd == before
    with suppress(OSError):
        os.close(before)


def test_a_look_at_the_file_does_not_let_another_program_take_its_log_away(outbox: Outbox, folder: Path) -> None:
    """POSIX drops all locks of a process on a file when it closes any descriptor of it."""
    outbox.scrub()
    visit = "import sqlite3, sys; d = sqlite3.connect(sys.argv[1]); d.execute('SELECT count(*) FROM event'); d.close()"
    subprocess.run([sys.executable, "-c", visit, str(folder / "outbox.db")], check=True)
    assert (folder / "outbox.db-wal").exists()
    outbox.commit([event(3)], {})
    assert len(kept(folder)[0]) == 3
