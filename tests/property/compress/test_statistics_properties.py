"""Intervals hold what they are about, shrink with the evidence, and do not care which model is called the first."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.compress.statistics import (
    mcnemar_exact,
    paired_drop_interval,
    quantile_interval,
    rank_correlation,
    samples_needed,
    wilson,
)

COUNTS = st.tuples(st.integers(0, 200), st.integers(0, 200), st.integers(0, 2000)).map(
    lambda each: (each[0], each[1], max(1, sum(each)))
)


@given(COUNTS)
def test_paired_interval_holds_the_drop_and_stays_possible(counts: tuple[int, int, int]) -> None:
    lost, won, n = counts
    low, high = paired_drop_interval(lost, won, n)
    assert -1 <= low <= (lost - won) / n <= high <= 1
    assert low < high


@given(COUNTS)
def test_paired_interval_is_the_same_from_either_side(counts: tuple[int, int, int]) -> None:
    lost, won, n = counts
    low, high = paired_drop_interval(lost, won, n)
    assert paired_drop_interval(won, lost, n) == pytest.approx((-high, -low), abs=1e-9)


@given(COUNTS, st.integers(2, 20))
def test_more_of_the_same_evidence_narrows_the_paired_interval(counts: tuple[int, int, int], times: int) -> None:
    lost, won, n = counts
    few, many = paired_drop_interval(lost, won, n), paired_drop_interval(lost * times, won * times, n * times)
    assert many[1] - many[0] < few[1] - few[0] + 1e-9


@given(COUNTS)
def test_more_samples_without_a_flip_never_widen_the_bound(counts: tuple[int, int, int]) -> None:
    lost, won, n = counts
    assert abs(paired_drop_interval(lost, won, n + 100)[1]) <= abs(paired_drop_interval(lost, won, n)[1]) + 1 / n + 1e-9


@given(st.integers(0, 500), st.integers(0, 500))
def test_wilson_holds_the_share_and_mirrors(hits: int, misses: int) -> None:
    n = hits + misses
    low, high = wilson(hits, n)
    mirrored = wilson(misses, n)
    assert (1 - mirrored[1], 1 - mirrored[0]) == pytest.approx((low, high), abs=1e-12)
    assert n == 0 or low - 1e-12 <= hits / n <= high + 1e-12


@given(st.integers(0, 3000), st.integers(0, 3000))
def test_mcnemar_is_a_probability_that_does_not_know_the_first_model(lost: int, won: int) -> None:
    assert 0 <= mcnemar_exact(lost, won) <= 1
    assert mcnemar_exact(lost, won) == mcnemar_exact(won, lost)


@given(st.lists(st.integers(-5, 5), min_size=2, max_size=30), st.integers(1, 9))
def test_rank_correlation_only_sees_the_order(values: list[int], factor: int) -> None:
    first = np.array(values, np.float64)
    second = np.arange(len(values), dtype=np.float64)
    found, stretched = rank_correlation(first, second), rank_correlation(first**3 * factor + 1, second)
    assert found is None or (found == pytest.approx(stretched) and -1 - 1e-12 <= found <= 1 + 1e-12)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=200), st.floats(0.05, 0.95))
def test_quantile_interval_holds_the_measured_quantile(values: list[float], share: float) -> None:
    ordered = np.sort(np.array(values))
    low, high = quantile_interval(ordered, share)
    assert low <= np.quantile(ordered, share, method="inverted_cdf") <= high


@given(st.integers(1, 10**6))
def test_samples_needed_rounds_up_and_not_far(first: int) -> None:
    found = samples_needed(lambda n: n >= first)
    assert found is not None
    assert first <= found <= first * 1.1 + 1
