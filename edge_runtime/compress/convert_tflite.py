"""Keras to TFLite, full int8 and float. Only ever imported in the child process.

Convolutional models go through the converter as they are. Recurrent ones go through a twin in tf_keras with the same
weights, because only its LSTM becomes the fused operator; the converter crashes on the other in int8.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.compress.recurrent import build_twin, is_recurrent

Floats = npt.NDArray[np.float32]


def convert_to_tflite(model: Any, samples: Floats) -> tuple[bytes, bytes]:  # noqa: ANN401 - Keras has no types
    """Convert a float model.

    Parameters
    ----------
    model : keras.Model
        One input of fixed shape.
    samples : float32, shape (n, ...)
        Calibration samples as the model takes them.

    Returns
    -------
    int8, float32 : bytes
        The two TFLite models, batch 1.

    Raises
    ------
    UnsupportedModelError
        If a recurrent model holds a layer that the twin does not have.
    """
    import tensorflow as tf  # noqa: PLC0415 - heavy

    make = _recurrent_source(model) if is_recurrent(model) else _plain_source(model)

    def representative() -> Iterator[list[Floats]]:
        for sample in samples:
            yield [np.ascontiguousarray(sample[np.newaxis], np.float32)]

    quantizing = make()
    quantizing.optimizations = [tf.lite.Optimize.DEFAULT]
    quantizing.representative_dataset = representative
    quantizing.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    quantizing.inference_input_type = tf.int8
    quantizing.inference_output_type = tf.int8
    return bytes(quantizing.convert()), bytes(make().convert())


def _recurrent_source(model: Any) -> Callable[[], Any]:  # noqa: ANN401 - Keras has no types
    """Give converters of the twin, from a function of batch 1: only so is the LSTM fused."""
    import tensorflow as tf  # noqa: PLC0415 - heavy

    twin = build_twin(model)
    shape = (1, *model.inputs[0].shape[1:])
    function = tf.function(lambda x: twin(x, training=False)).get_concrete_function(tf.TensorSpec(shape, tf.float32))
    return lambda: tf.lite.TFLiteConverter.from_concrete_functions([function], twin)


def _plain_source(model: Any) -> Callable[[], Any]:  # noqa: ANN401 - Keras has no types
    """Give converters of the model with its batch fixed to 1.

    A function of a Keras 3 model reads its variables when it runs, which the calibrator cannot; the converter's own
    way to a Keras model freezes them.
    """
    import keras  # noqa: PLC0415 - heavy
    import tensorflow as tf  # noqa: PLC0415 - heavy

    source = keras.Input(tuple(model.inputs[0].shape[1:]), batch_size=1)
    fixed = keras.Model(source, model(source, training=False))
    return lambda: tf.lite.TFLiteConverter.from_keras_model(fixed)
