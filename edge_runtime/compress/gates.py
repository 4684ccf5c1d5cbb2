"""The budget's lines against what was measured; every line that fails is named with its numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from edge_runtime.compress.corruption import CorruptionFigure, corruption_lines
from edge_runtime.compress.costs import cost_per_sample, mean_cost, rates
from edge_runtime.compress.coverage import Coverage
from edge_runtime.compress.figures import (
    drop_of_share,
    loss,
    needed_for_drop,
    needed_for_share,
    share,
)
from edge_runtime.compress.footprint import Footprint
from edge_runtime.compress.lines import Line, Proof, judge, needed_by_width
from edge_runtime.compress.outcomes import Outcomes
from edge_runtime.compress.recipe import BudgetKeys, CostKeys
from edge_runtime.compress.reliability import calibration_error
from edge_runtime.compress.slices import slice_lines
from edge_runtime.compress.statistics import Figure, bootstrap_interval, exact
from edge_runtime.errors import AccuracyGateError, CalibrationError


@dataclass(frozen=True, slots=True)
class Measured:
    """Everything that a budget can be about.

    Attributes
    ----------
    outcomes : Outcomes
        Both models on the evaluation data.
    coverage : Coverage
        What is integer.
    model_bytes : int
        Size of the model file.
    footprint : Footprint or None
        Time and memory; None where no line is about them.
    costs : CostKeys or None
        Of wrong decisions.
    attribution : Figure or None
        Mean rank correlation of float and int8 attribution maps.
    corruption : tuple of CorruptionFigure
        Both models on damaged samples.
    """

    outcomes: Outcomes
    coverage: Coverage
    model_bytes: int
    footprint: Footprint | None = None
    costs: CostKeys | None = None
    attribution: Figure | None = None
    corruption: tuple[CorruptionFigure, ...] = ()


def judge_budget(budget: BudgetKeys, measured: Measured, *, metric: str) -> tuple[Line, ...]:
    """Hold a quantized model to every line of its budget.

    Parameters
    ----------
    budget : BudgetKeys
        The lines.
    measured : Measured
        The model.
    metric : str
        What ``max_drop`` and the lines about slices are about.

    Returns
    -------
    lines : tuple of Line
        In a fixed order, met or not.

    Raises
    ------
    CalibrationError
        If the evaluation data cannot answer a line at all: no such label, no such slice, no probabilities.
    """
    return tuple(
        line
        for lines in (
            _integer(measured.coverage),
            _drop(budget, measured.outcomes, metric),
            _recalls(budget, measured.outcomes),
            slice_lines(budget, measured.outcomes, "accuracy" if metric == "recall_min" else metric),
            _reliability(budget, measured.outcomes),
            _decisions(budget, measured.outcomes),
            _costs(budget, measured.outcomes, measured.costs),
            _attribution(budget, measured.attribution),
            corruption_lines(budget, measured.corruption),
            _resources(budget, measured),
        )
        for line in lines
    )


def require_met(lines: Sequence[Line]) -> None:
    """Stop where a line is missed or not proved.

    Parameters
    ----------
    lines : sequence of Line
        From :func:`judge_budget`.

    Raises
    ------
    AccuracyGateError
        With every line that is not met.
    """
    failed = [line for line in lines if not line.is_met]
    if not failed:
        return
    words = "\n".join(f"  {line.sentence()}" for line in failed)
    unproved = [line for line in failed if line.status == "unproved"]
    hint = "" if not unproved else '\n(add evaluation data, or set [budget] proof = "point" to take values as they are)'
    figures = {f"{line.key}{'.' if line.subject else ''}{line.subject}": line.value for line in failed}
    raise AccuracyGateError(f"the budget is not met, {len(failed)} of {len(lines)} lines:\n{words}{hint}", figures)


def _integer(coverage: Coverage) -> Iterator[Line]:
    """Call no model int8 that holds float matrices."""
    where = "" if coverage.is_full_int8 else f"; float remains in {', '.join(coverage.float_operators())}"
    text = f"{coverage.integer_macs_pct:.1f} % of multiply-accumulates are integer{where}"
    value = 100.0 if coverage.is_full_int8 else min(coverage.integer_macs_pct, 99.999)
    yield judge("integer", text, exact(value), 100.0, at_most=False)


def _drop(budget: BudgetKeys, outcomes: Outcomes, metric: str) -> Iterator[Line]:
    """Check what the metric may lose."""
    goal = budget.max_drop
    if goal is None:
        return
    if metric == "recall_min":
        yield _worst_recall_drop(outcomes, goal, budget.proof)
        return
    before, after, drop, needed = loss(outcomes, metric, goal)
    text = f"{metric} went from {before.value:.4f} to {after.value:.4f}, lost {drop.value:.4f}"
    yield judge("max_drop", text, drop, goal, at_most=True, proof=budget.proof, needed=needed)


def _worst_recall_drop(outcomes: Outcomes, goal: float, proof: Proof) -> Line:
    """Check what the worst label's recall may lose.

    The worst recall cannot lose more than the label that is worst afterwards, whose paired interval
    therefore bounds it.
    """
    found = [each for each in (_recall_drop(outcomes, index) for index in range(len(outcomes.labels))) if each[2].n]
    old = min(before for before, _, _, _, _ in found)
    _, new, drop, lost, won = min(found, key=lambda each: each[1])
    worst = Figure(old - new, (min(drop.interval[0], old - new), max(drop.interval[1], old - new)), drop.n)
    text = f"recall_min went from {old:.4f} to {new:.4f}, lost {old - new:.4f}"
    needed = needed_for_drop(lost, won, drop.n, goal)
    return judge("max_drop", text, worst, goal, at_most=True, proof=proof, needed=needed)


def _recall_drop(outcomes: Outcomes, index: int) -> tuple[float, float, Figure, int, int]:
    """Give one label's recall before and after, and what it lost."""
    places = np.flatnonzero(outcomes.y.astype(np.intp) == index)
    groups = None if outcomes.groups is None else outcomes.groups[places]
    before, after = (outcomes.hits(outputs)[places] for outputs in (outcomes.before, outcomes.after))
    drop, lost, won = drop_of_share(before, after, groups)
    return (float(before.mean()) if len(places) else 0.0, float(after.mean()) if len(places) else 0.0, drop, lost, won)


def _recalls(budget: BudgetKeys, outcomes: Outcomes) -> Iterator[Line]:
    """Check every label's recall: its floor, and what it may lose."""
    _require_labels(budget, outcomes)
    for label, floor in budget.recall_min.items():
        places = np.flatnonzero(outcomes.y.astype(np.intp) == outcomes.labels.index(label))
        groups = None if outcomes.groups is None else outcomes.groups[places]
        found = share(outcomes.hits(outcomes.after)[places], groups)
        needed = needed_for_share(round(found.value * found.n), found.n, floor, at_most=False)
        text = f'recall of "{label}" is {found.value:.4f}'
        yield judge("recall_min", text, found, floor, at_most=False, proof=budget.proof, subject=label, needed=needed)
    for index, label in enumerate(outcomes.labels):
        allowed = budget.max_recall_drop.get(label, budget.max_recall_drop.get("*"))
        old, new, drop, lost, won = _recall_drop(outcomes, index)
        if allowed is None or not drop.n:
            continue
        text = f'recall of "{label}" went from {old:.4f} to {new:.4f}, lost {drop.value:.4f}'
        needed = needed_for_drop(lost, won, drop.n, allowed)
        key = "max_recall_drop"
        yield judge(key, text, drop, allowed, at_most=True, proof=budget.proof, subject=label, needed=needed)


def _require_labels(budget: BudgetKeys, outcomes: Outcomes) -> None:
    """Refuse lines about labels that are not there, or that no sample has."""
    named = [*budget.recall_min, *(label for label in budget.max_recall_drop if label != "*")]
    for label in named:
        if label not in outcomes.labels:
            raise CalibrationError(f'[budget] is about label "{label}"; the model has {", ".join(outcomes.labels)}')
        if not (outcomes.y.astype(np.intp) == outcomes.labels.index(label)).any():
            raise CalibrationError(f'[budget] is about label "{label}", which does not occur in the evaluation data')


def _reliability(budget: BudgetKeys, outcomes: Outcomes) -> Iterator[Line]:
    """Check that probabilities mean what they say."""
    goal = budget.ece_max
    if goal is None:
        return
    after = outcomes.after
    found = calibration_error(outcomes.probabilities(after), outcomes.hits(after), outcomes.groups)
    needed = needed_by_width(found, goal, at_most=True)
    text = f"expected calibration error is {found.value:.4f}"
    yield judge("ece_max", text, found, goal, at_most=True, proof=budget.proof, needed=needed)


def _decisions(budget: BudgetKeys, outcomes: Outcomes) -> Iterator[Line]:
    """Check how often verdicts go wrong."""
    wanted = {"miss_max": budget.miss_max, "false_alarm_max": budget.false_alarm_max, "unsure_max": budget.unsure_max}
    if all(goal is None for goal in wanted.values()):
        return
    _require_decision(outcomes)
    found = rates(outcomes.verdicts(after=True), outcomes.faulty(), outcomes.groups)
    words = {
        "miss_max": ("faulty samples pass", found.miss),
        "false_alarm_max": ("good samples are thrown out", found.false_alarm),
        "unsure_max": ("samples are left to a person", found.unsure),
    }
    for key, goal in wanted.items():
        if goal is None:
            continue
        text, rate = words[key]
        if not rate.n:
            raise CalibrationError(f"[budget] {key}: the evaluation data hold no such samples")
        needed = needed_for_share(round(rate.value * rate.n), rate.n, goal, at_most=True)
        text = f"{rate.value:.4f} of {rate.n} {text}"
        yield judge(key, text, rate, goal, at_most=True, proof=budget.proof, needed=needed)


def _costs(budget: BudgetKeys, outcomes: Outcomes, costs: CostKeys | None) -> Iterator[Line]:
    """Check what wrong decisions cost, and by how much more than before."""
    if costs is None:
        return
    if budget.cost_max is None and budget.max_cost_rise is None:
        return
    _require_decision(outcomes)
    faulty = outcomes.faulty()
    before, after = (cost_per_sample(outcomes.verdicts(after=which), faulty, costs) for which in (False, True))
    if budget.cost_max is not None:
        found = mean_cost(after, outcomes.groups)
        needed = needed_by_width(found, budget.cost_max, at_most=True)
        text = f"decisions cost {found.value:.4f} per sample"
        yield judge("cost_max", text, found, budget.cost_max, at_most=True, proof=budget.proof, needed=needed)
    if budget.max_cost_rise is not None:
        rise = after - before
        found = Figure(
            float(rise.mean()),
            bootstrap_interval(lambda chosen: float(rise[chosen].mean()), len(rise), outcomes.groups),
            len(rise),
        )
        text = (
            f"decisions cost {before.mean():.4f} per sample before and {after.mean():.4f} after, {found.value:.4f} more"
        )
        needed = needed_by_width(found, budget.max_cost_rise, at_most=True)
        yield judge("max_cost_rise", text, found, budget.max_cost_rise, at_most=True, proof=budget.proof, needed=needed)


def _require_decision(outcomes: Outcomes) -> None:
    """Refuse lines about decisions where there is none."""
    if not outcomes.decides:
        raise CalibrationError(
            "[budget] is about wrong decisions; this regression has no threshold: add [decision] thresholds"
        )


def _attribution(budget: BudgetKeys, found: Figure | None) -> Iterator[Line]:
    """Check that both models look at the same places."""
    goal = budget.attribution_min
    if goal is None:
        return
    if found is None:
        raise CalibrationError(
            "[budget] attribution_min: no sample's attribution map varies by two steps of the int8 output; the model"
            " is too sure to be explained by occlusion, remove the line"
        )
    text = f"attribution maps of float and int8 have rank correlation {found.value:.4f}"
    needed = needed_by_width(found, goal, at_most=False)
    yield judge("attribution_min", text, found, goal, at_most=False, proof=budget.proof, needed=needed)


def _resources(budget: BudgetKeys, measured: Measured) -> Iterator[Line]:
    """Check size, time and memory: measured on this machine, taken as they are."""
    if budget.size_kb is not None:
        size = measured.model_bytes / 1000
        yield judge("size_kb", f"the model file has {size:.1f} kB", exact(size), budget.size_kb, at_most=True)
    footprint = measured.footprint
    if footprint is None:
        return
    if budget.latency_ms_p95 is not None:
        text = f"p95 of {footprint.n_timed} runs on this machine, one thread, is {footprint.p95_ms:.3f} ms"
        yield judge("latency_ms_p95", text, exact(footprint.p95_ms), budget.latency_ms_p95, at_most=True)
    if budget.ram_kb is not None:
        text = f"loading and running adds {footprint.peak_kb:.0f} KiB of resident memory"
        yield judge("ram_kb", text, exact(footprint.peak_kb), budget.ram_kb, at_most=True)
