"""Outcomes to alarms and verdicts, as they lie in the outbox afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from edge_runtime.config import Alarms, AlertRule
from edge_runtime.daemon.desk import alarm_key, alarm_rule, part_rule
from edge_runtime.daemon.outbox import Priority
from edge_runtime.daemon.past import decided_part
from edge_runtime.daemon.protocol import Outcome
from edge_runtime.daemon.telling import NO_MODEL, Gateway, Occasion
from edge_runtime.findings import Finding
from tests.unit.daemon.offices import BAD, GOOD, KEY, MODEL, Office, again, surface
from tests.unit.daemon.outboxes import Hands, open_outbox


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    wall = Hands()
    outbox = open_outbox(tmp_path, clock=wall)
    yield Office(outbox, wall, surface(), {})
    outbox.close()


def test_an_alarm_whose_state_cannot_be_read_is_told_as_cleared_and_leaves_no_ghost(tmp_path: Path) -> None:
    hands = Hands()
    office = Office(open_outbox(tmp_path, clock=hands), hands, surface(), {})
    office.see(BAD)
    stored = {**office.outbox.load_state(""), f"alarm/{KEY}": b"\xc1"}
    hands.now_s += 1.0
    after = Office(office.outbox, office.wall, surface(), stored)
    after.desk.retire_gone()
    assert [alert.event_type for alert in after.alerts] == ["raised", "cleared"]
    assert after.events(f"alert/state/{KEY}")[-1] == b""
    after.see(BAD)
    assert (after.alerts[-1].event_type, after.desk.summary().active) == ("raised", 1)


def test_an_abnormal_finding_is_told_as_an_alert_that_fits_its_schema(office: Office) -> None:
    office.see(BAD)
    (alert,) = office.alerts
    assert (alert.event_type, alert.key, alert.seq, alert.camera, alert.active) == ("raised", KEY, 1, "cam1", True)


def test_alerts_of_a_run_are_numbered_without_a_gap(office: Office) -> None:
    office.see(BAD)
    office.see(GOOD)
    office.see(BAD)
    assert [(alert.seq, alert.event_type) for alert in office.alerts] == [(1, "raised"), (2, "cleared"), (3, "raised")]


def test_the_state_of_an_alarm_is_the_alert_itself_as_long_as_it_stands(office: Office) -> None:
    office.see(BAD)
    (event,) = office.events("alert/event")
    assert office.events(f"alert/state/{KEY}") == [event]


def test_the_state_is_emptied_once_it_is_cleared_and_acknowledged(office: Office) -> None:
    office.see(BAD)
    office.desk.acknowledge(office.alerts[0].alert_id)
    office.see(GOOD)
    assert [bool(payload) for payload in office.events(f"alert/state/{KEY}")] == [True, True, False]


def test_a_cleared_alarm_keeps_its_state_until_it_is_acknowledged(office: Office) -> None:
    office.see(BAD)
    office.see(GOOD)
    office.desk.acknowledge(office.alerts[0].alert_id)
    assert [bool(payload) for payload in office.events(f"alert/state/{KEY}")] == [True, True, False]


def test_an_acknowledgement_is_told_with_what_the_alarm_last_said(office: Office) -> None:
    office.see(BAD)
    assert office.desk.acknowledge(office.alerts[0].alert_id)
    raised, acked = office.alerts
    assert (acked.event_type, acked.acked, acked.score, acked.seq) == ("acked", True, raised.score, 2)
    assert acked.event_id != raised.event_id


def gone(office: Office) -> Office:
    """Start anew without the pipeline."""
    office.journal.flush(0.0, force=True)
    office.wall.now_s += 1.0
    after = Office(office.outbox, office.wall, surface(), office.outbox.load_state(""), is_gone=True)
    after.desk.retire_gone()
    return after


def test_an_alarm_of_a_pipeline_that_is_gone_is_cleared_at_the_start(office: Office) -> None:
    office.see(BAD)
    after = gone(office)
    raised, cleared = after.alerts
    assert (cleared.event_type, cleared.active, cleared.alert_id) == ("cleared", False, raised.alert_id)
    assert "no longer watched" in cleared.text


def test_an_alarm_of_a_camera_that_is_gone_is_cleared_and_the_others_stand(office: Office) -> None:
    office.see(BAD)
    office.see(BAD, camera="cam2")
    office.wall.now_s += 1.0
    after = again(office, cameras=("cam2",))
    after.desk.retire_gone()
    assert [(alert.event_type, alert.camera) for alert in after.alerts][2:] == [("cleared", "cam1")]
    assert after.desk.summary().active == 1


@pytest.mark.parametrize("findings", [(BAD,), (BAD, GOOD)], ids=["active", "cleared and not acknowledged"])
def test_nothing_is_left_of_an_alarm_whose_pipeline_is_gone(office: Office, findings: tuple[Finding, ...]) -> None:
    for finding in findings:
        office.see(finding)
    after = gone(office)
    assert after.events(f"alert/state/{KEY}")[-1] == b""
    assert (after.desk.summary().unacked, sorted(after.outbox.load_state("al"))) == (0, ["alarms/flood"])


def test_an_alarm_is_cleared_once_however_often_the_daemon_starts(office: Office) -> None:
    office.see(BAD)
    n_events = len(gone(office).alerts)
    assert len(gone(office).alerts) == n_events


def test_an_unknown_alarm_cannot_be_acknowledged(office: Office) -> None:
    office.see(GOOD)
    assert not office.desk.acknowledge("01hf7yat000000000000000000")


def test_an_alarm_survives_a_restart(office: Office) -> None:
    office.see(BAD)
    alert_id = office.alerts[0].alert_id
    restarted = again(office)
    assert restarted.desk.acknowledge(alert_id)
    restarted.see(BAD)
    assert [alert.event_type for alert in restarted.alerts] == ["raised", "acked"]


@pytest.mark.parametrize("name", [f"alarm/{KEY}", f"alert/{KEY}"])
@pytest.mark.parametrize("value", [b"", b"nonsense", b"{}", b"\xff\xff", b'{"schema":"edge.alert/9"}'])
def test_a_checkpoint_that_cannot_be_read_lets_the_alarm_begin_anew(office: Office, name: str, value: bytes) -> None:
    office.see(BAD)
    office.outbox.commit([], {name: value})
    restarted = again(office)
    restarted.see(BAD)
    assert restarted.alerts[-1].event_type == "raised"


def test_what_stands_is_counted_by_the_worst(office: Office) -> None:
    office.see(BAD, replace(GOOD, label="stain"))
    office.see(BAD, camera="cam2")
    office.desk.acknowledge(office.alerts[0].alert_id)
    summary = office.desk.summary()
    assert (summary.active, summary.unacked, summary.max_severity, summary.max_severity_n) == (2, 1, "medium", 500)


def test_nothing_standing_is_said_so(office: Office) -> None:
    summary = office.desk.summary()
    assert (summary.active, summary.unacked, summary.max_severity, summary.max_severity_n) == (0, 0, None, 0)


def test_a_part_gets_one_verdict(office: Office) -> None:
    office.desk.expect_part("surface", "A-17", received_at=office.wall.now_s)
    office.see(BAD, part="A-17", verdict="ng")
    office.see(GOOD, part="A-17", verdict="ok")
    (verdict,) = office.verdicts
    assert (verdict.part, verdict.verdict, verdict.reasons, verdict.camera) == ("A-17", "ng", ("Deep Scratch",), "cam1")


def test_a_refused_picture_makes_its_part_unsure_and_says_why(office: Office) -> None:
    office.desk.expect_part("surface", "A-17", received_at=office.wall.now_s)
    office.see(part="A-17", reason="image_decode")
    (verdict,) = office.verdicts
    assert (verdict.verdict, verdict.reasons, verdict.score) == ("unsure", ("image_decode",), None)


def test_a_part_without_any_answer_is_unsure_after_its_deadline(office: Office) -> None:
    office.desk.expect_part("surface", "A-17", received_at=office.wall.now_s)
    office.wall.now_s += 2.5
    office.desk.decide_overdue({"surface": MODEL})
    (verdict,) = office.verdicts
    assert (verdict.verdict, verdict.reasons, verdict.late) == ("unsure", ("no_answer",), True)


def test_a_part_of_a_pipeline_without_a_model_is_judged_too(office: Office) -> None:
    office.desk.expect_part("surface", "A-17", received_at=office.wall.now_s)
    office.wall.now_s += 2.5
    office.desk.decide_overdue({})
    (verdict,) = office.verdicts
    assert (verdict.model, verdict.model_version, verdict.model_sha256) == (None, None, None)


def test_a_part_decided_in_an_earlier_run_is_not_judged_again(office: Office) -> None:
    office.desk.remember_parts([("surface", "A-17", office.wall.now_s)])
    office.desk.expect_part("surface", "A-17", received_at=office.wall.now_s)
    office.see(BAD, part="A-17", verdict="ng")
    assert office.verdicts == []


def test_a_pipeline_that_gives_no_verdicts_gives_none(office: Office) -> None:
    quiet = again(office, verdict="none")
    quiet.see(BAD, part="A-17", verdict="ng")
    assert quiet.verdicts == []


def test_alerts_go_before_verdicts(office: Office) -> None:
    office.desk.expect_part("surface", "A-17", received_at=office.wall.now_s)
    office.see(BAD, part="A-17", verdict="ng")
    rows = office.outbox._database.execute("SELECT series, priority FROM event ORDER BY id").fetchall()
    assert rows == [("alert", Priority.ALERT), ("", Priority.ALERT), ("verdict", Priority.VERDICT)]


def test_an_alarm_and_its_events_are_of_one_transaction(office: Office) -> None:
    office.see(BAD)
    state = office.outbox.load_state("")
    assert sorted(state) == [f"alarm/{KEY}", "alarms/flood", f"alert/{KEY}"]
    assert msgspec.msgpack.decode(state[f"alarm/{KEY}"])["alert_id"].lower() == office.alerts[0].alert_id


def test_an_alert_without_a_model_names_none(office: Office) -> None:
    occasion = replace(some_occasion(office), model=NO_MODEL)
    office.desk.take(Outcome("surface", (BAD,)), occasion)
    (alert,) = office.alerts
    assert (alert.model, alert.model_sha256, alert.precision, alert.engine) == (None, None, None, None)


@pytest.mark.parametrize("at", [-1e9, 0.0, 9.1e12, 1e300, 1e306, -1e306])
def test_whatever_time_a_source_claims_the_alert_can_be_read_again(office: Office, at: float) -> None:
    office.desk.take(Outcome("surface", (BAD,)), replace(some_occasion(office), at=at))
    (alert,) = office.alerts
    assert alert.source_ms is not None
    assert 0 <= alert.source_ms <= 2**53


def some_occasion(office: Office) -> Occasion:
    return Occasion("surface", "cam1", True, MODEL, office.wall.now_s, office.wall.now_s, 0.01)


@pytest.mark.parametrize(
    ("one", "other"), [("划痕", "污点"), ("Öl", "Äl"), ("a/b", "a+b"), ("#", "+"), ("x" * 63 + "a", "x" * 63 + "b")]
)
def test_different_labels_have_different_alarms(one: str, other: str) -> None:
    keys = {alarm_key("p" * 64, "s" * 64, label) for label in (one, other)}
    assert len(keys) == 2


@pytest.mark.parametrize("label", ["crack", "Deep Scratch", "划痕", "a/b/#", "x" * 64, "$SYS", "..", "\x00"])
def test_an_alarm_key_is_one_level_of_a_topic(label: str) -> None:
    for names in (("p", "s"), ("p" * 64, "s" * 64)):
        key = alarm_key(*names, label)
        assert set(key) <= set("abcdefghijklmnopqrstuvwxyz0123456789_.-")
        assert len(key) <= 128


def test_cameras_matter_only_where_all_must_answer() -> None:
    assert [part_rule(surface(verdict=policy)).cameras for policy in ("any", "all")] == [
        frozenset(),
        frozenset({"cam1", "cam2"}),
    ]


def test_a_rule_without_a_number_takes_that_of_its_word() -> None:
    pipeline = surface(rules=(AlertRule(label="crack", severity="critical"), AlertRule(severity="low", severity_n=33)))
    assert [alarm_rule(pipeline, label).severity_n for label in ("crack", "stain")] == [900, 33]


def reconfigure(office: Office, **changes: object) -> None:
    """Give the desk another configuration."""
    office.desk.reconfigure([surface(**changes)], Alarms(), Gateway("boot-1", "d" * 64))


def test_an_alarm_of_a_camera_that_a_reload_takes_away_is_ended(office: Office) -> None:
    office.see(BAD)
    reconfigure(office, cameras=("cam2",))
    assert [alert.event_type for alert in office.alerts] == ["raised", "cleared"]
    assert office.events(f"alert/state/{KEY}")[-1] == b""


def test_an_alarm_goes_on_over_a_reload_under_the_new_rule(office: Office) -> None:
    office.see(BAD)
    reconfigure(office, rules=(AlertRule(clear_after=2),))
    office.see(GOOD)
    standing = office.desk.summary().active
    office.see(GOOD)
    assert (standing, office.desk.summary().active) == (1, 0)
    assert {alert.alert_id for alert in office.alerts} == {office.alerts[0].alert_id}
    assert office.alerts[-1].config_sha256 == "d" * 64


def test_open_parts_of_a_pipeline_that_judges_no_longer_are_unsure(office: Office) -> None:
    office.desk.expect_part("surface", "A-17", received_at=office.wall.now_s)
    reconfigure(office, verdict="none")
    (verdict,) = office.verdicts
    assert (verdict.part, verdict.verdict) == ("A-17", "unsure")
    assert office.desk.next_deadline() is None


def test_a_flood_goes_on_under_another_limit(office: Office) -> None:
    office.desk.reconfigure([surface()], Alarms(flood_n=1), Gateway("boot-1", "d" * 64))
    for label in ("a", "b", "c"):
        office.see(replace(BAD, label=label))
    assert office.desk._book.flood.active


def test_a_part_that_nobody_answered_for_is_known_by_the_time_of_its_frame_after_a_restart(office: Office) -> None:
    taken = office.wall.now_s - 30.0  # it waited with the broker
    office.desk.expect_part("surface", "A-17", received_at=office.wall.now_s, at=taken)
    office.wall.now_s += 2.5
    office.desk.decide_overdue({})
    (verdict,) = office.verdicts
    after = again(office)
    after.desk.remember_parts([decided_part(verdict)])
    after.desk.expect_part("surface", "A-17", received_at=office.wall.now_s + 60.0, at=taken)
    assert after.desk.is_decided("surface", "A-17")


@pytest.mark.parametrize("away_s", [1.0, 30.0, 86_400.0])
def test_a_frame_without_a_time_that_comes_again_after_a_restart_makes_no_second_verdict(
    office: Office, away_s: float
) -> None:
    office.desk.expect_part("surface", "A-17", received_at=office.wall.now_s)
    office.see(BAD, part="A-17", verdict="ng")
    after = again(office)
    after.desk.remember_parts([decided_part(verdict) for verdict in office.verdicts])
    office.wall.now_s += away_s
    after.desk.expect_part("surface", "A-17", received_at=office.wall.now_s, again=True)
    after.see(BAD, part="A-17", verdict="ng")
    assert [verdict.part for verdict in after.verdicts] == ["A-17"]


def test_a_frame_whose_source_tells_a_later_time_shows_another_part_also_when_it_is_delivered_again(
    office: Office,
) -> None:
    office.desk.remember_parts([("surface", "A-17", office.wall.now_s)])
    office.wall.now_s += 60.0
    office.desk.expect_part("surface", "A-17", received_at=office.wall.now_s, at=office.wall.now_s - 1.0, again=True)
    assert not office.desk.is_decided("surface", "A-17")


def test_an_alarm_whose_label_the_new_model_does_not_have_is_ended(office: Office) -> None:
    office.see(BAD, replace(BAD, label="dent"))
    office.see(BAD, camera="cam2")
    after = again(office)
    after.wall.now_s += 1.0
    after.desk.retire_labels("surface", {"dent", "stain"})
    cleared = [alert for alert in after.alerts if alert.event_type == "cleared"]
    assert sorted(alert.key for alert in cleared) == [KEY, KEY.replace("cam1", "cam2")]
    assert "not among what the model of surface tells" in cleared[0].text
    assert (after.events(f"alert/state/{KEY}")[-1], after.desk.summary().active) == (b"", 1)


def test_an_alarm_that_was_ended_with_its_label_is_forgotten(office: Office) -> None:
    office.see(BAD)
    office.desk.retire_labels("surface", ())
    assert again(office).desk.summary().active == 0
    assert sorted(office.outbox.load_state("")) == ["alarms/flood"]


def test_alarms_of_other_pipelines_and_of_the_gateway_keep_their_labels(office: Office) -> None:
    office.see(BAD)
    office.desk.set_system("disk", active=True, text="the disk is full")
    office.desk.retire_labels("twin", ())
    assert office.desk.summary().active == 2
