"""The audit of the daemon's own sequences, and what its bookkeeper makes of it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edge_runtime.daemon.bookkeeping import SET_ASIDE, Bookkeeper
from edge_runtime.daemon.clock import Clock
from edge_runtime.daemon.complaints import Complaints
from edge_runtime.daemon.journal import Journal
from edge_runtime.daemon.lifecycle import HealthReporter
from edge_runtime.daemon.metrics import Metrics
from edge_runtime.daemon.outbox import Outgoing, Priority
from edge_runtime.daemon.outbox_audit import SequenceAudit, Violation
from edge_runtime.errors import HostEnvironmentError
from tests.unit.daemon.outboxes import Hands, event, open_outbox


@dataclass
class Office:
    """An outbox with its journal, audit and bookkeeper."""

    folder: Path
    boot_id: str = "boot-1"
    clock: Hands = field(default_factory=Hands)
    now: float = 0.0

    def __post_init__(self) -> None:
        self.outbox = open_outbox(
            self.folder, boot_id=self.boot_id, clock=self.clock, retention_s=60.0, evidence_max_bytes=1000
        )
        self.journal: Journal[object] = Journal(self.outbox, lambda _: None, checkpoint_s=1.0, max_tokens=1)
        self.audit = SequenceAudit(self.outbox, self.journal.committed)
        self.metrics = Metrics()
        clock = Clock(wall=self.clock, monotonic=lambda: self.now)
        self.health = HealthReporter(self.boot_id, self.folder, clock)
        self.bookkeeper = Bookkeeper(
            self.outbox,
            self.journal.committed,
            health=self.health,
            metrics=self.metrics,
            complaints=Complaints(lambda: self.now),
            clock=clock,
        )

    @property
    def incidents(self) -> list[str]:
        return [*self.health._incidents, *self.health._lasting]

    def commit(self, *numbers: int, series: str = "alert") -> None:
        for number in numbers:
            self.journal.add_event(event(number, series=series, boot_id=self.boot_id))
        self.journal.flush(self.now, force=True)

    def lose(self, condition: str) -> None:
        self.outbox._database.execute(f"DELETE FROM event WHERE {condition}")
        self.outbox._database.commit()

    def acknowledge_all(self) -> None:
        self.outbox.mark_acknowledged([stored.id for stored in self.outbox.unsent(1000)])


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    office = Office(tmp_path)
    yield office
    office.outbox.close()


def test_an_empty_outbox_adds_up(office: Office) -> None:
    assert office.audit.check() == []


def test_numbers_without_a_gap_add_up_again_and_again(office: Office) -> None:
    for numbers in ((1, 2), (3,), (), (4, 5, 6)):
        office.commit(*numbers)
        office.commit(*numbers, series="verdict")
        assert office.audit.check() == []


def test_what_was_deleted_after_its_time_is_no_gap(office: Office) -> None:
    office.commit(1, 2)
    office.acknowledge_all()
    office.clock.now_s += 61.0
    office.outbox.purge()
    office.commit(3)
    assert office.audit.check() == []
    office.acknowledge_all()
    office.clock.now_s += 61.0
    office.commit(4)
    office.outbox.purge()
    assert office.audit.check() == []


def test_a_number_that_is_gone_is_named(office: Office) -> None:
    office.commit(1, 2, 3)
    office.lose("seq = 2")
    assert office.audit.check() == [Violation("boot-1", "alert", 1)]


def test_a_number_that_was_never_stored_is_named_when_it_is_new(office: Office) -> None:
    office.commit(1)
    office.audit.check()
    office.commit(2, 4, 5)
    assert office.audit.check() == [Violation("boot-1", "alert", 1)]


def test_a_number_given_twice_does_not_hide_a_gap(office: Office) -> None:
    office.commit(1, 2, 3)
    office.outbox._database.execute("UPDATE event SET seq = 2 WHERE seq = 3")
    assert [violation.n_missing for violation in office.audit.check()] == [1]


def test_a_last_number_other_than_the_journals_is_named(office: Office) -> None:
    office.commit(1, 2)
    office.lose("seq = 2")
    office.outbox._database.execute("UPDATE sequence SET last = 1")
    assert office.audit.check() == [Violation("boot-1", "alert", 0, 2)]


def test_a_series_of_which_all_trace_is_lost_is_named(office: Office) -> None:
    office.commit(1, 2)
    office.lose("1")
    office.outbox._database.execute("DELETE FROM sequence")
    assert office.audit.check() == [Violation("boot-1", "alert", 0, 2)]


def test_a_gap_of_an_earlier_run_is_found_at_the_start(office: Office, tmp_path: Path) -> None:
    office.commit(1, 2, 3)
    office.lose("seq = 1")
    office.outbox.close()
    later = Office(tmp_path, boot_id="boot-2")
    later.commit(1)
    assert later.audit.check() == [Violation("boot-1", "alert", 1)]
    assert later.audit.check() == []
    later.outbox.close()


def test_only_what_came_since_is_counted_again(office: Office) -> None:
    office.commit(*range(1, 50))
    office.audit.check()
    office.commit(50)
    seen: list[str] = []
    office.outbox._database.set_trace_callback(seen.append)
    office.audit.check()
    assert [query for query in seen if "count" in query and "seq > 49" not in query] == []


def test_the_account_of_an_earlier_run_ends_with_its_last_event(office: Office, tmp_path: Path) -> None:
    office.commit(1)
    office.acknowledge_all()
    office.outbox.close()
    later = Office(tmp_path, boot_id="boot-2", clock=Hands(office.clock.now_s + 61.0))
    later.outbox.purge()
    assert later.outbox.accounts() == []
    later.outbox.close()


def test_a_gap_becomes_an_incident_of_health_and_is_counted(office: Office) -> None:
    office.commit(1, 2, 3)
    office.lose("seq = 2")
    office.bookkeeper.look(1.0)
    assert office.incidents == ["sequence_gap:alert"]
    assert b'edge_sequence_gaps_total{series="alert"} 1.0' in office.metrics.text()


def test_audits_and_purges_come_once_a_minute(office: Office) -> None:
    office.bookkeeper.look(1.0)
    office.commit(1, 3)
    office.bookkeeper.look(60.0)
    assert office.incidents == []
    office.bookkeeper.look(61.0)
    assert office.incidents == ["sequence_gap:alert"]


def test_a_long_purge_goes_on_turn_by_turn_and_does_not_wait_a_minute(office: Office) -> None:
    office.bookkeeper.look(1.0)
    office.commit(*range(1, 4502))
    office.outbox.mark_acknowledged(range(1, 4502))
    office.clock.now_s += 61.0
    left = []
    for turn in range(4):
        office.bookkeeper.look(61.0 + turn / 10)
        left.append(office.outbox.n_kept("boot-1", "alert"))
    assert left == [2501, 501, 0, 0]


def test_dropped_evidence_becomes_an_incident_at_once_and_is_counted(office: Office) -> None:
    office.bookkeeper.look(1.0)
    for number in (1, 2, 3):
        office.outbox.commit([Outgoing(f"e{number}", "", 0, Priority.EVIDENCE, "t", bytes(600))], {})
    office.bookkeeper.look(2.0)
    office.bookkeeper.look(3.0)
    assert office.incidents == ["evidence_dropped"]
    assert b'edge_evidence_dropped_total{reason="bytes"} 2.0' in office.metrics.text()


def test_an_outbox_that_cannot_be_read_is_no_gap(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise HostEnvironmentError("disk I/O error")

    monkeypatch.setattr(office.outbox, "purge", refuse)
    office.bookkeeper.look(1.0)
    monkeypatch.setattr(office.outbox, "accounts", refuse)
    office.bookkeeper.look(62.0)
    assert office.incidents == []


def test_a_violation_says_what_is_missing() -> None:
    assert str(Violation("b", "alert", 2)) == "2 numbers of alert of run b are missing"
    assert str(Violation("b", "alert", 0, 7)).endswith(", and 7 was the last that was given")


def test_a_damaged_outbox_stays_in_health_until_its_folder_is_removed(office: Office) -> None:
    office.bookkeeper.look(1.0)
    office.outbox.distrust("for this test")
    office.commit(1)
    office.bookkeeper.look(2.0)
    assert office.incidents == [SET_ASIDE]
    assert b"edge_outboxes_set_aside_total 1.0" in office.metrics.text()
    office.bookkeeper.look(70.0)
    assert office.incidents == [SET_ASIDE]
    shutil.rmtree(office.outbox.mendings[0].folder)
    office.bookkeeper.look(140.0)
    assert office.incidents == []


def test_an_outbox_set_aside_by_the_run_before_is_still_in_health(office: Office, tmp_path: Path) -> None:
    office.clock.now_s = time.time()
    office.outbox.distrust("for this test")
    office.commit(1)
    office.outbox.close()
    later = Office(tmp_path, boot_id="boot-2", clock=office.clock)
    later.bookkeeper.look(1.0)
    assert later.incidents == [SET_ASIDE]
    later.outbox.close()


def test_damage_on_the_disk_is_found_within_seconds_and_mended(office: Office, tmp_path: Path) -> None:
    office.commit(1)
    office.bookkeeper.look(1.0)
    with (tmp_path / "outbox.db").open("r+b") as file:
        file.write(b"\xa5" * 100)
    office.bookkeeper.look(2.0)
    assert office.incidents == []
    office.bookkeeper.look(6.0)
    assert office.incidents == [SET_ASIDE]
    assert office.outbox.depth == 1


def test_a_disk_that_cannot_be_looked_at_is_no_damage(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> bool:
        raise HostEnvironmentError("disk I/O error")

    monkeypatch.setattr(office.outbox, "scrub", refuse)
    office.bookkeeper.look(1.0)
    assert office.incidents == []
