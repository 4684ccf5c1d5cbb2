"""What holds for every sequence of findings, acknowledgements and restarts."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.alerts import Alarm, AlarmBook, AlarmRule
from edge_runtime.findings import Finding

KEY = "line.cam1.crack"
SIGHTS = {
    "bad": Finding("vision.defect", "crack", 0.9, 0.6, 0.4, abnormal=True, clearable=False),
    "between": Finding("vision.defect", "crack", 0.5, 0.6, 0.4, abnormal=False, clearable=False),
    "good": Finding("vision.defect", "crack", 0.1, 0.6, 0.4, abnormal=False, clearable=True),
}

sights = st.lists(st.sampled_from([*SIGHTS, "bad"]), max_size=60)
happenings = st.lists(st.sampled_from([*SIGHTS, "bad", "acknowledge"]), max_size=60)


@st.composite
def rules(draw: st.DrawFn, *, latch: bool | None = None) -> AlarmRule:
    m = draw(st.integers(1, 8) | st.just(64))
    return AlarmRule(
        n=draw(st.integers(1, m)),
        m=m,
        clear_after=draw(st.integers(1, 5)),
        latch=draw(st.booleans()) if latch is None else latch,
        update_every_s=draw(st.sampled_from([0.0, 2.0, 1e9])),
    )


@dataclass
class Diary:
    """A book, and everything that it told."""

    rule: AlarmRule
    book: AlarmBook = field(default_factory=AlarmBook)
    told: list[tuple[int, str, Alarm]] = field(default_factory=list)
    now: int = 0

    def live(self, happening: str) -> None:
        self.now += 1
        if happening == "acknowledge":
            alert_id = self.book[KEY].alert_id if KEY in self.book else ""
            steps = self.book.acknowledge(alert_id, now_s=float(self.now))
        else:
            steps = self.book.apply(KEY, SIGHTS[happening], self.rule, now_s=float(self.now), new_id=f"ID{self.now}")
        self.told += [(self.now, step.event_type, step.alarm) for step in steps]

    def restart(self) -> None:
        """Go on from the checkpoint alone."""
        stored = msgspec.msgpack.encode(self.book[KEY]) if KEY in self.book else None
        alarms = {} if stored is None else {KEY: msgspec.msgpack.decode(stored, type=Alarm)}
        self.book = AlarmBook(alarms)

    @property
    def words(self) -> list[str]:
        return [word for _, word, _ in self.told]


@given(rules(latch=False), sights)
def test_an_alarm_is_raised_exactly_when_n_of_the_last_m_are_abnormal(rule: AlarmRule, seen: list[str]) -> None:
    diary = Diary(rule)
    since: list[str] = []  # findings since the start or the last clearing
    clearable = 0
    active = False
    for sight in seen:
        diary.live(sight)
        since.append(sight)
        clearable = clearable + 1 if sight == "good" else 0
        if active and clearable >= rule.clear_after:
            active, since = False, []
        elif not active and sight == "bad" and since[-rule.m :].count("bad") >= rule.n:
            active, clearable = True, 0
        assert (KEY in diary.book and diary.book[KEY].active) == active


@given(rules(), happenings)
def test_raised_and_cleared_take_turns(rule: AlarmRule, lived: list[str]) -> None:
    diary = Diary(rule)
    for happening in lived:
        diary.live(happening)
    turns = [word for word in diary.words if word in {"raised", "cleared"}]
    assert turns == (["raised", "cleared"] * len(turns))[: len(turns)]


@given(rules(), happenings)
def test_every_raise_has_an_id_of_its_own_and_keeps_it(rule: AlarmRule, lived: list[str]) -> None:
    diary = Diary(rule)
    for happening in lived:
        diary.live(happening)
    raised = [alarm.alert_id for _, word, alarm in diary.told if word == "raised"]
    assert len(set(raised)) == len(raised)
    current = ""
    for _, word, alarm in diary.told:
        current = alarm.alert_id if word == "raised" else current
        assert alarm.alert_id == current


@given(rules(latch=False), sights)
def test_it_clears_only_after_the_whole_run_of_clearable_findings(rule: AlarmRule, seen: list[str]) -> None:
    diary = Diary(rule)
    for sight in seen:
        diary.live(sight)
    for at, word, _ in diary.told:
        if word == "cleared":
            assert seen[at - rule.clear_after : at] == ["good"] * rule.clear_after


@given(rules(latch=True), happenings)
def test_a_latched_alarm_never_clears_unacknowledged(rule: AlarmRule, lived: list[str]) -> None:
    diary = Diary(rule)
    for happening in lived:
        diary.live(happening)
    assert all(alarm.acked for _, word, alarm in diary.told if word == "cleared")


@given(rules(), happenings)
def test_at_most_one_acknowledgement_per_occurrence(rule: AlarmRule, lived: list[str]) -> None:
    diary = Diary(rule)
    for happening in lived:
        diary.live(happening)
    acked = [alarm.alert_id for _, word, alarm in diary.told if word == "acked"]
    assert len(set(acked)) == len(acked)


@given(rules(), happenings, st.sets(st.integers(0, 60)))
def test_restarts_from_the_checkpoint_change_nothing(rule: AlarmRule, lived: list[str], restarts: set[int]) -> None:
    steady, restarted = Diary(rule), Diary(rule)
    for index, happening in enumerate(lived):
        if index in restarts:
            restarted.restart()
        steady.live(happening)
        restarted.live(happening)
    assert restarted.told == steady.told


@given(rules(), happenings)
def test_the_history_never_outgrows_m(rule: AlarmRule, lived: list[str]) -> None:
    diary = Diary(rule)
    for happening in lived:
        diary.live(happening)
    if KEY in diary.book:
        alarm = diary.book[KEY]
        assert alarm.history < 1 << rule.m
        assert alarm.history_n <= rule.m


@given(rules(), happenings, st.floats(-1e9, 1e9))
def test_the_hour_of_the_clock_does_not_decide_who_is_raised(rule: AlarmRule, lived: list[str], shift_s: float) -> None:
    here, there = Diary(rule), Diary(rule)
    there.now = round(shift_s)
    for happening in lived:
        here.live(happening)
        there.live(happening)
    turns = {"raised", "cleared"}
    assert [w for w in here.words if w in turns] == [w for w in there.words if w in turns]
