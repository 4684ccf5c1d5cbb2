"""Random graphs of the supported operators, made to be awkward.

Odd channels, depths that are no multiple of 4, zero points at the limits, multipliers above one, uneven padding,
saturating ranges, branches and state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from firmware_bridge.conformance.writer import write_model
from firmware_bridge.model import Operator, Option, Quantization, Subgraph, Tensor

_SAME, _VALID = 0, 1
_MAX_ELEMENTS = 6000


class GraphMaker:
    """Grows one graph; every method that adds an operator returns the index of its output tensor.

    Parameters
    ----------
    dice : numpy.random.Generator
        All choices come from it.
    """

    def __init__(self, dice: np.random.Generator) -> None:
        self.dice = dice
        self.tensors: list[Tensor] = []
        self.operators: list[Operator] = []

    def pick(self, *choices: int) -> int:
        """Return one of the values."""
        return int(choices[int(self.dice.integers(len(choices)))])

    def tensor(
        self,
        shape: Sequence[int],
        dtype: str = "int8",
        quantization: Quantization | None = None,
        data: npt.NDArray[np.generic] | None = None,
        *,
        variable: bool = False,
    ) -> int:
        """Add a tensor."""
        index = len(self.tensors)
        self.tensors.append(Tensor(index, f"t{index}", dtype, tuple(shape), quantization, data, variable))
        return index

    def operator(
        self, name: str, inputs: Sequence[int], outputs: Sequence[int], options: Mapping[str, Option] | None = None
    ) -> None:
        """Add an operator."""
        index = len(self.operators)
        self.operators.append(Operator(index, name, tuple(inputs), tuple(outputs), dict(options or {})))

    def zero_point(self) -> int:
        """Return a zero point, often at a limit."""
        return self.pick(-128, 127, 0, -1, int(self.dice.integers(-128, 128)))

    def code(self, scale: float | None = None) -> Quantization:
        """Return a per-tensor quantization of an int8 tensor."""
        size = float(np.float32(self.dice.uniform(0.005, 0.2) if scale is None else scale))
        return Quantization((size,), (self.zero_point(),), 0)

    def shape(self, index: int) -> tuple[int, ...]:
        """Return a tensor's shape."""
        return self.tensors[index].shape

    def scale(self, index: int) -> float:
        """Return a tensor's scale."""
        found = self.tensors[index].quantization
        return 1.0 if found is None else found.scale[0]

    def quantization(self, index: int) -> Quantization | None:
        """Return a tensor's quantization."""
        return self.tensors[index].quantization

    def constant(self, values: npt.NDArray[np.generic], quantization: Quantization | None = None) -> int:
        """Add a constant."""
        return self.tensor(values.shape, values.dtype.name, quantization, values)

    def weights(self, shape: tuple[int, ...], axis: int, *, per_channel: bool) -> tuple[int, list[float]]:
        """Add random int8 weights; returns the tensor and its scales."""
        extreme = self.dice.random() < 0.2  # noqa: PLR2004 - one in five saturates
        values = self.dice.choice([-127, 127], shape) if extreme else self.dice.integers(-127, 128, shape)
        count = shape[axis] if per_channel else 1
        scales = [float(np.float32(s)) for s in self.dice.uniform(0.001, 0.02, count)]
        quantization = Quantization(tuple(scales), (0,) * count, axis if per_channel else 0)
        return self.constant(values.astype(np.int8), quantization), scales

    def bias(self, source: int, scales: Sequence[float], channels: int) -> int:
        """Add a bias with the scale that the reference demands."""
        product = [float(np.float32(self.scale(source)) * np.float32(scale)) for scale in scales]
        values = self.dice.integers(-20000, 20000, channels).astype(np.int32)
        return self.constant(values, Quantization(tuple(product), (0,) * len(product), 0))

    def result_scale(self, source: int, scales: Sequence[float], depth: int) -> float:
        """Return an output scale: usually one that uses the range, sometimes so fine that shifts become positive."""
        typical = self.scale(source) * max(scales) * 70.0 * 70.0 * float(np.sqrt(depth)) / 60.0
        factor = float(self.dice.choice([1.0, 1.0, 1.0, 0.3, 3.0, 0.00002]))
        return max(typical * factor, 1e-6)

    def activation(self) -> int:
        """Return a fused activation: none, RELU, RELU_N1_TO_1 or RELU6."""
        return self.pick(0, 0, 1, 2, 3)


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
    target = maker.tensor(shape, "int8", maker.code(typical * factor))
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


def svdf(maker: GraphMaker, source: int) -> int:
    """Add RESHAPE and SVDF with int8 or int16 state."""
    count = int(np.prod(maker.shape(source)))
    flat = reshape(maker, source, (1, count))
    rank, units, memory = maker.pick(1, 2), int(maker.dice.integers(1, 6)), int(maker.dice.integers(1, 7))
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


_IMAGE: tuple[Callable[[GraphMaker, int], int], ...] = (
    convolution,
    convolution,
    convolution,
    depthwise,
    depthwise,
    binary,
    binary,
    pool,
    mean,
    pad,
    concatenation,
    transpose,
    strided_slice,
    resize,
    unary,
    unary,
    leaky_relu,
    softmax,
    expand,
)
_ENDS: tuple[Callable[[GraphMaker, int], int], ...] = (fully_connected, fully_connected, svdf, lstm)


def random_model(seed: int) -> bytes:
    """Make one random model.

    Parameters
    ----------
    seed : int
        Same seed, same model.

    Returns
    -------
    data : bytes
        A .tflite file of 2 to about 12 operators that both tflite-micro and the emitter take.
    """
    maker = GraphMaker(np.random.default_rng(seed))
    shape = (1, *(int(maker.dice.integers(1, 11)) for _ in range(2)), maker.pick(1, 2, 3, 4, 5, 7, 8, 16))
    ends = maker.dice.random()
    kind = "uint8" if ends < 0.15 else "float32" if ends > 0.88 else "int8"  # noqa: PLR2004 - other ends now and then
    if kind == "int8":
        first = current = maker.tensor(shape, "int8", maker.code())
    else:
        first = maker.tensor(shape, kind, Quantization((0.05,), (128,), 0) if kind == "uint8" else None)
        current = maker.tensor(shape, "int8", Quantization((0.05,), (0,), 0))
        maker.operator("QUANTIZE", [first], [current])
    for _ in range(int(maker.dice.integers(1, 7))):
        if int(np.prod(maker.shape(current))) > _MAX_ELEMENTS:
            break
        current = _IMAGE[int(maker.dice.integers(len(_IMAGE)))](maker, current)
    if maker.dice.random() < 0.6:  # noqa: PLR2004 - most graphs end in a dense or recurrent layer
        current = _ENDS[int(maker.dice.integers(len(_ENDS)))](maker, current)
    if kind == "uint8":
        last = maker.tensor(maker.shape(current), "uint8", Quantization((maker.scale(current),), (99,), 0))
        maker.operator("QUANTIZE", [current], [last])
        current = last
    elif kind == "float32":
        last = maker.tensor(maker.shape(current), "float32")
        maker.operator("DEQUANTIZE", [current], [last])
        current = last
    if current == first:
        current = leaky_relu(maker, current)
    return write_model([Subgraph(tuple(maker.tensors), tuple(maker.operators), (first,), (current,))])


def variable_model(seed: int, *, initialised: bool) -> bytes:
    """Make a model that adds its input to a resource variable at every invocation.

    Parameters
    ----------
    seed : int
        Same seed, same model.
    initialised : bool
        With a CALL_ONCE subgraph that assigns a constant first.

    Returns
    -------
    data : bytes
        A .tflite file with CALL_ONCE, VAR_HANDLE, READ_VARIABLE and ASSIGN_VARIABLE.
    """
    maker = GraphMaker(np.random.default_rng(seed))
    shape = (1, int(maker.dice.integers(2, 9)))
    code = Quantization((0.05,), (0,), 0)
    variable: dict[str, Option] = {"container": "", "shared_name": "memory"}
    if initialised:
        maker.operator("CALL_ONCE", [], [], {"subgraph": 1})
    first = maker.tensor(shape, "int8", code)
    handle = maker.tensor((), "resource")
    maker.operator("VAR_HANDLE", [], [handle], variable)
    held = maker.tensor(shape, "int8", code)
    maker.operator("READ_VARIABLE", [handle], [held])
    total = maker.tensor(shape, "int8", code)
    maker.operator("ADD", [first, held], [total], {"activation": 0})
    maker.operator("ASSIGN_VARIABLE", [handle, total], [])
    result = leaky_relu(maker, total)
    graphs = [Subgraph(tuple(maker.tensors), tuple(maker.operators), (first,), (result,))]
    if initialised:
        setup = GraphMaker(maker.dice)
        target = setup.tensor((), "resource")
        setup.operator("VAR_HANDLE", [], [target], variable)
        values = setup.constant(maker.dice.integers(-100, 101, shape).astype(np.int8), code)
        setup.operator("ASSIGN_VARIABLE", [target, values], [])
        graphs.append(Subgraph(tuple(setup.tensors), tuple(setup.operators), (), ()))
    return write_model(graphs)
