"""A classifier's outputs to findings, and a frame's findings to one verdict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy.typing as npt

from edge_runtime.bundle.manifest import Decision, Manifest, TensorSpec
from edge_runtime.findings import UNSURE, Finding
from edge_runtime.inference.decision import class_findings, class_probabilities, fault_labels, real_output

Verdict = Literal["ok", "ng", "unsure"]


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


def frame_verdict(findings: Sequence[Finding], decision: Decision) -> Verdict:
    """Say whether a part passes, by the findings of one frame.

    Parameters
    ----------
    findings : sequence of Finding
        What the inspector said about the frame.
    decision : Decision
        ``unsure`` is the band of the highest fault probability, lower end included, in which nobody should rely on
        the model.

    Returns
    -------
    verdict : {"ok", "ng", "unsure"}
        "unsure" also when there is no finding, or one that says so.

    Examples
    --------
    >>> frame_verdict([], Decision())
    'unsure'
    """
    if not findings or any(finding.label == UNSURE for finding in findings):
        return "unsure"
    if decision.unsure is not None:
        low, high = decision.unsure
        if low <= max(finding.score for finding in findings) < high:
            return "unsure"
    return "ng" if any(finding.abnormal for finding in findings) else "ok"
