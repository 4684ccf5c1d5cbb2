"""What holds for every life of several alarms that are found, acknowledged, shelved, flooded and restarted."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.alarm_flood import Flood, FloodState
from edge_runtime.alerts import Alarm, AlarmBook, AlarmRule, Transition
from edge_runtime.findings import Finding
from edge_runtime.messages import SEVERITY_NUMBERS, Severity

FLOOD_N, WINDOW_S = 2, 12.0
RULES = {
    f"line.cam1.{severity}": AlarmRule(
        clear_after=1,
        severity=severity,
        severity_n=SEVERITY_NUMBERS[severity],
        latch=severity == "high",
        update_every_s=5.0,
    )
    for severity in ("low", "medium", "high", "critical")
}
KEYS = sorted(RULES)
BAD = Finding("vision.defect", "crack", 0.9, 0.6, 0.4, abnormal=True, clearable=False)
GOOD = Finding("vision.defect", "crack", 0.1, 0.6, 0.4, abnormal=False, clearable=True)
QUIET: set[Severity] = {"low", "medium"}

Deed = tuple[str, str, float, float]
COMMANDS = ["acknowledge", "shelve", "one_shot", "unshelve", "wait"]
deeds = st.lists(
    st.tuples(
        st.sampled_from(["again", "again", "again", "bad", "good", *COMMANDS]),
        st.sampled_from(KEYS),
        st.sampled_from([0.0, 0.5, 1.0, 7.0]),  # s that pass before it
        st.sampled_from([0.5, 3.0, 30.0]),  # s that a shelving lasts
    ),
    max_size=80,
) | st.lists(st.tuples(st.just("again"), st.sampled_from(KEYS), st.sampled_from([0.5, 1.0, 9.0]), st.just(1.0)))


@dataclass
class Diary:
    """A book, and everything that it told."""

    book: AlarmBook = field(default_factory=lambda: AlarmBook(flood=Flood(FLOOD_N, WINDOW_S)))
    told: list[tuple[float, Transition]] = field(default_factory=list)
    now_s: float = 1000.0
    n_done: int = 0

    def live(self, deed: Deed) -> list[Transition]:
        name, key, pause_s, duration_s = deed
        self.now_s += pause_s
        self.n_done += 1
        steps = [*self.book.tick(self.now_s), *self._do(name, key, duration_s)]
        self.told += [(self.now_s, step) for step in steps]
        return steps

    def _do(self, name: str, key: str, duration_s: float) -> list[Transition]:
        alarm = self.book.get(key)
        alert_id = "" if alarm is None else alarm.alert_id
        if name == "acknowledge":
            return self.book.acknowledge(alert_id, now_s=self.now_s)
        if name in {"shelve", "one_shot"}:
            return self.book.shelve(alert_id, duration_s=duration_s, one_shot=name == "one_shot", now_s=self.now_s)
        if name == "unshelve":
            return self.book.unshelve(alert_id, now_s=self.now_s)
        if name == "wait":
            return []
        findings = {"bad": [BAD], "good": [GOOD], "again": [GOOD, BAD]}[name]
        told: list[Transition] = []
        for finding in findings:
            told += self.book.apply(key, finding, RULES[key], now_s=self.now_s, new_id=f"ID{self.n_done}")
        return told

    def restart(self) -> None:
        """Go on from the checkpoints alone."""
        alarms = {key: copy(alarm, Alarm) for key in KEYS if (alarm := self.book.get(key)) is not None}
        self.book = AlarmBook(alarms, flood=Flood(FLOOD_N, WINDOW_S, copy(self.book.flood.state, FloodState)))

    def alarms(self) -> dict[str, Alarm]:
        return {key: alarm for key in KEYS if (alarm := self.book.get(key)) is not None and alarm.alert_id}


def copy(state: Any, kind: Any) -> Any:
    return msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=kind)


def lived(deeds: list[Deed]) -> Diary:
    diary = Diary()
    for deed in deeds:
        diary.live(deed)
    return diary


@given(deeds)
def test_the_events_alone_tell_the_state_of_every_alarm(lives: list[Deed]) -> None:
    diary = Diary()
    heard: dict[str, Alarm] = {}
    for deed in lives:
        heard |= {step.alarm.key: step.alarm for step in diary.live(deed)}
        for key, alarm in diary.alarms().items():
            told = heard[key]
            facts = [(each.alert_id, each.active, each.acked, each.shelved, each.flooded) for each in (told, alarm)]
            assert facts[0] == facts[1]


@given(deeds)
def test_every_event_follows_from_the_one_before(lives: list[Deed]) -> None:
    active: dict[str, bool] = defaultdict(bool)
    acked: dict[str, bool] = defaultdict(bool)
    shelved: dict[str, bool] = defaultdict(bool)
    for _, step in lived(lives).told:
        key = step.alarm.key
        legal = {
            "raised": not active[key],
            "updated": active[key],
            "cleared": active[key],
            "acked": not acked[key],
            "shelved": True,
            "unshelved": shelved[key],
        }
        assert legal[step.event_type]
        active[key] = {"raised": True, "cleared": False}.get(step.event_type, active[key])
        acked[key] = {"raised": False, "acked": True}.get(step.event_type, acked[key])
        shelved[key] = {"shelved": True, "unshelved": False}.get(step.event_type, shelved[key])
        assert (step.alarm.active, step.alarm.acked, step.alarm.shelved) == (active[key], acked[key], shelved[key])


@given(deeds, st.sets(st.integers(0, 80)))
def test_a_restart_at_any_point_changes_nothing(lives: list[Deed], restarts: set[int]) -> None:
    steady, restarted = Diary(), Diary()
    for index, deed in enumerate(lives):
        if index in restarts:
            restarted.restart()
        assert restarted.live(deed) == steady.live(deed)


@given(deeds)
def test_no_shelving_outlasts_its_time(lives: list[Deed]) -> None:
    diary = Diary()
    for deed in lives:
        diary.live(deed)
        assert all(alarm.shelved_until_s > diary.now_s for alarm in diary.book.shelved())


@given(deeds)
def test_one_shot_shelving_covers_one_occurrence_only(lives: list[Deed]) -> None:
    diary = Diary()
    for deed in lives:
        diary.live(deed)
        for alarm in diary.book.shelved():
            assert alarm.shelving == "timed" or (alarm.active and alarm.alert_id == alarm.shelved_id)


@given(deeds)
def test_what_is_due_is_never_later_than_what_ends(lives: list[Deed]) -> None:
    diary = Diary()
    for deed in lives:
        diary.live(deed)
        due = diary.book.next_due()
        if due is not None:
            assert due > diary.now_s
            assert not diary.book.tick(due - 0.25)
            assert diary.book.next_due() == due


@given(deeds)
def test_high_and_critical_alarms_pass_every_flood(lives: list[Deed]) -> None:
    assert all(step.alarm.severity in QUIET for _, step in lived(lives).told if step.alarm.flooded)


@given(deeds)
def test_no_more_quiet_alarms_are_annunciated_in_a_window_than_a_flood_begins_at(lives: list[Deed]) -> None:
    times = [
        at
        for at, step in lived(lives).told
        if step.event_type == "raised" and step.alarm.severity in QUIET
        if not (step.alarm.shelved or step.alarm.flooded)
    ]
    for first, last in zip(times, times[FLOOD_N:], strict=False):
        assert last - first >= WINDOW_S


@given(deeds)
def test_after_a_flood_no_active_alarm_stays_quiet(lives: list[Deed]) -> None:
    diary = Diary()
    for deed in lives:
        diary.live(deed)
        if not diary.book.flood.active:
            assert not any(alarm.flooded and alarm.active for alarm in diary.alarms().values())


@given(deeds)
def test_a_flood_loses_no_raise(lives: list[Deed]) -> None:
    flooded = Diary()
    calm = Diary(AlarmBook())
    for deed in lives:
        flooded.live(deed)
        calm.live(deed)
    turns = [
        [(at, step.event_type, step.alarm.alert_id) for at, step in diary.told if step.event_type != "updated"]
        for diary in (flooded, calm)
    ]
    assert turns[0] == turns[1]


@given(deeds)
def test_the_checkpoint_of_a_flood_stays_small(lives: list[Deed]) -> None:
    assert len(lived(lives).book.flood.state.recent) <= FLOOD_N + 1
