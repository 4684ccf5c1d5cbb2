"""What two models said about the same samples, and what each of them would have decided about a part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.bundle.manifest import Decision
from edge_runtime.errors import CalibrationError, InvocationError
from edge_runtime.inference.decision import class_probabilities

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]
Reals = npt.NDArray[np.float64]

#: Codes of verdicts.
OK, UNSURE, NG = 0, 1, 2
#: A slice with more values than this is no camera, lot or shift.
MOST_SLICE_VALUES = 64
_HALF = 0.5


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Raw outputs of the model before and the model after, sample by sample.

    Attributes
    ----------
    task : str
        "classification" or "regression".
    labels : tuple of str
        In the order of the outputs; empty for regression.
    decision : Decision
        How outputs become findings.
    y : array, shape (n,)
        Index of the true label, or target in its unit.
    before, after : float32, shape (n, n_outputs)
        Dequantized outputs.
    groups : array or None
        Samples of one group are not independent.
    slices : mapping of str to array
        Camera, lot, shift: by name, shape (n,).
    decision_before : Decision or None
        What the model before is decided with, where that is another.
    """

    task: str
    labels: tuple[str, ...]
    decision: Decision
    y: Array
    before: Floats
    after: Floats
    groups: Array | None = None
    slices: Mapping[str, Array] = field(default_factory=dict)
    decision_before: Decision | None = None

    def __len__(self) -> int:
        return len(self.y)

    @property
    def classifies(self) -> bool:
        """Whether samples are right or wrong, rather than more or less wrong."""
        return self.task == "classification"

    def said(self, outputs: Floats) -> npt.NDArray[np.intp]:
        """Give the label that outputs speak for; ties go to the first."""
        if outputs.shape[1] > 1:
            return np.asarray(outputs.argmax(axis=1), np.intp)
        edge = 0.0 if self.decision.activation == "sigmoid" else _HALF
        return (outputs[:, 0] > edge).astype(np.intp)

    def hits(self, outputs: Floats) -> Flags:
        """Say which samples got their true label."""
        return np.asarray(self.said(outputs) == self.y.astype(np.intp))

    def values(self, outputs: Floats) -> Reals:
        """Give predictions of a regression in the unit of the target."""
        scale, offset = np.float32(self.decision.output_scale), np.float32(self.decision.output_offset)
        return (outputs[:, 0] * scale + offset).astype(np.float64)

    def errors(self, outputs: Floats) -> Reals:
        """Give prediction minus target of a regression."""
        return self.values(outputs) - self.y.astype(np.float64).reshape(len(self), -1)[:, 0]

    def probabilities(self, outputs: Floats) -> Floats:
        """Give one probability per label, as the device computes them.

        Raises
        ------
        CalibrationError
            If the outputs are no probabilities.
        """
        return probabilities(outputs, len(self.labels), self.decision)

    def verdicts(self, *, after: bool) -> npt.NDArray[np.int8]:
        """Give one model's verdict on each sample: ``OK``, ``UNSURE`` or ``NG``."""
        outputs = self.after if after else self.before
        decision = self.decision if after else self.decision_before or self.decision
        if self.classifies:
            return verdicts(self.probabilities(outputs), self.labels, decision)
        return np.where(self._is_beyond(self.values(outputs)), NG, OK).astype(np.int8)

    def faulty(self) -> Flags:
        """Say which samples are faults in truth."""
        if self.classifies:
            return np.isin(self.y.astype(np.intp), fault_columns(self.labels, self.decision))
        return self._is_beyond(self.y.astype(np.float64).reshape(len(self), -1)[:, 0])

    @property
    def decides(self) -> bool:
        """Whether there is a verdict at all: a regression without a threshold has none."""
        return self.classifies or self.decision.quantity in self.decision.thresholds

    def _is_beyond(self, values: Reals) -> Flags:
        """Say which values lie on the fault side of a regression's threshold."""
        threshold = self.decision.thresholds[self.decision.quantity].raise_at
        return np.asarray(values >= threshold if self.decision.direction == "above" else values <= threshold)


def probabilities(outputs: Floats, n_labels: int, decision: Decision) -> Floats:
    """Give one probability per sample and label, by the device's own function.

    Parameters
    ----------
    outputs : float32, shape (n, n_outputs)
        Of a classifier, in real values.
    n_labels : int
        Labels of the model; two for a model with one output.
    decision : Decision
        Its activation.

    Returns
    -------
    probabilities : float32, shape (n, n_labels)

    Raises
    ------
    CalibrationError
        If the outputs are no probabilities and the decision names no activation.
    """
    try:
        return np.stack([class_probabilities(row, n_labels, decision) for row in outputs])
    except InvocationError as error:
        raise CalibrationError(f"{error}; set [decision] activation in the recipe") from error


def fault_columns(labels: Sequence[str], decision: Decision) -> list[int]:
    """Give the places of the labels that are faults."""
    return [index for index, label in enumerate(labels) if label not in decision.normal]


def verdicts(scores: Floats, labels: Sequence[str], decision: Decision) -> npt.NDArray[np.int8]:
    """Say of each sample whether its part passes, as ``vision.inspector.frame_verdict`` does for one frame.

    Parameters
    ----------
    scores : float32, shape (n, n_labels)
        Probabilities.
    labels : sequence of str
        In the order of the columns.
    decision : Decision
        Normal labels, thresholds and unsure band.

    Returns
    -------
    verdicts : int8, shape (n,)
        ``OK``, ``UNSURE`` or ``NG``; all unsure where no label is a fault.
    """
    columns = fault_columns(labels, decision)
    if not columns:
        return np.full(len(scores), UNSURE, np.int8)
    faults = scores[:, columns].astype(np.float64)
    levels = np.array([decision.thresholds[labels[column]].raise_at for column in columns])
    said = np.where((faults >= levels).any(axis=1), NG, OK)
    if decision.unsure is not None:
        highest = faults.max(axis=1)
        said[(decision.unsure[0] <= highest) & (highest < decision.unsure[1])] = UNSURE
    return said.astype(np.int8)


def split_slice(name: str, column: Array) -> list[tuple[str, npt.NDArray[np.intp]]]:
    """Part samples by the values of a slice.

    Parameters
    ----------
    name : str
        Of the slice, for the message.
    column : array, shape (n,)
        A value per sample.

    Returns
    -------
    parts : list of (str, intp array)
        Each value as text with the places of its samples, in the order of the values.

    Raises
    ------
    CalibrationError
        If there are more than 64 values.
    """
    found, inverse = np.unique(column, return_inverse=True)
    if len(found) > MOST_SLICE_VALUES:
        raise CalibrationError(
            f'slice "{name}" of the evaluation data has {len(found)} values, at most {MOST_SLICE_VALUES} can be told'
            " apart; group them"
        )
    places = inverse.reshape(-1)
    return [(str(value), np.flatnonzero(places == index)) for index, value in enumerate(found)]
