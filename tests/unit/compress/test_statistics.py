"""Every statistic against exact enumeration, a slow twin or published numbers."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest

from edge_runtime.compress.statistics import (
    RESAMPLES,
    bootstrap_interval,
    difference_interval,
    mcnemar_exact,
    outer,
    paired_drop_interval,
    quantile_interval,
    rank_correlation,
    resample,
    samples_needed,
    tango_score,
    wilson,
)


def test_wilson_interval_of_known_shares() -> None:
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson(10, 10) == pytest.approx((0.7225, 1.0), abs=1e-4)
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)  # Newcombe 1998, table I


def test_no_samples_say_nothing() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    assert paired_drop_interval(0, 0, 0) == (-1.0, 1.0)


@pytest.mark.parametrize("n", [1, 5, 20])
def test_wilson_covers_its_nominal_share_on_average(n: int) -> None:
    shares = np.linspace(0.01, 0.99, 99)
    covered = 0.0
    for share in shares:
        for hits in range(n + 1):
            low, high = wilson(hits, n)
            covered += math.comb(n, hits) * share**hits * (1 - share) ** (n - hits) * (low <= share <= high)
    assert covered / len(shares) > 0.93


@pytest.mark.parametrize(("lost", "won"), list(itertools.product(range(8), range(8))))
def test_mcnemar_is_the_enumerated_binomial_test(lost: int, won: int) -> None:
    n = lost + won
    at_least_so_uneven = sum(math.comb(n, k) for k in range(n + 1) if abs(2 * k - n) >= abs(lost - won))
    assert mcnemar_exact(lost, won) == pytest.approx(float(Fraction(at_least_so_uneven, 2**n)), rel=1e-9)


def test_mcnemar_of_large_counts_neither_overflows_nor_vanishes() -> None:
    assert 0 < mcnemar_exact(5400, 5000) < 1e-3
    assert mcnemar_exact(100_000, 100_000) == pytest.approx(1.0, abs=0.01)


def test_without_a_flip_the_paired_interval_has_the_width_that_the_samples_allow() -> None:
    square = 1.959963984540054**2
    bound = square / (50 + square)
    assert paired_drop_interval(0, 0, 50) == pytest.approx((-bound, bound))


@pytest.mark.parametrize(("lost", "won", "n"), [(3, 1, 40), (0, 5, 30), (10, 2, 200), (7, 7, 14)])
def test_score_uses_the_most_likely_flip_rate_under_the_supposed_drop(lost: int, won: int, n: int) -> None:
    for drop in (0.01, 0.1, 0.3):
        grid = np.linspace(1e-9, (1 - drop) / 2 - 1e-9, 400_001)
        likelihood = lost * np.log(grid + drop) + won * np.log(grid)
        likelihood += (n - lost - won) * np.log1p(-2 * grid - drop)
        share = grid[likelihood.argmax()]
        expected = (lost - won - n * drop) / math.sqrt(n * (2 * share + drop * (1 - drop)))
        assert tango_score(lost, won, n, drop) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(("lost_share", "won_share"), [(0.05, 0.05), (0.1, 0.02), (0.02, 0.1), (0.2, 0.1)])
def test_paired_interval_covers_the_true_drop_as_often_as_it_says(lost_share: float, won_share: float) -> None:
    n, covered = 40, 0.0
    for lost in range(n + 1):
        for won in range(n - lost + 1):
            ways = math.comb(n, lost) * math.comb(n - lost, won)
            chance = ways * lost_share**lost * won_share**won * (1 - lost_share - won_share) ** (n - lost - won)
            if chance > 1e-7:
                low, high = paired_drop_interval(lost, won, n)
                covered += chance * (low <= lost_share - won_share <= high)
    assert 0.93 <= covered <= 0.99


def test_turning_the_models_round_turns_the_interval_round() -> None:
    low, high = paired_drop_interval(9, 3, 100)
    assert paired_drop_interval(3, 9, 100) == pytest.approx((-high, -low))


def test_300_samples_cannot_prove_a_tenth_of_a_point() -> None:
    assert paired_drop_interval(0, 0, 300)[1] > 0.001
    assert paired_drop_interval(0, 0, 4000)[1] < 0.001


def test_difference_of_independent_shares_is_newcombes() -> None:
    # Newcombe 1998 (paper two), table II: 56/70 - 48/80, method 10
    shares = (56 / 70, 48 / 80)
    low, high = difference_interval(shares[0] - shares[1], wilson(56, 70), wilson(48, 80), shares)
    assert (low, high) == pytest.approx((0.0524, 0.3339), abs=1e-4)


def test_quantile_interval_is_two_measurements_around_the_quantile() -> None:
    ordered = np.arange(1.0, 201.0)
    low, high = quantile_interval(ordered, 0.95)
    assert low < 190 < high
    chance = sum(math.comb(200, k) * 0.95**k * 0.05 ** (200 - k) for k in range(int(low), int(high)))
    assert chance >= 0.95


def test_quantile_interval_of_few_measurements_ends_at_the_largest() -> None:
    assert quantile_interval(np.array([1.0, 2.0, 3.0]), 0.95)[1] == 3.0


def test_draws_are_the_same_every_time() -> None:
    first, second = list(resample(7)), list(resample(7))
    assert len(first) == RESAMPLES
    assert all((a == b).all() for a, b in zip(first, second, strict=True))


def test_groups_are_drawn_whole() -> None:
    groups = np.array(["a", "b", "a", "c", "c", "c"])
    for indices in itertools.islice(resample(6, groups), 50):
        counts = np.bincount(indices, minlength=6)
        assert counts[0] == counts[2]
        assert counts[3] == counts[4] == counts[5]


def test_bootstrap_of_a_mean_agrees_with_its_standard_error() -> None:
    values = np.random.default_rng(3).normal(size=400)
    low, high = bootstrap_interval(lambda chosen: float(values[chosen].mean()), 400)
    error = values.std(ddof=1) / 20
    assert (high - low) / 2 == pytest.approx(1.96 * error, rel=0.1)
    assert (high + low) / 2 == pytest.approx(values.mean(), abs=error / 4)


def test_windows_of_one_machine_are_no_independent_evidence() -> None:
    machines = np.repeat(np.random.default_rng(5).normal(size=30), 20)
    groups = np.repeat(np.arange(30), 20)
    alone = bootstrap_interval(lambda chosen: float(machines[chosen].mean()), 600)
    together = bootstrap_interval(lambda chosen: float(machines[chosen].mean()), 600, groups)
    assert together[1] - together[0] > 3 * (alone[1] - alone[0])


def test_too_few_samples_to_resample_prove_nothing() -> None:
    assert bootstrap_interval(lambda _: 0.0, 19) == (-math.inf, math.inf)
    assert bootstrap_interval(lambda _: 0.0, 100, np.repeat(np.arange(10), 10)) == (-math.inf, math.inf)


def test_outer_interval_holds_both() -> None:
    assert outer((0.1, 0.2), (0.15, 0.4)) == (0.1, 0.4)


def test_rank_correlation_without_ties_is_the_textbook_formula() -> None:
    rng = np.random.default_rng(2)
    first, second = rng.normal(size=40), rng.normal(size=40)
    places = [np.argsort(np.argsort(each)) for each in (first, second)]
    distance = int(((places[0] - places[1]) ** 2).sum())
    assert rank_correlation(first, second) == pytest.approx(1 - 6 * distance / (40 * (40**2 - 1)))


def test_rank_correlation_gives_ties_their_average_rank() -> None:
    # ranks 1, 2.5, 2.5, 4 and 1, 2, 3, 4
    correlation = rank_correlation(np.array([1.0, 2.0, 2.0, 3.0]), np.array([1.0, 2.0, 3.0, 4.0]))
    assert correlation == pytest.approx(4.5 / math.sqrt(4.5 * 5.0))


def test_a_flat_map_has_no_correlation() -> None:
    assert rank_correlation(np.zeros(5), np.arange(5.0)) is None


def test_samples_needed_is_the_first_size_that_proves_it() -> None:
    assert samples_needed(lambda n: n >= 37) == 37
    assert samples_needed(lambda n: paired_drop_interval(0, 0, n)[1] <= 0.001) == 3900
    assert samples_needed(lambda _: False) is None
