"""The outbox against a plain list, through any history of commits, acknowledgements, resends, purges and restarts."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from edge_runtime.daemon.outbox import Outbox, Outgoing, Priority
from tests.unit.daemon.outboxes import Hands, event

BOUND, EVIDENCE_BOUND, RETENTION_S = 2000, 900, 100.0


@dataclass
class Kept:
    """One event as the model of the outbox has it."""

    order: int
    series: str
    seq: int
    priority: int
    payload: bytes
    acked_at: float | None = None
    replayed: bool = False


class Histories(RuleBasedStateMachine):
    """Does the same to an outbox and to a list, and compares."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.clock = Hands()
        self.kept: list[Kept] = []
        self.state: dict[str, bytes] = {}
        self.n_events = 0
        self.n_dropped = 0
        self.n_of_series: dict[str, int] = {}
        self.outbox = self.open()

    def open(self) -> Outbox:
        path = Path(self.folder.name) / "outbox.db"
        return Outbox(
            path,
            boot_id="boot-1",
            clock=self.clock,
            max_bytes=BOUND,
            retention_s=RETENTION_S,
            evidence_max_bytes=EVIDENCE_BOUND,
        )

    def teardown(self) -> None:
        self.outbox.close()
        self.folder.cleanup()

    @property
    def waiting(self) -> list[Kept]:
        unsent = [each for each in self.kept if each.acked_at is None]
        return sorted(unsent, key=lambda each: (each.replayed, each.priority, each.order))

    def n_bytes(self, *, evidence: bool = False) -> int:
        return sum(len(each.payload) for each in self.kept if (each.priority == Priority.EVIDENCE) is evidence)

    @rule(priorities=st.lists(st.sampled_from(Priority), max_size=4), size=st.integers(5, 400))
    def commit(self, priorities: list[Priority], size: int) -> None:
        events = []
        for priority in priorities:
            self.n_events += 1
            series = priority.name.lower()
            payload = b"%04d" % self.n_events + bytes(size)
            seq = self.n_of_series[series] = self.n_of_series.get(series, 0) + 1
            events.append(event(seq, series=series, priority=priority, payload=payload))
            self.kept.append(Kept(self.n_events, series, seq, int(priority), payload))
        self.drop_evidence(events)
        self.outbox.commit(events, {})
        self.outbox.commit(
            [each for each in events if self.has(each)], {}
        )  # a batch whose success was not seen is tried again

    def drop_evidence(self, events: list[Outgoing]) -> None:
        """Do what the outbox does when evidence is added beyond its bound."""
        added = any(event.priority == Priority.EVIDENCE for event in events)
        if not added or self.n_bytes(evidence=True) <= EVIDENCE_BOUND:
            return
        oldest = sorted(self.kept, key=lambda each: (each.acked_at is None, each.order))
        for each in [each for each in oldest if each.priority == Priority.EVIDENCE]:
            if self.n_bytes(evidence=True) > EVIDENCE_BOUND - EVIDENCE_BOUND // 64:
                self.n_dropped += each.acked_at is None
                self.kept.remove(each)

    def has(self, event: Outgoing) -> bool:
        return any(each.payload == event.payload for each in self.kept)

    @rule(key=st.sampled_from(["a", "b"]), value=st.none() | st.binary(max_size=4))
    def remember(self, key: str, value: bytes | None) -> None:
        self.outbox.commit([], {key: value})
        self.state.pop(key, None)
        if value is not None:
            self.state[key] = value

    @precondition(lambda self: self.waiting)
    @rule(n=st.integers(1, 5))
    def acknowledge(self, n: int) -> None:
        self.outbox.mark_acknowledged([stored.id for stored in self.outbox.unsent(n)])
        for each in self.waiting[:n]:
            each.acked_at = self.clock.now_s

    @rule(series=st.sampled_from(["alert", "verdict"]), back=st.integers(0, 10))
    def resend(self, series: str, back: int) -> None:
        from_seq = max(0, self.n_of_series.get(series, 0) - back)
        chosen = [e for e in self.kept if e.series == series and e.seq >= from_seq and e.acked_at is not None]
        assert self.outbox.resend("boot-1", series, from_seq) == len(chosen)
        for each in chosen:
            each.acked_at, each.replayed = None, True

    @rule(seconds=st.sampled_from([1.0, 60.0, 200.0, -3600.0]))
    def wait(self, seconds: float) -> None:
        self.clock.now_s += seconds

    @rule()
    def purge(self) -> None:
        limit = self.clock.now_s - RETENTION_S
        before = len(self.kept)
        self.kept = [each for each in self.kept if each.acked_at is None or each.acked_at >= limit]
        wanted = BOUND - BOUND // 64 if self.n_bytes() > BOUND else BOUND
        delivered = [each for each in self.kept if each.acked_at is not None or each.replayed]
        sent = [each for each in delivered if each.priority != Priority.EVIDENCE]
        for each in sent:
            if self.n_bytes() > wanted:
                self.kept.remove(each)
        assert self.outbox.purge() == before - len(self.kept)

    @rule()
    def restart(self) -> None:
        self.outbox.close()
        self.outbox = self.open()
        self.n_dropped = 0

    @invariant()
    def what_waits_is_equal(self) -> None:
        found = [(stored.payload, stored.replayed) for stored in self.outbox.unsent(10_000)]
        assert found == [(each.payload, each.replayed) for each in self.waiting]
        assert self.outbox.depth == len(self.waiting)

    @invariant()
    def state_is_equal(self) -> None:
        assert self.outbox.load_state("") == self.state

    @invariant()
    def bytes_are_equal(self) -> None:
        assert self.outbox._bytes == self.n_bytes()
        assert self.outbox._evidence_bytes == self.n_bytes(evidence=True)

    @invariant()
    def drops_are_counted(self) -> None:
        assert self.outbox.evidence_dropped == {"bytes": self.n_dropped, "age": 0}

    @invariant()
    def sequences_are_accounted_for(self) -> None:
        for series, last, deleted in self.outbox._database.execute("SELECT series, last, deleted FROM sequence"):
            assert last == self.n_of_series[series]
            assert last - deleted == sum(each.series == series for each in self.kept)


@pytest.mark.filterwarnings("ignore::hypothesis.errors.NonInteractiveExampleWarning")
def test_every_history_of_the_outbox_equals_that_of_a_plain_list() -> None:
    run_state_machine_as_test(
        Histories,
        settings=settings(
            max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
        ),
    )
