"""The small model whose emitted C is printed in the documentation: a vibration window to worn or healthy."""

from __future__ import annotations

import numpy as np

from firmware_bridge.conformance.maker import GraphMaker
from firmware_bridge.conformance.writer import write_model
from firmware_bridge.model import Quantization, Subgraph

N_FEATURES = 8
_HIDDEN = 4


def example_model() -> bytes:
    """Make the example.

    Returns
    -------
    data : bytes
        A .tflite file: eight window features, a dense layer of four with RELU, a dense layer of two, softmax. The
        weights are fixed by hand: the first class (worn) follows the window's energy, the second (healthy) how smooth
        and even it is.
    """
    maker = GraphMaker(np.random.default_rng(0))
    features = maker.tensor((1, N_FEATURES), "int8", Quantization((0.0625,), (-32,), 0))
    hidden_weights = np.array(
        [
            [90, 80, 60, 20, 0, 0, 0, 0],
            [-90, -80, -60, -20, 0, 0, 0, 0],
            [0, 0, 20, 60, 90, 40, 10, 0],
            [0, 0, -20, -60, -90, -40, -10, 0],
        ],
        np.int8,
    )
    weights = maker.constant(hidden_weights, Quantization((0.01,), (0,), 0))
    bias = maker.constant(np.array([200, 400, -100, 300], np.int32), Quantization((0.000625,), (0,), 0))
    hidden = maker.tensor((1, _HIDDEN), "int8", Quantization((0.125,), (-128,), 0))
    maker.operator("FULLY_CONNECTED", [features, weights, bias], [hidden], {"activation": 1, "weights_format": 0})
    class_weights = np.array([[70, -90, -50, 60], [-70, 90, 50, -60]], np.int8)
    weights = maker.constant(class_weights, Quantization((0.01,), (0,), 0))
    bias = maker.constant(np.array([-500, 500], np.int32), Quantization((0.00125,), (0,), 0))
    scores = maker.tensor((1, 2), "int8", Quantization((0.0625,), (0,), 0))
    maker.operator("FULLY_CONNECTED", [hidden, weights, bias], [scores], {"activation": 0, "weights_format": 0})
    shares = maker.tensor((1, 2), "int8", Quantization((1.0 / 256.0,), (-128,), 0))
    maker.operator("SOFTMAX", [scores], [shares], {"beta": 1.0})
    return write_model([Subgraph(tuple(maker.tensors), tuple(maker.operators), (features,), (shares,))])
