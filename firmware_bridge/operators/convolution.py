"""CONV_2D and DEPTHWISE_CONV_2D."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from firmware_bridge.arithmetic import activation_range, quantize_multiplier
from firmware_bridge.lowering import MAX_FAST_SUM, Lowering, pad_axis, per_channel_scales, product, round_up_4
from firmware_bridge.model import Operator, Tensor
from firmware_bridge.operators.sliding import Geometry, slide_distance
from firmware_bridge.program import Call, Params, Scratch, Table
from firmware_bridge.schema import SAME_PADDING


def geometry(lowering: Lowering, operator: Operator, kernel: tuple[int, int]) -> Geometry:
    """Work out the padding and check the output's size against it.

    Parameters
    ----------
    lowering : Lowering
        For tensors and refusals.
    operator : Operator
        With options padding, stride_h, stride_w and perhaps dilation_h, dilation_w.
    kernel : tuple of int
        Window height and width.

    Raises
    ------
    UnsupportedOperatorError
        When an option makes no sense or the output's shape does not follow from them.
    """
    source, target = lowering.input(operator, 0), lowering.output(operator)
    pads = []
    for axis, (size, name) in enumerate(zip(kernel, ("h", "w"), strict=True), start=1):
        stride, dilation = int(operator.options[f"stride_{name}"]), int(operator.options.get(f"dilation_{name}", 1))
        if stride < 1 or dilation < 1 or size < 1:
            lowering.refuse(operator, "a stride, dilation or window size is below 1", "convert the model again")
        span = (size - 1) * dilation + 1
        room = source.shape[axis]
        same = operator.options["padding"] == SAME_PADDING
        expected = -(-room // stride) if same else (room + stride - span) // stride
        if target.shape[axis] != expected:
            lowering.refuse(
                operator,
                f"output shape {list(target.shape)} does not follow from input {list(source.shape)}",
                "the model contradicts itself: convert it again",
            )
        pads.append(max(0, (expected - 1) * stride + span - room) // 2 if same else 0)
    option = operator.options
    return Geometry(
        kernel[0],
        kernel[1],
        int(option["stride_h"]),
        int(option["stride_w"]),
        int(option.get("dilation_h", 1)),
        int(option.get("dilation_w", 1)),
        pads[0],
        pads[1],
    )


def weights_of(lowering: Lowering, operator: Operator) -> npt.NDArray[np.int8]:
    """Return the constant int8 weights of input 1, which must have zero points of 0."""
    tensor = lowering.input(operator, 1)
    lowering.require_type(operator, tensor, ["int8"])
    if tensor.data is None:
        lowering.refuse(operator, "the weights are computed while the model runs", "make them constants")
    if tensor.quantization is None or any(tensor.quantization.zero_point):
        lowering.refuse(operator, "the weights are not quantized symmetrically", "use symmetric int8 weights")
    return tensor.data.astype(np.int8)


def bias_of(lowering: Lowering, operator: Operator, channels: int) -> npt.NDArray[np.int64]:
    """Return the constant int32 bias of input 2 as int64, zeros when there is none."""
    tensor = lowering.optional_input(operator, 2)
    if tensor is None:
        return np.zeros(channels, np.int64)
    lowering.require_type(operator, tensor, ["int32"])
    lowering.require_count(operator, tensor, channels)
    if tensor.data is None:
        lowering.refuse(operator, "the bias is computed while the model runs", "make it a constant")
    return tensor.data.astype(np.int64).reshape(channels)


def channel_multipliers(lowering: Lowering, operator: Operator, channels: int) -> list[tuple[int, int]]:
    """Multipliers of a convolution: products of scales in float64, one or one per output channel."""
    source, _ = lowering.quantization(operator, lowering.input(operator, 0))
    target, _ = lowering.quantization(operator, lowering.output(operator))
    quantization = lowering.input(operator, 1).quantization
    scales = None if quantization is None else per_channel_scales(quantization, channels)
    if scales is None:
        lowering.refuse(operator, f"the weights do not have 1 or {channels} scales", "convert the model again")
    return [quantize_multiplier(source * scale / target) for scale in scales]


def output_clamp(lowering: Lowering, operator: Operator, tensor: Tensor) -> tuple[int, int, int]:
    """Zero point and clamp of an int8 output with a fused activation."""
    scale, zero_point = lowering.quantization(operator, tensor)
    low, high = activation_range(lowering.activation(operator), scale, zero_point, -128, 127)
    return zero_point, low, high


def folded(
    weights: npt.NDArray[np.integer], bias: npt.NDArray[np.int64], zero_point: int, largest_code: int = 128
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Bias with the input zero point folded in, and a bound of every partial sum.

    Parameters
    ----------
    weights : int8 or int16, shape (channels, depth)
        Rows of weights.
    bias : int64, shape (channels,)
        As in the model.
    zero_point : int
        Of the input.
    largest_code : int
        Largest magnitude of an input code.
    """
    wide = weights.astype(np.int64)
    moved = bias - zero_point * wide.sum(axis=1)
    reach = np.abs(wide).sum(axis=1)
    largest = np.maximum(np.abs(bias) + (largest_code + abs(zero_point)) * reach, np.abs(moved) + largest_code * reach)
    return moved, largest


def stays_small(largest: npt.NDArray[np.int64], shift: int) -> bool:
    """Whether sums of at most these magnitudes, shifted left by ``shift`` if it is positive, stay below 2^30."""
    return int(largest.max()) << max(shift, 0) < MAX_FAST_SUM


def lower_convolution(lowering: Lowering, operator: Operator) -> None:
    """Lower CONV_2D; a window that covers the whole image becomes a fully connected layer."""
    source, target = lowering.input(operator, 0), lowering.output(operator)
    weight_tensor = lowering.input(operator, 1)
    for tensor in (source, target):
        lowering.require_type(operator, tensor, ["int8"])
    for tensor in (source, target, weight_tensor):
        lowering.require_rank(operator, tensor, 4)
    weights = weights_of(lowering, operator)
    channels, kernel_h, kernel_w, depth = weights.shape
    if depth != source.shape[3]:
        lowering.refuse(
            operator, f"the weights take {depth} channels, the input has {source.shape[3]}", "do not use groups"
        )
    if target.shape[0] != source.shape[0] or target.shape[3] != channels:
        lowering.refuse(operator, f"output shape {list(target.shape)} is inconsistent", "convert the model again")
    window = geometry(lowering, operator, (kernel_h, kernel_w))
    multipliers = channel_multipliers(lowering, operator, channels)
    _, zero_point = lowering.quantization(operator, source)
    rows = weights.reshape(channels, -1)
    bias, largest = folded(rows, bias_of(lowering, operator, channels), zero_point)
    requant = lowering.requant(operator, multipliers, bias, largest, output_clamp(lowering, operator, target))
    covers = (kernel_h, kernel_w) == source.shape[1:3] and target.shape[1:3] == (1, 1)
    if covers and (window.pad_top, window.pad_left, window.dilation_h, window.dilation_w) == (0, 0, 1, 1):
        add_fully_connected(lowering, operator, rows, requant, source.shape[0])
        return
    add_convolution(lowering, operator, rows, requant, source.shape, target.shape, window)


def add_convolution(
    lowering: Lowering,
    operator: Operator,
    rows: npt.NDArray[np.int8],
    requant: Params,
    source_shape: tuple[int, ...],
    target_shape: tuple[int, ...],
    window: Geometry,
) -> None:
    """Append the convolution kernel's call."""
    channels, depth = rows.shape
    stride = round_up_4(depth)
    source, target = lowering.input(operator, 0), lowering.output(operator)
    _, zero_point = lowering.quantization(operator, source)
    axes = "output channel, kernel row, kernel column, input channel"
    params = Params(
        "edge_conv",
        {
            "weights": Table(lowering.constant(pad_axis(rows, 1, stride), f"weights: {axes}")),
            "out": requant,
            "weight_stride": stride,
            "batches": source_shape[0],
            "in_h": source_shape[1],
            "in_w": source_shape[2],
            "in_channels": source_shape[3],
            "out_h": target_shape[1],
            "out_w": target_shape[2],
            "out_channels": channels,
            **window.values(),
            "input_zero_point": zero_point,
        },
    )
    needs_bytes = source_shape[3] % 4 != 0 or window.dilation_w != 1
    one_run = (window.kernel_h, window.kernel_w) == (1, 1)
    plain_scratch = 0 if one_run else stride
    scratch = 8 * stride + (stride if needs_bytes else 0) if lowering.target.smlad else plain_scratch
    call = Call("conv_s8", "edge_k1_conv_s8", (params, lowering.read(source), lowering.write(target), Scratch()))
    slide = (source, target, slide_distance(window, source_shape, target_shape), 1)
    lowering.add(operator, call, scratch_bytes=scratch, slide=slide, macs=product(target_shape) * depth)


def add_fully_connected(
    lowering: Lowering, operator: Operator, rows: npt.NDArray[np.int8], requant: Params, batches: int
) -> None:
    """Append the fully connected kernel's call."""
    units, depth = rows.shape
    stride = round_up_4(depth)
    source, target = lowering.input(operator, 0), lowering.output(operator)
    params = Params(
        "edge_fully_connected",
        {
            "weights": Table(lowering.constant(pad_axis(rows, 1, stride), "weights: unit, input")),
            "out": requant,
            "weight_stride": stride,
            "rows": batches,
            "depth": depth,
            "units": units,
        },
    )
    call = Call(
        "fully_connected_s8",
        "edge_k1_fully_connected_s8",
        (params, lowering.read(source), lowering.write(target)),
    )
    lowering.add(operator, call, macs=batches * units * depth)


def lower_depthwise(lowering: Lowering, operator: Operator) -> None:
    """Lower DEPTHWISE_CONV_2D with any channel multiplier."""
    source, target = lowering.input(operator, 0), lowering.output(operator)
    for tensor in (source, target):
        lowering.require_type(operator, tensor, ["int8"])
    for tensor in (source, target, lowering.input(operator, 1)):
        lowering.require_rank(operator, tensor, 4)
    weights = weights_of(lowering, operator)
    _, kernel_h, kernel_w, channels = weights.shape
    depth = source.shape[3]
    if weights.shape[0] != 1 or channels % depth or target.shape[3] != channels or target.shape[0] != source.shape[0]:
        lowering.refuse(operator, f"weights of shape {list(weights.shape)} do not fit", "convert the model again")
    window = geometry(lowering, operator, (kernel_h, kernel_w))
    _, zero_point = lowering.quantization(operator, source)
    bias = bias_of(lowering, operator, channels)
    _, largest = folded(weights.reshape(-1, channels).T, bias, zero_point)
    multipliers = channel_multipliers(lowering, operator, channels)
    clamp = output_clamp(lowering, operator, target)
    if depth == 1:  # every output channel reads the only input channel: an ordinary convolution
        rows = np.ascontiguousarray(weights.reshape(-1, channels).T)
        moved, largest = folded(rows, bias, zero_point)
        requant = lowering.requant(operator, multipliers, moved, largest, clamp)
        add_convolution(lowering, operator, rows, requant, source.shape, target.shape, window)
        return
    requant = lowering.requant(operator, multipliers, bias, largest, clamp)
    params = Params(
        "edge_depthwise",
        {
            "weights": Table(lowering.constant(weights[0], "weights: kernel row, kernel column, output channel")),
            "out": requant,
            "batches": source.shape[0],
            "in_h": source.shape[1],
            "in_w": source.shape[2],
            "in_channels": depth,
            "out_h": target.shape[1],
            "out_w": target.shape[2],
            "multiplier": channels // depth,
            **window.values(),
            "input_zero_point": zero_point,
        },
    )
    arguments = (params, lowering.read(source), lowering.write(target), Scratch())
    call = Call("depthwise_s8", "edge_k1_depthwise_s8", arguments)
    scratch = 8 * kernel_h * kernel_w + 16 * kernel_h if lowering.target.smlad and channels == depth else 0
    same = channels == depth
    distance = slide_distance(window, source.shape, target.shape, per_channel=True)
    slide = (source, target, distance, depth) if same else None
    lowering.add(operator, call, scratch_bytes=scratch, slide=slide, macs=target.count * kernel_h * kernel_w)
