"""One figure of a model with its interval, and what one figure lost from one model to the other, on chosen samples."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edge_runtime.compress.lines import needed_by_width
from edge_runtime.compress.outcomes import Flags, Floats, Outcomes, Reals
from edge_runtime.compress.statistics import (
    Figure,
    Indices,
    bootstrap_interval,
    outer,
    paired_drop_interval,
    samples_needed,
    wilson,
)

#: Metrics of which less is better.
ERRORS: Final = frozenset({"rmse", "mae"})
Groups = npt.NDArray[Any] | None


def share(flags: Flags, groups: Groups = None) -> Figure:
    """Give a share with its Wilson interval, no narrower than what whole groups drawn again say.

    Parameters
    ----------
    flags : bool, shape (n,)
        Which samples count.
    groups : array, shape (n,), optional
        What belongs together.

    Returns
    -------
    figure : Figure
        0 of nothing, with the interval 0..1.
    """
    n = len(flags)
    if n == 0:
        return Figure(0.0, (0.0, 1.0), 0)
    interval = wilson(int(flags.sum()), n)
    if groups is not None:
        drawn = bootstrap_interval(lambda chosen: float(flags[chosen].mean()), n, groups)
        interval = outer(interval, (max(0.0, drawn[0]), min(1.0, drawn[1])))
    return Figure(float(flags.mean()), interval, n)


def drop_of_share(before: Flags, after: Flags, groups: Groups = None) -> tuple[Figure, int, int]:
    """Give what a share lost on the same samples, with Tango's interval, no narrower than what groups say.

    Parameters
    ----------
    before, after : bool, shape (n,)
        Which samples each model got right.
    groups : array, shape (n,), optional
        What belongs together.

    Returns
    -------
    drop : Figure
        Positive where the model after is worse.
    lost, won : int
        Samples that only the first, or only the second, got right.
    """
    n = len(before)
    lost, won = int((before & ~after).sum()), int((after & ~before).sum())
    interval = paired_drop_interval(lost, won, n)
    if groups is not None and n:
        change = before.astype(np.float64) - after
        drawn = bootstrap_interval(lambda chosen: float(change[chosen].mean()), n, groups)
        interval = outer(interval, (max(-1.0, drawn[0]), min(1.0, drawn[1])))
    return Figure((lost - won) / n if n else 0.0, interval, n), lost, won


def needed_for_drop(lost: int, won: int, n: int, goal: float) -> int | None:
    """Say about how many samples would prove a drop of at most ``goal`` if flips stay as frequent."""
    if n == 0 or (lost - won) / n >= goal:
        return None
    return samples_needed(lambda size: paired_drop_interval(lost * size / n, won * size / n, size)[1] <= goal)


def needed_for_share(hits: float, n: int, goal: float, *, at_most: bool) -> int | None:
    """Say about how many samples would prove a share's bound if the share stays as it is."""
    rate = hits / n if n else 0.0
    if n == 0 or (rate >= goal if at_most else rate <= goal):
        return None
    if at_most:
        return samples_needed(lambda size: wilson(rate * size, size)[1] <= goal)
    return samples_needed(lambda size: wilson(rate * size, size)[0] >= goal)


def error_value(metric: str, errors: Reals) -> float:
    """Give RMSE or mean absolute error of errors."""
    return math.sqrt(float(np.square(errors).mean())) if metric == "rmse" else float(np.abs(errors).mean())


def error(metric: str, errors: Reals, groups: Groups = None) -> Figure:
    """Give RMSE or mean absolute error with its bootstrap interval.

    Parameters
    ----------
    metric : {"rmse", "mae"}
        Which.
    errors : float64, shape (n,)
        Prediction minus target.
    groups : array, shape (n,), optional
        What belongs together.

    Returns
    -------
    figure : Figure
        Unbounded below 20 samples or groups.
    """
    interval = bootstrap_interval(lambda chosen: error_value(metric, errors[chosen]), len(errors), groups)
    return Figure(error_value(metric, errors), interval, len(errors))


def rise_of_error(metric: str, before: Reals, after: Reals, groups: Groups = None) -> Figure:
    """Give by how much an error grew on the same samples, with its paired bootstrap interval."""

    def rise(chosen: Indices) -> float:
        return error_value(metric, after[chosen]) - error_value(metric, before[chosen])

    value = error_value(metric, after) - error_value(metric, before)
    return Figure(value, bootstrap_interval(rise, len(before), groups), len(before))


def figure(outcomes: Outcomes, outputs: Floats, metric: str, chosen: Indices | None = None) -> Figure:
    """Give one metric of one model.

    Parameters
    ----------
    outcomes : Outcomes
        Samples and truth.
    outputs : float32, shape (n, n_outputs)
        ``before`` or ``after`` of it.
    metric : {"accuracy", "rmse", "mae"}
        Which.
    chosen : intp, optional
        Places of the samples that count; all by default.

    Returns
    -------
    figure : Figure
        In the unit of the target for errors.
    """
    places = np.arange(len(outcomes)) if chosen is None else chosen
    groups = None if outcomes.groups is None else outcomes.groups[places]
    if metric in ERRORS:
        return error(metric, outcomes.errors(outputs)[places], groups)
    return share(outcomes.hits(outputs)[places], groups)


def loss(
    outcomes: Outcomes, metric: str, goal: float, chosen: Indices | None = None
) -> tuple[Figure, Figure, Figure, int | None]:
    """Give what one metric lost from before to after: more error, or fewer samples right.

    Parameters
    ----------
    outcomes : Outcomes
        Both models.
    metric : {"accuracy", "rmse", "mae"}
        Which.
    goal : float
        What it may lose.
    chosen : intp, optional
        Places of the samples that count; all by default.

    Returns
    -------
    before, after, lost : Figure
        The metric twice, and the paired difference, positive where the model after is worse.
    needed : int or None
        About how many samples would prove the goal.
    """
    places = np.arange(len(outcomes)) if chosen is None else chosen
    groups = None if outcomes.groups is None else outcomes.groups[places]
    old, new = (figure(outcomes, outputs, metric, places) for outputs in (outcomes.before, outcomes.after))
    if metric in ERRORS:
        first, second = (outcomes.errors(outputs)[places] for outputs in (outcomes.before, outcomes.after))
        rise = rise_of_error(metric, first, second, groups)
        return old, new, rise, needed_by_width(rise, goal, at_most=True)
    first_hits, second_hits = (outcomes.hits(outputs)[places] for outputs in (outcomes.before, outcomes.after))
    drop, lost, won = drop_of_share(first_hits, second_hits, groups)
    return old, new, drop, needed_for_drop(lost, won, drop.n, goal)
