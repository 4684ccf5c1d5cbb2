"""The audit trail, and what it makes of commands that come again after a restart."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from edge_runtime.daemon.clock import Clock
from edge_runtime.daemon.commands import Orders
from edge_runtime.daemon.journal import Journal
from edge_runtime.daemon.outbox import Outbox
from edge_runtime.daemon.trail import AUDIT, KEPT, Entry, Trail, read_trail
from edge_runtime.errors import HostEnvironmentError, PayloadFormatError
from edge_runtime.messages import Command, Reply
from tests.unit.daemon.outboxes import Hands

NOW = 1_770_000_000.0


@dataclass
class Run:
    """One run of a daemon that obeys ``alert/ack``."""

    outbox: Outbox
    kept: int = 5000
    obeyed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        clock = Clock(lambda: NOW, lambda: 1.0)
        self.journal: Journal[object] = Journal(self.outbox, lambda _: None, checkpoint_s=0.2, max_tokens=8)
        stored = self.outbox.load_state(AUDIT)
        trail = Trail(stored, self.journal, boot_id="boot-1", clock=clock, kept=self.kept)
        self.orders = Orders({"alert/ack": self.obey}, clock, trail)

    def obey(self, command: Command) -> str:
        if command.id == "bad":
            raise PayloadFormatError("no such alarm", reason="unknown_alert")
        self.obeyed.append(command.id)
        return f"acknowledged by {command.issuer}"

    def take(
        self,
        command_id: str = "c1",
        *,
        issuer: str = "ann",
        name: str = "alert/ack",
        alert_id: str = "a",
        retained: bool = False,
    ) -> Reply:
        payload = json.dumps({"issuer": issuer, "id": command_id, "alert_id": alert_id}).encode()
        replies: list[Reply] = []
        self.orders.take(name, payload, replies.append, retained=retained)
        (reply,) = replies
        return reply

    def commit(self) -> None:
        self.journal.flush(2.0, force=True)

    def entries(self) -> list[Entry]:
        self.commit()
        return [msgspec.msgpack.decode(value, type=Entry) for _, value in sorted(self.outbox.load_state(AUDIT).items())]


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    opened = Outbox(tmp_path / "outbox.sqlite", boot_id="boot-1", clock=Hands())
    yield opened
    opened.close()


def test_an_obeyed_command_is_kept_with_its_issuer_and_its_answer(outbox: Outbox) -> None:
    run = Run(outbox)
    reply = run.take(alert_id="a-17")
    (entry,) = run.entries()
    assert (entry.seq, entry.issuer, entry.boot_id, entry.received_ms) == (1, "ann", "boot-1", 1_770_000_000_000)
    assert (entry.reply, json.loads(entry.order)) == (reply, {"alert_id": "a-17", "text": ""})


def test_a_refused_command_is_kept_too(outbox: Outbox) -> None:
    run = Run(outbox)
    run.take("bad")
    run.take("c2", name="alert/unshelve")
    assert [entry.reply.reason for entry in run.entries()] == ["unknown_alert", "unsupported"]


def test_what_cannot_be_read_names_nobody_and_is_not_kept(outbox: Outbox) -> None:
    run = Run(outbox)
    run.orders.take("alert/ack", b"{", lambda _reply: None)
    assert run.entries() == []


def test_a_command_that_comes_again_after_a_restart_is_answered_and_not_obeyed(outbox: Outbox) -> None:
    before = Run(outbox)
    reply = before.take()
    before.commit()
    after = Run(outbox)
    assert after.take() == reply
    assert (after.obeyed, len(after.entries())) == ([], 1)


def test_a_command_that_was_not_committed_is_obeyed_after_a_restart(outbox: Outbox) -> None:
    Run(outbox).take()
    after = Run(outbox)
    after.take()
    assert after.obeyed == ["c1"]


def test_the_same_id_of_another_issuer_or_command_is_another(outbox: Outbox) -> None:
    before = Run(outbox)
    before.take()
    before.commit()
    after = Run(outbox)
    after.take(issuer="bob")
    assert after.take(name="alert/unshelve").reason == "unsupported"
    assert after.obeyed == ["c1"]


def test_a_retained_command_is_refused_and_audited_once(outbox: Outbox) -> None:
    run = Run(outbox)
    replies = [run.take(retained=True) for _ in range(3)]
    run.commit()
    after = Run(outbox)
    replies.append(after.take(retained=True))
    assert [(reply.ok, reply.reason) for reply in replies] == [(False, "retained")] * 4
    assert (run.obeyed, after.obeyed, len(after.entries())) == ([], [], 1)


def test_a_command_that_was_obeyed_and_is_then_found_retained_gets_its_first_answer(outbox: Outbox) -> None:
    run = Run(outbox)
    first = run.take()
    assert run.take(retained=True) == first
    assert run.obeyed == ["c1"]


@pytest.mark.parametrize("n_restarts", [0, 1])
def test_as_many_commands_are_known_as_the_trail_keeps(outbox: Outbox, n_restarts: int) -> None:
    run = Run(outbox)
    for number in range(KEPT + 1):
        run.take(f"c{number}")
    run.commit()
    for _ in range(n_restarts):
        run = Run(outbox)
    n_obeyed = len(run.obeyed)
    run.take("c1")
    assert len(run.obeyed) == n_obeyed
    run.take("c0")
    assert len(run.obeyed) == n_obeyed + 1


def test_numbers_go_on_over_restarts(outbox: Outbox) -> None:
    for number in range(3):
        run = Run(outbox)
        run.take(f"c{number}")
        run.commit()
    assert [entry.seq for entry in Run(outbox).entries()] == [1, 2, 3]


@pytest.mark.parametrize("n_restarts", [0, 2])
def test_the_oldest_entries_go_when_there_are_too_many(outbox: Outbox, n_restarts: int) -> None:
    run = Run(outbox, kept=10)
    for number in range(25):
        run.take(f"c{number}")
    run.commit()
    for _ in range(n_restarts):
        run = Run(outbox, kept=4)
    assert [entry.seq for entry in run.entries()] == list(range(22 if n_restarts else 16, 26))


@pytest.mark.parametrize("value", [b"", b"nonsense", b"\xff", b"\x80"])
def test_an_entry_that_cannot_be_read_does_not_stop_the_daemon(outbox: Outbox, value: bytes) -> None:
    outbox.commit([], {f"{AUDIT}000000000007": value, f"{AUDIT}x": value})
    run = Run(outbox)
    run.take()
    run.commit()
    assert f"{AUDIT}000000000008" in outbox.load_state(AUDIT)
    assert f"{AUDIT}x" not in outbox.load_state(AUDIT)


def test_the_trail_is_read_beside_the_daemon_and_after_it(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.sqlite", boot_id="boot-1", clock=Hands())
    run = Run(outbox)
    for number in range(5):
        run.take(f"c{number}")
    run.commit()
    beside = read_trail(tmp_path, last=2)
    outbox.close()
    assert [entry.reply.id for entry in beside] == ["c3", "c4"]
    assert read_trail(tmp_path, last=2) == beside


def test_a_gateway_that_never_ran_has_no_trail(tmp_path: Path) -> None:
    with pytest.raises(HostEnvironmentError, match="has not run"):
        read_trail(tmp_path, last=1)


def test_a_file_that_is_no_outbox_is_an_error_of_the_environment(tmp_path: Path) -> None:
    (tmp_path / "outbox.sqlite").write_bytes(b"x" * 5000)
    with pytest.raises(HostEnvironmentError, match="cannot be read"):
        read_trail(tmp_path, last=1)


def test_a_line_for_people_shows_no_control_characters(outbox: Outbox) -> None:
    run = Run(outbox)
    run.take(issuer="ann\x1b[31m\n\x9b")
    (entry,) = run.entries()
    assert entry.line() == (
        '     1  2026-02-02 02:40:00Z  ann?[31m??  alert/ack c1  {"alert_id":"a","text":""}  '
        "ok: acknowledged by ann?[31m??"
    )
