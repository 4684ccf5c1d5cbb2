"""When alarms are a flood, second by second."""

from __future__ import annotations

from edge_runtime.alarm_flood import Flood, FloodState


def count(flood: Flood, *times_s: float) -> list[bool]:
    return [flood.count(at, may_be_quiet=True) for at in times_s]


def test_a_flood_begins_with_the_alarm_beyond_the_limit() -> None:
    flood = Flood(3, 10.0)
    assert count(flood, 0, 1, 2, 3) == [False, False, False, True]
    assert (flood.active, flood.n_raised, flood.n_quiet) == (True, 4, 1)


def test_alarms_a_window_apart_are_no_flood() -> None:
    assert not any(count(Flood(3, 10.0), 0, 5, 10, 15, 20, 25))


def test_an_alarm_that_must_be_heard_counts_and_is_not_quiet() -> None:
    flood = Flood(1, 10.0)
    count(flood, 0)
    assert not flood.count(1.0, may_be_quiet=False)
    assert (flood.active, flood.n_raised, flood.n_quiet) == (True, 2, 0)


def test_it_ends_when_half_of_the_limit_is_left_in_the_window() -> None:
    flood = Flood(4, 10.0)
    count(flood, 0, 1, 2, 3, 4)
    assert flood.due() == 12.0  # two of them are then in the window
    assert not flood.tick(11.9)
    assert flood.tick(12.0)
    assert not flood.active


def test_a_rate_about_the_limit_keeps_it_one_flood() -> None:
    flood = Flood(4, 10.0)
    count(flood, *(2.4 * number for number in range(5)))
    for number in range(5, 50):
        assert not flood.tick(2.4 * number)
        count(flood, 2.4 * number)
    assert flood.n_raised == 50


def test_it_ends_once() -> None:
    flood = Flood(1, 10.0)
    count(flood, 0, 1)
    assert [flood.tick(50.0), flood.tick(60.0)] == [True, False]


def test_zero_means_never() -> None:
    flood = Flood(0, 10.0)
    assert not any(count(flood, *range(100)))
    assert (flood.active, flood.due()) == (False, None)


def test_a_checkpoint_under_another_limit_does_no_harm() -> None:
    state = FloodState(recent=(1.0, 2.0, 3.0, 4.0), active=True, n_raised=9, n_quiet=7)
    assert Flood(0, 10.0, state).tick(5.0)
    assert Flood(2, 10.0, state).state.recent == (2.0, 3.0, 4.0)
    assert Flood(100, 10.0, state).tick(5.0)
