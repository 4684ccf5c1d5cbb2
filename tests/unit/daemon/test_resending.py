"""Events that are asked for again, a batch in each turn."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_runtime.daemon.commands import Promise
from edge_runtime.daemon.outbox import Outbox
from edge_runtime.daemon.resending import BATCH, Resends
from edge_runtime.errors import HostEnvironmentError, PayloadFormatError
from edge_runtime.messages import EventsResend
from tests.unit.daemon.outboxes import event, open_outbox

N_EVENTS = 2 * BATCH + 500


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    outbox = open_outbox(tmp_path)
    outbox.commit([event(number) for number in range(1, N_EVENTS + 1)], {})
    outbox.mark_acknowledged(range(1, N_EVENTS + 1))
    yield outbox
    outbox.close()


def told_by(promise: Promise) -> list[tuple[str, str]]:
    """Collect what a promise says."""
    told: list[tuple[str, str]] = []
    promise.then(lambda text, reason: told.append((text, reason)))
    return told


def test_a_long_resend_is_done_in_batches_and_answered_at_its_end(outbox: Outbox) -> None:
    resends = Resends(outbox)
    told = told_by(resends.begin("boot-1", "alert", 0))
    seen = []
    while resends.busy:
        seen.append((outbox.depth, list(told)))
        resends.tick()
    assert seen == [(0, []), (BATCH, []), (2 * BATCH, [])]
    assert (outbox.depth, told) == (N_EVENTS, [(f"{N_EVENTS} events are sent again", "")])


def test_what_is_sent_meanwhile_is_not_sent_a_third_time(outbox: Outbox) -> None:
    resends = Resends(outbox)
    told = told_by(resends.begin("boot-1", "alert", 1))
    while resends.busy:
        resends.tick()
        outbox.mark_acknowledged([stored.id for stored in outbox.unsent(N_EVENTS)])
    assert (outbox.depth, told) == (0, [(f"{N_EVENTS} events are sent again", "")])


def test_what_is_committed_after_the_request_is_not_part_of_it(outbox: Outbox) -> None:
    resends = Resends(outbox)
    told = told_by(resends.begin("boot-1", "alert", N_EVENTS - 1))
    outbox.commit([event(N_EVENTS + number) for number in range(1, BATCH + 2)], {})
    while resends.busy:
        resends.tick()
    assert told == [("2 events are sent again", "")]


def test_requests_take_their_turns(outbox: Outbox) -> None:
    resends = Resends(outbox)
    first = told_by(resends.begin("boot-1", "alert", 1))
    second = told_by(resends.begin("boot-1", "alert", N_EVENTS))
    for _ in range(3):
        resends.tick()
    assert (len(first), len(second), resends.busy) == (1, 0, True)
    resends.tick()
    assert (second, resends.busy) == ([("0 events are sent again", "")], False)


def test_a_request_for_what_is_not_kept_is_answered_at_once(outbox: Outbox) -> None:
    command = EventsResend(issuer="ann", id="c1", boot_id="another", series="alert", from_seq=1)
    promise = Resends(outbox).obeying()(command)
    assert isinstance(promise, Promise)
    assert told_by(promise) == [("0 events are sent again", "")]


def test_a_disk_that_refuses_ends_the_request_and_says_what_was_done(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise HostEnvironmentError("disk full")

    resends = Resends(outbox)
    told = told_by(resends.begin("boot-1", "alert", 1))
    resends.tick()
    monkeypatch.setattr(outbox, "resend", refuse)
    resends.tick()
    assert told == [(f"disk full; {BATCH} events are sent again, ask again for the others", "failed")]
    assert not resends.busy


def test_requests_do_not_pile_up(outbox: Outbox) -> None:
    resends = Resends(outbox)
    for _ in range(64):
        resends.begin("boot-1", "alert", 1)
    with pytest.raises(PayloadFormatError) as refusal:
        resends.begin("boot-1", "alert", 1)
    assert refusal.value.reason == "too_many_requests"
