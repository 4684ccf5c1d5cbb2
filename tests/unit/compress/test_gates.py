"""Each line of the budget fails by itself, with its numbers."""

from __future__ import annotations

import pytest

from edge_runtime.bundle.manifest import Metric
from edge_runtime.compress.coverage import Coverage, OperatorCoverage
from edge_runtime.compress.evaluate import Latency
from edge_runtime.compress.gates import check_budget
from edge_runtime.compress.recipe import BudgetKeys
from edge_runtime.errors import AccuracyGateError

BEFORE = (
    Metric(name="accuracy", value=0.95, n=100),
    Metric(name="recall", value=0.98, n=50, slice="good"),
    Metric(name="recall", value=0.92, n=50, slice="bad"),
    Metric(name="rmse", value=10.0, n=100),
)
AFTER = (
    Metric(name="accuracy", value=0.93, n=100),
    Metric(name="recall", value=0.98, n=50, slice="good"),
    Metric(name="recall", value=0.88, n=50, slice="bad"),
    Metric(name="rmse", value=10.4, n=100),
)
INTEGER = Coverage(
    (OperatorCoverage(0, "CONV_2D", 10, integer=True, weight_bytes=4, integer_weight_bytes=4, parameters=4),)
)
FLOAT = Coverage(
    (OperatorCoverage(3, "CONV_2D", 10, integer=False, weight_bytes=4, integer_weight_bytes=0, parameters=1),)
)


def check(budget: BudgetKeys, metric: str = "accuracy", coverage: Coverage = INTEGER) -> None:
    check_budget(
        budget,
        metric=metric,
        before=BEFORE,
        after=AFTER,
        coverage=coverage,
        model_bytes=50_000,
        latency=Latency(1.0, 2.0),
    )


def test_a_budget_that_is_met_passes() -> None:
    check(
        BudgetKeys(max_drop=0.03, size_kb=50, latency_ms_p95=2.0, recall_min={"bad": 0.88}, max_recall_drop={"*": 0.05})
    )


@pytest.mark.parametrize(
    ("budget", "metric", "said"),
    [
        (BudgetKeys(max_drop=0.01), "accuracy", "max_drop: accuracy went from 0.9500 to 0.9300"),
        (BudgetKeys(max_drop=0.3), "rmse", "max_drop: rmse went from 10.0000 to 10.4000"),
        (BudgetKeys(max_drop=0.03), "recall_min", "max_drop: recall_min went from 0.9200 to 0.8800"),
        (BudgetKeys(size_kb=49), "accuracy", "size_kb: 50.0"),
        (BudgetKeys(latency_ms_p95=1.5), "accuracy", "latency_ms_p95: 2.000"),
        (BudgetKeys(recall_min={"bad": 0.9}), "accuracy", 'recall_min: "bad" 0.8800'),
        (BudgetKeys(recall_min={"ugly": 0.9}), "accuracy", '"ugly" does not occur'),
        (BudgetKeys(max_recall_drop={"*": 0.01}), "accuracy", 'max_recall_drop: "bad"'),
        (BudgetKeys(max_recall_drop={"bad": 0.01}), "accuracy", 'max_recall_drop: "bad"'),
    ],
)
def test_a_line_that_is_not_met_is_named(budget: BudgetKeys, metric: str, said: str) -> None:
    with pytest.raises(AccuracyGateError, match=said) as caught:
        check(budget, metric)
    assert caught.value.exit_code == 3
    assert caught.value.metrics["recall.bad"] == 0.88


def test_a_model_with_a_float_operator_never_passes() -> None:
    with pytest.raises(AccuracyGateError, match="float remains in CONV_2D at 3"):
        check(BudgetKeys(), coverage=FLOAT)
