"""Tuned thresholds cost least of all bands that there are, within the share that may be unsure."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import pytest

from edge_runtime.bundle.manifest import Decision, Threshold
from edge_runtime.compress.costs import cost_per_sample
from edge_runtime.compress.outcomes import UNSURE, verdicts
from edge_runtime.compress.recipe import CostKeys
from edge_runtime.compress.thresholds import Tuned, apply_tuned, highest_fault, tune
from edge_runtime.errors import CalibrationError, RecipeError

LABELS = ("good", "bad")
DECISION = Decision(normal=("good",), thresholds={"bad": Threshold(raise_at=0.5, clear_at=0.4)})
COSTS = CostKeys(miss=20.0, false_alarm=3.0, unsure=1.0)


def samples(seed: int, levels: int = 16) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Give scores on a few levels, as an int8 output has them, and their truth."""
    rng = np.random.default_rng(seed)
    faulty = rng.random(200) < 0.3
    scores = np.clip(rng.normal(0.35 + 0.3 * faulty, 0.2), 0, 1)
    return np.rint(scores * levels) / levels, faulty


def cost_of(highest: npt.NDArray[np.float64], faulty: npt.NDArray[np.bool_], low: float, high: float) -> float:
    """Give the mean cost by way of the verdicts themselves."""
    decision = apply_tuned(DECISION, Tuned(low, high, 0.0))
    scores = np.stack([1 - highest, highest], axis=1).astype(np.float32)
    return float(cost_per_sample(verdicts(scores, LABELS, decision), faulty, COSTS).mean())


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("max_unsure", [0.0, 0.1, 1.0])
def test_no_other_band_costs_less(seed: int, max_unsure: float) -> None:
    highest, faulty = samples(seed)
    found = tune(highest, faulty, COSTS, max_unsure=max_unsure)
    cuts = (np.arange(18) - 0.5) / 16
    allowed = [
        cost_of(highest, faulty, low, high)
        for low, high in itertools.combinations_with_replacement(cuts, 2)
        if ((highest >= low) & (highest < high)).mean() <= max_unsure
    ]
    assert found.cost == pytest.approx(min(allowed))
    assert cost_of(highest, faulty, found.low, found.high) == pytest.approx(found.cost)


def test_the_band_keeps_to_its_share() -> None:
    highest, faulty = samples(7)
    found = tune(highest, faulty, COSTS, max_unsure=0.4)
    scores = np.stack([1 - highest, highest], axis=1).astype(np.float32)
    said = verdicts(scores, LABELS, apply_tuned(DECISION, found))
    assert 0 < (said == UNSURE).mean() <= 0.4


def test_without_a_band_there_is_one_threshold_and_no_unsure() -> None:
    highest, faulty = samples(3)
    found = tune(highest, faulty, COSTS, max_unsure=0.0)
    assert found.low == found.high
    assert apply_tuned(DECISION, found).unsure is None


def test_scores_that_part_cleanly_are_cut_in_the_middle() -> None:
    highest = np.repeat([0.1, 0.7], 50)
    found = tune(highest, highest > 0.5, COSTS, max_unsure=0.5)
    assert (found.low, found.high, found.cost) == (0.4, 0.4, 0.0)


def test_a_finer_score_is_cut_at_quantiles() -> None:
    rng = np.random.default_rng(0)
    highest = rng.random(5000)
    found = tune(highest, rng.random(5000) < highest, COSTS, max_unsure=0.05)
    assert 0 < found.low < found.high < 1


def test_how_far_below_its_threshold_an_alarm_clears_is_kept() -> None:
    threshold = apply_tuned(DECISION, Tuned(0.6, 0.6, 0.0)).thresholds["bad"]
    assert (threshold.raise_at, threshold.clear_at) == (0.6, 0.5)


def test_an_alarm_clears_below_the_band() -> None:
    threshold = apply_tuned(DECISION, Tuned(0.3, 0.6, 0.0)).thresholds["bad"]
    assert (threshold.raise_at, threshold.clear_at) == (0.6, 0.3)


def test_few_faults_are_refused() -> None:
    with pytest.raises(CalibrationError, match="19 faults and 81 good"):
        tune(np.linspace(0, 1, 100), np.arange(100) < 19, COSTS, max_unsure=0.0)


def test_a_model_without_faults_has_nothing_to_tune() -> None:
    with pytest.raises(RecipeError, match="nothing is a fault"):
        highest_fault(np.ones((1, 2), np.float32), LABELS, Decision(normal=LABELS))
