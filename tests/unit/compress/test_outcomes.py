"""What is counted as right, and that verdicts here are those of the device."""

from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.bundle.manifest import Decision, Threshold
from edge_runtime.compress.outcomes import NG, OK, UNSURE, Outcomes, probabilities, split_slice, verdicts
from edge_runtime.errors import CalibrationError
from edge_runtime.inference.decision import class_findings
from edge_runtime.vision.inspector import frame_verdict

LABELS = ("good", "crack", "dent")
WORDS = {OK: "ok", UNSURE: "unsure", NG: "ng"}
DECISION = Decision(
    normal=("good",),
    thresholds={"crack": Threshold(raise_at=0.4, clear_at=0.3), "dent": Threshold(raise_at=0.6, clear_at=0.5)},
    unsure=(0.3, 0.45),
)


def one_output(activation: str, value: float) -> Outcomes:
    outputs = np.array([[value]], np.float32)
    decision = Decision(activation="sigmoid" if activation == "sigmoid" else "none")
    return Outcomes("classification", ("good", "bad"), decision, np.array([1]), outputs, outputs)


@pytest.mark.parametrize(
    ("activation", "value", "label"), [("none", 0.6, 1), ("none", 0.4, 0), ("sigmoid", 0.2, 1), ("sigmoid", -0.2, 0)]
)
def test_one_output_speaks_for_the_second_label_above_a_half(activation: str, value: float, label: int) -> None:
    outcomes = one_output(activation, value)
    assert outcomes.said(outcomes.after).tolist() == [label]


@pytest.mark.parametrize("decision", [DECISION, Decision(normal=("good",), thresholds=DECISION.thresholds)])
def test_verdicts_are_those_of_the_device(decision: Decision) -> None:
    rng = np.random.default_rng(4)
    scores = rng.dirichlet(np.ones(3), 500).astype(np.float32)
    scores[:3, 1] = [0.3, 0.4, 0.45]
    expected = [frame_verdict(class_findings(row, LABELS, decision, "vision.defect"), decision) for row in scores]
    assert [WORDS[each] for each in verdicts(scores, LABELS, decision)] == expected


def test_without_a_fault_among_the_labels_every_part_is_unsure() -> None:
    scores = np.array([[1.0, 0.0, 0.0]], np.float32)
    assert verdicts(scores, LABELS, Decision(normal=LABELS)).tolist() == [UNSURE]


def test_a_regression_decides_by_its_threshold() -> None:
    decision = Decision(
        quantity="life", thresholds={"life": Threshold(raise_at=30.0, clear_at=40.0)}, direction="below"
    )
    outputs = np.array([[20.0], [30.0], [50.0]], np.float32)
    outcomes = Outcomes("regression", (), decision, np.array([50.0, 20.0, 60.0]), outputs, outputs)
    assert outcomes.verdicts(after=True).tolist() == [NG, NG, OK]
    assert outcomes.faulty().tolist() == [False, True, False]


def test_outputs_that_are_no_probabilities_name_the_activation() -> None:
    with pytest.raises(CalibrationError, match=r"\[decision\] activation"):
        probabilities(np.array([[7.0, -3.0]], np.float32), 2, Decision())


def test_a_slice_is_parted_by_its_values() -> None:
    parts = split_slice("shift", np.array([2, 1, 2]))
    assert [(value, places.tolist()) for value, places in parts] == [("1", [1]), ("2", [0, 2])]


def test_a_column_of_measurements_is_no_slice() -> None:
    with pytest.raises(CalibrationError, match='"temperature" of the evaluation data has 65 values'):
        split_slice("temperature", np.arange(65))
