"""Random models, made to be awkward.

Odd channels, depths that are no multiple of 4, zero points at the limits, multipliers above one, uneven padding,
saturating ranges, branches and state.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from firmware_bridge.conformance.last_layers import fully_connected, lstm, svdf
from firmware_bridge.conformance.layers import (
    binary,
    concatenation,
    convolution,
    depthwise,
    expand,
    leaky_relu,
    mean,
    pad,
    pool,
    resize,
    softmax,
    strided_slice,
    transpose,
    unary,
)
from firmware_bridge.conformance.maker import GraphMaker
from firmware_bridge.conformance.writer import write_model
from firmware_bridge.model import Option, Quantization, Subgraph

_MAX_ELEMENTS = 6000
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
        A .tflite file of 2 to about 12 operators that both tflite-micro and the emitter take, with one to five outputs;
        the end of the chain is the first.
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
    outputs = (current, *_more_outputs(maker, first, current))
    return write_model([Subgraph(tuple(maker.tensors), tuple(maker.operators), (first,), outputs)])


def _more_outputs(maker: GraphMaker, first: int, last: int) -> list[int]:
    """Up to four other outputs in half of the graphs: what operators hand on, and the graph's input itself.

    What the last operator reads is often among them: nothing may be written over it at the very end.
    """
    if maker.dice.random() < 0.5:  # noqa: PLR2004 - a fair coin
        return []
    made = [index for index in (first, *(op.outputs[0] for op in maker.operators)) if index != last]
    chosen = [int(index) for index in maker.dice.permutation(made)[: maker.pick(1, 2, 4)]]
    return chosen if made[-1] in chosen or maker.pick(0, 1, 1) == 0 else [made[-1], *chosen[1:]]


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
