"""An image classifier's outputs to findings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from edge_runtime.bundle.manifest import Manifest, TensorSpec
from edge_runtime.findings import Finding
from edge_runtime.inference.decision import class_findings, class_probabilities, fault_labels, real_output


class Classification:
    """Turn the first output of an image classifier into one finding per fault.

    Parameters
    ----------
    manifest : Manifest
        Labels and decision.
    output : TensorSpec
        The model's first output.

    Raises
    ------
    BundleFormatError
        If labels, outputs and thresholds do not fit together.
    """

    def __init__(self, manifest: Manifest, output: TensorSpec) -> None:
        n_outputs = 1
        for dimension in output.shape:
            n_outputs *= dimension
        self._labels = fault_labels(manifest.labels, n_outputs, manifest.decision)
        self._decision = manifest.decision
        self._output = output

    def findings(self, outputs: Sequence[npt.NDArray[Any]]) -> list[Finding]:
        """Give the findings of one frame.

        Parameters
        ----------
        outputs : sequence of arrays
            What the model gave.

        Returns
        -------
        findings : list of Finding
            One per label that is a fault, of kind "vision.defect".

        Raises
        ------
        InvocationError
            If an output is not finite or no probability.
        """
        values = real_output(self._output, outputs[0])
        probabilities = class_probabilities(values, len(self._labels), self._decision)
        return class_findings(probabilities, self._labels, self._decision, "vision.defect")
