"""One camera, lot or shift at a time: the worst of them, and how far they lie apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from edge_runtime.compress.figures import ERRORS, figure, loss, needed_for_share
from edge_runtime.compress.lines import Line, Proof, judge, needed_by_width
from edge_runtime.compress.outcomes import Outcomes, split_slice
from edge_runtime.compress.recipe import BudgetKeys
from edge_runtime.compress.statistics import Figure, difference_interval
from edge_runtime.errors import CalibrationError


@dataclass(frozen=True, slots=True)
class SliceFigure:
    """A metric of one part of the samples.

    Attributes
    ----------
    column, value : str
        "camera" and which one.
    before, after : Figure
        The metric of both models.
    drop : Figure
        What it lost, paired.
    """

    column: str
    value: str
    before: Figure
    after: Figure
    drop: Figure


def slice_figures(outcomes: Outcomes, metric: str) -> tuple[SliceFigure, ...]:
    """Measure every part of every slice.

    Parameters
    ----------
    outcomes : Outcomes
        With slices, or there is nothing to measure.
    metric : {"accuracy", "rmse", "mae"}
        Which.

    Returns
    -------
    figures : tuple of SliceFigure
        By slice and value.
    """
    found = []
    for column in sorted(outcomes.slices):
        for value, places in split_slice(column, outcomes.slices[column]):
            before, after, drop, _ = loss(outcomes, metric, 0.0, places)
            found.append(SliceFigure(column, value, before, after, drop))
    return tuple(found)


def slice_lines(budget: BudgetKeys, outcomes: Outcomes, metric: str) -> Iterator[Line]:
    """Judge the lines about slices.

    Parameters
    ----------
    budget : BudgetKeys
        The lines.
    outcomes : Outcomes
        Both models.
    metric : {"accuracy", "rmse", "mae"}
        What they are about.

    Yields
    ------
    line : Line
        ``slice_worst`` and ``max_slice_drop`` once per part, ``slice_gap`` once per slice.

    Raises
    ------
    CalibrationError
        If the evaluation data have no such slice.
    """
    for column, goal in _wanted(budget.slice_worst, outcomes, "slice_worst"):
        yield from _floors(outcomes, metric, column, goal, budget.proof)
    for column, goal in _wanted(budget.slice_gap, outcomes, "slice_gap"):
        yield _gap(outcomes, metric, column, goal, budget.proof)
    for column, goal in _wanted(budget.max_slice_drop, outcomes, "max_slice_drop"):
        for value, places in split_slice(column, outcomes.slices[column]):
            before, after, drop, needed = loss(outcomes, metric, goal, places)
            subject = f"{column}={value}"
            text = f"{metric} of {subject} went from {before.value:.4f} to {after.value:.4f}, lost {drop.value:.4f}"
            yield judge(
                "max_slice_drop",
                text,
                drop,
                goal,
                at_most=True,
                proof=budget.proof,
                subject=subject,
                needed=needed,
            )


def _wanted(goals: Mapping[str, float], outcomes: Outcomes, key: str) -> Iterator[tuple[str, float]]:
    """Give each slice that a line is about, with its goal; ``*`` stands for those without one of their own."""
    known = sorted(outcomes.slices)
    unknown = sorted(set(goals) - {"*", *known})
    if unknown or ("*" in goals and not known):
        has = ", ".join(f"slice_{each}" for each in known) or "none"
        raise CalibrationError(
            f"[budget.{key}] names {', '.join(unknown) or 'every slice'}, the evaluation data have {has}; add an array"
            f' "slice_{unknown[0] if unknown else "camera"}" with a value per sample'
        )
    for column in known:
        goal = goals.get(column, goals.get("*"))
        if goal is not None:
            yield column, goal


def _floors(outcomes: Outcomes, metric: str, column: str, goal: float, proof: Proof) -> Iterator[Line]:
    """Hold the metric of every part to its floor, or an error to its ceiling."""
    at_most = metric in ERRORS
    for value, places in split_slice(column, outcomes.slices[column]):
        found = figure(outcomes, outcomes.after, metric, places)
        if at_most:
            needed = needed_by_width(found, goal, at_most=True)
        else:
            needed = needed_for_share(round(found.value * found.n), found.n, goal, at_most=False)
        subject = f"{column}={value}"
        yield judge(
            "slice_worst",
            f"{metric} of {subject} is {found.value:.4f}",
            found,
            goal,
            at_most=at_most,
            proof=proof,
            subject=subject,
            needed=needed,
        )


def _gap(outcomes: Outcomes, metric: str, column: str, goal: float, proof: Proof) -> Line:
    """Hold the distance between the best and the worst part to its limit."""
    parts = split_slice(column, outcomes.slices[column])
    found = [(figure(outcomes, outcomes.after, metric, places), value) for value, places in parts]
    values = np.array([each.value for each, _ in found])
    (high, top), (low, bottom) = found[int(values.argmax())], found[int(values.argmin())]
    gap = high.value - low.value
    interval = difference_interval(gap, high.interval, low.interval, (high.value, low.value))
    distance = Figure(gap, interval if len(parts) > 1 else (0.0, 0.0), min(high.n, low.n))
    return judge(
        "slice_gap",
        f"{metric} is {high.value:.4f} for {column}={top} and {low.value:.4f} for {column}={bottom}, {gap:.4f} apart",
        distance,
        goal,
        at_most=True,
        proof=proof,
        subject=column,
        needed=needed_by_width(distance, goal, at_most=True),
    )
