"""Same engine: the same bits. Another: the same decisions within the manifest's steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from edge_runtime.bundle.golden import GoldenVectors
from edge_runtime.bundle.manifest import GoldenSet, Manifest, TensorSpec, Threshold
from edge_runtime.bundle.reader import read_bundle
from edge_runtime.bundle.recorded import Triple
from edge_runtime.errors import BundleCompatibilityError, TensorMismatchError
from edge_runtime.inference.decision import class_findings, class_probabilities, quantity_finding, real_output
from edge_runtime.inference.golden import decisions, judge_golden, run_samples
from edge_runtime.inference.interface import Array
from edge_runtime.inference.opening import open_runtime
from tests.bundles import TRUSTED, TinyModel, image_bundle, image_model, window_bundle, window_model

SHIPPED = Triple("litert", "1.0", "x86-64-avx2")
OTHER = Triple("litert", "1.0", "x86-64-avx512")


def manifest(**changes: Any) -> Manifest:
    """Give the image bundle's manifest with a golden set of a fixed triple."""
    original = read_bundle(image_bundle(), TRUSTED).manifest
    entry = GoldenSet(engine=SHIPPED.engine, version=SHIPPED.version, instruction_set=SHIPPED.instruction_set, key="a")
    return replace(original, golden=replace(original.golden, max_lsb=2, sets=(entry,)), **changes)


def codes(*rows: tuple[int, int, int]) -> Array:
    return np.array(rows, np.int8)


EXPECTED = codes((100, -100, -116), (-120, 110, -118))
VECTORS = GoldenVectors(inputs=(), references=(), outputs={"a": (EXPECTED,)})


def test_same_triple_and_same_bits_pass() -> None:
    verdict = judge_golden(manifest(), VECTORS, SHIPPED, [EXPECTED.copy()], None)
    assert (verdict.rule, verdict.max_lsb, verdict.compared_with) == ("shipped", 0.0, "a")


def test_same_triple_and_one_other_bit_is_refused_with_its_place() -> None:
    answers = EXPECTED.copy()
    answers[1, 2] += 1
    with pytest.raises(BundleCompatibilityError, match=r"1 of 6 values, first at \(1, 2\): -117 instead of -118"):
        judge_golden(manifest(), VECTORS, SHIPPED, [answers], None)


def test_same_triple_ignores_what_was_recorded() -> None:
    with pytest.raises(BundleCompatibilityError, match="the bundle's set a"):
        judge_golden(manifest(), VECTORS, SHIPPED, [EXPECTED + 1], [EXPECTED + 1])


def test_other_triple_within_the_steps_is_tolerated() -> None:
    verdict = judge_golden(manifest(), VECTORS, OTHER, [EXPECTED - codes((2, 0, 0), (0, 1, -1))], None)
    assert (verdict.rule, verdict.max_lsb) == ("tolerated", 2.0)


def test_other_triple_beyond_the_steps_is_refused_with_the_difference() -> None:
    with pytest.raises(BundleCompatibilityError, match=r"by 3\.0 steps, 2 are allowed"):
        judge_golden(manifest(), VECTORS, OTHER, [EXPECTED - codes((3, 0, 0), (0, 0, 0))], None)


def test_other_triple_that_decides_otherwise_is_refused() -> None:
    expected, found = codes((0, -1, -1), (0, -1, -1)), codes((0, -1, -1), (-1, 0, -1))
    vectors = GoldenVectors(inputs=(), references=(), outputs={"a": (expected,)})
    with pytest.raises(BundleCompatibilityError, match=r"decides 1 of 2 golden samples otherwise.*first sample 1"):
        judge_golden(manifest(), vectors, OTHER, [found], None)


def test_other_triple_must_equal_what_was_recorded() -> None:
    answers = EXPECTED - 1
    assert judge_golden(manifest(), VECTORS, OTHER, [answers], [answers.copy()]).rule == "recorded"


def test_other_triple_that_differs_from_what_was_recorded_is_refused() -> None:
    with pytest.raises(BundleCompatibilityError, match="what this gateway recorded before"):
        judge_golden(manifest(), VECTORS, OTHER, [EXPECTED], [EXPECTED - 1])


def test_nearest_of_several_sets_counts() -> None:
    original = manifest()
    second = GoldenSet(engine="litert", version="2.0", instruction_set="aarch64-dotprod", key="b")
    several = replace(original, golden=replace(original.golden, sets=(*original.golden.sets, second)))
    vectors = GoldenVectors(inputs=(), references=(), outputs={"a": (EXPECTED - 9,), "b": (EXPECTED,)})
    assert judge_golden(several, vectors, OTHER, [EXPECTED - 1], None).compared_with == "b"


def test_step_of_a_float_output_is_a_255th_of_the_golden_range() -> None:
    outputs = (TensorSpec(name="scores", dtype="float32", shape=(1, 3)),)
    expected = np.array([[0.0, 0.0, 255.0]], np.float32)
    vectors = GoldenVectors(inputs=(), references=(), outputs={"a": (expected,)})
    verdict = judge_golden(manifest(outputs=outputs), vectors, OTHER, [expected - np.float32(2)], None)
    assert verdict.max_lsb == pytest.approx(2.0)


def test_negative_zero_is_another_bit() -> None:
    outputs = (TensorSpec(name="scores", dtype="float32", shape=(1, 3)),)
    vectors = GoldenVectors(inputs=(), references=(), outputs={"a": (np.zeros((1, 3), np.float32),)})
    with pytest.raises(BundleCompatibilityError, match="differs"):
        judge_golden(manifest(outputs=outputs), vectors, SHIPPED, [-np.zeros((1, 3), np.float32)], None)


@pytest.mark.parametrize("activation", ["none", "softmax", "sigmoid"])
def test_decisions_of_a_classifier_are_those_of_the_findings(activation: Any) -> None:
    decision = replace(image_model().manifest.decision, activation=activation)
    original = manifest(decision=decision)
    rng = np.random.default_rng(5)
    answers = rng.integers(-128, 128, (200, 3), dtype=np.int8)
    (spec,) = original.outputs
    rows = []
    for row in answers:
        probabilities = class_probabilities(real_output(spec, row), 3, decision)
        found = class_findings(probabilities, original.labels, decision, "vision.defect")
        rows.append([0, *(int(each.abnormal) for each in found), int(probabilities.argmax())])
    np.testing.assert_array_equal(decisions(original, [answers]), rows)


@pytest.mark.parametrize("direction", ["above", "below"])
def test_decisions_of_a_regression_are_those_of_the_findings(direction: Any) -> None:
    original = read_bundle(window_bundle(), TRUSTED).manifest
    threshold = Threshold(raise_at=3.0, clear_at=3.0)
    decision = replace(
        original.decision,
        direction=direction,
        output_scale=2.0,
        output_offset=1.0,
        thresholds={"remaining_useful_life": threshold},
    )
    answers = np.arange(-128, 128, dtype=np.int8)[:, np.newaxis]
    (spec,) = original.outputs
    expected = [
        [int(quantity_finding(real_output(spec, row), decision, "timeseries.failure").abnormal)] for row in answers
    ]
    np.testing.assert_array_equal(decisions(replace(original, decision=decision), [answers]), expected)


def test_task_without_a_rule_has_no_decisions() -> None:
    assert decisions(manifest(task="detection"), [EXPECTED]).shape == (2, 0)


@pytest.mark.parametrize("model", [image_model(), window_model()])
def test_samples_run_one_by_one(model: TinyModel) -> None:
    runtime = open_runtime(model.members["model.tflite"], "tflite")
    vectors = read_bundle(image_bundle() if model is image_model() else window_bundle(), TRUSTED).golden()
    (outputs,) = run_samples(runtime, vectors.inputs)
    np.testing.assert_array_equal(outputs, vectors.outputs["recorded"][0])


@pytest.mark.parametrize(
    "inputs",
    [[], [np.zeros((2, 8, 8, 3), np.uint8)], [np.zeros((2, 8, 8), np.int8)], [np.zeros((2, 1, 8, 8, 3), np.int8)]],
)
def test_samples_that_do_not_fit_are_refused(inputs: list[Array]) -> None:
    runtime = open_runtime(image_model().members["model.tflite"], "tflite")
    with pytest.raises(TensorMismatchError):
        run_samples(runtime, inputs)
