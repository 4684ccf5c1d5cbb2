"""Metrics of both models against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from edge_runtime.bundle.manifest import Decision
from edge_runtime.compress.evaluate import find_metric, measure_metrics
from edge_runtime.compress.outcomes import Outcomes


def regression(errors: npt.NDArray[np.float64], groups: npt.NDArray[np.int64] | None = None) -> Outcomes:
    outputs = errors.astype(np.float32)[:, np.newaxis]
    return Outcomes("regression", (), Decision(quantity="wear"), np.zeros(len(errors)), outputs, outputs, groups)


def test_recall_and_precision_per_label() -> None:
    scores = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]], np.float32)
    outcomes = Outcomes("classification", ("good", "bad"), Decision(), np.array([0, 1, 1, 0]), scores, scores)
    values = {(each.name, each.slice): each.value for each in measure_metrics(outcomes, scores)}
    assert values["accuracy", ""] == 0.5
    assert values["recall", "bad"] == 0.5
    assert values["precision", "good"] == 0.5


def test_rmse_and_its_interval_contain_the_error() -> None:
    outcomes = regression(np.full(500, 2.0) + np.random.default_rng(1).normal(size=500) * 1e-4)
    rmse = find_metric(measure_metrics(outcomes, outcomes.after), "rmse")
    assert rmse is not None
    assert rmse.value == pytest.approx(2.0, abs=1e-3)
    assert rmse.low is not None
    assert rmse.high is not None
    assert rmse.low <= rmse.value <= rmse.high


def test_windows_of_few_machines_have_a_wider_interval() -> None:
    machines = np.repeat(np.random.default_rng(1).normal(size=40), 25)
    widths = []
    for groups in (None, np.repeat(np.arange(40), 25)):
        outcomes = regression(machines, groups)
        rmse = measure_metrics(outcomes, outcomes.after)[0]
        assert rmse.low is not None
        assert rmse.high is not None
        widths.append(rmse.high - rmse.low)
    assert widths[1] > 3 * widths[0]


def test_too_few_samples_have_a_value_and_no_interval() -> None:
    outcomes = regression(np.ones(5))
    assert measure_metrics(outcomes, outcomes.after)[0].low is None


def test_values_of_a_regression_are_in_the_unit_of_the_target() -> None:
    outputs = np.array([[0.5]], np.float32)
    decision = Decision(quantity="cycles", output_scale=100.0, output_offset=10.0)
    outcomes = Outcomes("regression", (), decision, np.array([[50.0]]), outputs, outputs)
    assert outcomes.errors(outputs).tolist() == [10.0]
