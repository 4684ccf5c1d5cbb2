"""UNIDIRECTIONAL_SEQUENCE_LSTM with int8 activations and an int16 cell state (8x8_16)."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from firmware_bridge.arithmetic import INT16_MAX, INT16_MIN, product_scale, quantize_multiplier
from firmware_bridge.lowering import MAX_SUM, Lowering, pad_axis, round_up_4
from firmware_bridge.model import Operator, Tensor
from firmware_bridge.operators.convolution import folded, stays_small
from firmware_bridge.program import Call, Params, Ref, Scratch, Table, short_name
from firmware_bridge.tables import sigmoid_samples

_GATES = ("forget", "input", "cell", "output")
_INPUT_WEIGHTS = {"input": 1, "forget": 2, "cell": 3, "output": 4}
_RECURRENT_WEIGHTS = {"input": 5, "forget": 6, "cell": 7, "output": 8}
_BIASES = {"input": 12, "forget": 13, "cell": 14, "output": 15}
_UNSUPPORTED = {9: "peepholes", 10: "peepholes", 11: "peepholes", 16: "a projection", 20: "layer normalisation"}
_HIDDEN, _CELL, _N_INPUTS = 18, 19, 24
_TANH = 4
_SMALLEST_POWER = -15
_GATE_SCALE = 2.0**-12
_UNIT_SCALE = 2.0**-15


def constant_weights(
    lowering: Lowering, operator: Operator, position: int, shape: tuple[int, int]
) -> tuple[Tensor, npt.NDArray[np.int8]]:
    """Return a constant weight tensor of a given shape and its values; its zero point must be 0."""
    tensor = lowering.input(operator, position)
    lowering.require_type(operator, tensor, ["int8"])
    if tensor.data is None or tensor.shape != shape:
        lowering.refuse(
            operator, f"weights {short_name(tensor.name)!r} are not a constant {list(shape)}", "convert it again"
        )
    if lowering.quantization(operator, tensor)[1] != 0:
        lowering.refuse(
            operator, f"weights {short_name(tensor.name)!r} are not symmetric", "use symmetric int8 weights"
        )
    return tensor, tensor.data.astype(np.int8)


def initial_state(lowering: Lowering, operator: Operator, tensor: Tensor) -> bytes:
    """Return what ``reset`` writes into a variable tensor: its zero point, 0 for int16."""
    if not tensor.is_variable:
        lowering.refuse(
            operator, f"state {short_name(tensor.name)!r} is not a variable tensor", "convert the model again"
        )
    value = lowering.quantization(operator, tensor)[1] if tensor.dtype == "int8" else 0
    return bytes([value & 0xFF]) * tensor.nbytes


def _matrix(
    lowering: Lowering, operator: Operator, of_gate: dict[str, int], shape: tuple[int, int], source: Tensor
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int64], list[tuple[int, int]], bool]:
    """Rows [gates][units][depth], folded biases [gates][units], one multiplier per gate, and whether sums are small."""
    units, depth = shape
    scale, zero_point = lowering.quantization(operator, source)
    rows = np.zeros((len(_GATES), units, depth), np.int8)
    biases = np.zeros((len(_GATES), units), np.int64)
    multipliers = []
    small = True
    for index, gate in enumerate(_GATES):
        tensor, weights = constant_weights(lowering, operator, of_gate[gate], shape)
        bias = np.zeros(units, np.int64)
        if of_gate is _INPUT_WEIGHTS:
            given = lowering.input(operator, _BIASES[gate])
            lowering.require_type(operator, given, ["int32"])
            lowering.require_count(operator, given, units)
            if given.data is None:
                lowering.refuse(operator, "a bias is computed while the model runs", "make it a constant")
            bias = given.data.astype(np.int64).reshape(units)
        moved, largest = folded(weights, bias, zero_point)
        if int(largest.max()) >= MAX_SUM:
            lowering.refuse(operator, "gate sums can leave 32 bits", "use fewer units")
        rows[index], biases[index] = weights, moved
        weight_scale, _ = lowering.quantization(operator, tensor)
        multipliers.append(quantize_multiplier(product_scale(scale, weight_scale) / _GATE_SCALE))
        small = small and stays_small(largest, multipliers[-1][1])
    return rows, biases, multipliers, small


def _in_blocks(values: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """Bring (gates, units, ...) into the order (blocks, gates, 4, ...), filled up with zeros."""
    gates, units = values.shape[:2]
    filled = pad_axis(values, 1, round_up_4(units))
    return filled.reshape(gates, -1, 4, *values.shape[2:]).swapaxes(0, 1)


def _centred_samples() -> npt.NDArray[np.int16]:
    """Return the samples around zero, the last one twice: interpolation needs no special case at the end."""
    samples = sigmoid_samples().astype(np.int32) - (1 << 15)
    return np.append(samples, samples[-1]).astype(np.int16)


def _cell_scale_power(lowering: Lowering, operator: Operator, cell: Tensor) -> int:
    scale, zero_point = lowering.quantization(operator, cell)
    power = round(math.log2(scale))
    if zero_point != 0 or abs(math.log2(scale) - power) > 1e-3:  # noqa: PLR2004 - the reference's own tolerance
        lowering.refuse(operator, "the cell state's scale is no power of two", "convert the model again")
    if not _SMALLEST_POWER <= power < 0:
        lowering.refuse(operator, f"the cell state's scale is 2^{power}", "quantize the model again")
    return power


def _check_lstm(lowering: Lowering, operator: Operator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    if len(operator.inputs) != _N_INPUTS:
        lowering.refuse(operator, f"{len(operator.inputs)} inputs instead of {_N_INPUTS}", "convert it again")
    for position, feature in _UNSUPPORTED.items():
        if operator.inputs[position] >= 0:
            lowering.refuse(operator, f"{feature}", "use a plain LSTM layer")
    if operator.inputs[1] < 0:
        lowering.refuse(operator, "coupled input and forget gates", "use a plain LSTM layer")
    if operator.options["diagonal"]:
        lowering.refuse(operator, "diagonal recurrent weights", "use a plain LSTM layer")
    source, target = lowering.input(operator, 0), lowering.output(operator)
    hidden, cell = lowering.input(operator, _HIDDEN), lowering.input(operator, _CELL)
    for tensor in (source, target, hidden):
        lowering.require_type(operator, tensor, ["int8"])
    lowering.require_type(operator, cell, ["int16"])
    for tensor in (source, target):
        lowering.require_rank(operator, tensor, 3)
    return source, target, hidden, cell


def lower_lstm(lowering: Lowering, operator: Operator) -> None:
    """Lower UNIDIRECTIONAL_SEQUENCE_LSTM with int8 activations and an int16 cell state."""
    source, target, hidden, cell = _check_lstm(lowering, operator)
    time_major = bool(operator.options["time_major"])
    steps, batches = source.shape[:2] if time_major else (source.shape[1], source.shape[0])
    depth, units = source.shape[2], target.shape[2]
    if target.shape[:2] != source.shape[:2]:
        lowering.refuse(operator, f"output shape {list(target.shape)} is inconsistent", "convert the model again")
    for tensor in (hidden, cell):
        lowering.require_count(operator, tensor, batches * units)
    input_rows, input_bias, input_scales, small_input = _matrix(
        lowering, operator, _INPUT_WEIGHTS, (units, depth), source
    )
    recurrent_rows, recurrent_bias, recurrent_scales, small_recurrent = _matrix(
        lowering, operator, _RECURRENT_WEIGHTS, (units, units), hidden
    )
    input_stride, recurrent_stride = round_up_4(depth), round_up_4(units)
    if operator.options["activation"] != _TANH:
        lowering.refuse(operator, "the cell gate's activation is not tanh", "use the LSTM layer's default")
    update = _state_update(lowering, operator, hidden, cell)
    if update["output_shift"] >= 0:
        lowering.refuse(operator, "the hidden state's scale is below 2^-30", "quantize the model again")
    fast = small_input and small_recurrent
    shifted = bool(recurrent_bias.any())  # otherwise one block of zeros serves all

    def blocks(values: npt.NDArray[np.generic], name: str, *axes: str) -> Table:
        comment = ", ".join([f"{name}: block of units", "gate f i c o", "unit", *axes])
        return Table(lowering.constant(_in_blocks(values), comment))

    params = Params(
        "edge_lstm",
        {
            "input_weights": blocks(pad_axis(input_rows, 2, input_stride), "input_weights", "input"),
            "recurrent_weights": blocks(pad_axis(recurrent_rows, 2, recurrent_stride), "recurrent_weights", "unit"),
            "input_bias": blocks(input_bias.astype(np.int32), "input_bias"),
            "recurrent_bias": blocks(recurrent_bias[:, : None if shifted else 4].astype(np.int32), "recurrent_bias"),
            "recurrent_bias_step": 16 if shifted else 0,
            "input_multiplier": [m for m, _ in input_scales],
            "input_shift": [s for _, s in input_scales],
            "recurrent_multiplier": [m for m, _ in recurrent_scales],
            "recurrent_shift": [s for _, s in recurrent_scales],
            "fast": int(fast),
            "sigmoid": Table(
                lowering.shared_constant("sigmoid", _centred_samples(), "sigmoid: 65536 * sigmoid(index / 24) - 32768")
            ),
            "batches": batches,
            "steps": steps,
            "depth": depth,
            "units": units,
            "batch_step": 1 if time_major else steps,
            "time_step": batches if time_major else 1,
            "input_stride": input_stride,
            "recurrent_stride": recurrent_stride,
            **update,
        },
    )
    arguments = (
        params,
        lowering.read(source),
        lowering.write(target),
        Ref(lowering.state(hidden, initial_state(lowering, operator, hidden)), "int8_t", writes=True),
        Ref(lowering.state(cell, initial_state(lowering, operator, cell)), "int16_t", writes=True),
        Scratch(),
    )
    macs = batches * steps * 4 * units * (depth + units)
    lowering.add(
        operator,
        Call("lstm_s8", "edge_k1_lstm_s8", arguments),
        scratch_bytes=input_stride + recurrent_stride,
        macs=macs,
    )


def _state_update(lowering: Lowering, operator: Operator, hidden: Tensor, cell: Tensor) -> dict[str, int]:
    """Multipliers of the elementwise part."""
    cell_scale, _ = lowering.quantization(operator, cell)
    hidden_scale, hidden_zero = lowering.quantization(operator, hidden)
    candidate = quantize_multiplier(_UNIT_SCALE * _UNIT_SCALE / cell_scale)
    output = quantize_multiplier(_UNIT_SCALE * _UNIT_SCALE / hidden_scale)
    left = 12 + _cell_scale_power(lowering, operator, cell)
    clip = float(operator.options["cell_clip"])
    clipped = clip > 0.0  # as in the reference also when less than one code is left: then every cell is 0
    limit = int(min(clip / cell_scale, INT16_MAX)) if clipped else 0
    return {
        "candidate_multiplier": candidate[0],
        "candidate_shift": candidate[1],
        "output_multiplier": output[0],
        "output_shift": output[1],
        "output_zero_point": hidden_zero,
        "cell_low": -limit if clipped else INT16_MIN,
        "cell_high": limit if clipped else INT16_MAX,
        "tanh_multiplier": 3 if left < 0 else 3 << left,
        "tanh_shift": max(-left, 0),
    }
