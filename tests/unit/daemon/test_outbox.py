"""The durable queue, operation by operation."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from edge_runtime.daemon.outbox import Outbox, Outgoing, Priority
from edge_runtime.daemon.outbox_schema import SCHEMA_VERSION
from edge_runtime.errors import HostEnvironmentError
from tests.unit.daemon.outboxes import Hands, event, open_outbox

Reopen = Callable[[str], Outbox]


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture
def reopened(tmp_path: Path, clock: Hands) -> Iterator[Reopen]:
    """Open the outbox of the folder once more, as another run."""
    with ExitStack() as stack:
        yield lambda boot_id: stack.enter_context(
            closing(open_outbox(tmp_path, boot_id=boot_id, clock=clock, max_bytes=1000))
        )


@pytest.fixture
def outbox(tmp_path: Path, clock: Hands) -> Iterator[Outbox]:
    outbox = open_outbox(tmp_path, clock=clock, retention_s=60.0, max_bytes=1000)
    yield outbox
    outbox.close()


def topics(outbox: Outbox) -> list[str]:
    return [stored.topic for stored in outbox.unsent(100)]


def acknowledge_all(outbox: Outbox) -> None:
    outbox.mark_acknowledged([stored.id for stored in outbox.unsent(1000)])


def test_what_is_committed_waits_in_its_order(outbox: Outbox) -> None:
    outbox.commit([event(1, payload=b"1"), event(2, payload=b"2")], {})
    outbox.commit([event(3, payload=b"3")], {})
    assert [stored.payload for stored in outbox.unsent(100)] == [b"1", b"2", b"3"]


def test_alerts_leave_before_verdicts_and_these_before_evidence(outbox: Outbox) -> None:
    for series, priority in (
        ("evidence", Priority.EVIDENCE),
        ("verdict", Priority.VERDICT),
        ("alert", Priority.ALERT),
    ):
        outbox.commit([event(1, series=series, priority=priority)], {})
    assert topics(outbox) == ["edge/gw/alert", "edge/gw/verdict", "edge/gw/evidence"]


def test_what_is_on_its_way_is_not_given_again(outbox: Outbox) -> None:
    outbox.commit([event(n, payload=b"%d" % n) for n in range(1, 6)], {})
    on_the_way = [stored.id for stored in outbox.unsent(2)]
    assert [stored.payload for stored in outbox.unsent(2, exclude=on_the_way)] == [b"3", b"4"]


def test_no_more_is_given_than_asked_for(outbox: Outbox) -> None:
    outbox.commit([event(n) for n in range(1, 6)], {})
    assert len(outbox.unsent(3)) == 3


def test_an_event_keeps_its_retain_flag_and_the_time_of_its_commit(outbox: Outbox, clock: Hands) -> None:
    outbox.commit([event(1, retain=True)], {})
    (stored,) = outbox.unsent(1)
    assert (stored.retain, stored.committed_ms, stored.replayed) == (True, round(clock.now_s * 1000), False)


def test_an_event_that_is_there_already_is_left_as_it_is(outbox: Outbox) -> None:
    outbox.commit([event(1, payload=b"first")], {})
    outbox.commit([event(1, payload=b"second")], {})
    assert [stored.payload for stored in outbox.unsent(9)] == [b"first"]
    assert outbox.depth == 1


def test_an_acknowledged_event_is_not_sent_again(outbox: Outbox) -> None:
    outbox.commit([event(1), event(2, payload=b"two")], {})
    outbox.mark_acknowledged([outbox.unsent(1)[0].id])
    assert [stored.payload for stored in outbox.unsent(9)] == [b"two"]


def test_depth_counts_what_the_broker_lacks(outbox: Outbox) -> None:
    outbox.commit([event(1), event(2), event(3)], {})
    first = outbox.unsent(1)[0].id
    outbox.mark_acknowledged([first, first, 999_999])
    assert outbox.depth == 2


def test_depth_is_known_again_after_a_restart(outbox: Outbox, reopened: Reopen) -> None:
    outbox.commit([event(1), event(2)], {})
    acknowledge_all(outbox)
    outbox.commit([event(3)], {})
    outbox.close()
    assert reopened("boot-2").depth == 1


def test_state_is_stored_replaced_and_deleted(outbox: Outbox) -> None:
    outbox.commit([], {"alarm/a": b"1", "alarm/b": b"1", "window/a": b"1"})
    outbox.commit([], {"alarm/a": b"2", "alarm/b": None})
    assert outbox.load_state("alarm/") == {"alarm/a": b"2"}


def test_a_prefix_is_taken_literally(outbox: Outbox) -> None:
    outbox.commit([], {"alarm/a%b": b"1", "alarm/axb": b"2", "alarm/a_b": b"3", "alarm/A%b": b"4"})
    assert outbox.load_state("alarm/a%") == {"alarm/a%b": b"1"}


def test_state_survives_a_restart(outbox: Outbox, reopened: Reopen) -> None:
    outbox.commit([event(1)], {"alarm/a": b"\x00\xff"})
    outbox.close()
    assert reopened("boot-2").load_state("alarm/") == {"alarm/a": b"\x00\xff"}


def test_a_resend_gives_the_events_from_a_number_on_marked_as_replayed(outbox: Outbox) -> None:
    outbox.commit([event(n, payload=b"%d" % n) for n in (1, 2, 3)], {})
    acknowledge_all(outbox)
    assert outbox.resend("boot-1", "alert", 2) == 2
    assert [(stored.payload, stored.replayed) for stored in outbox.unsent(9)] == [(b"2", True), (b"3", True)]
    assert outbox.depth == 2


def test_a_resend_leaves_unsent_events_unmarked(outbox: Outbox) -> None:
    outbox.commit([event(1)], {})
    assert outbox.resend("boot-1", "alert", 1) == 0
    assert [stored.replayed for stored in outbox.unsent(9)] == [False]


def test_a_resend_leaves_other_series_alone(outbox: Outbox) -> None:
    outbox.commit([event(1), event(1, series="verdict"), event(0, series="")], {})
    acknowledge_all(outbox)
    outbox.resend("boot-1", "verdict", 0)
    assert topics(outbox) == ["edge/gw/verdict"]


def test_the_events_of_an_earlier_run_can_be_resent(outbox: Outbox, reopened: Reopen) -> None:
    outbox.commit([event(1)], {})
    acknowledge_all(outbox)
    outbox.close()
    later = reopened("boot-2")
    later.commit([event(1, boot_id="boot-2")], {})
    acknowledge_all(later)
    assert later.resend("boot-1", "alert", 1) == 1


def test_a_resend_for_an_unknown_run_gives_nothing(outbox: Outbox) -> None:
    outbox.commit([event(1)], {})
    acknowledge_all(outbox)
    assert outbox.resend("boot-9", "alert", 0) == 0


def test_events_past_their_retention_are_purged(outbox: Outbox, clock: Hands) -> None:
    outbox.commit([event(1)], {})
    acknowledge_all(outbox)
    clock.now_s += 61.0
    assert outbox.purge() == 1
    assert outbox.resend("boot-1", "alert", 0) == 0


def test_events_within_their_retention_stay(outbox: Outbox, clock: Hands) -> None:
    outbox.commit([event(1)], {})
    acknowledge_all(outbox)
    clock.now_s += 60.0
    assert outbox.purge() == 0


def test_an_unsent_event_is_never_purged_however_old(outbox: Outbox, clock: Hands) -> None:
    outbox.commit([event(1, payload=bytes(5000))], {})
    clock.now_s += 1e9
    assert outbox.purge() == 0
    assert outbox.depth == 1


def test_over_the_bound_the_oldest_acknowledged_events_go_first(outbox: Outbox) -> None:
    outbox.commit([event(n, payload=b"%d" % n * 400) for n in (1, 2, 3)], {})
    acknowledge_all(outbox)
    assert outbox.purge() == 1
    outbox.resend("boot-1", "alert", 0)
    assert [stored.payload[:1] for stored in outbox.unsent(9)] == [b"2", b"3"]


def test_over_the_bound_more_room_is_made_than_is_needed_now(outbox: Outbox) -> None:
    outbox.commit([event(n, payload=bytes(100)) for n in range(11)], {})
    acknowledge_all(outbox)
    assert outbox.purge() == 2


def test_a_full_outbox_looks_for_room_only_after_something_was_acknowledged(outbox: Outbox) -> None:
    outbox.commit([event(n, payload=bytes(600)) for n in (1, 2)], {})
    assert outbox.full
    seen: list[str] = []
    outbox._database.set_trace_callback(seen.append)
    assert outbox.full
    assert seen == []
    outbox.mark_acknowledged([outbox.unsent(1)[0].id])
    assert not outbox.full


def test_the_last_events_of_a_series_are_given_the_oldest_first(outbox: Outbox, reopened: Reopen) -> None:
    outbox.commit([event(n, payload=b"%d" % n) for n in (1, 2, 3)] + [event(1, series="verdict")], {})
    acknowledge_all(outbox)
    outbox.close()
    assert reopened("boot-2").latest("alert", 2) == [b"2", b"3"]


def test_unsent_events_over_the_bound_make_it_full(outbox: Outbox) -> None:
    outbox.commit([event(1, payload=bytes(1001))], {})
    assert outbox.full


def test_acknowledged_events_over_the_bound_do_not_make_it_full(outbox: Outbox) -> None:
    outbox.commit([event(n, payload=bytes(600)) for n in (1, 2)], {})
    acknowledge_all(outbox)
    assert not outbox.full


def n_until_full(outbox: Outbox, first: int) -> int:
    """Commit events that nobody takes until the outbox is full."""
    for number in range(first, first + 1000):
        outbox.commit([event(number, payload=bytes(1000))], {})
        if outbox.full:
            return number - first
    return 1000


def test_a_resend_takes_no_room_from_an_outage(tmp_path: Path, clock: Hands) -> None:
    found = []
    for name in ("without", "with"):
        (tmp_path / name).mkdir()
        with closing(open_outbox(tmp_path / name, clock=clock, max_bytes=50_000)) as outbox:
            for number in range(1, 101):
                outbox.commit([event(number, payload=bytes(1000))], {})
                outbox.mark_acknowledged([stored.id for stored in outbox.unsent(1)])
                assert not outbox.full
            if name == "with":
                assert outbox.resend("boot-1", "alert", 0) > 40
            found.append(n_until_full(outbox, 101))
    assert found == [50, 50]


def test_what_is_sent_once_more_makes_room_for_what_was_never_sent(tmp_path: Path, clock: Hands) -> None:
    with closing(open_outbox(tmp_path, clock=clock, max_bytes=5000)) as outbox:
        outbox.commit([event(number, payload=bytes(1000)) for number in range(1, 5)], {})
        outbox.mark_acknowledged([stored.id for stored in outbox.unsent(4)])
        outbox.resend("boot-1", "alert", 0)
        outbox.commit([event(number, payload=bytes(1000)) for number in (5, 6)], {})
        assert not outbox.full
        assert [(stored.id, stored.replayed) for stored in outbox.unsent(9)] == [
            (5, False), (6, False), (3, True), (4, True)
        ]  # fmt: skip
        assert (outbox.depth, outbox.evidence_dropped) == (4, {"bytes": 0, "age": 0})


def test_it_is_not_full_while_more_can_be_deleted_than_one_batch(tmp_path: Path, clock: Hands) -> None:
    with closing(open_outbox(tmp_path, clock=clock)) as outbox:
        outbox.commit([event(number, payload=bytes(10)) for number in range(1, 4502)], {})
        outbox.mark_acknowledged(range(1, 4502))
        outbox.rebound(max_bytes=100, retention_s=60.0, evidence_max_bytes=1000, evidence_max_age_s=60.0)
        seen = [(outbox.full, outbox.n_kept("boot-1", "alert")) for _ in range(3)]
    assert seen == [(False, 2501), (False, 501), (False, 9)]


def test_it_is_full_as_long_as_what_can_be_purged_is_not_enough(outbox: Outbox) -> None:
    outbox.commit([event(1, payload=bytes(10))], {})
    acknowledge_all(outbox)
    outbox.commit([event(2, payload=bytes(2000))], {})
    assert [outbox.full, outbox.full] == [True, True]


def test_it_is_full_again_after_a_restart(outbox: Outbox, reopened: Reopen) -> None:
    outbox.commit([event(1, payload=bytes(1001))], {})
    outbox.close()
    assert reopened("boot-2").full


def test_the_age_is_that_of_the_oldest_unsent_event(outbox: Outbox, clock: Hands) -> None:
    outbox.commit([event(1)], {})
    clock.now_s += 5.0
    outbox.commit([event(2)], {})
    assert outbox.oldest_unsent_s() == 5.0
    acknowledge_all(outbox)
    assert outbox.oldest_unsent_s() == 0.0


def test_the_age_is_that_of_the_oldest_whatever_its_priority(outbox: Outbox, clock: Hands) -> None:
    outbox.commit([event(1, series="evidence", priority=Priority.EVIDENCE)], {})
    clock.now_s += 5.0
    outbox.commit([event(1)], {})
    assert outbox.oldest_unsent_s() == 5.0


def test_the_age_is_never_negative_when_the_clock_is_set_back(outbox: Outbox, clock: Hands) -> None:
    outbox.commit([event(1)], {})
    clock.now_s -= 3600.0
    assert outbox.oldest_unsent_s() == 0.0


def test_the_last_number_is_of_the_present_run(outbox: Outbox, reopened: Reopen) -> None:
    outbox.commit([event(7), event(3, series="verdict")], {})
    outbox.close()
    later = reopened("boot-2")
    assert later.last_seq("alert") == 0
    later.commit([event(1, boot_id="boot-2"), event(2, boot_id="boot-2")], {})
    assert later.last_seq("alert") == 2


def test_every_commit_waits_for_the_disk(outbox: Outbox) -> None:
    modes = [outbox._database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]
    assert modes == ["wal", 2]


def test_a_file_of_a_newer_release_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    newer = sqlite3.connect(path)
    newer.execute("CREATE TABLE event_v2 (id INTEGER)")
    newer.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    newer.commit()
    newer.close()
    before = path.read_bytes()
    with pytest.raises(HostEnvironmentError, match=r"newer release.*upgrade edge-runtime.*or move the file aside"):
        open_outbox(tmp_path)
    assert path.read_bytes() == before


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(HostEnvironmentError, match="missing/outbox"):
        open_outbox(tmp_path / "missing")


def test_a_start_that_was_interrupted_before_the_version_was_written_is_taken_up(
    outbox: Outbox, reopened: Reopen
) -> None:
    outbox._database.execute("PRAGMA user_version=0")
    outbox.commit([event(1)], {})
    outbox.close()
    assert reopened("boot-2").depth == 1


def test_closing_folds_the_log_into_one_file(outbox: Outbox, tmp_path: Path) -> None:
    outbox.commit([event(1)], {})
    outbox.close()
    assert [path.name for path in tmp_path.iterdir()] == ["outbox.db"]


def test_a_held_event_is_on_disk_but_not_given_out(outbox: Outbox) -> None:
    outbox.commit([replace(event(1), held=True), event(2, payload=b"now")], {})
    assert [stored.payload for stored in outbox.unsent(9)] == [b"now"]
    assert (outbox.depth, outbox.ready) == (2, 1)


def test_held_events_are_held_after_a_restart(outbox: Outbox, reopened: Reopen) -> None:
    outbox.commit([replace(event(1), held=True)], {})
    outbox.close()
    later = reopened("boot-2")
    assert (later.depth, later.ready, later.held_runs()) == (1, 0, ("boot-1",))


EARLY = {"timestamp_ms": 5_000, "publish_ms": None, "latency_ms": 3, "source_ms": 4.5, "deadline_ms": 7_000, "seq": 5}


def test_a_restamped_event_goes_with_its_times_corrected(outbox: Outbox) -> None:
    fields = EARLY | {"set_ms": 1_800_000_000_000, "flag_ms": True}
    outbox.commit([replace(event(1, payload=msgspec.json.encode(fields)), held=True)], {})
    assert outbox.restamp(1000, boot_id="boot-1") == 1
    (stored,) = outbox.unsent(9)
    assert msgspec.json.decode(stored.payload) == fields | {"timestamp_ms": 6_000, "deadline_ms": 8_000}
    assert outbox.ready == 1


def test_a_restamped_event_has_the_corrected_time_of_its_commit(outbox: Outbox, clock: Hands) -> None:
    clock.now_s = 10.0
    outbox.commit([replace(event(1), held=True)], {})
    outbox.restamp(1_800_000_000_000, boot_id="boot-1")
    assert outbox.unsent(1)[0].committed_ms == 1_800_000_010_000


def test_held_events_of_another_run_stay_held(outbox: Outbox) -> None:
    outbox.commit([replace(event(1), held=True)], {})
    assert outbox.restamp(1000, boot_id="boot-0") == 0
    assert outbox.ready == 0


@pytest.mark.parametrize("payload", [b"", b"\xff\xd8\xff picture", b"[1]"])
def test_a_payload_without_times_is_let_go_as_it_is(outbox: Outbox, payload: bytes) -> None:
    outbox.commit([replace(event(1, payload=payload), held=True)], {})
    outbox.restamp(1000, boot_id="boot-1")
    assert [stored.payload for stored in outbox.unsent(9)] == [payload]


def test_the_bytes_that_restamping_adds_are_counted(outbox: Outbox, reopened: Reopen) -> None:
    outbox.commit([replace(event(1, payload=b'{"a_ms":1}'), held=True)], {})
    outbox.restamp(1_000_000, boot_id="boot-1")
    counted = outbox._bytes
    outbox.close()
    assert reopened("boot-2")._bytes == counted == len(b'{"a_ms":1000001}')


def evidence(number: int, size: int = 400, topic: str = "edge/gw/evidence/a/window.cbor") -> Outgoing:
    return Outgoing(f"evidence-{number}", "", 0, Priority.EVIDENCE, topic, bytes([number]) * size)


def first_bytes(outbox: Outbox) -> list[int]:
    return [stored.payload[0] for stored in outbox.unsent(99)]


@pytest.fixture
def archive(tmp_path: Path, clock: Hands) -> Iterator[Outbox]:
    clock.now_s = 1_800_000_000.0
    outbox = open_outbox(
        tmp_path, clock=clock, max_bytes=1000, retention_s=1e6, evidence_max_bytes=1000, evidence_max_age_s=60.0
    )
    yield outbox
    outbox.close()


def test_beyond_the_bytes_of_evidence_the_oldest_goes_and_is_counted(archive: Outbox) -> None:
    archive.commit([event(1, payload=b"\xff")], {})
    for number in (1, 2, 3):
        archive.commit([evidence(number)], {})
    assert first_bytes(archive) == [255, 2, 3]
    assert archive.evidence_dropped == {"bytes": 1, "age": 0}
    assert archive.depth == 3


def test_evidence_that_the_broker_has_goes_before_evidence_that_it_lacks(archive: Outbox) -> None:
    archive.commit([evidence(1), evidence(2)], {})
    archive.mark_acknowledged([archive.unsent(2)[1].id])
    archive.commit([evidence(3)], {})
    assert first_bytes(archive) == [1, 3]
    assert archive.evidence_dropped == {"bytes": 0, "age": 0}


def test_evidence_larger_than_its_bound_is_dropped_at_once(archive: Outbox) -> None:
    archive.commit([evidence(1, size=1001), event(1)], {})
    assert archive.depth == 1
    assert archive.evidence_dropped["bytes"] == 1


def test_evidence_never_makes_the_outbox_full(archive: Outbox) -> None:
    archive.commit([evidence(1, size=900), event(1, payload=bytes(900))], {})
    assert not archive.full


def test_old_evidence_goes_sent_or_not_and_the_unsent_is_counted(archive: Outbox, clock: Hands) -> None:
    archive.commit([evidence(1), evidence(2), event(1)], {})
    archive.mark_acknowledged([archive.unsent(3)[1].id])
    clock.now_s += 61.0
    assert archive.purge() == 2
    assert archive.evidence_dropped == {"bytes": 0, "age": 1}
    assert archive.depth == 1


def test_evidence_of_a_clock_that_was_never_set_has_no_age(archive: Outbox, clock: Hands) -> None:
    clock.now_s = 100.0
    archive.commit([evidence(1)], {})
    clock.now_s = 1_800_000_000.0
    assert archive.purge() == 0


def test_the_bounds_of_evidence_hold_after_a_restart(archive: Outbox, tmp_path: Path) -> None:
    archive.commit([evidence(1, size=900)], {})
    archive.close()
    with closing(open_outbox(tmp_path, evidence_max_bytes=1000)) as later:
        later.commit([evidence(2, size=200)], {})
        assert first_bytes(later) == [2]


def test_the_last_payload_of_a_topic_is_found_sent_or_not(archive: Outbox) -> None:
    archive.commit([evidence(1, 3, "a"), evidence(2, 3, "b"), evidence(3, 3, "b"), event(1, payload=b"alert")], {})
    acknowledge_all(archive)
    assert [archive.find_topic(topic) for topic in ("a", "b", "edge/gw/alert", "c")] == [
        b"\x01\x01\x01",
        b"\x03\x03\x03",
        b"alert",
        None,
    ]
