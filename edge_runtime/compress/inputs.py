"""Raw samples to model inputs, by the device's own preprocessing."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from edge_runtime.bundle.manifest import ImagePreprocessing, Preprocessing, TensorSpec
from edge_runtime.errors import BundleFormatError, CalibrationError, MessageError
from edge_runtime.timeseries.normalise import WindowPreprocessor
from edge_runtime.vision.preprocess import ImagePreprocessor

Array = npt.NDArray[Any]


def prepare(x: Array, preprocessing: Preprocessing, tensor: TensorSpec, *, colour: Literal["rgb", "bgr"]) -> Array:
    """Preprocess samples as calibration, evaluation and the gateway all do.

    Parameters
    ----------
    x : array, shape (n, ...)
        uint8 pictures (n, height, width[, 3]), or real windows (n, length, n_channels) in physical units.
    preprocessing : Preprocessing
        The manifest's.
    tensor : TensorSpec
        The model's input.
    colour : {"rgb", "bgr"}
        Order of the channels of pictures.

    Returns
    -------
    inputs : array, shape (n, ...), dtype of ``tensor``
        Without the batch axis of 1.

    Raises
    ------
    CalibrationError
        If a sample does not fit the preprocessing.
    """
    try:
        if isinstance(preprocessing, ImagePreprocessing):
            return _prepare_pictures(x, ImagePreprocessor(preprocessing, tensor), tensor, colour)
        windows = WindowPreprocessor(preprocessing, tensor)
        samples = np.ascontiguousarray(x, np.float32)
        return np.stack([windows(sample).reshape(tensor.shape[1:]) for sample in samples])
    except (MessageError, BundleFormatError, ValueError) as error:
        raise CalibrationError(f"the samples do not fit the recipe's preprocessing: {error}") from error


def _prepare_pictures(x: Array, pictures: ImagePreprocessor, tensor: TensorSpec, colour: str) -> Array:
    if x.dtype != np.uint8:
        raise CalibrationError(
            f'"x" holds {x.dtype}; pictures are uint8 (n, height, width, 3), as a camera gives them: leave scaling to'
            " the recipe's [preprocessing] mean and std"
        )
    out = np.empty((len(x), *tensor.shape[1:]), np.dtype(tensor.dtype))
    for index, picture in enumerate(x):
        grey = picture.ndim == 2 or picture.shape[-1] == 1  # noqa: PLR2004 - height and width
        frame = picture.reshape(picture.shape[:2]) if grey else picture
        if not grey and colour == "rgb":
            frame = frame[..., ::-1]
        out[index] = pictures(np.ascontiguousarray(frame)).reshape(tensor.shape[1:])
    return out
