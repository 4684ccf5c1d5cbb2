"""Operators that only move bytes: reshapes rename, the others become strided copies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from firmware_bridge.lowering import EDGE_MAX_AXES, Lowering, product
from firmware_bridge.model import Operator, Tensor
from firmware_bridge.operators.binary import fill_axes, merge_axes, steps_of
from firmware_bridge.program import Call, Params, Ref, Table, short_name
from firmware_bridge.schema import ITEM_BYTES

MOVABLE = ["int8", "uint8", "int16", "int32", "float32"]


def byte_steps(tensor: Tensor) -> list[int]:
    """Bytes between neighbours along each axis of a dense tensor; 0 along axes of one."""
    return [step * ITEM_BYTES[tensor.dtype] for step in steps_of(tensor.shape, tensor.shape)]


def copy_call(
    lowering: Lowering,
    operator: Operator,
    counts: Sequence[int],
    source: tuple[Ref, Sequence[int], int],
    target: tuple[Ref, Sequence[int], int],
    item_bytes: int,
) -> Call:
    """Return the call of a strided copy.

    Parameters
    ----------
    lowering, operator
        For refusals.
    counts : sequence of int
        Elements along each axis, outermost first.
    source, target : (Ref, sequence of int, int)
        Memory, byte steps along each axis and offset of the first element in bytes.
    item_bytes : int
        Size of an element.
    """
    sizes, (from_steps, to_steps) = merge_axes([*counts, item_bytes], [[*source[1], 1], [*target[1], 1]])
    run = 1
    if from_steps[-1] == to_steps[-1] == 1:
        run = sizes.pop()
        from_steps.pop()
        to_steps.pop()
    if len(sizes) > EDGE_MAX_AXES:
        lowering.refuse(operator, f"moving needs {len(sizes)} nested loops", f"use at most {EDGE_MAX_AXES} axes")
    params = Params(
        "edge_copy",
        {
            "axes": len(sizes),
            "count": fill_axes(sizes, 1),
            "source_step": fill_axes(from_steps, 0),
            "target_step": fill_axes(to_steps, 0),
            "source_offset": source[2],
            "target_offset": target[2],
            "run": run,
        },
    )
    return Call("copy", "edge_k1_copy", (params, source[0], target[0]))


def whole_copy(lowering: Lowering, operator: Operator, source: Ref, target: Ref, nbytes: int) -> Call:
    """Return the call that copies a dense tensor."""
    return copy_call(lowering, operator, [], (source, [], 0), (target, [], 0), nbytes)


def _same_type(lowering: Lowering, operator: Operator, source: Tensor, target: Tensor) -> None:
    lowering.require_type(operator, source, MOVABLE)
    lowering.require_type(operator, target, [source.dtype])


def lower_rename(lowering: Lowering, operator: Operator) -> None:
    """Lower RESHAPE, SQUEEZE and EXPAND_DIMS: the output is the input's memory."""
    source, target = lowering.input(operator, 0), lowering.output(operator)
    _same_type(lowering, operator, source, target)
    lowering.require_count(operator, target, source.count)
    lowering.rename(source, target)


def lower_concatenation(lowering: Lowering, operator: Operator) -> None:
    """Lower CONCATENATION; as in the reference, codes are copied and scales must agree already."""
    target = lowering.output(operator)
    rank = len(target.shape)
    axis = int(operator.options["axis"])
    if not -rank <= axis < rank:
        lowering.refuse(operator, f"axis {axis} of a shape {list(target.shape)}", "convert the model again")
    if lowering.activation(operator) != "NONE":
        lowering.refuse(operator, "a fused activation", "use a separate RELU")
    axis %= rank
    calls, offset = [], 0
    steps = byte_steps_full(target)
    sources = [lowering.input(operator, position) for position in range(len(operator.inputs))]
    for source in sources:
        _same_type(lowering, operator, source, target)
        matches = len(source.shape) == rank and all(
            source.shape[i] == target.shape[i] for i in range(rank) if i != axis
        )
        if not matches:
            lowering.refuse(operator, f"shape {list(source.shape)} does not fit in", "convert the model again")
        if source.quantization != target.quantization and source.dtype == "int8":
            _require_equal_scale(lowering, operator, source, target)
        reads, writes = lowering.read(source, "void"), lowering.write(target, "void")
        item = ITEM_BYTES[target.dtype]
        calls.append(
            copy_call(
                lowering,
                operator,
                source.shape,
                (reads, byte_steps_full(source), 0),
                (writes, steps, offset),
                item,
            )
        )
        offset += source.shape[axis] * steps[axis]
    if sum(source.shape[axis] for source in sources) != target.shape[axis]:
        lowering.refuse(operator, f"output shape {list(target.shape)} is not the sum", "convert the model again")
    lowering.add(operator, *calls)


def _require_equal_scale(lowering: Lowering, operator: Operator, source: Tensor, target: Tensor) -> None:
    if lowering.quantization(operator, source) != lowering.quantization(operator, target):
        lowering.refuse(
            operator,
            f"{short_name(source.name)!r} and the output have different scales, which the reference would ignore",
            "convert again so that all inputs share the output's scale",
        )


def byte_steps_full(tensor: Tensor) -> list[int]:
    """Bytes between neighbours along each axis of a dense tensor, also along axes of one."""
    steps, step = [0] * len(tensor.shape), ITEM_BYTES[tensor.dtype]
    for axis in range(len(tensor.shape) - 1, -1, -1):
        steps[axis] = step
        step *= tensor.shape[axis]
    return steps


def lower_split(lowering: Lowering, operator: Operator) -> None:
    """Lower SPLIT and SPLIT_V."""
    even = operator.name == "SPLIT"
    source = lowering.input(operator, 1 if even else 0)
    axis = int(np.ravel(lowering.constant_input(operator, 0 if even else 2))[0])
    rank = len(source.shape)
    if not -rank <= axis < rank:
        lowering.refuse(operator, f"axis {axis} of a shape {list(source.shape)}", "convert the model again")
    axis %= rank
    targets = [lowering.output(operator, position) for position in range(len(operator.outputs))]
    if sum(target.shape[axis] if len(target.shape) == rank else 0 for target in targets) != source.shape[axis]:
        lowering.refuse(operator, "the outputs do not add up to the input", "convert the model again")
    calls, offset = [], 0
    steps = byte_steps_full(source)
    for target in targets:
        _same_type(lowering, operator, source, target)
        if any(target.shape[i] != source.shape[i] for i in range(rank) if i != axis):
            lowering.refuse(operator, f"shape {list(target.shape)} does not fit", "convert the model again")
        calls.append(
            copy_call(
                lowering,
                operator,
                target.shape,
                (lowering.read(source, "void"), steps, offset),
                (lowering.write(target, "void"), byte_steps_full(target), 0),
                ITEM_BYTES[source.dtype],
            )
        )
        offset += target.shape[axis] * steps[axis]
    lowering.add(operator, *calls)


def lower_transpose(lowering: Lowering, operator: Operator) -> None:
    """Lower TRANSPOSE."""
    source, target = lowering.input(operator, 0), lowering.output(operator)
    _same_type(lowering, operator, source, target)
    rank = len(source.shape)
    order = [int(axis) for axis in np.ravel(lowering.constant_input(operator, 1))]
    if len(order) != rank or any(not -rank <= axis < rank for axis in order):
        lowering.refuse(operator, f"permutation {order} of a shape {list(source.shape)}", "convert the model again")
    order = [axis % rank for axis in order]
    if sorted(order) != list(range(rank)) or tuple(source.shape[axis] for axis in order) != target.shape:
        lowering.refuse(operator, f"permutation {order} does not give {list(target.shape)}", "convert it again")
    steps = byte_steps_full(source)
    call = copy_call(
        lowering,
        operator,
        target.shape,
        (lowering.read(source, "void"), [steps[axis] for axis in order], 0),
        (lowering.write(target, "void"), byte_steps_full(target), 0),
        ITEM_BYTES[source.dtype],
    )
    lowering.add(operator, call)


def _slice_axis(size: int, begin: int, end: int, step: int, masks: tuple[bool, bool, bool]) -> tuple[int, int]:
    """First index and length of one axis of a strided slice; masks are begin, end and shrink."""
    ignore_begin, ignore_end, shrink = masks
    low, high = (0, size) if step > 0 else (-1, size - 1)
    first = begin + size if begin < 0 else begin
    last = end + size if end < 0 else end
    first = max(low, min(high, first))
    last = max(low, min(high, last))
    if ignore_begin:
        first = 0 if step > 0 else size - 1
    if shrink:
        return first, 1
    if ignore_end:
        last = size if step > 0 else -1
    return first, max(0, -(-(last - first) // step))


def lower_strided_slice(lowering: Lowering, operator: Operator) -> None:
    """Lower STRIDED_SLICE; ellipsis and new axes are refused, as the reference does."""
    source, target = lowering.input(operator, 0), lowering.output(operator)
    _same_type(lowering, operator, source, target)
    option = operator.options
    if option["ellipsis_mask"] or option["new_axis_mask"] or option["offset"]:
        lowering.refuse(operator, "an ellipsis, a new axis or offsets", "write the slice out per axis")
    begin, end, stride = (np.ravel(lowering.constant_input(operator, i)).tolist() for i in (1, 2, 3))
    rank = len(source.shape)
    if not len(begin) == len(end) == len(stride) == rank or 0 in stride:
        lowering.refuse(operator, "begin, end and strides do not fit the input", "give one per axis, strides not 0")
    steps = byte_steps_full(source)
    counts, walk, offset = [], [], 0
    for axis in range(rank):
        masks = tuple(bool(int(option[key]) >> axis & 1) for key in ("begin_mask", "end_mask", "shrink_axis_mask"))
        first, count = _slice_axis(
            source.shape[axis], begin[axis], end[axis], stride[axis], (masks[0], masks[1], masks[2])
        )
        if not 0 <= first < source.shape[axis] or (
            count and not 0 <= first + (count - 1) * stride[axis] < source.shape[axis]
        ):
            lowering.refuse(operator, f"axis {axis} is sliced outside the input", "convert the model again")
        counts.append(count)
        walk.append(steps[axis] * stride[axis])
        offset += first * steps[axis]
    lowering.require_count(operator, target, product(counts))
    dense, step = [0] * rank, ITEM_BYTES[source.dtype]
    for axis in range(rank - 1, -1, -1):
        dense[axis] = step
        step *= counts[axis]
    call = copy_call(
        lowering,
        operator,
        counts,
        (lowering.read(source, "void"), walk, offset),
        (lowering.write(target, "void"), dense, 0),
        ITEM_BYTES[source.dtype],
    )
    lowering.add(operator, call)


def lower_pad(lowering: Lowering, operator: Operator) -> None:
    """Lower PAD: fill with the zero point, then copy the input into the middle."""
    source, target = lowering.input(operator, 0), lowering.output(operator)
    _same_type(lowering, operator, source, target)
    lowering.require_type(operator, source, ["int8", "int16", "int32", "float32"])  # the reference takes no uint8
    widths = lowering.constant_input(operator, 1)
    rank = len(source.shape)
    if widths.shape != (rank, 2) or (widths < 0).any():
        lowering.refuse(operator, f"paddings {widths.tolist()} of a shape {list(source.shape)}", "convert it again")
    expected = tuple(size + int(w.sum()) for size, w in zip(source.shape, widths, strict=True))
    if expected != target.shape:
        lowering.refuse(operator, f"output shape {list(target.shape)} is not {list(expected)}", "convert it again")
    value = lowering.quantization(operator, target)[1] if target.dtype == "int8" else 0
    steps = byte_steps_full(target)
    offset = sum(int(widths[axis, 0]) * steps[axis] for axis in range(rank))
    fill = Call("copy", "edge_k1_fill", (lowering.write(target, "void"), value, target.nbytes))
    move = copy_call(
        lowering,
        operator,
        source.shape,
        (lowering.read(source, "void"), byte_steps_full(source), 0),
        (lowering.write(target, "void"), steps, offset),
        ITEM_BYTES[source.dtype],
    )
    lowering.add(operator, fill, move)


def nearest(size: int, result: int, *, corners: bool, half: bool) -> npt.NDArray[np.int64]:
    """Return the source index of each output index, in float32 as the reference computes it.

    Parameters
    ----------
    size, result : int
        Lengths of the axis before and after.
    corners, half : bool
        The operator's ``align_corners`` and ``half_pixel_centers``.

    Returns
    -------
    indices : int64, shape (result,)
        Within ``0 .. size - 1``.
    """
    if corners and result > 1:
        scale = np.float32(size - 1) / np.float32(result - 1)
    else:
        scale = np.float32(size) / np.float32(result)
    shift = np.float32(0.5) if half else np.float32(0)
    positions = ((np.arange(result).astype(np.float32) + shift) * scale).astype(np.float64)
    # Positions are not negative: halves go up, and in float64 no sum with 0.5 is rounded to a whole number.
    indices = np.floor(positions + 0.5 if corners else positions).astype(np.int64)
    return np.minimum(indices, size - 1)


def lower_resize_nearest(lowering: Lowering, operator: Operator) -> None:
    """Lower RESIZE_NEAREST_NEIGHBOR."""
    source, target = lowering.input(operator, 0), lowering.output(operator)
    _same_type(lowering, operator, source, target)
    lowering.require_type(operator, source, ["int8", "int16"])
    for tensor in (source, target):
        lowering.require_rank(operator, tensor, 4)
    size = [int(value) for value in np.ravel(lowering.constant_input(operator, 1))]
    if size != list(target.shape[1:3]) or (source.shape[0], source.shape[3]) != (target.shape[0], target.shape[3]):
        lowering.refuse(operator, f"size {size} does not give {list(target.shape)}", "convert the model again")
    corners, half = bool(operator.options["align_corners"]), bool(operator.options["half_pixel_centers"])
    maps = [
        nearest(source.shape[axis], target.shape[axis], corners=corners, half=half).astype(np.uint16) for axis in (1, 2)
    ]
    params = Params(
        "edge_resize_nearest",
        {
            "row_of": Table(lowering.constant(maps[0], "rows: source of each output row")),
            "column_of": Table(lowering.constant(maps[1], "columns: source of each output column")),
            "batches": source.shape[0],
            "in_h": source.shape[1],
            "in_w": source.shape[2],
            "out_h": target.shape[1],
            "out_w": target.shape[2],
            "pixel_bytes": source.shape[3] * ITEM_BYTES[source.dtype],
        },
    )
    arguments = (params, lowering.read(source, "void"), lowering.write(target, "void"))
    lowering.add(operator, Call("resize_nearest", "edge_k1_resize_nearest", arguments))
