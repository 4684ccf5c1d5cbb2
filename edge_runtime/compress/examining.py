"""What costs more time than an evaluation, and is done only where a line of the budget or a report asks for it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edge_runtime.bundle.manifest import TensorSpec
from edge_runtime.compress import attribution, corruption
from edge_runtime.compress.artifact import Array, Artifact, Examination
from edge_runtime.compress.attribution import AttributionMaps, compare_attribution
from edge_runtime.compress.corruption import CorruptionFigure, measure_corruption
from edge_runtime.compress.dataset import spread
from edge_runtime.compress.evaluate import run_all
from edge_runtime.compress.footprint import measure_footprint
from edge_runtime.compress.outcomes import Floats, Outcomes
from edge_runtime.compress.recipe import BudgetKeys
from edge_runtime.inference.interface import Runtime
from edge_runtime.inference.opening import open_runtime


def examine(artifact: Artifact, *, say: Callable[[str], None]) -> Examination:
    """Measure what the budget or the report asks for.

    Parameters
    ----------
    artifact : Artifact
        Evaluated.
    say : callable
        Told what happens.

    Returns
    -------
    examination : Examination
        Float and int8 ran in the same engine.
    """
    budget, everything = artifact.recipe.budget, artifact.recipe.output.report is not None
    footprint = float_footprint = None
    if everything or _asks_for_footprint(budget):
        say("measuring time and memory in a process of its own")
        footprint, float_footprint = measure_footprint(artifact.int8), measure_footprint(artifact.float32)
    maps: tuple[AttributionMaps, ...] = ()
    figures: tuple[CorruptionFigure, ...] = ()
    wants_maps = everything or budget.attribution_min is not None
    wants_damage = everything or budget.max_corruption_drop is not None
    if wants_maps or wants_damage:
        runtimes = open_runtime(artifact.float32, "tflite"), open_runtime(artifact.int8, "tflite")
        if wants_maps:
            say("comparing what float and int8 look at")
            maps = _explain(artifact, runtimes)
        if wants_damage:
            say("comparing float and int8 on damaged samples")
            figures = _damage(artifact, runtimes)
        for runtime in runtimes:
            runtime.close()
    return Examination(footprint, float_footprint, maps, figures)


def _asks_for_footprint(budget: BudgetKeys) -> bool:
    """Whether a line is about time or memory."""
    return budget.latency_ms_p95 is not None or budget.ram_kb is not None


def _input(runtime: Runtime) -> TensorSpec:
    return runtime.interface.inputs[0]


def _explain(artifact: Artifact, runtimes: tuple[Runtime, Runtime]) -> tuple[AttributionMaps, ...]:
    """Compare attribution maps of samples spread over the evaluation data."""
    evaluation = artifact.evaluation_set
    chosen = spread(len(evaluation), attribution.MOST_SAMPLES)
    plain, small = (artifact.prepare(evaluation.x[chosen], _input(runtime)) for runtime in runtimes)
    quantization = runtimes[1].interface.outputs[0].quantization
    step = quantization.scale[0] if quantization is not None else 0.0

    def run_float(inputs: Array) -> Floats:
        return run_all(runtimes[0], inputs)

    def run_int8(inputs: Array) -> Floats:
        return run_all(runtimes[1], inputs)

    return compare_attribution([int(each) for each in chosen], (plain, small), (run_float, run_int8), step=step)


def _damage(artifact: Artifact, runtimes: tuple[Runtime, Runtime]) -> tuple[CorruptionFigure, ...]:
    """Compare the models on damaged samples spread over the evaluation data."""
    evaluation, outcomes = artifact.evaluation_set, artifact.answers
    metric = "accuracy" if artifact.metric == "recall_min" else artifact.metric
    chosen = spread(len(evaluation), corruption.sample_count(evaluation.x[0].nbytes))
    subset = Outcomes(
        outcomes.task,
        outcomes.labels,
        outcomes.decision,
        outcomes.y[chosen],
        outcomes.before[chosen],
        outcomes.after[chosen],
        None if outcomes.groups is None else outcomes.groups[chosen],
    )

    def predict(x: Array) -> tuple[Floats, Floats]:
        before, after = (run_all(runtime, artifact.prepare(x, _input(runtime))) for runtime in runtimes)
        return before, after

    return measure_corruption(np.asarray(evaluation.x[chosen]), subset, predict, metric)
