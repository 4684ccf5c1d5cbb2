"""Nothing is acknowledged before it is on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.daemon.journal import Journal
from edge_runtime.daemon.outbox import Outbox, Outgoing
from edge_runtime.errors import HostEnvironmentError
from tests.unit.daemon.outboxes import Hands, event


class MoodyOutbox(Outbox):
    """An outbox whose disk refuses for as long as it is told to."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, boot_id="boot-1", clock=Hands())
        self.refuses = False

    def commit(self, events: Sequence[Outgoing], state: Mapping[str, bytes | None]) -> None:
        if self.refuses:
            raise HostEnvironmentError("the outbox cannot store 1 events: database or disk is full")
        super().commit(events, state)


@dataclass
class Desk:
    """A journal on a real outbox; each acknowledgement notes what was on disk at that moment."""

    outbox: MoodyOutbox
    acknowledged: list[tuple[str, int, dict[str, bytes]]] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=lambda: {"checkpoint_s": 1.0, "max_tokens": 4})

    def __post_init__(self) -> None:
        self.journal: Journal[str] = Journal(self.outbox, self.note, **self.options)

    def note(self, token: str) -> None:
        self.acknowledged.append((token, self.outbox.depth, self.outbox.load_state("")))

    @property
    def tokens(self) -> list[str]:
        return [token for token, _, _ in self.acknowledged]


@pytest.fixture
def desk(tmp_path: Path) -> Any:
    desk = Desk(MoodyOutbox(tmp_path / "outbox.db"))
    yield desk
    desk.outbox.close()


def test_an_input_is_acknowledged_after_its_event_and_state_are_committed(desk: Desk) -> None:
    desk.journal.add_event(event(1))
    desk.journal.set_state("alarm/a", b"1", now=0.0)
    desk.journal.finish("input-1", now=0.0)
    assert desk.acknowledged == []
    desk.journal.flush(0.0)
    assert desk.acknowledged == [("input-1", 1, {"alarm/a": b"1"})]


def test_inputs_are_acknowledged_in_the_order_in_which_they_were_finished(desk: Desk) -> None:
    for token in ("a", "b", "c"):
        desk.journal.finish(token, now=0.0)
    desk.journal.flush(0.0, force=True)
    assert desk.tokens == ["a", "b", "c"]


def test_an_input_without_a_token_is_acknowledged_by_nobody(desk: Desk) -> None:
    desk.journal.finish(None, now=0.0)
    assert desk.journal.due_in(0.0) is None


def test_events_are_due_at_once(desk: Desk) -> None:
    desk.journal.add_event(event(1))
    assert desk.journal.due_in(5.0) == 0.0


def test_state_alone_waits_for_the_checkpoint(desk: Desk) -> None:
    desk.journal.set_state("k", b"v", now=10.0)
    assert desk.journal.due_in(10.25) == 0.75
    assert not desk.journal.flush(10.25)
    assert desk.journal.flush(11.0)


def test_later_state_does_not_put_the_checkpoint_off(desk: Desk) -> None:
    desk.journal.set_state("k", b"1", now=10.0)
    desk.journal.set_state("k", b"2", now=10.9)
    assert desk.journal.flush(11.0)
    assert desk.outbox.load_state("") == {"k": b"2"}


def test_many_waiting_inputs_do_not_wait_for_the_checkpoint(desk: Desk) -> None:
    for token in "abcd":
        desk.journal.finish(token, now=10.0)
    assert desk.journal.flush(10.0)


def test_nothing_to_do_is_not_due(desk: Desk) -> None:
    assert desk.journal.due_in(0.0) is None
    assert not desk.journal.flush(0.0, force=True)


def test_force_commits_before_the_checkpoint(desk: Desk) -> None:
    desk.journal.finish("a", now=10.0)
    assert desk.journal.flush(10.0, force=True)
    assert desk.tokens == ["a"]


def test_a_disk_that_refuses_acknowledges_nothing(desk: Desk) -> None:
    desk.outbox.refuses = True
    desk.journal.add_event(event(1))
    desk.journal.finish("a", now=0.0)
    assert not desk.journal.flush(0.0)
    assert desk.acknowledged == []


def test_a_disk_that_refuses_is_told_as_a_fault(desk: Desk) -> None:
    desk.outbox.refuses = True
    desk.journal.add_event(event(1))
    desk.journal.flush(0.0)
    assert "disk is full" in desk.journal.fault


def test_a_refused_batch_is_tried_again_after_a_while(desk: Desk) -> None:
    desk.outbox.refuses = True
    desk.journal.add_event(event(1))
    desk.journal.flush(100.0)
    assert desk.journal.due_in(100.25) == 0.75


def test_a_refused_batch_is_kept_whole_and_committed_once(desk: Desk) -> None:
    desk.outbox.refuses = True
    desk.journal.add_event(event(1))
    desk.journal.set_state("k", b"1", now=0.0)
    desk.journal.finish("a", now=0.0)
    desk.journal.flush(0.0)
    desk.journal.add_event(event(2))
    desk.journal.finish("b", now=0.5)
    desk.outbox.refuses = False
    assert desk.journal.flush(1.0)
    assert desk.acknowledged == [("a", 2, {"k": b"1"}), ("b", 2, {"k": b"1"})]
    assert (desk.journal.fault, desk.journal.due_in(1.0)) == ("", None)


def test_a_fault_that_lasts_is_logged_once(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.outbox.refuses = True
    desk.journal.add_event(event(1))
    for second in range(5):
        desk.journal.flush(float(second), force=True)
    assert len(caplog.records) == 1


def test_a_committed_batch_is_not_committed_again(desk: Desk) -> None:
    desk.journal.add_event(event(1))
    desk.journal.flush(0.0)
    desk.outbox.mark_acknowledged([desk.outbox.unsent(1)[0].id])
    desk.journal.finish("a", now=1.0)
    desk.journal.flush(1.0, force=True)
    assert desk.outbox.depth == 0


def test_each_series_counts_from_one(desk: Desk) -> None:
    numbers = [desk.journal.next_seq(series) for series in ("alert", "alert", "verdict", "alert")]
    assert numbers == [1, 2, 1, 3]
    assert [desk.journal.last_seq(series) for series in ("alert", "verdict", "other")] == [3, 1, 0]


def test_deleted_state_is_deleted_with_the_batch(desk: Desk) -> None:
    desk.journal.set_state("k", b"1", now=0.0)
    desk.journal.flush(0.0, force=True)
    desk.journal.set_state("k", None, now=1.0)
    desk.journal.flush(1.0, force=True)
    assert desk.outbox.load_state("") == {}


@pytest.mark.parametrize(("seconds", "slow"), [(0.2, False), (0.3, True)])
def test_disk_is_slow_when_a_commit_took_more_than_a_quarter_of_a_second(
    tmp_path: Path, seconds: float, slow: bool
) -> None:
    ticks = iter([100.0, 100.0 + seconds])
    outbox = MoodyOutbox(tmp_path / "outbox.db")
    journal: Journal[str] = Journal(outbox, lambda _: None, checkpoint_s=0.0, max_tokens=1, clock=lambda: next(ticks))
    journal.finish("a", now=100.0)
    assert journal.flush(100.0)
    assert journal.is_slow(101.0) is slow
    assert not journal.is_slow(100.0 + seconds + 5.0)
    outbox.close()
