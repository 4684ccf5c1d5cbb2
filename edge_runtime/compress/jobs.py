"""What the child process of :mod:`~edge_runtime.compress.foundry` does: everything that needs TensorFlow.

Each job takes and gives plain values; arrays and models are files. The protocol is one JSON object per line.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edge_runtime.errors import EdgeRuntimeError, UnsupportedModelError

Result = dict[str, Any]


def describe(*, model: str) -> Result:
    """Read a Keras model and say what it is.

    Parameters
    ----------
    model : str
        ``.keras`` or ``.h5``.

    Returns
    -------
    result : dict
        inputs and outputs (name, shape without batch), parameters, layers (name, class, parameters), recurrent.
    """
    from edge_runtime.compress.source import load_keras  # noqa: PLC0415 - loads TensorFlow

    loaded = load_keras(model)
    return {
        "name": loaded.name,
        "inputs": [{"name": each.name, "shape": list(each.shape[1:])} for each in loaded.inputs],
        "outputs": [{"name": each.name, "shape": list(each.shape[1:])} for each in loaded.outputs],
        "parameters": int(loaded.count_params()),
        "layers": [
            {"name": layer.name, "class": type(layer).__name__, "parameters": int(layer.count_params())}
            for layer in loaded.layers
        ],
        "recurrent": any(type(layer).__name__ in {"LSTM", "GRU", "SimpleRNN"} for layer in loaded.layers),
    }


def predict(*, model: str, inputs: str, outputs: str) -> Result:
    """Run the float model on samples.

    Parameters
    ----------
    model : str
        ``.keras`` or ``.h5``.
    inputs : str
        ``.npy`` with float32 samples, preprocessed.
    outputs : str
        ``.npy`` to write: the first output, float32.
    """
    from edge_runtime.compress.source import load_keras  # noqa: PLC0415 - loads TensorFlow

    loaded = load_keras(model)
    x = np.load(inputs, mmap_mode="r", allow_pickle=False)
    parts = [np.asarray(loaded(x[first : first + 256], training=False)) for first in range(0, len(x), 256)]
    np.save(outputs, np.concatenate(parts).astype(np.float32))
    return {"samples": len(x)}


def convert(*, model: str, calibration: str, int8: str, float32: str) -> Result:
    """Quantize a float model to full int8 TFLite, and convert it to float TFLite for comparison.

    Parameters
    ----------
    model : str
        ``.keras`` or ``.h5``.
    calibration : str
        ``.npy`` with float32 samples, preprocessed.
    int8, float32 : str
        ``.tflite`` files to write.
    """
    from edge_runtime.compress.convert_tflite import convert_to_tflite  # noqa: PLC0415 - loads TensorFlow
    from edge_runtime.compress.source import load_keras  # noqa: PLC0415 - loads TensorFlow

    samples = np.load(calibration, mmap_mode="r", allow_pickle=False)
    quantized, plain = convert_to_tflite(load_keras(model), samples)
    Path(int8).write_bytes(quantized)
    Path(float32).write_bytes(plain)
    return {"int8_bytes": len(quantized), "float32_bytes": len(plain)}


JOBS: dict[str, Callable[..., Result]] = {"describe": describe, "predict": predict, "convert": convert}


def answer(line: bytes) -> dict[str, object]:
    """Do one job and word its result or error."""
    order = msgspec.json.decode(line)
    try:
        return {"result": JOBS[order["job"]](**order["arguments"])}
    except UnsupportedModelError as error:
        return {"error": "unsupported", "text": str(error)}
    except EdgeRuntimeError as error:
        return {"error": "conversion", "text": str(error)}
    except (ValueError, TypeError, RuntimeError, NotImplementedError, OSError, KeyError, AttributeError) as error:
        # TensorFlow, Keras and the converter raise all of these for models that they cannot take.
        text = " ".join(str(error).split())[:1500] or type(error).__name__
        return {"error": "conversion", "text": f"{order['job']}: {text}"}


def main() -> None:
    """Answer jobs until standard input closes; what libraries print goes to standard error."""
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    for line in sys.stdin.buffer:
        replies.write(msgspec.json.encode(answer(line)) + b"\n")
        replies.flush()


if __name__ == "__main__":
    main()
