"""ADD, SUB and MUL with broadcasting."""

from __future__ import annotations

from collections.abc import Sequence

from firmware_bridge.arithmetic import activation_range, quantize_multiplier
from firmware_bridge.lowering import EDGE_MAX_AXES, Lowering
from firmware_bridge.model import Operator, Tensor
from firmware_bridge.program import Call, Params

_EXTRA_BITS = 20


def steps_of(shape: Sequence[int], result: Sequence[int]) -> list[int]:
    """Element steps of an operand along each axis of the broadcast result, 0 where it repeats."""
    padded = [1] * (len(result) - len(shape)) + list(shape)
    steps, step = [0] * len(result), 1
    for axis in range(len(result) - 1, -1, -1):
        steps[axis] = 0 if padded[axis] == 1 else step
        step *= padded[axis]
    return steps


def merge_axes(counts: Sequence[int], walks: Sequence[Sequence[int]]) -> tuple[list[int], list[list[int]]]:
    """Join neighbouring axes that every walk crosses without a break, and drop axes of one.

    Parameters
    ----------
    counts : sequence of int
        Sizes, outermost first.
    walks : sequence of sequence of int
        Steps of each walker along each axis.

    Returns
    -------
    counts, walks
        The same positions in the same order, with as few axes as possible, at least one.
    """
    kept = [axis for axis, count in enumerate(counts) if count > 1]
    merged: list[int] = []
    joined: list[list[int]] = [[] for _ in walks]
    for axis in kept:
        fits = merged and all(done[-1] == walk[axis] * counts[axis] for done, walk in zip(joined, walks, strict=True))
        if fits:
            merged[-1] *= counts[axis]
            for done, walk in zip(joined, walks, strict=True):
                done[-1] = walk[axis]
        else:
            merged.append(counts[axis])
            for done, walk in zip(joined, walks, strict=True):
                done.append(walk[axis])
    if not merged:
        return [1], [[0] for _ in walks]
    return merged, joined


def fill_axes(values: Sequence[int], neutral: int) -> list[int]:
    """Pad a list of per-axis values to the length of the C arrays."""
    return list(values) + [neutral] * (EDGE_MAX_AXES - len(values))


def _check(lowering: Lowering, operator: Operator) -> tuple[Tensor, Tensor, Tensor]:
    a, b, target = lowering.input(operator, 0), lowering.input(operator, 1), lowering.output(operator)
    for tensor in (a, b, target):
        lowering.require_type(operator, tensor, ["int8"])
    rank = max(len(a.shape), len(b.shape))
    left = (1,) * (rank - len(a.shape)) + a.shape
    right = (1,) * (rank - len(b.shape)) + b.shape
    if any(x != y and 1 not in {x, y} for x, y in zip(left, right, strict=True)):
        lowering.refuse(operator, f"shapes {list(a.shape)} and {list(b.shape)} do not broadcast", "convert it again")
    if tuple(max(pair) for pair in zip(left, right, strict=True)) != target.shape:
        lowering.refuse(operator, f"output shape {list(target.shape)} is not the broadcast one", "convert it again")
    return a, b, target


def _walk(lowering: Lowering, operator: Operator, a: Tensor, b: Tensor, target: Tensor) -> dict[str, int | list[int]]:
    counts, walks = merge_axes(target.shape, [steps_of(a.shape, target.shape), steps_of(b.shape, target.shape)])
    if len(counts) > EDGE_MAX_AXES:
        lowering.refuse(operator, f"broadcasting needs {len(counts)} nested loops", f"at most {EDGE_MAX_AXES}")
    return {
        "axes": len(counts),
        "count": fill_axes(counts, 1),
        "step_a": fill_axes(walks[0], 0),
        "step_b": fill_axes(walks[1], 0),
    }


def lower(lowering: Lowering, operator: Operator) -> None:
    """Lower ADD, SUB or MUL."""
    a, b, target = _check(lowering, operator)
    scale_a, zero_a = lowering.quantization(operator, a)
    scale_b, zero_b = lowering.quantization(operator, b)
    scale, zero_point = lowering.quantization(operator, target)
    low, high = activation_range(lowering.activation(operator), scale, zero_point, -128, 127)
    if operator.name == "MUL":
        part_a = part_b = (0, 0)
        total = quantize_multiplier(scale_a * scale_b / scale)
        function = "edge_k1_mul_s8"
    else:
        common = 2.0 * max(scale_a, scale_b)
        part_a, part_b = quantize_multiplier(scale_a / common), quantize_multiplier(scale_b / common)
        total = quantize_multiplier(common / ((1 << _EXTRA_BITS) * scale))
        function = "edge_k1_add_s8"
        if total[1] > 0:
            lowering.refuse(operator, "the output's scale is too fine for its inputs", "quantize the model again")
    params = Params(
        "edge_binary",
        {
            **_walk(lowering, operator, a, b, target),
            "zero_point_a": zero_a,
            "multiplier_a": part_a[0],
            "shift_a": part_a[1],
            "zero_point_b": zero_b,
            "multiplier_b": part_b[0],
            "shift_b": part_b[1],
            "sign_b": -1 if operator.name == "SUB" else 1,
            "multiplier_out": total[0],
            "shift_out": total[1],
            "zero_point_out": zero_point,
            "low": low,
            "high": high,
        },
    )
    call = Call("binary_s8", function, (params, lowering.read(a), lowering.read(b), lowering.write(target)))
    same = tuple((tensor, target) for tensor in (a, b) if tensor.shape == target.shape)
    lowering.add(operator, call, in_place=same)
