"""The budget's lines against what was measured; every line that fails is named with its numbers."""

from __future__ import annotations

from collections.abc import Sequence

from edge_runtime.bundle.manifest import Metric
from edge_runtime.compress.coverage import Coverage
from edge_runtime.compress.evaluate import Latency, find_metric
from edge_runtime.compress.recipe import BudgetKeys
from edge_runtime.errors import AccuracyGateError

#: Metrics of which less is better.
_ERRORS = {"rmse", "mae"}


def check_budget(
    budget: BudgetKeys,
    *,
    metric: str,
    before: Sequence[Metric],
    after: Sequence[Metric],
    coverage: Coverage,
    model_bytes: int,
    latency: Latency,
) -> None:
    """Hold a quantized model to its budget.

    Parameters
    ----------
    budget : BudgetKeys
        The lines.
    metric : str
        What ``max_drop`` is about.
    before, after : sequence of Metric
        Float and int8 on the same samples.
    coverage : Coverage
        What is integer.
    model_bytes : int
        Size of the model file.
    latency : Latency
        On this machine.

    Raises
    ------
    AccuracyGateError
        With every line that is not met.
    """
    failed = [] if coverage.is_full_int8 else [f"float remains in {', '.join(coverage.float_operators())}"]
    failed += _drop(budget, metric, before, after)
    failed += _recalls(budget, before, after)
    if budget.size_kb is not None and model_bytes / 1000 > budget.size_kb:
        failed.append(f"size_kb: {model_bytes / 1000:.1f}, at most {budget.size_kb:g}")
    if budget.latency_ms_p95 is not None and latency.p95_ms > budget.latency_ms_p95:
        failed.append(f"latency_ms_p95: {latency.p95_ms:.3f}, at most {budget.latency_ms_p95:g}")
    if failed:
        figures = {f"{each.name}{'.' if each.slice else ''}{each.slice}": each.value for each in after}
        raise AccuracyGateError("the budget is not met: " + "; ".join(failed), figures)


def _drop(budget: BudgetKeys, metric: str, before: Sequence[Metric], after: Sequence[Metric]) -> list[str]:
    """Check what the metric may lose."""
    if budget.max_drop is None:
        return []
    old, new = _value(before, metric), _value(after, metric)
    drop = new - old if metric in _ERRORS else old - new
    if drop <= budget.max_drop:
        return []
    return [f"max_drop: {metric} went from {old:.4f} to {new:.4f}, may lose {budget.max_drop:g}"]


def _value(metrics: Sequence[Metric], metric: str) -> float:
    """Give a metric's value; the worst label's recall for ``recall_min``."""
    if metric == "recall_min":
        return min((each.value for each in metrics if each.name == "recall" and each.n), default=0.0)
    found = find_metric(metrics, metric)
    return 0.0 if found is None else found.value


def _recalls(budget: BudgetKeys, before: Sequence[Metric], after: Sequence[Metric]) -> list[str]:
    """Check every label's recall: its floor, and what it may lose."""
    failed = []
    for label, floor in budget.recall_min.items():
        new = find_metric(after, "recall", label)
        if new is None or not new.n:
            failed.append(f'recall_min: label "{label}" does not occur in the evaluation data')
        elif new.value < floor:
            failed.append(f'recall_min: "{label}" {new.value:.4f}, at least {floor:g}')
    for metric in after:
        allowed = budget.max_recall_drop.get(metric.slice, budget.max_recall_drop.get("*"))
        old = find_metric(before, "recall", metric.slice)
        if metric.name != "recall" or allowed is None or old is None or not metric.n:
            continue
        if old.value - metric.value > allowed:
            went = f"went from {old.value:.4f} to {metric.value:.4f}"
            failed.append(f'max_recall_drop: "{metric.slice}" {went}, may lose {allowed:g}')
    return failed
