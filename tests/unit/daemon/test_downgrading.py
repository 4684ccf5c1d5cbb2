"""The outbox given back to an older release, and taken over again."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from edge_runtime.backup_command import state
from edge_runtime.daemon.downgrading import Downgraded, downgrade
from edge_runtime.daemon.outbox import Outbox, Outgoing, Priority
from edge_runtime.daemon.state import claim_state_dir
from edge_runtime.errors import HostEnvironmentError, UsageError
from edge_runtime.terminal import run_command
from tests.unit.daemon.first_schema import open_as_first_release
from tests.unit.daemon.outboxes import event


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "outbox.sqlite"
    with closing(Outbox(path, boot_id="boot-1")) as outbox:
        outbox.commit([event(1), replace(event(2), held=True)], {"alarm/a": b"1"})
        outbox.commit([Outgoing("e", "", 0, Priority.EVIDENCE, "t", b"\xff\xd8")], {})
    return path


def test_the_first_release_refuses_a_file_that_was_not_downgraded(path: Path) -> None:
    with pytest.raises(ValueError, match="newer release"):
        open_as_first_release(path)


def test_the_first_release_opens_a_downgraded_file_and_sends_what_it_can(path: Path) -> None:
    assert downgrade(path.parent, 1) == Downgraded(1, n_evidence=1, n_held=1)
    with closing(open_as_first_release(path)) as older:
        rows = older.execute("SELECT event_id FROM event WHERE acked_ms IS NULL ORDER BY id").fetchall()
        assert rows == [("boot-1-alert-1",), ("boot-1-alert-2",)]
        older.execute(
            "INSERT INTO event (event_id, boot_id, series, seq, priority, topic, payload, retain, committed_ms)"
            " VALUES ('x', 'boot-old', 'alert', 1, 0, 't', x'7b7d', 0, 0)"
        )
        older.execute("UPDATE event SET acked_ms = 1 WHERE event_id = 'boot-1-alert-1'")
        older.commit()


def test_a_downgraded_file_is_taken_over_again(path: Path) -> None:
    downgrade(path.parent, 1)
    with closing(open_as_first_release(path)) as older:
        older.execute("DELETE FROM event WHERE event_id = 'boot-1-alert-1'")
        older.commit()
    with closing(Outbox(path, boot_id="boot-3")) as outbox:
        assert [(stored.payload, stored.topic) for stored in outbox.unsent(9)] == [(b"{}", "edge/gw/alert")]
        assert outbox.load_state("") == {"alarm/a": b"1"}
        (account,) = outbox.accounts()
        assert (account.last, account.deleted) == (2, 1)


def test_a_release_that_knows_the_present_schema_needs_no_downgrade(path: Path) -> None:
    before = path.read_bytes()
    assert downgrade(path.parent, 2) == Downgraded(2, 0, 0)
    assert path.read_bytes() == before


def test_a_schema_that_nobody_knows_is_usage(path: Path) -> None:
    with pytest.raises(UsageError, match="knows 1 to 2"):
        downgrade(path.parent, 3)


def test_nothing_is_downgraded_while_a_daemon_runs(path: Path) -> None:
    daemon = claim_state_dir(path.parent)
    try:
        with pytest.raises(HostEnvironmentError, match="another edge-runtime"):
            downgrade(path.parent, 1)
    finally:
        daemon.release()


def test_without_an_outbox_there_is_nothing_to_downgrade(tmp_path: Path) -> None:
    with pytest.raises(HostEnvironmentError, match="no outbox"):
        downgrade(tmp_path, 1)


def test_a_damaged_file_is_left_to_the_daemon(path: Path) -> None:
    path.write_bytes(b"no database " * 1000)
    with pytest.raises(HostEnvironmentError, match="cannot be written"):
        downgrade(path.parent, 1)


def test_the_command_says_what_was_given_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "state").mkdir()
    with closing(Outbox(tmp_path / "state" / "outbox.sqlite", boot_id="boot-1")) as outbox:
        outbox.commit([replace(event(1), held=True)], {})
    config = tmp_path / "gateway.toml"
    config.write_text('[gateway]\nid = "gw1"\n')
    assert run_command(state, ["downgrade", str(config), "--schema", "2"]) == 0
    assert "schema 2 opens it" in capsys.readouterr().out
    assert run_command(state, ["downgrade", str(config), "--schema", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"schema": 1, "evidence_not_sent": 0, "held_released": 1}
