"""Keras models from files. Only ever imported in the child process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.errors import UnsupportedModelError

MAX_MODEL_BYTES = 2 << 30


def load_keras(path: str) -> Any:  # noqa: ANN401 - Keras has no types
    """Read a Keras 3 model, or a legacy ``.h5``.

    Parameters
    ----------
    path : str
        The file; code inside it (Lambda layers) is refused.

    Returns
    -------
    model : keras.Model
        Built, with finite weights, one input or more of fixed shape.

    Raises
    ------
    UnsupportedModelError
        If it is no Keras model, holds code or custom layers, NaN weights, or an input of unknown shape.
    """
    import keras  # noqa: PLC0415 - heavy

    if Path(path).stat().st_size > MAX_MODEL_BYTES:
        raise UnsupportedModelError(f"{path}: larger than {MAX_MODEL_BYTES} bytes; this toolchain is for small models")
    try:
        model = keras.models.load_model(path, compile=False, safe_mode=True)
    except (ValueError, TypeError, OSError, KeyError) as error:
        text = " ".join(str(error).split())[:600]
        raise UnsupportedModelError(f"{path}: not a Keras model that can be read: {text}") from error
    for layer in model.layers:
        if not all(np.isfinite(weight).all() for weight in layer.get_weights() if weight.dtype.kind == "f"):
            raise UnsupportedModelError(f'{path}: layer "{layer.name}" has NaN or infinite weights')
    for tensor in model.inputs:
        if any(size is None for size in tensor.shape[1:]):
            raise UnsupportedModelError(
                f'{path}: input "{tensor.name}" has shape {tuple(tensor.shape)}; fix every size but the batch,'
                " since a gateway plans its memory beforehand"
            )
    if len(model.inputs) != 1:
        raise UnsupportedModelError(f"{path}: {len(model.inputs)} inputs; this release takes models with one")
    return model
