"""A clock that was never set, is set, and jumps: what is held, corrected, let go and told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_runtime.daemon.lasting import LASTING
from edge_runtime.daemon.timekeeping import HELD
from edge_runtime.errors import HostEnvironmentError
from tests.unit.daemon.machines import START, YEAR_2026, Machine, Run, again


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def run(machine: Machine) -> Iterator[Run]:
    started = Run(machine)
    yield started
    started.end()


def test_events_are_held_until_the_clock_is_set_and_then_carry_the_right_times(run: Run) -> None:
    run.turn()
    run.raise_alarm()  # 30.25 s after the start of the machine
    run.turn(9.75)
    assert run.sent() == []
    run.machine.set_clock()  # 40 s after it
    assert run.turn()
    (event,) = run.sent()
    assert (event["timestamp_ms"], event["clock"] != "unset") == (round((YEAR_2026 - 9.75) * 1000), True)
    assert event["latency_ms"] == 3


def test_what_is_in_memory_is_corrected_by_the_same(run: Run) -> None:
    run.turn()
    run.machine.set_clock()
    run.turn()
    assert run.shifts == [pytest.approx(YEAR_2026 - START - 0.25)]


def test_events_are_held_from_the_first_moment_on(run: Run) -> None:
    run.raise_alarm()
    assert run.sent() == []


def test_an_alarm_does_not_wait_for_ever(run: Run) -> None:
    run.turn()
    event_id = run.raise_alarm()
    for _ in range(240):
        run.turn()
    (event,) = run.sent()
    assert (event["event_id"], event["clock"], event["timestamp_ms"]) == (event_id, "unset", 30_250)


def test_after_that_time_nothing_is_held_any_more(run: Run) -> None:
    run.turn()
    run.turn(60.0)
    run.raise_alarm()
    assert len(run.sent()) == 1


def test_what_went_unset_is_corrected_in_memory_when_the_clock_is_set_at_last(run: Run) -> None:
    run.turn()
    run.turn(600.0)
    run.machine.set_clock()
    assert run.turn()
    assert len(run.shifts) == 1
    assert run.keeper.troubles == ()


def test_a_clock_that_jumps_before_it_is_set_moves_no_event_against_another(run: Run) -> None:
    run.turn()
    run.raise_alarm()
    run.machine.set_clock(1_600_000_000.0)  # what a file of the last shutdown said
    run.turn(5.0)
    run.raise_alarm()
    run.machine.set_clock()
    run.turn()
    first, second = run.sent()
    assert second["timestamp_ms"] - first["timestamp_ms"] == 5000
    assert second["timestamp_ms"] == round(YEAR_2026 * 1000)


def test_while_the_clock_is_unset_health_says_so(run: Run) -> None:
    run.turn()
    before = run.keeper.troubles
    run.machine.set_clock()
    run.turn()
    assert (before, run.keeper.troubles) == (("clock_unset",), ())


def test_setting_the_clock_is_no_jump(run: Run) -> None:
    run.turn()
    run.machine.set_clock()
    run.turn()
    run.turn()
    assert run.incidents == []


@pytest.mark.parametrize("jump_s", [3600.0, -3600.0, 2.5, -2.5])
def test_a_jump_is_told_once_and_holds_nothing(run: Run, jump_s: float) -> None:
    run.machine.set_clock()
    run.turn()
    run.machine.wall_s += jump_s
    run.turn()
    run.turn()
    run.raise_alarm()
    assert (run.incidents, run.metrics.clock_jumps._value.get()) == (["clock_jumped"], 1.0)
    assert len(run.sent()) == 1


@pytest.mark.parametrize("jump_s", [1.5, -1.5])
def test_small_steps_are_not_told(run: Run, jump_s: float) -> None:
    run.machine.set_clock()
    run.turn()
    run.machine.wall_s += jump_s
    run.turn()
    assert run.incidents == []


def test_a_loop_that_stood_still_is_no_jump(run: Run) -> None:
    run.machine.set_clock()
    run.turn()
    run.turn(3600.0)
    assert run.incidents == []


def test_a_clock_that_falls_to_1970_and_is_set_right_holds_and_corrects_what_came_between(run: Run) -> None:
    run.machine.set_clock()
    run.turn()
    run.raise_alarm()
    run.machine.set_clock(0.0)
    run.turn()
    run.raise_alarm()
    held = run.sent()
    run.machine.set_clock(YEAR_2026 + 1.0)
    run.turn()
    assert [event["event_id"] for event in held] == ["run1-1"]
    before, between = run.sent()
    assert between["timestamp_ms"] - before["timestamp_ms"] == pytest.approx(750, abs=1)


def test_a_second_time_without_a_clock_is_corrected_by_its_own_offset(run: Run) -> None:
    for number in range(3):
        run.machine.set_clock(100.0 * number)
        run.turn()
        run.raise_alarm()
        run.machine.set_clock(YEAR_2026 + number)
        run.turn()
    assert [event["timestamp_ms"] for event in run.sent()] == [
        pytest.approx((YEAR_2026 + number) * 1000, abs=1) for number in range(3)
    ]


def test_a_time_of_before_is_corrected_for_whoever_still_holds_it(run: Run) -> None:
    run.turn()
    taken = run.wall()
    assert run.wall.correct(taken) == taken
    run.machine.set_clock()
    run.turn(2.0)
    assert run.wall.correct(taken) == pytest.approx(YEAR_2026)
    assert run.wall.correct(YEAR_2026) == YEAR_2026


def test_events_of_a_run_that_was_killed_are_corrected_too(run: Run) -> None:
    run.turn()
    run.raise_alarm()
    after = again(run)
    after.turn(5.0)
    after.raise_alarm()
    run.machine.set_clock()
    after.turn()
    first, second = after.sent()
    assert second["timestamp_ms"] - first["timestamp_ms"] == 5000
    assert second["timestamp_ms"] == round(YEAR_2026 * 1000)
    after.end()


def test_a_clock_that_was_set_while_the_daemon_was_away_corrects_what_it_had_held(run: Run) -> None:
    run.turn()
    run.raise_alarm()
    run.machine.set_clock()
    run.machine.live(10.0)
    after = again(run)
    assert after.turn()
    (event,) = after.sent()
    assert event["timestamp_ms"] == round(YEAR_2026 * 1000)
    after.end()


def test_restarts_do_not_make_an_alarm_wait_longer(run: Run) -> None:
    run.turn()
    run.raise_alarm()
    for number in range(5):
        run = again(run, f"again{number}")
        run.turn(13.0)
    assert len(run.sent()) == 1
    run.end()


def test_events_of_before_a_start_of_the_machine_are_let_go_as_they_are(run: Run) -> None:
    run.turn()
    run.raise_alarm()
    run.machine.reboot()
    after = again(run)
    after.turn()
    after.raise_alarm()
    (old,) = after.sent()
    assert (old["event_id"], old["timestamp_ms"], old["clock"]) == ("run1-1", 30_250, "unset")
    run.machine.set_clock()
    after.turn()
    assert [event["event_id"] for event in after.sent()] == ["run1-1", "run2-1"]
    after.end()


@pytest.mark.parametrize("value", [b"", b"nonsense", b"\xff"])
def test_a_state_that_cannot_be_read_holds_nothing_for_ever(run: Run, value: bytes) -> None:
    run.turn()
    run.raise_alarm()
    run.outbox.commit([], {HELD: value})
    after = again(run)
    after.turn()
    assert len(after.sent()) == 1
    after.end()


def test_a_disk_that_refuses_is_asked_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.turn()
    run.raise_alarm()
    run.machine.set_clock()

    def refuse(*_: object, **__: object) -> int:
        raise HostEnvironmentError("full")

    with monkeypatch.context() as patch:
        patch.setattr(run.outbox, "restamp", refuse)
        assert not run.turn()
    assert run.turn()
    assert run.sent()[0]["timestamp_ms"] == pytest.approx(YEAR_2026 * 1000, abs=1)


def test_after_all_is_corrected_nothing_is_left_in_the_state(run: Run) -> None:
    run.turn()
    run.raise_alarm()
    run.machine.set_clock()
    run.turn()
    assert HELD not in run.outbox.load_state("")


def test_the_lasting_clock_is_marked_once_a_minute(run: Run) -> None:
    marks = set()
    for _ in range(481):  # two minutes
        run.turn()
        marks.add(run.outbox.load_state(LASTING)[LASTING])
    assert len(marks) == 3


def test_only_times_since_the_clock_was_first_seen_unset_are_corrected(run: Run) -> None:
    run.turn(9.75)
    run.machine.set_clock()
    run.turn(0.25)
    (span,) = run.spans
    assert [span.has(time_s) for time_s in (START - 5.0, START, START + 10.0, START + 15.0)] == [
        False,
        True,
        True,
        False,
    ]
