"""Metrics and intervals against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.compress.evaluate import classification_metrics, find_metric, regression_metrics, wilson


def test_wilson_interval_of_known_shares() -> None:
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson(10, 10) == pytest.approx((0.7225, 1.0), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)


def test_recall_and_precision_per_label() -> None:
    scores = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]], np.float32)
    metrics = classification_metrics(scores, np.array([0, 1, 1, 0]), ("good", "bad"))
    values = {(each.name, each.slice): each.value for each in metrics}
    assert values["accuracy", ""] == 0.5
    assert values["recall", "bad"] == 0.5
    assert values["precision", "good"] == 0.5


def test_one_output_is_the_probability_of_the_second_label() -> None:
    metrics = classification_metrics(np.array([[0.9], [0.1]], np.float32), np.array([1, 0]), ("good", "bad"))
    assert metrics[0].value == 1.0


def test_rmse_and_its_interval_contain_the_error() -> None:
    rng = np.random.default_rng(1)
    y = rng.normal(size=500)
    metrics = regression_metrics((y + 2.0).astype(np.float32), y)
    rmse = find_metric(metrics, "rmse")
    assert rmse is not None
    assert rmse.value == pytest.approx(2.0, abs=1e-3)
    assert rmse.low is not None
    assert rmse.high is not None
    assert rmse.low <= rmse.value <= rmse.high
