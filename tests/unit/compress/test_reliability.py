"""Calibration error and costs against sums worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.compress.costs import cost_per_sample, mean_cost, rates
from edge_runtime.compress.outcomes import NG, OK, UNSURE
from edge_runtime.compress.recipe import CostKeys
from edge_runtime.compress.reliability import calibration_error, reliability

COSTS = CostKeys(miss=100.0, false_alarm=2.0, unsure=1.0)
SAID = np.array([OK, NG, OK, NG, UNSURE, UNSURE], np.int8)
FAULTY = np.array([True, True, False, False, True, False])


def test_calibration_error_is_the_weighted_distance_of_confidence_and_accuracy() -> None:
    # four samples at 0.9 of which three are right, one at 0.6 that is wrong
    scores = np.array([[0.9, 0.1]] * 4 + [[0.6, 0.4]], np.float32)
    hits = np.array([True, True, True, False, False])
    assert calibration_error(scores, hits).value == pytest.approx((4 * 0.15 + 0.6) / 5, abs=1e-6)


def test_a_model_that_means_what_it_says_has_a_small_calibration_error() -> None:
    rng = np.random.default_rng(0)
    sure = rng.uniform(0.5, 1.0, 20_000).astype(np.float32)
    scores = np.stack([sure, 1 - sure], axis=1)
    found = calibration_error(scores, rng.random(20_000) < sure)
    assert found.value < 0.02
    assert found.interval[0] <= found.value <= found.interval[1] + 0.01


def test_bins_hold_every_sample_once_and_certainty_is_in_the_last() -> None:
    scores = np.array([[1.0, 0.0], [0.5, 0.5], [0.7, 0.3]], np.float32)
    bins = reliability(scores, np.array([True, False, True]))
    assert sum(each.n for each in bins) == 3
    assert (bins[-1].n, bins[-1].accuracy) == (1, 1.0)


def test_a_part_left_to_a_person_is_neither_missed_nor_a_false_alarm() -> None:
    found = rates(SAID, FAULTY)
    assert [each.value for each in (found.miss, found.false_alarm, found.unsure)] == pytest.approx([1 / 3] * 3)
    assert [each.n for each in (found.miss, found.false_alarm, found.unsure)] == [3, 3, 6]


def test_each_wrong_verdict_has_its_cost() -> None:
    assert cost_per_sample(SAID, FAULTY, COSTS).tolist() == [100.0, 0.0, 0.0, 2.0, 1.0, 1.0]
    assert mean_cost(np.tile([0.0, 1.0], 50)).value == 0.5
