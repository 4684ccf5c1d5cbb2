"""Damaged model files: whatever an engine makes of them, the probe ends with a measurement or one of our errors."""

from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.errors import InferenceError
from edge_runtime.inference.opening import Format
from edge_runtime.inference.probe import ProbeLimits, probe_model
from tests.bundles import MODELS

LIMITS = ProbeLimits(wall_s=10, cpu_s=5)
N_MUTATIONS = 60


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """Flip bits, replace bytes, cut or double a piece."""
    damaged = bytearray(data)
    start = int(rng.integers(0, len(data)))
    stop = min(len(data), start + int(rng.integers(1, 32)))
    match int(rng.integers(0, 4)):
        case 0:
            for place in rng.integers(0, len(data), int(rng.integers(1, 8))):
                damaged[place] ^= 1 << int(rng.integers(0, 8))
        case 1:
            damaged[start:stop] = rng.bytes(stop - start)
        case 2:
            del damaged[start:stop]
        case _:
            damaged[start:start] = damaged[start:stop]
    return bytes(damaged)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "name", ["image_int8.tflite", "recurrent_float.tflite", "image_int8.onnx", "recurrent_float.onnx"]
)
def test_damaged_model_ends_with_a_measurement_or_our_error(name: str) -> None:
    rng = np.random.default_rng(17)
    model_format: Format = "onnx" if name.endswith(".onnx") else "tflite"
    bugs = []
    for _ in range(N_MUTATIONS):
        data = mutated((MODELS / name).read_bytes(), rng)
        try:
            probe_model(data, model_format, limits=LIMITS)
        except InferenceError as error:
            if "ended with status" in str(error):
                bugs.append(str(error))
    assert bugs == []
