"""Random layers for the end of a graph: dense and recurrent ones."""

from __future__ import annotations

import numpy as np

from firmware_bridge.conformance.layers import reshape
from firmware_bridge.conformance.maker import GraphMaker
from firmware_bridge.model import Option, Quantization


def fully_connected(maker: GraphMaker, source: int) -> int:
    """Add RESHAPE to rows and FULLY_CONNECTED."""
    count = int(np.prod(maker.shape(source)))
    rows = maker.pick(*(r for r in (1, 1, 2, 3, 5) if count % r == 0))
    flat = reshape(maker, source, (rows, count // rows))
    units = int(maker.dice.integers(1, 12))
    per_channel = bool(maker.dice.random() < 0.5)  # noqa: PLR2004 - a fair coin
    weights, scales = maker.weights((units, count // rows), 0, per_channel=per_channel)
    bias = maker.bias(source, scales, units) if maker.dice.random() < 0.9 else -1  # noqa: PLR2004
    target = maker.tensor((rows, units), "int8", maker.code(maker.result_scale(source, scales, count // rows)))
    maker.operator(
        "FULLY_CONNECTED", [flat, weights, bias], [target], {"activation": maker.activation(), "weights_format": 0}
    )
    return target


def svdf(maker: GraphMaker, source: int) -> int:
    """Add RESHAPE and SVDF with int8 or int16 state."""
    count = int(np.prod(maker.shape(source)))
    flat = reshape(maker, source, (1, count))
    rank, units = maker.pick(1, 2), int(maker.dice.integers(1, 6))
    memory = int(maker.dice.integers(1, maker.pick(7, 40)))
    filters = rank * units
    feature, _ = maker.weights((filters, count), 0, per_channel=False)
    wide = bool(maker.pick(0, 1))
    dtype, limit = ("int16", 30000) if wide else ("int8", 127)
    values = maker.dice.integers(-limit // (8 if wide else 1), limit // (8 if wide else 1) + 1, (filters, memory))
    time_scale = float(np.float32(1e-5 if wide else 0.01))
    time = maker.constant(values.astype(dtype), Quantization((time_scale,), (0,), 0))
    state_scale = 0.002 if wide else 0.5
    state_zero = 0 if wide else maker.pick(0, 3, -7)
    state = maker.tensor(
        (1, filters * memory), dtype, Quantization((float(np.float32(state_scale)),), (state_zero,), 0), variable=True
    )
    bias_scale = float(np.float32(state_scale) * np.float32(time_scale))
    bias = maker.constant(maker.dice.integers(-500, 500, units).astype(np.int32), Quantization((bias_scale,), (0,), 0))
    target = maker.tensor((1, units), "int8", maker.code(state_scale * time_scale * (2e6 if wide else 120.0)))
    maker.operator("SVDF", [flat, feature, time, bias, state], [target], {"rank": rank, "activation": 1})
    return target


def lstm(maker: GraphMaker, source: int) -> int:
    """Add RESHAPE and UNIDIRECTIONAL_SEQUENCE_LSTM."""
    count = int(np.prod(maker.shape(source)))
    steps = maker.pick(*(s for s in (1, 2, 3, 5) if count % s == 0))
    depth, units = count // steps, int(maker.dice.integers(1, 9))
    time_major = bool(maker.pick(0, 1))
    shape = (steps, 1, depth) if time_major else (1, steps, depth)
    flat = reshape(maker, source, shape)
    hidden_code = Quantization((float(np.float32(1.0 / 128.0)),), (maker.pick(0, 0, -3, 5),), 0)
    inputs = [flat]
    input_scales = []
    for position in range(8):
        size = depth if position < 4 else units  # noqa: PLR2004 - four input matrices, then four recurrent
        weights, scales = maker.weights((units, size), 0, per_channel=False)
        inputs.append(weights)
        if position < 4:  # noqa: PLR2004
            input_scales.append(scales[0])
    inputs += [-1, -1, -1]
    inputs += [maker.bias(source, [scale], units) for scale in input_scales]
    inputs += [-1, -1]
    inputs.append(maker.tensor((1, units), "int8", hidden_code, variable=True))
    cell_code = Quantization((float(2.0 ** maker.pick(-11, -12, -13, -9)),), (0,), 0)
    inputs.append(maker.tensor((1, units), "int16", cell_code, variable=True))
    inputs += [-1, -1, -1, -1]
    target = maker.tensor((*shape[:2], units), "int8", hidden_code)
    options: dict[str, Option] = {
        "activation": 4,
        "cell_clip": float(maker.pick(0, 0, 1)),
        "projection_clip": 0.0,
        "time_major": time_major,
        "diagonal": False,
    }
    maker.operator("UNIDIRECTIONAL_SEQUENCE_LSTM", inputs, [target], options)
    return target
