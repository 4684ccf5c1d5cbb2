"""Tuning, examining and reporting on a tiny model in the real engine, without TensorFlow."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from edge_runtime.bundle.manifest import Metric
from edge_runtime.compress.artifact import Artifact
from edge_runtime.compress.coverage import measure_coverage
from edge_runtime.compress.dataset import Dataset
from edge_runtime.compress.evaluate import measure_metrics, run_all
from edge_runtime.compress.examining import examine
from edge_runtime.compress.gates import Measured, judge_budget
from edge_runtime.compress.outcomes import Outcomes
from edge_runtime.compress.recipe import BudgetKeys, CostKeys, Recipe, ThresholdKeys, load_recipe
from edge_runtime.compress.report.folder import write_report
from edge_runtime.compress.report.gathering import gather
from edge_runtime.compress.report.record import BundleFacts
from edge_runtime.compress.thresholds import tune_decision
from edge_runtime.errors import CalibrationError
from edge_runtime.inference.opening import open_runtime
from tests.bundles import LABELS, MODELS, image_model

INT8, FLOAT = ((MODELS / f"image_{kind}.tflite").read_bytes() for kind in ("int8", "float"))
RECIPE = """
[model]
path = "net.keras"
task = "classification"
[data]
calibration = "calibration.npz"
evaluation = "evaluation.npz"
[output]
bundle = "net.edgebundle"
key = "signing.pem"
report = "run"
"""


def pictures(seed: int, n: int = 120) -> Dataset:
    """Give pictures of even light whose labels the model partly guesses."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 256, (n, 8, 8, 3), dtype=np.uint8)
    slices = {"camera": np.arange(n) % 2, "temperature": np.arange(n)}
    return Dataset(x, rng.integers(0, 3, n), slices=slices, digest=f"{seed:064d}")


def predict(artifact: Artifact, model: bytes, data: Dataset) -> Any:
    runtime = open_runtime(model, "tflite")
    outputs = run_all(runtime, artifact.prepare(data.x, runtime.interface.inputs[0]))
    runtime.close()
    return outputs


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    """Give a quantized model with data, as it is before tuning."""
    (tmp_path / "net.keras").write_bytes(b"the float model")
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE)
    tiny = image_model().manifest
    recipe = msgspec.structs.replace(
        load_recipe(path), costs=CostKeys(miss=10.0, false_alarm=2.0, unsure=1.0), thresholds=ThresholdKeys()
    )
    return Artifact(
        recipe,
        tmp_path,
        preprocessing=tiny.preprocessing,
        labels=LABELS,
        decision=tiny.decision,
        calibration=pictures(1),
        evaluation=pictures(2),
        int8=INT8,
        float32=FLOAT,
        coverage=measure_coverage(INT8),
    )


def evaluated(artifact: Artifact) -> Artifact:
    """Run both models and judge them."""
    data = artifact.evaluation_set
    before, after = (predict(artifact, model, data) for model in (FLOAT, INT8))
    outcomes = Outcomes(
        "classification",
        LABELS,
        artifact.decision,
        np.asarray(data.y),
        before,
        after,
        slices=data.slices,
        decision_before=artifact.decision_before,
    )
    metrics: list[tuple[Metric, ...]] = [measure_metrics(outcomes, outputs) for outputs in (before, after)]
    found = replace(artifact, outcomes=outcomes, before=metrics[0], after=metrics[1])
    found = replace(found, examination=examine(found, say=lambda _: None))
    assert found.coverage is not None
    measured = Measured(outcomes, found.coverage, len(INT8), found.examination.footprint, found.recipe.costs)
    budget = BudgetKeys(max_drop=0.5, latency_ms_p95=1000.0)
    return replace(found, lines=judge_budget(budget, measured, metric="accuracy"))


def test_tuning_gives_the_decision_of_the_bundle_and_keeps_the_recipes(artifact: Artifact) -> None:
    said: list[str] = []
    tuned = tune_decision(artifact, say=said.append)
    assert tuned.decision_before == artifact.decision
    assert tuned.decision != artifact.decision
    assert "120 calibration samples" in said[0]


def test_without_a_table_of_thresholds_the_decision_stays(artifact: Artifact) -> None:
    plain = replace(artifact, recipe=msgspec.structs.replace(artifact.recipe, thresholds=None))
    assert tune_decision(plain, say=print) is plain


def test_thresholds_are_never_tuned_on_the_evaluation_data(artifact: Artifact) -> None:
    same = replace(artifact, calibration=artifact.evaluation)
    with pytest.raises(CalibrationError, match="are the evaluation data"):
        tune_decision(same, say=print)


@pytest.mark.parametrize("y", [None, np.full(120, 3), np.linspace(0, 1, 120)])
def test_thresholds_are_not_tuned_without_labels_of_the_model(artifact: Artifact, y: Any) -> None:
    with pytest.raises(CalibrationError, match=r"labels|whole numbers"):
        tune_decision(replace(artifact, calibration=replace(artifact.calibration_set, y=y)), say=print)


def test_thresholds_are_not_tuned_on_training_data_that_are_not_there(artifact: Artifact) -> None:
    recipe: Recipe = msgspec.structs.replace(artifact.recipe, thresholds=ThresholdKeys(data="training"))
    with pytest.raises(CalibrationError, match="names no such data"):
        tune_decision(replace(artifact, recipe=recipe), say=print)


def test_a_report_asks_for_everything_and_nothing_is_measured_without_one(artifact: Artifact) -> None:
    found = evaluated(artifact).examination
    assert (len(found.maps), len(found.corruption)) == (32, 7)
    assert found.footprint is not None
    output = msgspec.structs.replace(artifact.recipe.output, report=None)
    plain = replace(artifact, recipe=msgspec.structs.replace(artifact.recipe, output=output))
    assert examine(plain, say=print).footprint is None


def test_a_report_is_the_same_but_for_its_timings(artifact: Artifact) -> None:
    judged = [evaluated(tune_decision(artifact, say=lambda _: None)) for _ in range(2)]
    first, second = (gather(each, BundleFacts("ff", 1)) for each in judged)
    assert [line.key for line in first.timings.lines] == ["latency_ms_p95"]
    assert msgspec.structs.replace(first, timings=second.timings) == second


def test_a_report_tells_what_could_not_be_measured_and_can_be_drawn(artifact: Artifact, tmp_path: Path) -> None:
    record = gather(evaluated(artifact), None)
    assert "120 values" in record.notes[0]
    assert [each.slice for each in record.slices] == ["camera=0", "camera=1"]
    assert sum(map(sum, record.confusion_after)) == 120
    assert "Not measured" in write_report(tmp_path / "run", record).read_text()
