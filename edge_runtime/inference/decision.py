"""Outputs of a model to findings, with the thresholds of its manifest; shared by frames and sensor windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from edge_runtime.bundle.manifest import Decision, TensorSpec, Threshold
from edge_runtime.errors import BundleFormatError, InvocationError
from edge_runtime.findings import Finding, Kind
from edge_runtime.kernels.quantize import CODE_RANGE, dequantize

Floats = npt.NDArray[np.float32]
Side = Literal["above", "below"]

#: How far a probability given by a model itself may lie outside 0..1: rounding, not another quantity.
_PROBABILITY_SLACK: Final = 0.01


def real_output(spec: TensorSpec, output: npt.NDArray[Any]) -> Floats:
    """Give the real values of one output.

    Parameters
    ----------
    spec : TensorSpec
        The output's dtype and quantization.
    output : array of ``spec.dtype``
        What the model gave.

    Returns
    -------
    values : float32, shape of ``output``

    Raises
    ------
    BundleFormatError
        If an integer output has no quantization per tensor.
    """
    if spec.dtype not in CODE_RANGE:
        return output.astype(np.float32)
    quantization = spec.quantization
    if quantization is None or len(quantization.scale) != 1 or len(quantization.zero_point) != 1:
        raise BundleFormatError(f'output "{spec.name}" is {spec.dtype} and needs one scale and one zero point')
    return dequantize(output, quantization.scale[0], quantization.zero_point[0])


def activate(values: Floats, activation: Literal["none", "softmax", "sigmoid"]) -> Floats:
    """Turn the outputs of a classifier into probabilities.

    Parameters
    ----------
    values : float32, shape (n,)
        Outputs in real values.
    activation : {"none", "softmax", "sigmoid"}
        What the model leaves to do; "none" when its outputs are probabilities already.

    Returns
    -------
    probabilities : float32, shape (n,), 0..1

    Raises
    ------
    InvocationError
        If a value is not finite, or with "none" lies more than 0.01 outside 0..1.

    Examples
    --------
    >>> activate(np.array([0.0, 0.0], np.float32), "softmax")
    array([0.5, 0.5], dtype=float32)
    """
    if not np.isfinite(values).all():
        raise InvocationError("the model gave NaN or infinity")
    if activation == "softmax":
        with np.errstate(over="ignore", under="ignore"):  # far below the largest is 0
            powers = np.exp(values - values.max())
        return np.asarray(powers / powers.sum(), np.float32)
    if activation == "sigmoid":
        # exp only of what is not positive: it cannot overflow.
        with np.errstate(under="ignore"):
            shrunk = np.exp(-np.abs(values))
        return np.where(values >= 0, 1 / (1 + shrunk), shrunk / (1 + shrunk)).astype(np.float32)
    if values.size and not (values.min() >= -_PROBABILITY_SLACK and values.max() <= 1 + _PROBABILITY_SLACK):
        raise InvocationError(
            f"outputs {values.min():g}..{values.max():g} are no probabilities: the manifest's activation must be "
            '"softmax" or "sigmoid"'
        )
    return np.clip(values, 0.0, 1.0)


def fault_labels(labels: Sequence[str], n_outputs: int, decision: Decision) -> tuple[str, ...]:
    """Give the label of each probability, after checking that labels, outputs and thresholds fit together.

    Parameters
    ----------
    labels : sequence of str
        The manifest's labels.
    n_outputs : int
        Values that the model gives; one value for two labels is the probability of the second.
    decision : Decision
        The manifest's decision.

    Returns
    -------
    labels : tuple of str
        One per probability.

    Raises
    ------
    BundleFormatError
        If the counts differ, or a label that is a fault has no threshold.
    """
    two_of_one = n_outputs == 1 and len(labels) == 2  # noqa: PLR2004 - a binary model
    if len(labels) != n_outputs and not two_of_one:
        raise BundleFormatError(f"the model gives {n_outputs} values for {len(labels)} labels")
    missing = [label for label in labels if label not in decision.normal and label not in decision.thresholds]
    if missing:
        raise BundleFormatError(
            f"decision.thresholds lacks {', '.join(missing)}: every label but the normal ones needs one"
        )
    return tuple(labels)


def class_probabilities(values: Floats, n_labels: int, decision: Decision) -> Floats:
    """Give one probability per label.

    Parameters
    ----------
    values : float32, any shape
        The first output of a classifier, in real values.
    n_labels : int
        Labels of the model; two for a model with one value.
    decision : Decision
        The manifest's decision.

    Returns
    -------
    probabilities : float32, shape (n_labels,)

    Raises
    ------
    InvocationError
        If a value is not finite or no probability.
    """
    probabilities = activate(values.reshape(-1), decision.activation)
    if probabilities.size == 1 and n_labels == 2:  # noqa: PLR2004 - a binary model
        return np.concatenate([1 - probabilities, probabilities])
    return probabilities


def class_findings(probabilities: Floats, labels: Sequence[str], decision: Decision, kind: Kind) -> list[Finding]:
    """Give one finding per label that is a fault, with ``abnormal`` by its threshold.

    Parameters
    ----------
    probabilities : float32, shape (n,)
        One per label.
    labels : sequence of str
        Labels in the model's order.
    decision : Decision
        Normal labels and thresholds.
    kind : Kind
        Family of the findings.

    Returns
    -------
    findings : list of Finding
        In the order of the labels; the normal ones give none.
    """
    return [
        _finding(kind, label, float(score), decision.thresholds[label], "above")
        for label, score in zip(labels, probabilities, strict=True)
        if label not in decision.normal
    ]


def quantity_finding(values: Floats, decision: Decision, kind: Kind) -> Finding:
    """Give the finding of a regression: its value in its unit, with its interval.

    Parameters
    ----------
    values : float32, at least one value
        The first output, in real values; the last value counts (a sequence model's last step).
    decision : Decision
        Quantity, unit, scale, offset, interval (half its width, in ``unit``), threshold and direction.
    kind : Kind
        Family of the finding.

    Returns
    -------
    finding : Finding
        ``score`` is the value; without a threshold it is never abnormal.

    Raises
    ------
    InvocationError
        If the value is not finite.
    """
    value = float(values.reshape(-1)[-1]) * decision.output_scale + decision.output_offset
    if not np.isfinite(value):
        raise InvocationError(f"the model gave {value} as {decision.quantity}")
    low = high = None
    if decision.interval is not None:
        low, high = value - decision.interval, value + decision.interval
    never = float("inf") if decision.direction == "above" else float("-inf")
    threshold = decision.thresholds.get(decision.quantity, Threshold(raise_at=never, clear_at=never))
    return _finding(
        kind, decision.quantity, value, threshold, decision.direction, interval=(low, high), unit=decision.unit
    )


def _finding(
    kind: Kind,
    label: str,
    score: float,
    threshold: Threshold,
    side: Side,
    *,
    interval: tuple[float | None, float | None] | None = None,
    unit: str = "",
) -> Finding:
    """Compare a score with its threshold: abnormal at it and beyond, clearable strictly on the other side."""
    above = side == "above"
    low, high = interval if interval is not None else (None, None)
    return Finding(
        kind=kind,
        label=label,
        score=score,
        threshold=threshold.raise_at,
        clear_below=threshold.clear_at,
        abnormal=score >= threshold.raise_at if above else score <= threshold.raise_at,
        clearable=score < threshold.clear_at if above else score > threshold.clear_at,
        value=score if interval is not None else None,
        value_low=low,
        value_high=high,
        unit=unit,
    )
