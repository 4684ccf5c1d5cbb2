"""SVDF with int8 or int16 state."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from firmware_bridge.arithmetic import product_scale, quantize_multiplier, quotient_scale
from firmware_bridge.lowering import MAX_SUM, Lowering, pad_axis, round_up_4
from firmware_bridge.model import Operator
from firmware_bridge.operators.convolution import folded, stays_small
from firmware_bridge.operators.recurrent import constant_weights, initial_state
from firmware_bridge.program import Call, Params, Ref, Table


def lower_svdf(lowering: Lowering, operator: Operator) -> None:
    """Lower SVDF with int8 or int16 state."""
    source, target = lowering.input(operator, 0), lowering.output(operator)
    time, state = lowering.input(operator, 2), lowering.input(operator, 4)
    for tensor in (source, target):
        lowering.require_type(operator, tensor, ["int8"])
    lowering.require_type(operator, state, ["int8", "int16"])
    lowering.require_type(operator, time, [state.dtype])
    for tensor in (source, lowering.input(operator, 1), time):
        lowering.require_rank(operator, tensor, 2)
    filters, rank = lowering.input(operator, 1).shape[0], int(operator.options["rank"])
    batches, depth = source.shape
    feature, weights = constant_weights(lowering, operator, 1, (filters, depth))
    memory = time.shape[1]
    if rank < 1 or filters % rank or time.shape[0] != filters or time.data is None:
        lowering.refuse(operator, f"rank {rank} and {filters} filters do not fit", "convert the model again")
    units = filters // rank
    lowering.require_count(operator, target, batches * units)
    lowering.require_count(operator, state, batches * filters * memory)
    bias = _svdf_bias(lowering, operator, units)
    scale_in, zero_in = lowering.quantization(operator, source)
    scale_state, zero_state = lowering.quantization(operator, state)
    scale_out, zero_out = lowering.quantization(operator, target)
    moved, largest = folded(weights, np.zeros(filters, np.int64), zero_in)
    largest_code = 128 if state.dtype == "int8" else 1 << 15
    late, latest = folded(time.data.astype(np.int64).reshape(units, -1), bias, zero_state, largest_code)
    if int(largest.max()) >= MAX_SUM or (state.dtype == "int8" and int(latest.max()) >= MAX_SUM):
        lowering.refuse(operator, "sums can leave 32 bits", "use fewer inputs or a shorter memory")
    feature_scale = product_scale(scale_in, lowering.quantization(operator, feature)[0])
    time_scale = product_scale(scale_state, lowering.quantization(operator, time)[0])
    first = quantize_multiplier(quotient_scale(feature_scale, scale_state))
    second = quantize_multiplier(quotient_scale(time_scale, scale_out))
    params = Params(
        "edge_svdf",
        {
            "feature_weights": Table(
                lowering.constant(
                    pad_axis(pad_axis(weights, 1, round_up_4(depth)), 0, round_up_4(filters)),
                    "feature_weights: filter, input",
                )
            ),
            "time_weights": Table(lowering.constant(time.data, "time_weights: filter, memory")),
            "feature_bias": Table(
                lowering.constant(
                    pad_axis(moved.astype(np.int32), 0, round_up_4(filters)),
                    "feature_bias: minus zero point times weights",
                )
            ),
            "bias": Table(lowering.constant(_wrapped(late), "bias: minus zero point times time weights")),
            "batches": batches,
            "depth": depth,
            "feature_stride": round_up_4(depth),
            "filters": filters,
            "rank": rank,
            "memory": memory,
            "state_bytes": 2 if state.dtype == "int16" else 1,
            "feature_fast": int(stays_small(largest, first[1])),
            "output_fast": int(stays_small(latest, second[1])),
            "feature_multiplier": first[0],
            "feature_shift": first[1],
            "state_zero_point": zero_state,
            "output_multiplier": second[0],
            "output_shift": second[1],
            "output_zero_point": zero_out,
        },
    )
    arguments = (
        params,
        lowering.read(source),
        lowering.write(target),
        Ref(lowering.state(state, initial_state(lowering, operator, state)), "void", writes=True),
    )
    macs = batches * filters * (depth + memory)
    lowering.add(operator, Call("svdf_s8", "edge_k1_svdf_s8", arguments), macs=macs)


def _wrapped(sums: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
    """Return sums modulo 2^32: those of an int16 state may leave 32 bits on their way."""
    return sums.astype(np.uint64).astype(np.uint32).view(np.int32)


def _svdf_bias(lowering: Lowering, operator: Operator, units: int) -> npt.NDArray[np.int64]:
    tensor = lowering.optional_input(operator, 3)
    if tensor is None:
        return np.zeros(units, np.int64)
    lowering.require_type(operator, tensor, ["int32"])
    lowering.require_count(operator, tensor, units)
    if tensor.data is None:
        lowering.refuse(operator, "the bias is computed while the model runs", "make it a constant")
    return tensor.data.astype(np.int64).reshape(units)
