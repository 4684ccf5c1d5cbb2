"""AVERAGE_POOL_2D, MAX_POOL_2D and MEAN."""

from __future__ import annotations

import numpy as np

from firmware_bridge.arithmetic import activation_range, quantize_multiplier
from firmware_bridge.lowering import EDGE_MAX_AXES, Lowering, product
from firmware_bridge.model import Operator
from firmware_bridge.operators.binary import fill_axes, merge_axes, steps_of
from firmware_bridge.operators.convolution import geometry
from firmware_bridge.operators.sliding import slide_distance
from firmware_bridge.program import Call, Params

_MAX_SUMMED = 1 << 23


def lower(lowering: Lowering, operator: Operator) -> None:
    """Lower AVERAGE_POOL_2D or MAX_POOL_2D."""
    source, target = lowering.input(operator, 0), lowering.output(operator)
    for tensor in (source, target):
        lowering.require_type(operator, tensor, ["int8"])
        lowering.require_rank(operator, tensor, 4)
    kernel = (int(operator.options["kernel_h"]), int(operator.options["kernel_w"]))
    window = geometry(lowering, operator, kernel)
    if (source.shape[0], source.shape[3]) != (target.shape[0], target.shape[3]):
        lowering.refuse(operator, f"output shape {list(target.shape)} is inconsistent", "convert the model again")
    scale, zero_point = lowering.quantization(operator, target)
    low, high = activation_range(lowering.activation(operator), scale, zero_point, -128, 127)
    values = window.values()
    del values["dilation_h"], values["dilation_w"]
    params = Params(
        "edge_pool",
        {
            "batches": source.shape[0],
            "in_h": source.shape[1],
            "in_w": source.shape[2],
            "channels": source.shape[3],
            "out_h": target.shape[1],
            "out_w": target.shape[2],
            **values,
            "low": low,
            "high": high,
        },
    )
    function = "edge_k1_average_pool_s8" if operator.name == "AVERAGE_POOL_2D" else "edge_k1_max_pool_s8"
    call = Call("pool_s8", function, (params, lowering.read(source), lowering.write(target)))
    lowering.add(operator, call, slide=(source, target, slide_distance(window, source.shape, target.shape), 1))


def lower_mean(lowering: Lowering, operator: Operator) -> None:
    """Lower MEAN over any axes."""
    source, target = lowering.input(operator, 0), lowering.output(operator)
    for tensor in (source, target):
        lowering.require_type(operator, tensor, ["int8"])
    rank = len(source.shape)
    axes = {int(axis) for axis in np.ravel(lowering.constant_input(operator, 1))}
    if any(not -rank <= axis < rank for axis in axes):
        lowering.refuse(operator, f"axes {sorted(axes)} of a shape {list(source.shape)}", "convert the model again")
    reduced = sorted({axis % rank for axis in axes})
    kept = [axis for axis in range(rank) if axis not in reduced]
    count = product([source.shape[axis] for axis in reduced])
    lowering.require_count(operator, target, source.count // count)
    if count > _MAX_SUMMED:
        lowering.refuse(operator, f"the mean of {count} values leaves 32 bits", "reduce in two steps")
    steps = steps_of(source.shape, source.shape)
    kept_counts, kept_steps = merge_axes([source.shape[a] for a in kept], [[steps[a] for a in kept]])
    sum_counts, sum_steps = merge_axes([source.shape[a] for a in reduced], [[steps[a] for a in reduced]])
    if max(len(kept_counts), len(sum_counts)) > EDGE_MAX_AXES:
        lowering.refuse(operator, f"shape {list(source.shape)} needs too many nested loops", "reshape it first")
    scale_in, zero_in = lowering.quantization(operator, source)
    scale_out, zero_out = lowering.quantization(operator, target)
    multiplier, shift = quantize_multiplier(scale_in / scale_out)
    bits = min(count.bit_length() - 1, 32, 31 + shift)
    params = Params(
        "edge_mean",
        {
            "kept_axes": len(kept_counts),
            "kept_count": fill_axes(kept_counts, 1),
            "kept_step": fill_axes(kept_steps[0], 0),
            "reduced_axes": len(sum_counts),
            "reduced_count": fill_axes(sum_counts, 1),
            "reduced_step": fill_axes(sum_steps[0], 0),
            "input_offset": -zero_in * count,
            "multiplier": (multiplier << bits) // count,
            "shift": shift - bits,
            "output_zero_point": zero_out,
        },
    )
    lowering.add(operator, Call("mean_s8", "edge_k1_mean_s8", (params, lowering.read(source), lowering.write(target))))
