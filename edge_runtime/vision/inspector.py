"""A frame to findings: preprocess, run, decide; and findings to the verdict on a part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from edge_runtime.bundle.manifest import Decision, ImagePreprocessing, Manifest
from edge_runtime.errors import BundleFormatError
from edge_runtime.findings import UNSURE, Finding, Frame
from edge_runtime.inference.interface import Runtime
from edge_runtime.vision.classification import Classification
from edge_runtime.vision.preprocess import ImagePreprocessor

Verdict = Literal["ok", "ng", "unsure"]


class Inspector:
    """Look at frames with one model. A plain callable: no daemon, no broker, no clock.

    Parameters
    ----------
    manifest : Manifest
        The bundle's manifest; its task is "classification" and its preprocessing that of images.
    runtime : Runtime
        The bundle's model, loaded; it stays the caller's to close.

    Raises
    ------
    BundleFormatError
        If the manifest is not one of an image classifier, or does not fit the model.
    """

    def __init__(self, manifest: Manifest, runtime: Runtime) -> None:
        preprocessing = manifest.preprocessing
        if manifest.task != "classification" or not isinstance(preprocessing, ImagePreprocessing):
            raise BundleFormatError(
                f'"{manifest.name}" is a {manifest.task} model; a camera needs a classification model of images'
            )
        inputs, outputs = runtime.interface.inputs, runtime.interface.outputs
        if len(inputs) != 1:
            raise BundleFormatError(f'"{manifest.name}" takes {len(inputs)} inputs; a camera gives one')
        self.manifest = manifest
        self._runtime = runtime
        self._preprocessor = ImagePreprocessor(preprocessing, inputs[0])
        self._classification = Classification(manifest, outputs[0])
        self._tensor = np.empty(inputs[0].shape, inputs[0].dtype)

    def __call__(self, frame: Frame) -> list[Finding]:
        """Say what is in a frame.

        Parameters
        ----------
        frame : Frame
            The picture.

        Returns
        -------
        findings : list of Finding
            One per label that is a fault, whether or not it is there.

        Raises
        ------
        PayloadFormatError
            If the frame's pixels are no picture that the model can take.
        InvocationError
            If the engine fails or gives no usable output.
        """
        self._preprocessor.fill_into(frame.pixels, self._tensor)
        return self._classification.findings(self._runtime.run([self._tensor]))


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
