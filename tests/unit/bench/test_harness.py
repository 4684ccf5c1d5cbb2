"""The harness of the benchmarks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count

import numpy as np
import pytest

from bench.harness import Candidate, Case, Goal, median_interval, require_equal, run_case, table, take_samples


def constant(value: float) -> Callable[[int], object]:
    return lambda i: np.array([value, i])


def test_candidate_that_gives_something_else_is_named() -> None:
    case = Case("sums", [Candidate("one", constant(1)), Candidate("other", constant(2))], [])
    with pytest.raises(AssertionError, match='sums: "other" differs from "one" on input 0'):
        require_equal(case)


def test_candidates_take_turns_and_each_round_begins_with_another() -> None:
    said: list[str] = []
    candidates = [Candidate(name, lambda _, name=name: said.append(name)) for name in "abc"]  # type: ignore[misc]
    take_samples(Case("turns", candidates, [], rounds=3, equal=None))
    assert "".join(said) == "abcbcacab"


def test_every_candidate_sees_the_inputs_in_the_same_order() -> None:
    seen: dict[str, list[int]] = {"a": [], "b": []}
    candidates = [Candidate(name, seen[name].append) for name in seen]
    take_samples(Case("inputs", candidates, [], n_inputs=3, rounds=2, calls=2, equal=None))
    assert seen == {"a": [0, 1, 2, 0], "b": [0, 1, 2, 0]}


def test_time_is_given_per_call_in_seconds() -> None:
    ticks: Iterator[int] = count(step=6_000_000)
    samples = take_samples(
        Case("time", [Candidate("a", constant(0))], [], rounds=2, calls=3), clock=lambda: next(ticks)
    )
    assert samples == {"a": [0.002, 0.002]}


def test_interval_of_the_median_holds_it() -> None:
    middle, low, high = median_interval([float(value) for value in range(101)])
    assert (middle, low, high) == (50.0, 40.0, 61.0)


def test_report_says_whether_a_goal_is_met() -> None:
    candidates = [Candidate("ours", constant(0)), Candidate("theirs", constant(0))]
    report = run_case(Case("goal", candidates, [Goal("ours", "theirs", 1e9), Goal("ours", "theirs", 0.0)], rounds=3))
    assert [ratio["met"] for ratio in report["ratios"]] == [True, False]
    assert "NOT MET" in table([report])
