"""What a number of samples can prove: exact tests and 95 % intervals, all paired where two models saw the same samples.

Pure functions of counts and arrays; resampling is seeded, so that the same data always give the same interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.intp]
Reals = npt.NDArray[np.float64]
Interval = tuple[float, float]

#: Two-sided 95 %.
Z95 = 1.959963984540054
RESAMPLES = 1000
SEED = 20250101
#: Below so many samples (or groups) resampling says nothing.
FEWEST_RESAMPLED = 20
#: More samples than this nobody is asked for.
MOST_SAMPLES = 10**8
_HALVINGS = 60
_ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class Figure:
    """A value, its 95 % interval and the number of samples it stands on; 0 samples where it is simply so."""

    value: float
    interval: Interval
    n: int


def exact(value: float) -> Figure:
    """Give the figure of what is not estimated from samples: a size, a measured time."""
    return Figure(value, (value, value), 0)


def wilson(hits: float, n: float) -> Interval:
    """Give the 95 % Wilson interval of a share.

    Parameters
    ----------
    hits, n : float
        0 <= hits <= n; whole numbers, or scaled ones when a sample size is planned.

    Returns
    -------
    low, high : float
        0 and 1 when ``n`` is 0.

    Examples
    --------
    >>> [round(each, 3) for each in wilson(95, 100)]
    [0.888, 0.978]
    """
    if n == 0:
        return 0.0, 1.0
    share, z2 = hits / n, Z95 * Z95
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return max(0.0, middle - half), min(1.0, middle + half)


def mcnemar_exact(lost: int, won: int) -> float:
    """Give the two-sided exact p-value of McNemar's test.

    Parameters
    ----------
    lost, won : int
        Samples that only the first model, or only the second one, got right.

    Returns
    -------
    p : float
        The chance of a split at least so uneven when both models are equally good; 1 without any such sample.

    Examples
    --------
    >>> mcnemar_exact(5, 0)
    0.0625
    """
    n = lost + won
    if n == 0:
        return 1.0
    logs = [math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) for k in range(min(lost, won) + 1)]
    tail = math.fsum(math.exp(each - n * math.log(2)) for each in logs)
    return min(1.0, 2 * tail)


def paired_drop_interval(lost: float, won: float, n: float) -> Interval:
    """Give Tango's 95 % score interval of what a share lost, on the same samples.

    Parameters
    ----------
    lost, won : float
        Samples that only the model before, or only the model after, got right.
    n : float
        All samples.

    Returns
    -------
    low, high : float
        Of ``(lost - won) / n``; -1 and 1 when ``n`` is 0. Without a single flip it still has the width that ``n``
        allows, 3.84 / (n + 3.84) on each side: 300 samples cannot prove 0.1 point.

    Notes
    -----
    T. Tango, Equivalence test and confidence interval for the difference in proportions for the paired-sample design,
    Statistics in Medicine 17 (1998). The bounds are where the score statistic is +-1.96, found by bisection.

    Examples
    --------
    >>> [round(each, 4) for each in paired_drop_interval(0, 0, 300)]
    [-0.0126, 0.0126]
    """
    if n == 0:
        return -1.0, 1.0
    drop = (lost - won) / n
    return -_bound(won, lost, n, -drop), _bound(lost, won, n, drop)


def _bound(lost: float, won: float, n: float, drop: float) -> float:
    """Find the largest true drop that the counts do not contradict."""
    inside, outside = drop, 1.0
    for _ in range(_HALVINGS):
        middle = (inside + outside) / 2
        if tango_score(lost, won, n, middle) >= -Z95:
            inside = middle
        else:
            outside = middle
    return inside


def tango_score(lost: float, won: float, n: float, drop: float) -> float:
    """Give the score statistic of a supposed drop.

    Parameters
    ----------
    lost, won, n : float
        As in :func:`paired_drop_interval`.
    drop : float
        The true drop that is supposed, -1 to 1.

    Returns
    -------
    z : float
        Standard normal when the supposed drop is true; infinite with the sign of the difference where it is impossible.
    """
    if drop < 0:
        return -tango_score(won, lost, n, -drop)
    b = (lost + won) * (1 - drop) - 2 * drop * (n - lost)
    share = (b + math.sqrt(max(0.0, b * b + 8 * n * won * drop * (1 - drop)))) / (4 * n)
    variance = n * (2 * share + drop * (1 - drop))
    difference = lost - won - n * drop
    if variance <= 0:
        return 0.0 if difference == 0 else math.copysign(math.inf, difference)
    return difference / math.sqrt(variance)


def difference_interval(value: float, first: Interval, second: Interval, values: tuple[float, float]) -> Interval:
    """Give the interval of a difference of two independent figures from their own intervals.

    Parameters
    ----------
    value : float
        ``values[0] - values[1]``.
    first, second : tuple of float
        Their intervals.
    values : tuple of float
        The figures.

    Returns
    -------
    low, high : float
        The square-and-add interval (for shares with Wilson intervals: Newcombe's).

    Notes
    -----
    R. G. Newcombe, Interval estimation for the difference between independent proportions, Statistics in Medicine 17
    (1998), method 10; for other figures it is the method of variance estimates recovery.
    """
    low = value - math.hypot(values[0] - first[0], second[1] - values[1])
    high = value + math.hypot(first[1] - values[0], values[1] - second[0])
    return low, high


def quantile_interval(ordered: Reals, share: float) -> Interval:
    """Give the 95 % interval of a quantile from order statistics, whatever the distribution.

    Parameters
    ----------
    ordered : float64, shape (n,), ascending, n >= 1
        Measurements.
    share : float
        0.95 for the 95th percentile.

    Returns
    -------
    low, high : float
        Measurements themselves; the largest one where ``n`` is too small for more.
    """
    n = len(ordered)
    below = np.cumsum([math.exp(_log_binomial(n, k, share)) for k in range(n + 1)])
    low = max(0, int(np.searchsorted(below, _ALPHA / 2)) - 1)
    high = min(n - 1, int(np.searchsorted(below, 1 - _ALPHA / 2)))
    return float(ordered[low]), float(ordered[high])


def _log_binomial(n: int, k: int, share: float) -> float:
    """Give the logarithm of the chance of k out of n."""
    ways = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return ways + k * math.log(share) + (n - k) * math.log1p(-share)


def resample(n: int, groups: npt.NDArray[np.generic] | None = None) -> Iterator[Indices]:
    """Draw samples with replacement, again and again; whole groups where samples belong together.

    Parameters
    ----------
    n : int
        Samples.
    groups : array, shape (n,), optional
        What must not be parted: windows of one machine are no independent evidence.

    Yields
    ------
    indices : intp, shape (about n,)
        ``RESAMPLES`` times, the same at every call.
    """
    rng = np.random.default_rng(SEED)
    if groups is None:
        for _ in range(RESAMPLES):
            yield rng.integers(0, n, n)
        return
    codes = np.unique(groups, return_inverse=True)[1].reshape(-1)
    order = np.argsort(codes, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(codes))[:-1])
    for _ in range(RESAMPLES):
        yield np.concatenate([members[each] for each in rng.integers(0, len(members), len(members))])


def bootstrap_interval(
    statistic: Callable[[Indices], float], n: int, groups: npt.NDArray[np.generic] | None = None
) -> Interval:
    """Give a 95 % bootstrap interval (percentile, seeded).

    Parameters
    ----------
    statistic : callable
        Takes indices of samples, gives the figure; both models' figures of the same indices make it paired.
    n : int
        Samples.
    groups : array, shape (n,), optional
        See :func:`resample`.

    Returns
    -------
    low, high : float
        Minus and plus infinity below 20 samples or groups: so few prove nothing.
    """
    independent = n if groups is None else len(np.unique(groups))
    if independent < FEWEST_RESAMPLED:
        return -math.inf, math.inf
    drawn = np.array([statistic(indices) for indices in resample(n, groups)])
    low, high = np.quantile(drawn, [_ALPHA / 2, 1 - _ALPHA / 2])
    return float(low), float(high)


def outer(first: Interval, second: Interval) -> Interval:
    """Give the interval that holds both."""
    return min(first[0], second[0]), max(first[1], second[1])


def rank_correlation(first: Reals, second: Reals) -> float | None:
    """Give Spearman's rank correlation, ties at their average rank.

    Parameters
    ----------
    first, second : float64, shape (n,)
        Paired values.

    Returns
    -------
    correlation : float or None
        -1 to 1; None where the values of either are all equal.

    Examples
    --------
    >>> round(rank_correlation(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 9.0])), 12)
    1.0
    """
    ranks = [_ranks(each) - (len(each) + 1) / 2 for each in (first, second)]
    spread = math.sqrt(float((ranks[0] ** 2).sum()) * float((ranks[1] ** 2).sum()))
    return None if spread == 0 else float(ranks[0] @ ranks[1]) / spread


def _ranks(values: Reals) -> Reals:
    """Rank from 1, ties at their average."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[inverse.reshape(-1)], np.float64)


def samples_needed(proves: Callable[[float], bool]) -> int | None:
    """Find about how many samples would prove a line when the shares stay as they were measured.

    Parameters
    ----------
    proves : callable
        Says whether so many samples prove it; once true, true for more.

    Returns
    -------
    n : int or None
        Rounded up to two digits; None when 100 million are not enough.
    """
    high = 1
    while not proves(float(high)):
        high *= 2
        if high > MOST_SAMPLES:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if proves(float(middle)) else (middle, high)
    return round_up(high)


def round_up(count: int) -> int:
    """Round a count up to two digits.

    Examples
    --------
    >>> round_up(3838)
    3900
    """
    step = int(10 ** max(0, len(str(count)) - 2))
    return -(-count // step) * step
