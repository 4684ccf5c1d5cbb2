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
from edge_runtime.inference.decision import real_output
from edge_runtime.inference.interface import Runtime

Floats = npt.NDArray[np.float32]
_Z95 = 1.959963984540054
_RESAMPLES = 1000
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


def wilson(hits: int, n: int) -> tuple[float, float]:
    """Give the 95 % Wilson interval of a share.

    Parameters
    ----------
    hits, n : int
        0 <= hits <= n.

    Returns
    -------
    low, high : float
        0 and 1 when ``n`` is 0.

    Examples
    --------
    >>> [round(each, 3) for each in wilson(95, 100)]
    [0.888, 0.978]
    """
    if n == 0:
        return 0.0, 1.0
    share, z2 = hits / n, _Z95 * _Z95
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z95 * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return max(0.0, middle - half), min(1.0, middle + half)


def classification_metrics(scores: Floats, y: npt.NDArray[Any], labels: Sequence[str]) -> tuple[Metric, ...]:
    """Measure accuracy, and recall and precision per label.

    Parameters
    ----------
    scores : float32, shape (n, n_labels)
        Probabilities or logits; with one column, the probability of the second of two labels.
    y : int, shape (n,)
        Index of the true label.
    labels : sequence of str
        In the order of the columns.

    Returns
    -------
    metrics : tuple of Metric
        "accuracy" first, then "recall" and "precision" with the label as slice. Ties go to the first label.
    """
    said = (scores[:, 0] > 0.5).astype(np.intp) if scores.shape[1] == 1 else scores.argmax(axis=1)  # noqa: PLR2004 - half
    truth = y.astype(np.intp)
    metrics = [_share("accuracy", int((said == truth).sum()), len(truth))]
    for index, label in enumerate(labels):
        hits = int(((said == index) & (truth == index)).sum())
        metrics.append(_share("recall", hits, int((truth == index).sum()), label))
        metrics.append(_share("precision", hits, int((said == index).sum()), label))
    return tuple(metrics)


def regression_metrics(values: Floats, y: npt.NDArray[Any]) -> tuple[Metric, ...]:
    """Measure RMSE and mean absolute error with bootstrap intervals (seeded, percentile).

    Parameters
    ----------
    values : float32, shape (n,)
        Predictions in the unit of the target.
    y : float, shape (n,)
        Targets.

    Returns
    -------
    metrics : tuple of Metric
        "rmse" and "mae".
    """
    errors = values.astype(np.float64) - y.astype(np.float64)
    draws = np.random.default_rng(20250101).integers(0, len(errors), (_RESAMPLES, len(errors)))
    squares = np.sqrt((errors[draws] ** 2).mean(axis=1))
    absolutes = np.abs(errors[draws]).mean(axis=1)
    return (
        _interval("rmse", float(np.sqrt((errors**2).mean())), squares, len(errors)),
        _interval("mae", float(np.abs(errors).mean()), absolutes, len(errors)),
    )


def find_metric(metrics: Sequence[Metric], name: str, label: str = "") -> Metric | None:
    """Find a metric by name and slice."""
    return next((each for each in metrics if each.name == name and each.slice == label), None)


def _share(name: str, hits: int, n: int, label: str = "") -> Metric:
    low, high = wilson(hits, n)
    value = hits / n if n else 0.0
    return Metric(name=name, value=round(value, 6), n=n, low=round(low, 6), high=round(high, 6), slice=label)


def _interval(name: str, value: float, resampled: npt.NDArray[np.float64], n: int) -> Metric:
    low, high = np.quantile(resampled, [0.025, 0.975])
    return Metric(name=name, value=round(value, 6), n=n, low=round(float(low), 6), high=round(float(high), 6))
