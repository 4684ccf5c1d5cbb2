"""``compress quantize``: file in, file out."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_runtime.bundle.manifest import TensorSpec
from edge_runtime.compress.coverage import Coverage, measure_coverage
from edge_runtime.compress.data.loading import load_dataset
from edge_runtime.compress.data.reading import Reading
from edge_runtime.compress.dataset import spread
from edge_runtime.compress.defaults import default_preprocessing
from edge_runtime.compress.foundry import Foundry
from edge_runtime.compress.inputs import prepare
from edge_runtime.compress.publish import write_file
from edge_runtime.errors import CalibrationError, ConversionError

_SAMPLES = 500


def quantize_file(model: Path, calibration: Path, out: Path, *, say: Callable[[str], None]) -> tuple[Coverage, int]:
    """Quantize a Keras model to full int8 TFLite.

    Parameters
    ----------
    model : Path
        ``.keras`` or ``.h5``.
    calibration : Path
        NPZ with ``x`` float32 (n, ...), as the model takes it; or pictures in any format of ``docs/data.md``, which
        are stretched to the model's size and fed as grey levels 0..255.
    out : Path
        The TFLite file.
    say : callable
        Told what happens.

    Returns
    -------
    coverage : Coverage
        What is integer: everything.
    size : int
        Bytes written.

    Raises
    ------
    CompressionError
        If model or data cannot be used, or the converter leaves something in float; nothing is written.
    """
    with tempfile.TemporaryDirectory(prefix="compress-") as folder, Foundry() as foundry:
        place = Path(folder)
        say(f"loading {model}")
        shape = tuple(foundry.run("describe", {"model": str(model)})["inputs"][0]["shape"])
        chosen = _samples(calibration, shape)
        np.save(place / "calibration.npy", chosen)
        say(f"quantizing to int8 from {len(chosen)} samples")
        arguments = {"model": str(model), "calibration": str(place / "calibration.npy")}
        files = {"int8": str(place / "int8.tflite"), "float32": str(place / "float32.tflite")}
        foundry.run("convert", arguments | files)
        quantized = (place / "int8.tflite").read_bytes()
    coverage = measure_coverage(quantized)
    if not coverage.is_full_int8:
        raise ConversionError(f"float remains in {', '.join(coverage.float_operators())}; nothing was written")
    write_file(out, quantized)
    return coverage, len(quantized)


def _samples(calibration: Path, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Read calibration samples as the model takes them."""
    if calibration.name.lower().endswith(".npz"):
        data = load_dataset(calibration, Reading())
        if data.x.shape[1:] != shape:
            raise CalibrationError(f"{calibration}: samples of shape {data.x.shape[1:]}, the model takes {shape}")
        return np.asarray(data.x[spread(len(data), _SAMPLES)], np.float32)
    steps = default_preprocessing(shape)
    data = load_dataset(calibration, Reading(steps))
    tensor = TensorSpec(name="input", dtype="float32", shape=(1, *shape))
    return np.asarray(prepare(data.x[spread(len(data), _SAMPLES)], steps, tensor, colour="rgb"), np.float32)
