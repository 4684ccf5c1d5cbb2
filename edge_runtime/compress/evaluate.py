"""What was lost: float and int8 on the same samples, through the real engine, with intervals."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.bundle.manifest import Metric
from edge_runtime.compress.figures import error, share
from edge_runtime.compress.outcomes import Outcomes
from edge_runtime.compress.statistics import Figure
from edge_runtime.inference.decision import real_output
from edge_runtime.inference.interface import Runtime

Floats = npt.NDArray[np.float32]
_WARM_UP, _TIMED = 10, 100


@dataclass(frozen=True, slots=True)
class Latency:
    """Time of one inference on one thread of this machine, ms."""

    p50_ms: float
    p95_ms: float


def run_all(runtime: Runtime, samples: npt.NDArray[Any]) -> Floats:
    """Run samples through an engine.

    Parameters
    ----------
    runtime : Runtime
        With one input; its first output is taken.
    samples : array, shape (n, ...)
        In the input's dtype.

    Returns
    -------
    values : float32, shape (n, ...)
        Dequantized.
    """
    spec = runtime.interface.inputs[0]
    output = runtime.interface.outputs[0]
    rows = [runtime.run([sample.reshape(spec.shape)])[0] for sample in samples]
    return real_output(output, np.concatenate([row.reshape(1, -1) for row in rows]))


def time_runtime(runtime: Runtime, sample: npt.NDArray[Any]) -> Latency:
    """Time one input over and over."""
    tensor = sample.reshape(runtime.interface.inputs[0].shape)
    times = []
    for index in range(_WARM_UP + _TIMED):
        started = time.perf_counter()
        runtime.run([tensor])
        if index >= _WARM_UP:
            times.append((time.perf_counter() - started) * 1e3)
    ordered = sorted(times)
    return Latency(ordered[len(ordered) // 2], ordered[math.ceil(0.95 * len(ordered)) - 1])


def measure_metrics(outcomes: Outcomes, outputs: Floats) -> tuple[Metric, ...]:
    """Measure one model.

    Parameters
    ----------
    outcomes : Outcomes
        Samples, truth and decision.
    outputs : float32, shape (n, n_outputs)
        ``before`` or ``after`` of it.

    Returns
    -------
    metrics : tuple of Metric
        Classification: "accuracy" first, then "recall" and "precision" with the label as slice, with Wilson intervals.
        Regression: "rmse" and "mae" with bootstrap intervals. Intervals respect groups.
    """
    if outcomes.classifies:
        return _classification(outcomes, outcomes.said(outputs))
    errors = outcomes.errors(outputs)
    return tuple(_metric(name, error(name, errors, outcomes.groups)) for name in ("rmse", "mae"))


def _classification(outcomes: Outcomes, said: npt.NDArray[np.intp]) -> tuple[Metric, ...]:
    truth, groups = outcomes.y.astype(np.intp), outcomes.groups
    hits = said == truth

    def among(chosen: npt.NDArray[np.bool_]) -> Figure:
        return share(hits[chosen], None if groups is None else groups[chosen])

    metrics = [_metric("accuracy", share(hits, groups))]
    for index, label in enumerate(outcomes.labels):
        metrics.append(_metric("recall", among(truth == index), label))
        metrics.append(_metric("precision", among(said == index), label))
    return tuple(metrics)


def find_metric(metrics: Sequence[Metric], name: str, label: str = "") -> Metric | None:
    """Find a metric by name and slice."""
    return next((each for each in metrics if each.name == name and each.slice == label), None)


def _metric(name: str, found: Figure, label: str = "") -> Metric:
    """Write a figure down; its interval always holds it, and is left out where there is none."""
    value = round(found.value, 6)
    if not all(map(math.isfinite, found.interval)):
        return Metric(name=name, value=value, n=found.n, slice=label)
    low, high = (round(each, 6) for each in found.interval)
    return Metric(name=name, value=value, n=found.n, low=min(low, value), high=max(high, value), slice=label)
