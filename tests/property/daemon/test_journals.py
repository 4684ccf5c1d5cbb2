"""Whatever the disk does, an input is acknowledged exactly once and only when all that it caused is on disk."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.daemon.journal import Journal
from edge_runtime.daemon.outbox import Outbox, Outgoing
from edge_runtime.errors import HostEnvironmentError
from tests.unit.daemon.outboxes import Hands, event

steps = st.lists(
    st.one_of(
        st.tuples(st.just("input"), st.integers(0, 3)),
        st.tuples(st.just("turn"), st.sampled_from([0, 1, 2])),
        st.tuples(st.just("disk"), st.sampled_from([0, 1])),
    ),
    max_size=40,
)


class FickleOutbox(Outbox):
    """An outbox whose disk refuses while it is told to, before or after it has stored the batch."""

    refuses = 0

    def commit(self, events: Sequence[Outgoing], state: Mapping[str, bytes | None]) -> None:
        if not self.refuses:
            super().commit(events, state)
            return
        if self.refuses > 1:
            super().commit(events, state)
        raise HostEnvironmentError("the disk refuses")


@settings(max_examples=25, deadline=None)
@given(steps, st.sampled_from([1, 2]))
def test_inputs_are_acknowledged_once_after_everything_they_caused(
    story: list[tuple[str, int]], kind_of_refusal: int
) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(FickleOutbox(Path(folder) / "outbox.db", boot_id="boot-1", clock=Hands())) as outbox,
    ):
        acknowledged: list[int] = []
        caused: dict[int, set[bytes]] = {}

        def acknowledge(number: int) -> None:
            on_disk = {stored.payload for stored in outbox.unsent(10_000)}
            assert caused[number] <= on_disk
            assert int(outbox.load_state("")["position"]) >= number
            acknowledged.append(number)

        journal: Journal[int] = Journal(outbox, acknowledge, checkpoint_s=1.0, max_tokens=3)
        now, n_events = 0.0, 0
        for word, value in story:
            if word == "input":
                number = len(caused)
                caused[number] = set()
                for _ in range(value):
                    n_events += 1
                    caused[number].add(b"%d" % n_events)
                    journal.add_event(event(n_events, payload=b"%d" % n_events))
                journal.set_state("position", b"%d" % number, now=now)
                journal.finish(number, now=now)
            elif word == "turn":
                now += value
                journal.flush(now)
            else:
                outbox.refuses = value * kind_of_refusal
        outbox.refuses = 0
        journal.flush(now + 10.0, force=True)
        assert acknowledged == sorted(caused)
        assert len(outbox.unsent(10_000)) == n_events
        assert outbox.depth == n_events
