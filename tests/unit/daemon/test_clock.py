"""How far the wall clock is trusted."""

from __future__ import annotations

import pytest

from edge_runtime.daemon.clock import Clock, clock_quality


@pytest.mark.parametrize("wall_s", [0.0, -1.0, 1_735_689_599.9])
def test_a_clock_before_2025_was_never_set(wall_s: float) -> None:
    assert clock_quality(wall_s) == "unset"


def test_a_later_clock_is_what_the_kernel_says() -> None:
    assert clock_quality(1_735_689_600.0) in {"synchronized", "unsynchronized"}


def test_clocks_are_given_to_whoever_needs_them() -> None:
    clock = Clock(lambda: 5.0, lambda: 7.0)
    assert (clock.wall(), clock.monotonic()) == (5.0, 7.0)
