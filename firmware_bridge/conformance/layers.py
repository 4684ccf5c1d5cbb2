"""Random layers that keep four axes; each adds operators and returns the index of its output."""

from __future__ import annotations

import numpy as np

from firmware_bridge.conformance.maker import GraphMaker
from firmware_bridge.model import Option, Quantization

_SAME, _VALID = 0, 1


def _window(maker: GraphMaker, size: int, kernel: int, padding: int) -> tuple[int, int, int]:
    """Stride, dilation and result size that fit."""
    stride = maker.pick(1, 1, 2, 3)
    dilation = 1 if stride > 1 else maker.pick(1, 1, 2)
    span = (kernel - 1) * dilation + 1
    if padding == _VALID and span > size:
        dilation, span = 1, kernel
    result = -(-size // stride) if padding == _SAME else (size + stride - span) // stride
    return stride, dilation, result


def convolution(maker: GraphMaker, source: int) -> int:
    """Add CONV_2D."""
    _, height, width, depth = maker.shape(source)
    kernel_h, kernel_w = maker.pick(1, 1, 2, 3, 5), maker.pick(1, 1, 2, 3, 4)
    padding = maker.pick(_SAME, _VALID) if kernel_h <= height and kernel_w <= width else _SAME
    stride_h, dilation_h, out_h = _window(maker, height, kernel_h, padding)
    stride_w, dilation_w, out_w = _window(maker, width, kernel_w, padding)
    if (dilation_h > 1) != (dilation_w > 1):
        dilation_h = dilation_w = 1
        out_h = -(-height // stride_h) if padding == _SAME else (height + stride_h - kernel_h) // stride_h
        out_w = -(-width // stride_w) if padding == _SAME else (width + stride_w - kernel_w) // stride_w
    channels = int(maker.dice.integers(1, 14))
    weights, scales = maker.weights((channels, kernel_h, kernel_w, depth), 0, per_channel=maker.dice.random() < 0.8)  # noqa: PLR2004
    bias = maker.bias(source, scales, channels) if maker.dice.random() < 0.9 else -1  # noqa: PLR2004
    scale = maker.result_scale(source, scales, kernel_h * kernel_w * depth)
    target = maker.tensor((1, out_h, out_w, channels), "int8", maker.code(scale))
    maker.operator(
        "CONV_2D",
        [source, weights, bias],
        [target],
        {
            "padding": padding,
            "stride_w": stride_w,
            "stride_h": stride_h,
            "activation": maker.activation(),
            "dilation_w": dilation_w,
            "dilation_h": dilation_h,
        },
    )
    return target


def depthwise(maker: GraphMaker, source: int) -> int:
    """Add DEPTHWISE_CONV_2D."""
    _, height, width, depth = maker.shape(source)
    kernel_h, kernel_w = maker.pick(1, 2, 3, 3, 5), maker.pick(1, 2, 3, 3, 4)
    padding = maker.pick(_SAME, _VALID) if kernel_h <= height and kernel_w <= width else _SAME
    stride_h, _, out_h = _window(maker, height, kernel_h, padding)
    stride_w, _, out_w = _window(maker, width, kernel_w, padding)
    dilation = maker.pick(1, 2) if stride_h == stride_w == 1 and padding == _SAME else 1
    if dilation == 1:
        out_h = -(-height // stride_h) if padding == _SAME else (height + stride_h - kernel_h) // stride_h
        out_w = -(-width // stride_w) if padding == _SAME else (width + stride_w - kernel_w) // stride_w
    multiplier = maker.pick(1, 1, 1, 2, 3) if depth < 12 else 1  # noqa: PLR2004 - keeps graphs small
    channels = depth * multiplier
    weights, scales = maker.weights((1, kernel_h, kernel_w, channels), 3, per_channel=True)
    bias = maker.bias(source, scales, channels)
    scale = maker.result_scale(source, scales, kernel_h * kernel_w)
    target = maker.tensor((1, out_h, out_w, channels), "int8", maker.code(scale))
    maker.operator(
        "DEPTHWISE_CONV_2D",
        [source, weights, bias],
        [target],
        {
            "padding": padding,
            "stride_w": stride_w,
            "stride_h": stride_h,
            "multiplier": multiplier,
            "activation": maker.activation(),
            "dilation_w": dilation,
            "dilation_h": dilation,
        },
    )
    return target


def reshape(maker: GraphMaker, source: int, shape: tuple[int, ...]) -> int:
    """Add RESHAPE."""
    target = maker.tensor(shape, maker.tensors[source].dtype, maker.quantization(source))
    maker.operator("RESHAPE", [source, maker.constant(np.array(shape, np.int32))], [target])
    return target


def expand(maker: GraphMaker, source: int) -> int:
    """Add EXPAND_DIMS, SQUEEZE of all axes of one, and RESHAPE back."""
    shape = maker.shape(source)
    wide = maker.tensor((1, *shape), "int8", maker.quantization(source))
    maker.operator("EXPAND_DIMS", [source, maker.constant(np.array([0], np.int32))], [wide])
    narrow = maker.tensor(tuple(size for size in shape if size > 1), "int8", maker.quantization(source))
    maker.operator("SQUEEZE", [wide], [narrow])
    return reshape(maker, narrow, shape)


def binary(maker: GraphMaker, source: int) -> int:
    """Add ADD, SUB or MUL with the same, a broadcast or a constant second operand."""
    name = ("ADD", "SUB", "MUL")[maker.pick(0, 1, 2)]
    shape = maker.shape(source)
    kind = maker.pick(0, 1, 2)
    if kind == 0:
        other = leaky_relu(maker, source)
    else:
        size = tuple(s if kind == 1 or maker.pick(0, 1) else 1 for s in shape)
        values = maker.dice.integers(-128, 128, size).astype(np.int8)
        other = maker.constant(values, maker.code())
    a, b = maker.scale(source), maker.scale(other)
    typical = a * b * 60.0 if name == "MUL" else max(a, b)
    factor = float(maker.dice.choice([1.0, 2.0, 0.5, 0.05]))
    pair = [source, other] if maker.pick(0, 1) or kind == 0 else [other, source]
    target = maker.tensor(shape, "int8", maker.code(max(typical * factor, 1e-6)))
    maker.operator(name, pair, [target], {"activation": maker.activation()})
    return target


def pool(maker: GraphMaker, source: int) -> int:
    """Add AVERAGE_POOL_2D or MAX_POOL_2D."""
    _, height, width, depth = maker.shape(source)
    kernel_h, kernel_w = maker.pick(1, 2, 3), maker.pick(1, 2, 3)
    padding = maker.pick(_SAME, _VALID) if kernel_h <= height and kernel_w <= width else _SAME
    stride_h, stride_w = maker.pick(1, 2), maker.pick(1, 2, 3)
    same = padding == _SAME
    out_h = -(-height // stride_h) if same else (height + stride_h - kernel_h) // stride_h
    out_w = -(-width // stride_w) if same else (width + stride_w - kernel_w) // stride_w
    target = maker.tensor((1, out_h, out_w, depth), "int8", maker.quantization(source))
    options: dict[str, Option] = {
        "padding": padding,
        "stride_w": stride_w,
        "stride_h": stride_h,
        "kernel_w": kernel_w,
        "kernel_h": kernel_h,
        "activation": maker.activation(),
    }
    maker.operator(("AVERAGE_POOL_2D", "MAX_POOL_2D")[maker.pick(0, 1)], [source], [target], options)
    return target


def mean(maker: GraphMaker, source: int) -> int:
    """Add MEAN over one or two axes."""
    shape = maker.shape(source)
    axes = [(1, 2), (1,), (2,), (3,), (1, 3)][maker.pick(0, 0, 1, 2, 3, 4)]
    keep = bool(maker.pick(0, 1))
    kept = tuple(1 if axis in axes else size for axis, size in enumerate(shape) if keep or axis not in axes)
    quantization = maker.quantization(source) if maker.pick(0, 1) else maker.code(maker.scale(source))
    target = maker.tensor(kept, "int8", quantization)
    maker.operator("MEAN", [source, maker.constant(np.array(axes, np.int32))], [target], {"keep_dims": keep})
    return target if keep else reshape(maker, target, tuple(1 if a in axes else s for a, s in enumerate(shape)))


def pad(maker: GraphMaker, source: int) -> int:
    """Add PAD."""
    widths = np.array([[0, 0], *([maker.pick(0, 1, 2), maker.pick(0, 1)] for _ in range(3))], np.int32)
    shape = tuple(int(s + w.sum()) for s, w in zip(maker.shape(source), widths, strict=True))
    target = maker.tensor(shape, "int8", maker.quantization(source))
    maker.operator("PAD", [source, maker.constant(widths)], [target])
    return target


def concatenation(maker: GraphMaker, source: int) -> int:
    """Add SPLIT or SPLIT_V along an axis and CONCATENATION of the parts in another order."""
    shape = maker.shape(source)
    axis = maker.pick(1, 2, 3)
    size = shape[axis]
    parts = [1, size - 1] if size > 1 else [1]
    even = size % 2 == 0 and maker.pick(0, 1) == 1
    parts = [size // 2] * 2 if even else parts
    outputs = [
        maker.tensor((*shape[:axis], part, *shape[axis + 1 :]), "int8", maker.quantization(source)) for part in parts
    ]
    place = maker.constant(np.array(axis, np.int32))
    if even:
        maker.operator("SPLIT", [place, source], outputs)
    else:
        maker.operator("SPLIT_V", [source, maker.constant(np.array(parts, np.int32)), place], outputs)
    joined = maker.pick(1, 2, 3)
    usable = [source, *outputs[::-1]] if joined == axis else [source, source]
    total = sum(maker.shape(index)[joined] for index in usable)
    target = maker.tensor((*shape[:joined], total, *shape[joined + 1 :]), "int8", maker.quantization(source))
    maker.operator("CONCATENATION", usable, [target], {"axis": maker.pick(joined, joined - 4), "activation": 0})
    return target


def transpose(maker: GraphMaker, source: int) -> int:
    """Add TRANSPOSE."""
    order = [0, *(int(axis) + 1 for axis in maker.dice.permutation(3))]
    shape = tuple(maker.shape(source)[axis] for axis in order)
    target = maker.tensor(shape, "int8", maker.quantization(source))
    maker.operator("TRANSPOSE", [source, maker.constant(np.array(order, np.int32))], [target])
    return target


def strided_slice(maker: GraphMaker, source: int) -> int:
    """Add STRIDED_SLICE."""
    shape = maker.shape(source)
    begin, end, step, sizes, mask = [], [], [], [], 0
    for axis, size in enumerate(shape):
        stride = maker.pick(1, 1, 2) if axis else 1
        first = maker.pick(0, 0, 1) if size > 2 and axis else 0  # noqa: PLR2004 - leaves something
        last = size if maker.pick(0, 1) or size < 3 else size - 1  # noqa: PLR2004
        begin.append(first)
        end.append(last)
        step.append(stride)
        mask |= maker.pick(0, 1) << axis
        reach = size if mask >> axis & 1 else last
        sizes.append(-(-(reach - first) // stride))
    target = maker.tensor(sizes, "int8", maker.quantization(source))
    options: dict[str, Option] = {
        "begin_mask": 0,
        "end_mask": mask,
        "ellipsis_mask": 0,
        "new_axis_mask": 0,
        "shrink_axis_mask": 0,
        "offset": False,
    }
    constants = [maker.constant(np.array(values, np.int32)) for values in (begin, end, step)]
    maker.operator("STRIDED_SLICE", [source, *constants], [target], options)
    return target


def resize(maker: GraphMaker, source: int) -> int:
    """Add RESIZE_NEAREST_NEIGHBOR."""
    _, height, width, depth = maker.shape(source)
    out_h, out_w = int(maker.dice.integers(1, 2 * height + 2)), int(maker.dice.integers(1, 2 * width + 2))
    target = maker.tensor((1, out_h, out_w, depth), "int8", maker.quantization(source))
    corners = bool(maker.pick(0, 1))
    options: dict[str, Option] = {
        "align_corners": corners,
        "half_pixel_centers": not corners and bool(maker.pick(0, 1)),
    }
    size = maker.constant(np.array([out_h, out_w], np.int32))
    maker.operator("RESIZE_NEAREST_NEIGHBOR", [source, size], [target], options)
    return target


def _pointwise(maker: GraphMaker, name: str, source: int, quantization: Quantization | None) -> int:
    target = maker.tensor(maker.shape(source), "int8", quantization)
    options: dict[str, Option] = (
        {"alpha": float(np.float32(maker.dice.uniform(0.0, 0.5)))} if name == "LEAKY_RELU" else {}
    )
    maker.operator(name, [source], [target], options)
    return target


def leaky_relu(maker: GraphMaker, source: int) -> int:
    """Add LEAKY_RELU."""
    return _pointwise(
        maker, "LEAKY_RELU", source, maker.code(maker.scale(source) * float(maker.dice.uniform(0.4, 2.0)))
    )


def unary(maker: GraphMaker, source: int) -> int:
    """Add one of the table operators."""
    scale = maker.scale(source)
    kind = maker.pick(0, 1, 2, 3, 4, 5)
    if kind == 0:
        return _pointwise(maker, "LOGISTIC", source, Quantization((1.0 / 256.0,), (-128,), 0))
    if kind == 1:
        return _pointwise(maker, "TANH", source, Quantization((1.0 / 128.0,), (0,), 0))
    if kind == 2:  # noqa: PLR2004 - the third kind
        return _pointwise(maker, "RELU", source, maker.code(scale * float(maker.dice.uniform(0.3, 2.0))))
    if kind == 3:  # noqa: PLR2004
        return _pointwise(maker, "RELU6", source, maker.quantization(source))
    if kind == 4:  # noqa: PLR2004
        return _pointwise(maker, "HARD_SWISH", source, maker.code(scale * float(maker.dice.uniform(0.3, 2.0))))
    return _pointwise(maker, "QUANTIZE", source, maker.code(scale * float(maker.dice.uniform(0.3, 2.0))))


def softmax(maker: GraphMaker, source: int) -> int:
    """Add SOFTMAX."""
    target = maker.tensor(maker.shape(source), "int8", Quantization((1.0 / 256.0,), (-128,), 0))
    maker.operator("SOFTMAX", [source], [target], {"beta": 1.0})
    return target
