"""The gateway's own alarms, as they lie in the outbox."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.daemon.offices import Office, again, surface
from tests.unit.daemon.outboxes import Hands, open_outbox


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    wall = Hands()
    outbox = open_outbox(tmp_path, clock=wall)
    yield Office(outbox, wall, surface(), {})
    outbox.close()


def words(office: Office) -> list[str]:
    return [alert.event_type for alert in office.alerts]


def test_it_is_raised_under_the_name_of_the_gateway(office: Office) -> None:
    office.desk.set_system("drift", active=True, text="int8 drifts away", score=0.7, value=0.3, unit="nats")
    (alert,) = office.alerts
    assert (alert.key, alert.kind, alert.pipeline, alert.label) == ("system.drift", "system", "system", "drift")
    assert (alert.text, alert.score, alert.value, alert.unit) == ("int8 drifts away", 0.7, 0.3, "nats")
    assert (alert.asset, alert.camera, alert.model, alert.severity_n) == (None, None, None, 700)


def test_it_is_told_once_however_often_it_is_said(office: Office) -> None:
    for _ in range(50):
        office.desk.set_system("drift", active=True, text="still")
    assert words(office) == ["raised"]


def test_it_is_updated_once_a_minute_while_its_cause_lasts(office: Office) -> None:
    for _ in range(121):
        office.desk.set_system("drift", active=True, text="still")
        office.wall.now_s += 1.0
    assert words(office) == ["raised", "updated", "updated"]


def test_it_clears_with_its_cause_and_says_so(office: Office) -> None:
    office.desk.set_system("drift", active=True, text="away")
    office.desk.set_system("drift", active=False, text="back")
    raised, cleared = office.alerts
    assert (cleared.event_type, cleared.active, cleared.text, cleared.alert_id) == (
        "cleared",
        False,
        "back",
        raised.alert_id,
    )


def test_what_never_stood_is_not_cleared(office: Office) -> None:
    office.desk.set_system("drift", active=False, text="fine")
    assert (words(office), office.outbox.load_state("")) == ([], {})


def test_it_is_counted_and_acknowledged_as_any_other(office: Office) -> None:
    office.desk.set_system("drift", active=True, severity="critical", text="away")
    assert office.desk.acknowledge(office.alerts[0].alert_id)
    summary = office.desk.summary()
    assert (summary.active, summary.unacked, summary.max_severity) == (1, 0, "critical")


def test_it_outlives_a_restart_and_is_not_raised_twice(office: Office) -> None:
    office.desk.set_system("drift", active=True, text="away")
    office.wall.now_s += 1.0
    after = again(office)
    after.desk.retire_gone()
    after.desk.set_system("drift", active=True, text="away")
    after.desk.set_system("drift", active=False, text="back")
    assert words(after) == ["raised", "cleared"]


@pytest.mark.parametrize("word", ["", "A", "a/b", "a b", "#", ".a", "x" * 121])
def test_a_word_that_cannot_be_a_level_of_a_topic_is_refused(office: Office, word: str) -> None:
    with pytest.raises(ValueError, match="cannot name an alarm"):
        office.desk.set_system(word, active=True, text="")


def test_one_shot_shelving_of_it_ends_with_its_cause(office: Office) -> None:
    office.desk.set_system("drift", active=True, text="away")
    assert office.desk.shelve(office.alerts[0].alert_id, duration_s=60.0, one_shot=True) == ""
    office.desk.set_system("drift", active=False, text="back")
    assert [(alert.event_type, alert.shelved, alert.text) for alert in office.alerts[2:]] == [
        ("cleared", True, "back"),
        ("unshelved", False, "back"),
    ]


def test_in_a_flood_the_alarms_of_the_gateway_count_as_others_do(office: Office) -> None:
    for number in range(12):
        office.desk.set_system(f"w{number}", active=True, severity="low", text="x")
    flooded = [alert.label for alert in office.alerts if alert.flooded]
    assert flooded == ["w10", "w11"]
    assert "alarm_flood" in {alert.label for alert in office.alerts}
