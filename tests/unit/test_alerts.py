"""Findings to alarms, step by step."""

from __future__ import annotations

import pytest

from edge_runtime.alarm_flood import Flood
from edge_runtime.alerts import Alarm, AlarmBook, AlarmRule, Transition
from edge_runtime.findings import Finding
from edge_runtime.messages import Severity

KEY = "press-3.bearing"


def finding(score: float, *, raise_at: float = 0.6, clear_at: float = 0.4) -> Finding:
    return Finding(
        "vision.defect", "crack", score, raise_at, clear_at, abnormal=score >= raise_at, clearable=score < clear_at
    )


BAD, BETWEEN, GOOD = finding(0.9), finding(0.5), finding(0.1)


class Operator:
    """Feeds findings a second apart and keeps what was told."""

    def __init__(self, rule: AlarmRule, book: AlarmBook | None = None) -> None:
        self.rule = rule
        self.book = book or AlarmBook()
        self.now_s = 1000.0
        self.n_fed = 0

    def feed(self, *findings: Finding) -> list[str]:
        told: list[str] = []
        for each in findings:
            self.n_fed += 1
            self.now_s += 1.0
            steps = self.book.apply(KEY, each, self.rule, now_s=self.now_s, new_id=f"ID{self.n_fed}")
            told += [step.event_type for step in steps]
        return told


def test_one_abnormal_finding_raises_with_the_default_rule() -> None:
    assert Operator(AlarmRule()).feed(BAD) == ["raised"]


def test_nothing_is_told_while_findings_are_good() -> None:
    assert Operator(AlarmRule()).feed(GOOD, BETWEEN, GOOD) == []


def test_two_of_three_need_not_follow_each_other() -> None:
    assert Operator(AlarmRule(n=2, m=3)).feed(BAD, GOOD, BAD) == ["raised"]


def test_an_abnormal_finding_that_left_the_last_m_does_not_count() -> None:
    assert Operator(AlarmRule(n=2, m=3)).feed(BAD, GOOD, GOOD, BAD) == []


def test_the_alarm_takes_the_id_of_the_finding_that_raised_it() -> None:
    operator = Operator(AlarmRule(n=2, m=2))
    operator.feed(BAD, BAD, BAD)
    assert operator.book[KEY].alert_id == "ID2"


def test_the_alarm_carries_the_severity_of_its_rule() -> None:
    operator = Operator(AlarmRule(severity="critical", severity_n=950))
    operator.feed(BAD)
    assert (operator.book[KEY].severity, operator.book[KEY].severity_n) == ("critical", 950)


def test_a_score_between_the_limits_keeps_the_alarm() -> None:
    assert Operator(AlarmRule(clear_after=2)).feed(BAD, GOOD, BETWEEN, GOOD, BETWEEN) == ["raised"]


def test_it_clears_after_a_run_of_clearable_findings() -> None:
    assert Operator(AlarmRule(clear_after=2)).feed(BAD, GOOD, GOOD) == ["raised", "cleared"]


def test_an_abnormal_finding_never_clears_even_where_the_limits_are_crossed() -> None:
    crossed = Finding("vision.defect", "crack", 0.35, 0.3, 0.4, abnormal=True, clearable=True)
    assert Operator(AlarmRule(clear_after=1)).feed(crossed, crossed, crossed) == ["raised"]


def test_after_clearing_the_count_begins_anew() -> None:
    operator = Operator(AlarmRule(n=2, m=8, clear_after=1))
    assert operator.feed(BAD, BAD, GOOD) == ["raised", "cleared"]
    assert operator.feed(BAD) == []


def test_updates_are_told_at_most_as_often_as_the_rule_says() -> None:
    told = Operator(AlarmRule(update_every_s=10.0)).feed(*[BAD] * 21)
    assert told == ["raised", "updated", "updated"]


def test_the_clock_of_the_source_says_nothing_about_updates() -> None:
    book, rule = AlarmBook(), AlarmRule(update_every_s=10.0)
    told = [
        step.event_type
        for now_s, seen_s in ((0.0, 5000.0), (1.0, 9000.0), (2.0, 0.0), (10.0, 0.0))
        for step in book.apply(KEY, BAD, rule, now_s=now_s, seen_s=seen_s, new_id="ID1")
    ]
    assert told == ["raised", "updated"]


def test_a_checkpoint_on_another_time_does_not_stop_updates() -> None:
    book = AlarmBook({KEY: Alarm(key=KEY, alert_id="ID1", active=True, told_s=1.7e9)})
    assert Operator(AlarmRule(), book).feed(BAD) == ["updated"]


def test_the_count_is_of_this_occurrence_only() -> None:
    operator = Operator(AlarmRule(clear_after=1))
    operator.feed(BAD, BAD, BAD, GOOD, BAD, BAD)
    assert operator.book[KEY].count == 2


def test_first_and_last_time_are_those_of_abnormal_findings() -> None:
    operator = Operator(AlarmRule(clear_after=9))
    operator.feed(BAD, BAD, GOOD, GOOD)
    assert (operator.book[KEY].first_s, operator.book[KEY].last_s) == (1001.0, 1002.0)


def test_a_latched_alarm_stays_until_it_is_acknowledged() -> None:
    operator = Operator(AlarmRule(clear_after=1, latch=True))
    assert operator.feed(BAD, GOOD, GOOD, GOOD) == ["raised"]
    operator.book.acknowledge("ID1", now_s=operator.now_s)
    assert operator.feed(GOOD) == ["cleared"]


def test_an_acknowledged_latched_alarm_stays_while_it_is_abnormal() -> None:
    operator = Operator(AlarmRule(clear_after=1, latch=True))
    operator.feed(BAD)
    operator.book.acknowledge("ID1", now_s=operator.now_s)
    assert operator.feed(BAD, BETWEEN) == []


def test_acknowledging_twice_tells_once() -> None:
    operator = Operator(AlarmRule())
    operator.feed(BAD)
    told = [operator.book.acknowledge("ID1", now_s=2000.0) for _ in range(2)]
    assert [[step.event_type for step in steps] for steps in told] == [["acked"], []]


def test_an_unknown_id_acknowledges_nothing() -> None:
    operator = Operator(AlarmRule())
    operator.feed(BAD)
    assert operator.book.acknowledge("ID9", now_s=2000.0) == []


def test_an_empty_id_does_not_acknowledge_an_alarm_that_never_was() -> None:
    operator = Operator(AlarmRule())
    operator.feed(GOOD)
    assert operator.book.acknowledge("", now_s=2000.0) == []


def test_a_cleared_alarm_can_still_be_acknowledged() -> None:
    operator = Operator(AlarmRule(clear_after=1))
    operator.feed(BAD, GOOD)
    (step,) = operator.book.acknowledge("ID1", now_s=2000.0)
    assert (step.alarm.active, step.alarm.acked, step.finding) == (False, True, None)


def test_a_new_occurrence_needs_a_new_acknowledgement() -> None:
    operator = Operator(AlarmRule(clear_after=1))
    operator.feed(BAD)
    operator.book.acknowledge("ID1", now_s=2000.0)
    operator.feed(GOOD, BAD)
    assert not operator.book[KEY].acked


@pytest.mark.parametrize(
    ("findings", "acknowledged", "expected"),
    [
        ([GOOD], False, 0),
        ([BAD], False, 1),
        ([BAD], True, 1),
        ([BAD, GOOD], False, 1),
        ([BAD, GOOD], True, 0),
    ],
    ids=["never raised", "active", "active and acked", "cleared", "cleared and acked"],
)
def test_what_stands_is_active_or_unacknowledged(findings: list[Finding], acknowledged: bool, expected: int) -> None:
    operator = Operator(AlarmRule(clear_after=1))
    operator.feed(*findings)
    if acknowledged:
        operator.book.acknowledge("ID1", now_s=2000.0)
    assert len(operator.book.standing()) == expected


def test_keys_are_counted_apart() -> None:
    book = AlarmBook()
    rule = AlarmRule(n=2, m=2)
    assert book.apply("a", BAD, rule, now_s=1.0, new_id="A") == []
    assert book.apply("b", BAD, rule, now_s=2.0, new_id="B") == []
    assert "a" in book
    assert "c" not in book


def test_a_shorter_m_forgets_what_lies_before_it() -> None:
    book = AlarmBook({KEY: Alarm(key=KEY, history=0b1111_0000, history_n=8)})
    assert Operator(AlarmRule(n=2, m=2), book).feed(BAD) == []


def test_a_rule_that_became_milder_does_not_raise_on_a_good_finding() -> None:
    book = AlarmBook({KEY: Alarm(key=KEY, history=0b110, history_n=3)})
    assert Operator(AlarmRule(n=2, m=4), book).feed(GOOD) == []


def shelved_operator(*, one_shot: bool = False, latch: bool = False) -> Operator:
    """An active alarm ``ID1`` that was shelved for 60 s at 1001 s."""
    operator = Operator(AlarmRule(clear_after=1, latch=latch))
    operator.feed(BAD)
    told = operator.book.shelve("ID1", duration_s=60.0, one_shot=one_shot, now_s=operator.now_s)
    assert [(step.event_type, step.alarm.shelved) for step in told] == [("shelved", True)]
    return operator


def words(steps: list[Transition]) -> list[tuple[str, bool]]:
    return [(step.event_type, step.alarm.shelved) for step in steps]


def test_a_shelved_alarm_goes_on_with_its_life() -> None:
    operator = shelved_operator()
    assert operator.feed(GOOD, BAD) == ["cleared", "raised"]
    assert operator.book[KEY].shelved


def test_timed_shelving_ends_at_its_time() -> None:
    book = shelved_operator().book
    assert book.next_due() == 1061.0
    assert book.tick(1060.9) == []
    assert words(book.tick(1061.0)) == [("unshelved", False)]
    assert book.next_due() is None


def test_one_shot_shelving_ends_when_the_alarm_clears() -> None:
    operator = shelved_operator(one_shot=True)
    steps = operator.book.apply(KEY, GOOD, operator.rule, now_s=1002.0, new_id="ID2")
    assert words(steps) == [("cleared", True), ("unshelved", False)]


def test_one_shot_shelving_ends_at_its_time_too() -> None:
    assert words(shelved_operator(one_shot=True).book.tick(1061.0)) == [("unshelved", False)]


def test_one_shot_shelving_of_a_latched_alarm_lasts_until_it_is_acknowledged_and_clears() -> None:
    operator = shelved_operator(one_shot=True, latch=True)
    assert operator.feed(GOOD) == []
    assert words(operator.book.acknowledge("ID1", now_s=1003.0)) == [("acked", True)]
    assert operator.feed(GOOD) == ["cleared", "unshelved"]


def test_only_an_active_alarm_can_be_shelved_for_one_shot() -> None:
    operator = Operator(AlarmRule(clear_after=1))
    operator.feed(BAD, GOOD)
    assert operator.book.shelve("ID1", duration_s=60.0, one_shot=True, now_s=2000.0) == []
    assert words(operator.book.shelve("ID1", duration_s=60.0, one_shot=False, now_s=2000.0)) == [("shelved", True)]


def test_shelving_anew_begins_its_time_anew() -> None:
    book = shelved_operator().book
    book.shelve("ID1", duration_s=10.0, one_shot=False, now_s=1050.0)
    assert book.next_due() == 1060.0


@pytest.mark.parametrize("alert_id", ["ID1", "ID3"], ids=["the occurrence that was shelved", "the last one"])
def test_either_occurrence_unshelves(alert_id: str) -> None:
    operator = shelved_operator()
    operator.feed(GOOD, BAD)
    assert words(operator.book.unshelve(alert_id, now_s=1010.0)) == [("unshelved", False)]
    assert operator.book.unshelve(alert_id, now_s=1011.0) == []


def test_an_unknown_id_shelves_and_unshelves_nothing() -> None:
    book = shelved_operator().book
    assert book.shelve("ID9", duration_s=1.0, one_shot=False, now_s=1002.0) == []
    assert book.unshelve("ID9", now_s=1002.0) == []


def test_acknowledging_leaves_an_alarm_on_its_shelf() -> None:
    book = shelved_operator().book
    assert words(book.acknowledge("ID1", now_s=1002.0)) == [("acked", True)]


def test_a_retired_alarm_leaves_its_shelf() -> None:
    book = shelved_operator().book
    assert words(book.retire(KEY, now_s=1002.0)) == [("cleared", True), ("unshelved", False)]
    assert (book.shelved(), book.next_due()) == ([], None)


def flooded_book() -> AlarmBook:
    """A flood of more than one alarm in 100 s: ``a`` began before it, ``b`` and ``c`` came in it."""
    book = AlarmBook(flood=Flood(1, 100.0))
    for index, key in enumerate("abc"):
        book.apply(key, BAD, AlarmRule(clear_after=1), now_s=float(index), new_id=f"ID-{key}")
    return book


def test_in_a_flood_alarms_are_marked_from_the_first_beyond_the_limit() -> None:
    book = flooded_book()
    assert [book[key].flooded for key in "abc"] == [False, True, True]


@pytest.mark.parametrize(("severity", "flooded"), [("low", True), ("medium", True), ("high", False)])
def test_only_low_and_medium_alarms_are_quiet_in_a_flood(severity: Severity, flooded: bool) -> None:
    book = flooded_book()
    (step,) = book.apply("d", BAD, AlarmRule(severity=severity), now_s=3.0, new_id="ID-d")
    assert (step.event_type, step.alarm.flooded) == ("raised", flooded)


def test_updates_of_low_and_medium_alarms_wait_for_the_end_of_a_flood() -> None:
    book, rule = flooded_book(), AlarmRule(update_every_s=10.0)
    assert book.apply("a", BAD, rule, now_s=50.0, new_id="") == []
    assert book["a"].count == 2
    book.tick(200.0)
    assert words(book.apply("a", BAD, rule, now_s=200.0, new_id="")) == [("updated", False)]


def test_after_a_flood_the_quiet_alarms_that_are_still_active_are_told() -> None:
    book = flooded_book()
    book.apply("b", GOOD, AlarmRule(clear_after=1), now_s=3.0, new_id="")
    told = [(step.alarm.key, step.event_type, step.alarm.flooded) for step in book.tick(102.0)]
    assert told == [("c", "updated", False)]


def test_shelved_and_exempt_alarms_make_no_flood() -> None:
    book = AlarmBook(flood=Flood(1, 100.0))
    book.apply("a", BAD, AlarmRule(clear_after=1), now_s=0.0, new_id="ID-a")
    book.shelve("ID-a", duration_s=1000.0, one_shot=False, now_s=0.0)
    for now_s in range(1, 40, 2):
        book.apply("a", GOOD, AlarmRule(clear_after=1), now_s=now_s, new_id="")
        book.apply("a", BAD, AlarmRule(clear_after=1), now_s=now_s + 1, new_id=f"ID-{now_s}")
    book.apply("s", BAD, AlarmRule(exempt=True), now_s=50.0, new_id="ID-s")
    assert not book.flood.active


def test_first_and_last_time_are_on_the_clock_of_the_source() -> None:
    book = AlarmBook()
    for now_s in (1.0, 2.0):
        book.apply(KEY, BAD, AlarmRule(), now_s=now_s, seen_s=now_s + 1e9, new_id="ID1")
    assert (book[KEY].first_s, book[KEY].last_s) == (1e9 + 1, 1e9 + 2)


def test_a_clock_that_is_set_corrects_only_times_that_were_taken_before() -> None:
    book = AlarmBook()
    for seen_s in (30.0, 1.7e9):
        book.apply(KEY, BAD, AlarmRule(), now_s=1.0, seen_s=seen_s, new_id="ID1")
    book.apply("other", BAD, AlarmRule(), now_s=1.0, seen_s=1.7e9, new_id="ID2")
    assert book.shift(1.6e9, before_s=1e9) == [KEY]
    assert (book[KEY].first_s, book[KEY].last_s) == (1.6e9 + 30.0, 1.7e9)
    assert book.shift(1.6e9, before_s=1e9) == []
