"""Time: late samples, holes, clocks set back."""

from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.timeseries.cleaning import KEEP, LATE, RESTART, TimeCheck, check_times, split_runs


def check(*times: float, newest: float | None = 10.0, events: bool = False) -> TimeCheck:
    return check_times(np.array(times), newest, 1.0, late_s=2.0, equal_follows=events)


def flags(found: TimeCheck) -> list[int]:
    return [] if found.flags is None else found.flags.tolist()


def test_samples_in_order_are_all_kept() -> None:
    assert check(10.5, 11.0, 12.0) == TimeCheck(None)


def test_first_sample_of_a_stream_is_kept() -> None:
    assert check(-5.0, newest=None).flags is None


@pytest.mark.parametrize(
    ("times", "wanted"),
    [
        ((10.5, 11.6), [KEEP, RESTART]),
        ((11.5, 12.0), [RESTART, KEEP]),
        ((10.0, 10.5), [LATE, KEEP]),
        ((9.0, 8.0, 10.5), [LATE, LATE, KEEP]),
        ((7.9, 8.5), [RESTART, KEEP]),
        ((10.5, 10.2, 10.9), [KEEP, LATE, KEEP]),
        ((20.0, 5.0, 5.5), [RESTART, RESTART, KEEP]),
        ((20.0, 18.5, 20.5), [RESTART, LATE, KEEP]),
    ],
)
def test_each_sample_is_judged_by_the_newest_before_it(times: tuple[float, ...], wanted: list[int]) -> None:
    assert flags(check(*times)) == wanted


def test_reasons_are_counted_apart() -> None:
    found = check(9.0, 12.0, 3.0, 3.5)
    assert (found.late, found.gaps, found.clock_steps) == (1, 1, 1)


def test_events_of_one_time_follow_each_other() -> None:
    assert flags(check(10.0, 10.0, 9.0, events=True)) == [KEEP, KEEP, LATE]


def test_without_a_limit_every_hole_may_be_spanned() -> None:
    assert check_times(np.array([1e9]), 0.0, None, late_s=0.0, equal_follows=False).flags is None


@pytest.mark.parametrize(
    ("codes", "runs"),
    [
        ([0, 0, 0], [(0, 3, False)]),
        ([1, 0, 0], [(0, 3, True)]),
        ([0, 2, 0], [(0, 1, False), (2, 3, False)]),
        ([2, 2], []),
        ([1, 1, 0], [(0, 1, True), (1, 3, True)]),
        ([1, 2, 0], [(0, 1, True), (2, 3, False)]),
        ([0, 2, 1], [(0, 1, False), (2, 3, True)]),
    ],
)
def test_runs_are_cut_at_what_was_found(codes: list[int], runs: list[tuple[int, int, bool]]) -> None:
    assert list(split_runs(np.array(codes, np.uint8), len(codes))) == runs
