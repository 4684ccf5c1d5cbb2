"""A frame to findings: preprocess, run, decide."""

from __future__ import annotations

import numpy as np

from edge_runtime.bundle.manifest import ImagePreprocessing, Manifest
from edge_runtime.errors import BundleFormatError
from edge_runtime.findings import Finding, Frame
from edge_runtime.inference.interface import Runtime
from edge_runtime.vision.classification import Classification
from edge_runtime.vision.preprocess import ImagePreprocessor


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
