"""Operators of one operand: tables for 8-bit codes, SOFTMAX, QUANTIZE and DEQUANTIZE."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from firmware_bridge.arithmetic import (
    activation_range,
    clamp,
    multiply,
    product_scale,
    quantize_multiplier,
    quotient_scale,
)
from firmware_bridge.lowering import Lowering
from firmware_bridge.model import Operator, Tensor
from firmware_bridge.program import Call, Params, Table
from firmware_bridge.schema import ITEM_BYTES
from firmware_bridge.tables import hard_swish_table, logistic_table, lookup_table, softmax_exponentials, tanh_table

_MAX_SOFTMAX_DEPTH = 4095
_RESCALES = {
    ("int8", "int16"),
    ("int8", "int32"),
    ("int16", "int8"),
    ("int16", "int16"),
    ("int16", "int32"),
    ("int32", "int8"),
    ("int32", "int16"),
}


def _ends(lowering: Lowering, operator: Operator) -> tuple[Tensor, Tensor]:
    source, target = lowering.input(operator, 0), lowering.output(operator)
    lowering.require_count(operator, target, source.count)
    return source, target


def _int8_ends(lowering: Lowering, operator: Operator) -> tuple[Tensor, Tensor]:
    source, target = _ends(lowering, operator)
    for tensor in (source, target):
        lowering.require_type(operator, tensor, ["int8"])
    return source, target


def _add_table(lowering: Lowering, operator: Operator, table: npt.NDArray[np.int8]) -> None:
    source, target = _ends(lowering, operator)
    constant = Table(lowering.constant(table, "codes of every input byte"))
    arguments = (constant, lowering.read(source, "void"), lowering.write(target, "void"), source.count)
    lowering.add(operator, Call("lookup", "edge_k1_lookup_s8", arguments), in_place=((source, target),))


def _require_output(lowering: Lowering, operator: Operator, scale: float, zero_point: int) -> None:
    found = lowering.quantization(operator, lowering.output(operator))
    if abs(found[0] - scale) > 0.001 * scale or found[1] != zero_point:  # the reference's own tolerance
        lowering.refuse(
            operator,
            f"the output has scale {found[0]:g} and zero point {found[1]}",
            f"the reference fixes them to {scale:g} and {zero_point}: convert the model again",
        )


def lower_logistic(lowering: Lowering, operator: Operator) -> None:
    """Lower LOGISTIC."""
    source, _ = _int8_ends(lowering, operator)
    _require_output(lowering, operator, 1.0 / 256.0, -128)
    _add_table(lowering, operator, logistic_table(*lowering.quantization(operator, source)))


def lower_tanh(lowering: Lowering, operator: Operator) -> None:
    """Lower TANH."""
    source, _ = _int8_ends(lowering, operator)
    _require_output(lowering, operator, 1.0 / 128.0, 0)
    _add_table(lowering, operator, tanh_table(*lowering.quantization(operator, source)))


def lower_hard_swish(lowering: Lowering, operator: Operator) -> None:
    """Lower HARD_SWISH."""
    source, target = _int8_ends(lowering, operator)
    scale_in, zero_in = lowering.quantization(operator, source)
    scale_out, zero_out = lowering.quantization(operator, target)
    if scale_in > 128.0 * scale_out:
        lowering.refuse(operator, "the output's scale is too fine for the input's", "quantize the model again")
    _add_table(lowering, operator, hard_swish_table(scale_in, zero_in, scale_out, zero_out))


def lower_relu(lowering: Lowering, operator: Operator) -> None:
    """Lower RELU, which rescales, and RELU6, which in the reference only clamps."""
    source, target = _int8_ends(lowering, operator)
    scale_in, zero_in = lowering.quantization(operator, source)
    scale_out, zero_out = lowering.quantization(operator, target)
    if operator.name == "RELU6":
        if (scale_in, zero_in) != (scale_out, zero_out):
            lowering.refuse(
                operator, "input and output have different scales, which the reference would ignore", "fuse it"
            )
        _, six = activation_range("RELU6", scale_in, zero_in, -128, 127)
        _add_table(lowering, operator, lookup_table(lambda code: six if code > six else max(code, zero_in)))
        return
    multiplier, shift = quantize_multiplier(scale_in / scale_out)
    low = max(-128, zero_out)

    def code(value: int) -> int:
        return clamp(zero_out + multiply(value - zero_in, multiplier, shift), low, 127)

    _add_table(lowering, operator, lookup_table(code))


def lower_leaky_relu(lowering: Lowering, operator: Operator) -> None:
    """Lower LEAKY_RELU."""
    source, target = _int8_ends(lowering, operator)
    scale_in, zero_in = lowering.quantization(operator, source)
    scale_out, zero_out = lowering.quantization(operator, target)
    alpha = float(operator.options["alpha"])
    if alpha < 0.0:
        lowering.refuse(operator, f"slope {alpha:g} is negative", "use a slope of 0 or more")
    steep = quantize_multiplier(quotient_scale(scale_in, scale_out))
    flat = quantize_multiplier(quotient_scale(product_scale(scale_in, alpha), scale_out))

    def code(value: int) -> int:
        centred = value - zero_in
        return clamp(zero_out + multiply(centred, *(steep if centred >= 0 else flat)), -128, 127)

    _add_table(lowering, operator, lookup_table(code))


def lower_softmax(lowering: Lowering, operator: Operator) -> None:
    """Lower SOFTMAX over the last axis."""
    source, target = _ends(lowering, operator)
    lowering.require_type(operator, source, ["int8"])
    lowering.require_type(operator, target, ["int8", "int16"])
    wide = target.dtype == "int16"
    _require_output(lowering, operator, 1.0 / (65536.0 if wide else 256.0), -32768 if wide else -128)
    if target.dtype == "int8" and lowering.quantization(operator, target)[0] != 1.0 / 256.0:
        lowering.refuse(operator, "the output's scale is not exactly 1/256", "convert the model again")
    if source.shape != target.shape or not source.shape:
        lowering.refuse(operator, f"output shape {list(target.shape)} is not the input's", "convert the model again")
    depth = source.shape[-1]
    if depth > _MAX_SOFTMAX_DEPTH:
        lowering.refuse(operator, f"{depth} classes leave 32 bits", f"use at most {_MAX_SOFTMAX_DEPTH}")
    scale, _ = lowering.quantization(operator, source)
    beta = float(operator.options["beta"])
    if beta * scale * (1 << 26) <= 1.0:
        lowering.refuse(operator, f"beta {beta:g} with scale {scale:g} is too small", "quantize the model again")
    table = softmax_exponentials(scale, beta)
    params = Params(
        "edge_softmax",
        {
            "exponential": Table(
                lowering.constant(table, "exponentials: exp of minus the index times scale and beta, Q0.31")
            ),
            "largest_difference": len(table) - 1,
            "rows": source.count // depth,
            "depth": depth,
        },
    )
    call = Call(
        "softmax_s8",
        "edge_k1_softmax_s8_s16" if wide else "edge_k1_softmax_s8",
        (params, lowering.read(source), lowering.write(target)),
    )
    lowering.add(operator, call, in_place=() if wide else ((source, target),))


def _codes(dtype: str) -> range:
    return range(-128, 128) if dtype == "int8" else range(256)


def _requantize_table(lowering: Lowering, operator: Operator, source: Tensor, target: Tensor) -> None:
    """QUANTIZE between 8-bit types: entry i is the output byte of input byte i."""
    scale_in, zero_in = lowering.quantization(operator, source)
    scale_out, zero_out = lowering.quantization(operator, target)
    multiplier, shift = quantize_multiplier(scale_in / scale_out)
    allowed = _codes(target.dtype)
    table = np.zeros(256, np.uint8)
    for code in _codes(source.dtype):
        result = clamp(multiply(code - zero_in, multiplier, shift) + zero_out, allowed.start, allowed.stop - 1)
        table[code & 0xFF] = result & 0xFF
    _add_table(lowering, operator, table.view(np.int8))


def lower_quantize(lowering: Lowering, operator: Operator) -> None:
    """Lower QUANTIZE from float32 or between integer types."""
    source, target = _ends(lowering, operator)
    kinds = (source.dtype, target.dtype)
    if kinds in {("int8", "int8"), ("int8", "uint8"), ("uint8", "int8")}:
        _requantize_table(lowering, operator, source, target)
        return
    reads, writes = lowering.read(source, "void"), lowering.write(target, "void")
    if source.dtype == "float32":
        lowering.require_type(operator, target, ["int8", "int16"])
        scale, zero_point = lowering.quantization(operator, target)
        params = Params(
            "edge_quantize",
            {
                "count": source.count,
                "output_bytes": ITEM_BYTES[target.dtype],
                "scale": scale,
                "output_zero_point": zero_point,
            },
        )
        call = Call("quantize_f32", "edge_k1_quantize_f32", (params, lowering.read(source), writes))
        lowering.add(operator, call, in_place=((source, target),))
        return
    if kinds not in _RESCALES:
        lowering.refuse(operator, f"{source.dtype} to {target.dtype}", "convert with int8 activations")
    scale_in, zero_in = lowering.quantization(operator, source)
    scale_out, zero_out = lowering.quantization(operator, target)
    multiplier, shift = quantize_multiplier(scale_in / scale_out)
    params = Params(
        "edge_rescale",
        {
            "count": source.count,
            "input_bytes": ITEM_BYTES[source.dtype],
            "output_bytes": ITEM_BYTES[target.dtype],
            "input_zero_point": zero_in,
            "multiplier": multiplier,
            "shift": shift,
            "output_zero_point": zero_out,
        },
    )
    smaller = ITEM_BYTES[target.dtype] <= ITEM_BYTES[source.dtype]
    pairs = ((source, target),) if smaller else ()
    lowering.add(operator, Call("rescale", "edge_k1_rescale", (params, reads, writes)), in_place=pairs)


def lower_dequantize(lowering: Lowering, operator: Operator) -> None:
    """Lower DEQUANTIZE from int8 as a table of 256 floats."""
    source, target = _ends(lowering, operator)
    lowering.require_type(operator, source, ["int8"])
    lowering.require_type(operator, target, ["float32"])
    scale, zero_point = lowering.quantization(operator, source)
    values = np.zeros(256, np.float32)
    for code in range(-128, 128):
        values[code & 0xFF] = scale * (code - zero_point)
    constant = Table(lowering.constant(values, "reals of every input byte"))
    arguments = (constant, lowering.read(source), lowering.write(target), source.count)
    lowering.add(operator, Call("lookup", "edge_k1_lookup_f32", arguments))
