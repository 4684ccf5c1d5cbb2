"""Outputs of a model of machine failure to findings: a probability per fault, or a quantity with its unit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from edge_runtime.bundle.manifest import Manifest, TensorSpec
from edge_runtime.errors import BundleFormatError
from edge_runtime.findings import Finding
from edge_runtime.inference.decision import (
    class_findings,
    class_probabilities,
    fault_labels,
    quantity_finding,
    real_output,
)


class FailureModel:
    """Turn the first output of a classifier or a regression of sensor windows into findings.

    Parameters
    ----------
    manifest : Manifest
        Task, labels and decision.
    output : TensorSpec
        The model's first output.

    Raises
    ------
    BundleFormatError
        If the task is another, or labels, outputs, quantity and thresholds do not fit together.
    """

    def __init__(self, manifest: Manifest, output: TensorSpec) -> None:
        self._decision = manifest.decision
        self._output = output
        self._labels: tuple[str, ...] = ()
        if manifest.task == "classification":
            self._labels = fault_labels(manifest.labels, math.prod(output.shape), manifest.decision)
        elif manifest.task == "regression":
            if not manifest.decision.quantity:
                raise BundleFormatError(
                    f'"{manifest.name}" is a regression without decision.quantity: name what it predicts'
                )
        else:
            raise BundleFormatError(
                f'"{manifest.name}" is a {manifest.task} model; sensor windows need classification or regression'
            )

    def findings(self, outputs: Sequence[npt.NDArray[Any]]) -> list[Finding]:
        """Give the findings of one window.

        Parameters
        ----------
        outputs : sequence of arrays
            What the model gave.

        Returns
        -------
        findings : list of Finding
            Of kind "timeseries.failure": one per label that is a fault, or one for the quantity.

        Raises
        ------
        InvocationError
            If an output is not finite or no probability.
        """
        values = real_output(self._output, outputs[0])
        if self._labels:
            probabilities = class_probabilities(values, len(self._labels), self._decision)
            return class_findings(probabilities, self._labels, self._decision, "timeseries.failure")
        return [quantity_finding(values, self._decision, "timeseries.failure")]
