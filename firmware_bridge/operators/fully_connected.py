"""FULLY_CONNECTED, per tensor and per channel."""

from __future__ import annotations

from firmware_bridge.arithmetic import product_scale, quantize_multiplier
from firmware_bridge.lowering import Lowering, per_channel_scales
from firmware_bridge.model import Operator
from firmware_bridge.operators.convolution import (
    add_convolution,
    add_fully_connected,
    bias_of,
    folded,
    output_clamp,
    weights_of,
)
from firmware_bridge.operators.sliding import Geometry

_ONE_TO_ONE = Geometry(1, 1, 1, 1, 1, 1, 0, 0)


def _multipliers(lowering: Lowering, operator: Operator, units: int) -> list[tuple[int, int]]:
    """Per tensor the product of the scales is rounded to float32 first; per channel it is not."""
    source, _ = lowering.quantization(operator, lowering.input(operator, 0))
    target, _ = lowering.quantization(operator, lowering.output(operator))
    quantization = lowering.input(operator, 1).quantization
    scales = None if quantization is None else per_channel_scales(quantization, units)
    if scales is None:
        lowering.refuse(operator, f"the weights do not have 1 or {units} scales", "convert the model again")
    if len(scales) == 1:
        return [quantize_multiplier(product_scale(source, scales[0]) / target)]
    return [quantize_multiplier(source * scale / target) for scale in scales]


def lower(lowering: Lowering, operator: Operator) -> None:
    """Lower FULLY_CONNECTED; several rows share the weights through the convolution kernel."""
    source, target = lowering.input(operator, 0), lowering.output(operator)
    for tensor in (source, target):
        lowering.require_type(operator, tensor, ["int8"])
    lowering.require_rank(operator, lowering.input(operator, 1), 2)
    if operator.options["weights_format"] != 0:
        lowering.refuse(operator, "shuffled weights", "convert without the weight shuffling of float kernels")
    weights = weights_of(lowering, operator)
    units, depth = weights.shape
    if source.count % depth:
        lowering.refuse(operator, f"{source.count} inputs do not divide into rows of {depth}", "convert it again")
    batches = source.count // depth
    lowering.require_count(operator, target, batches * units)
    _, zero_point = lowering.quantization(operator, source)
    bias, largest = folded(weights, bias_of(lowering, operator, units), zero_point)
    multipliers = _multipliers(lowering, operator, units)
    requant = lowering.requant(operator, multipliers, bias, largest, output_clamp(lowering, operator, target))
    if batches > 1:
        shape, result = (1, 1, batches, depth), (1, 1, batches, units)
        add_convolution(lowering, operator, weights, requant, shape, result, _ONE_TO_ONE)
    else:
        add_fully_connected(lowering, operator, weights, requant, batches)
