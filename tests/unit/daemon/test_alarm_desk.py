"""Shelving and floods as they lie in the outbox."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edge_runtime.config import AlertRule
from edge_runtime.daemon.restamping import Span
from edge_runtime.messages import Severity
from tests.unit.daemon.offices import BAD, GOOD, KEY, Office, again, surface
from tests.unit.daemon.outboxes import Hands, open_outbox


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    wall = Hands()
    outbox = open_outbox(tmp_path, clock=wall)
    yield Office(outbox, wall, surface(), {})
    outbox.close()


def shelve(office: Office, *, duration_s: float = 60.0, one_shot: bool = False) -> str:
    alert_id = office.alerts[-1].alert_id
    assert office.desk.shelve(alert_id, duration_s=duration_s, one_shot=one_shot) == ""
    return alert_id


def told(office: Office) -> list[tuple[str, bool]]:
    return [(alert.event_type, alert.shelved) for alert in office.alerts]


def test_a_shelved_alarm_says_until_when(office: Office) -> None:
    office.see(BAD)
    shelve(office)
    alert = office.alerts[-1]
    assert alert.shelved_until_ms == round((office.wall.now_s + 60.0) * 1000)


def test_events_of_a_shelved_alarm_say_that_it_is(office: Office) -> None:
    office.see(BAD)
    alert_id = shelve(office)
    office.desk.acknowledge(alert_id)
    office.see(GOOD)
    office.see(BAD)
    assert told(office) == [
        ("raised", False),
        ("shelved", True),
        ("acked", True),
        ("cleared", True),
        ("raised", True),
    ]


def test_the_state_of_a_shelved_alarm_stays_until_it_is_unshelved(office: Office) -> None:
    office.see(BAD)
    alert_id = shelve(office)
    office.desk.acknowledge(alert_id)
    office.see(GOOD)
    assert office.events(f"alert/state/{KEY}")[-1] != b""
    assert office.desk.unshelve(alert_id)
    assert office.events(f"alert/state/{KEY}")[-1] == b""


def test_shelving_ends_by_itself_and_the_loop_knows_when(office: Office) -> None:
    office.see(BAD)
    shelve(office)
    due = office.desk.next_deadline()
    assert due == office.wall.now_s - 1e9 + 60.0
    office.wall.now_s += 60.0
    office.desk.tick()
    assert told(office)[-1] == ("unshelved", False)
    assert office.desk.next_deadline() is None


def test_one_shot_shelving_ends_with_the_occurrence(office: Office) -> None:
    office.see(BAD)
    shelve(office, one_shot=True)
    office.see(GOOD)
    office.see(BAD)
    assert told(office)[2:] == [("cleared", True), ("unshelved", False), ("raised", False)]


def test_shelving_outlives_a_restart(office: Office) -> None:
    office.see(BAD)
    alert_id = shelve(office)
    office.wall.now_s += 1.0
    after = again(office)
    assert after.desk.summary().shelved == 1
    after.wall.now_s += 59.0
    after.desk.tick()
    assert (after.alerts[-1].event_type, after.alerts[-1].alert_id) == ("unshelved", alert_id)


def test_a_checkpoint_that_claims_a_longer_shelving_than_there_is_is_cut(office: Office) -> None:
    office.see(BAD)
    shelve(office, duration_s=1e12)
    office.wall.now_s += 1.0
    after = again(office)
    after.wall.now_s += 604_800.0
    after.desk.tick()
    assert after.alerts[-1].event_type == "unshelved"


def test_the_summary_counts_shelved_alarms_apart(office: Office) -> None:
    office.see(BAD)
    shelve(office)
    summary = office.desk.summary()
    assert (summary.active, summary.unacked, summary.shelved, summary.max_severity) == (0, 0, 1, None)


@pytest.mark.parametrize(("one_shot", "refusal"), [(False, "unknown_alert"), (True, "unknown_alert")])
def test_what_is_unknown_cannot_be_shelved(office: Office, one_shot: bool, refusal: str) -> None:
    assert office.desk.shelve("nobody", duration_s=1.0, one_shot=one_shot) == refusal


def test_one_shot_shelving_of_a_cleared_alarm_is_refused(office: Office) -> None:
    office.see(BAD)
    office.see(GOOD)
    alert_id = office.alerts[0].alert_id
    assert office.desk.shelve(alert_id, duration_s=1.0, one_shot=True) == "not_active"


def flooded(office: Office, n: int = 12, severity: Severity = "medium") -> Office:
    """Raise so many alarms within so many seconds; a flood are more than ten in 600 s."""
    rules = (AlertRule(clear_after=1, severity=severity),)
    office = again(office, cameras=tuple(f"cam{number}" for number in range(n)), rules=rules)
    for number in range(n):
        office.see(BAD, camera=f"cam{number}")
    return office


def test_a_flood_is_told_as_one_alarm_of_the_gateway(office: Office) -> None:
    (summary,) = [alert for alert in flooded(office).alerts if alert.key == "system.alarm_flood"]
    assert (summary.event_type, summary.severity, summary.value, summary.flooded) == ("raised", "high", 11.0, False)


def test_every_alarm_of_a_flood_is_told_and_marked(office: Office) -> None:
    raised = [alert for alert in flooded(office, 15).alerts if alert.pipeline == "surface"]
    assert [alert.flooded for alert in raised] == [False] * 10 + [True] * 5


def test_high_alarms_are_never_marked(office: Office) -> None:
    office = flooded(office, severity="high")
    assert not any(alert.flooded for alert in office.alerts)
    assert office.alerts[-2].key == "system.alarm_flood"


def test_a_flood_ends_by_itself_and_its_active_alarms_come_forth(office: Office) -> None:
    office = flooded(office)
    n_before = len(office.alerts)
    office.wall.now_s += 600.0
    office.desk.tick()
    last = office.alerts[n_before:]
    assert [(alert.event_type, alert.flooded) for alert in last] == [
        ("updated", False),
        ("updated", False),
        ("cleared", False),
    ]
    assert last[-1].text == (
        "the flood of alarms is over after 12; 2 of them, of low or medium severity, were not annunciated one by one"
    )


def test_a_flood_outlives_a_restart(office: Office) -> None:
    before = flooded(office)
    before.wall.now_s += 1.0
    after = again(before, cameras=("cam99",))
    after.see(BAD, camera="cam99")
    assert after.alerts[-1].flooded
    after.wall.now_s += 600.0
    after.desk.tick()
    assert after.alerts[-1].event_type == "cleared"


@pytest.mark.parametrize("value", [b"", b"nonsense", b"\xff"])
def test_a_flood_that_cannot_be_read_begins_anew(office: Office, value: bytes) -> None:
    office.outbox.commit([], {"alarms/flood": value})
    after = again(office)
    after.see(BAD)
    assert after.alerts[-1].event_type == "raised"


def test_every_key_is_told_in_the_same_order_as_it_happened(office: Office) -> None:
    office.see(BAD, replace(GOOD, label="stain"))
    shelve(office)
    assert [alert.seq for alert in office.alerts] == [1, 2]


def test_a_clock_that_is_set_corrects_what_later_events_of_an_alarm_repeat(office: Office) -> None:
    office.wall.now_s = 30.0
    office.see(BAD)
    office.wall.now_s += 1.7e9
    office.desk.shift_times(1.7e9)
    after = again(office)
    after.wall.now_s += 1.0
    assert after.desk.acknowledge(office.alerts[0].alert_id)
    acked = after.alerts[-1]
    assert (acked.first_ms, acked.source_ms) == (1_700_000_031_000, 1_700_000_031_000)


def test_an_alarm_of_an_earlier_start_of_the_machine_is_not_corrected_by_the_offset_of_this_one(office: Office) -> None:
    office.wall.now_s = 36_000.0
    office.see(BAD)
    after = again(office)
    after.wall.now_s = 300.0
    after.desk.shift_times(1.8e9 - 300.0, Span(30.0, 301.0))
    after.wall.now_s = 1.8e9
    assert after.desk.acknowledge(office.alerts[0].alert_id)
    acked = after.alerts[-1]
    assert (acked.first_ms, acked.source_ms, acked.timestamp_ms) == (36_001_000, 36_001_000, 1_800_000_000_000)
