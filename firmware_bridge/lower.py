"""From a model to a program: every operator is lowered in the model's order, or the model is refused."""

from __future__ import annotations

import numpy as np

from edge_runtime.errors import UnsupportedOperatorError
from firmware_bridge.arithmetic import INT16_MAX, ScaleError
from firmware_bridge.lowering import CTYPES, Lowering
from firmware_bridge.model import Model, Operator, Subgraph, Tensor
from firmware_bridge.operators import LOWERINGS
from firmware_bridge.operators.variables import variable_key
from firmware_bridge.program import Port, Program, short_name
from firmware_bridge.targets import Target

_REMEDIES = {
    "TRANSPOSE_CONV": "use RESIZE_NEAREST_NEIGHBOR followed by CONV_2D",
    "RESIZE_BILINEAR": "use RESIZE_NEAREST_NEIGHBOR",
    "SLICE": "use STRIDED_SLICE",
    "PADV2": "pad with zero (PAD)",
    "PACK": "use CONCATENATION and RESHAPE",
    "UNPACK": "use SPLIT and RESHAPE",
    "LSTM": "convert it as UNIDIRECTIONAL_SEQUENCE_LSTM",
    "RELU_N1_TO_1": "fuse it into the operator before",
    "CAST": "keep int8 throughout; CAST has no quantized form",
}
#: Inputs at which an operator takes a variable tensor as the state that it keeps.
_STATE_INPUTS = {"UNIDIRECTIONAL_SEQUENCE_LSTM": (18, 19), "SVDF": (4,)}


def lower_model(model: Model, target: Target) -> Program:
    """Lower a model for a target.

    Parameters
    ----------
    model : Model
        As read.
    target : Target
        Decides scratch sizes.

    Returns
    -------
    program : Program
        Steps in the model's order.

    Raises
    ------
    UnsupportedOperatorError
        When an operator, type or shape cannot be emitted; names it, its place and what to change.
    """
    graph = model.subgraphs[0]
    unknown = [operator for operator in graph.operators if operator.name not in LOWERINGS]
    if unknown:
        raise UnsupportedOperatorError(_unsupported(graph, unknown))
    lowering = Lowering(graph, target)
    _collect_initial_values(model, lowering)
    inputs = tuple(_input_port(lowering, graph.tensors[index]) for index in graph.inputs)
    for operator in graph.operators:
        lowering.current = operator.index
        _check_order(lowering, operator)
        _check_options(lowering, operator)
        try:
            LOWERINGS[operator.name](lowering, operator)
        except ScaleError as error:
            lowering.refuse(operator, str(error), "quantize the model again with a representative data set")
    outputs = tuple(_output_port(lowering, graph.tensors[index]) for index in graph.outputs)
    if not inputs or not outputs:
        raise UnsupportedOperatorError("the graph has no input or no output; nothing could be computed with it")
    kernels = frozenset(call.kernel for step in lowering.steps for call in step.calls)
    return Program(tuple(lowering.buffers), tuple(lowering.steps), inputs, outputs, model.sha256, model.nbytes, kernels)


def _unsupported(graph: Subgraph, operators: list[Operator]) -> str:
    lines = []
    for operator in operators:
        named = operator.outputs and operator.outputs[0] >= 0
        output = short_name(graph.tensors[operator.outputs[0]].name) if named else "nothing"
        remedy = _REMEDIES.get(operator.name, "replace it in the model, or run this part outside")
        lines.append(f"operator {operator.index} {operator.name} (output {output!r}) is not supported; {remedy}")
    shown = 8
    more = [f"and {len(lines) - shown} more"] if len(lines) > shown else []
    return "\n".join(lines[:shown] + more)


def _check_order(lowering: Lowering, operator: Operator) -> None:
    """Refuse an operator that reads what no earlier one has written, or the state of another one."""
    for position, index in enumerate(operator.inputs):
        if index < 0:
            continue
        tensor = lowering.graph.tensors[index]
        if tensor.is_variable and position not in _STATE_INPUTS.get(operator.name, ()):
            lowering.refuse(
                operator,
                f"input {position} {short_name(tensor.name)!r} is the state that another operator keeps",
                "read that operator's output instead",
            )
        known = tensor.data is not None or tensor.is_variable or tensor.dtype == "resource" or lowering.is_known(tensor)
        if not known:
            lowering.refuse(
                operator, f"tensor {short_name(tensor.name)!r} is read before it is written", "convert it again"
            )
    for index in operator.outputs:
        if index < 0:
            continue
        result = lowering.graph.tensors[index]
        if lowering.is_known(result) or result.data is not None or result.is_variable:
            lowering.refuse(
                operator,
                f"tensor {short_name(result.name)!r} is a constant, a state or written before",
                "convert it again",
            )


def _check_options(lowering: Lowering, operator: Operator) -> None:
    """Refuse windows that the reference would cut to 16 bits without a word."""
    for name, value in operator.options.items():
        if name.startswith(("stride_", "dilation_")) and int(value) > INT16_MAX:
            lowering.refuse(operator, f"{name} is {value}", f"at most {INT16_MAX} can be emitted: convert it again")


def _collect_initial_values(model: Model, lowering: Lowering) -> None:
    """Take what CALL_ONCE subgraphs assign as the initial values of resource variables."""
    for operator in model.subgraphs[0].operators:
        if operator.name != "CALL_ONCE":
            continue
        index = int(operator.options["subgraph"])
        if not 0 < index < len(model.subgraphs):
            lowering.refuse(operator, f"subgraph {index} does not exist", "convert the model again")
        _read_initialisation(model.subgraphs[index], operator, lowering)


def _read_initialisation(graph: Subgraph, caller: Operator, lowering: Lowering) -> None:
    keys: dict[int, str] = {}
    for operator in graph.operators:
        if operator.name == "VAR_HANDLE" and operator.outputs:
            keys[operator.outputs[0]] = variable_key(operator)
            continue
        tensors: tuple[Tensor | None, ...] = tuple(graph.tensors[i] if i >= 0 else None for i in operator.inputs)
        expected = 2
        if operator.name != "ASSIGN_VARIABLE" or len(tensors) != expected or operator.inputs[0] not in keys:
            lowering.refuse(caller, f"its initialisation holds {operator.name}", "only assign constants in it")
        value = tensors[1]
        if value is None or value.data is None:
            lowering.refuse(caller, "its initialisation assigns something computed", "only assign constants in it")
        lowering.variables[keys[operator.inputs[0]]] = value.data.tobytes()


def _port(lowering: Lowering, tensor: Tensor, what: str) -> Port:
    if tensor.is_variable:
        raise UnsupportedOperatorError(
            f"{what} {short_name(tensor.name)!r} is the state that an operator keeps; "
            "let the graph begin and end with tensors of their own"
        )
    if tensor.dtype not in CTYPES or any(size < 1 for size in tensor.shape):
        raise UnsupportedOperatorError(
            f"{what} {short_name(tensor.name)!r} has type {tensor.dtype} and shape {list(tensor.shape)}; "
            "convert with int8 or uint8 ends of a fixed shape"
        )
    scale, zero_point = _port_scale(tensor, what)
    return Port(tensor.name, lowering.buffer(tensor), tensor.dtype, tensor.shape, scale, zero_point)


def _port_scale(tensor: Tensor, what: str) -> tuple[float, int]:
    """Scale and zero point of a graph end; 1 and 0 where codes are the values themselves."""
    found = tensor.quantization
    if found is None or tensor.dtype == "float32":
        return 1.0, 0
    limits = np.iinfo(tensor.dtype)
    if len(found.scale) != 1:
        raise UnsupportedOperatorError(
            f"{what} {short_name(tensor.name)!r} has {len(found.scale)} scales; quantize it per tensor"
        )
    if not limits.min <= found.zero_point[0] <= limits.max:
        raise UnsupportedOperatorError(
            f"{what} {short_name(tensor.name)!r} has zero point {found.zero_point[0]}, outside of {tensor.dtype}; "
            "convert the model again"
        )
    return found.scale[0], found.zero_point[0]


def _input_port(lowering: Lowering, tensor: Tensor) -> Port:
    if tensor.data is not None:
        raise UnsupportedOperatorError(
            f"graph input {short_name(tensor.name)!r} is a constant; convert the model again"
        )
    return _port(lowering, tensor, "graph input")


def _output_port(lowering: Lowering, tensor: Tensor) -> Port:
    known = lowering.is_known(tensor) or tensor.is_variable  # a state is refused as such
    if tensor.data is not None or not known:
        raise UnsupportedOperatorError(
            f"graph output {short_name(tensor.name)!r} is not computed by any operator; convert the model again"
        )
    port = _port(lowering, tensor, "graph output")
    if lowering.buffers[port.buffer].place != "arena":
        raise UnsupportedOperatorError(
            f"graph output {short_name(tensor.name)!r} is a constant; convert the model again"
        )
    return port
