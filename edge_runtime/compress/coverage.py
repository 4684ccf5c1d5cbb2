"""How much of a TFLite model is really integer: in multiply-accumulates and in bytes of weight matrices.

Read from the file itself, operator by operator, so that a model with float matrices is never called int8.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Any

from edge_runtime.errors import ConversionError

_INTEGER = {9, 17, 3, 7, 2}  # INT8, INT4, UINT8, INT16, INT32 in the schema's TensorType
_BYTES = {0: 4.0, 1: 2.0, 2: 4.0, 3: 1.0, 4: 8.0, 7: 2.0, 9: 1.0, 17: 0.5}
_CONV, _DEPTHWISE, _DENSE, _LSTM, _TRANSPOSED, _MATMUL = 3, 4, 9, 44, 67, 126
_LSTM_MATRICES = range(1, 9)


@dataclass(frozen=True, slots=True)
class OperatorCoverage:
    """One operator that multiplies.

    Attributes
    ----------
    index : int
        Place in the graph.
    name : str
        The operator.
    macs : int
        Multiply-accumulates per inference.
    integer : bool
        Whether its activations and all of its matrices are integers.
    weight_bytes, integer_weight_bytes : float
        Of its matrices.
    parameters : int
        Elements of its matrices.
    """

    index: int
    name: str
    macs: int
    integer: bool
    weight_bytes: float
    integer_weight_bytes: float
    parameters: int


@dataclass(frozen=True, slots=True)
class Coverage:
    """All operators that multiply.

    Attributes
    ----------
    operators : tuple of OperatorCoverage
        In the order of the graph.
    """

    operators: tuple[OperatorCoverage, ...]

    @property
    def macs(self) -> int:
        """Multiply-accumulates per inference."""
        return sum(each.macs for each in self.operators)

    @property
    def integer_macs_pct(self) -> float:
        """Share of them that is integer, %; 100 when there are none."""
        integer = sum(each.macs for each in self.operators if each.integer)
        return 100.0 * integer / self.macs if self.macs else 100.0

    @property
    def weight_bytes(self) -> int:
        """Bytes of all weight matrices."""
        return round(sum(each.weight_bytes for each in self.operators))

    @property
    def integer_weight_bytes_pct(self) -> float:
        """Share of them that is integer, %; 100 when there are none."""
        total = sum(each.weight_bytes for each in self.operators)
        return 100.0 * sum(each.integer_weight_bytes for each in self.operators) / total if total else 100.0

    @property
    def parameters(self) -> int:
        """Elements of all weight matrices."""
        return sum(each.parameters for each in self.operators)

    @property
    def is_full_int8(self) -> bool:
        """Whether nothing that multiplies is float."""
        return all(each.integer and each.integer_weight_bytes == each.weight_bytes for each in self.operators)

    def float_operators(self) -> list[str]:
        """Names and places of what is not integer."""
        return [f"{each.name} at {each.index}" for each in self.operators if not each.integer]


def measure_coverage(model: bytes) -> Coverage:
    """Read a TFLite model.

    Parameters
    ----------
    model : bytes
        The file.

    Returns
    -------
    coverage : Coverage
        Of its main graph.

    Raises
    ------
    ConversionError
        If the bytes are no TFLite model.
    """
    from ai_edge_litert import schema_py_generated as schema  # noqa: PLC0415 - the engine's own reader

    if model[4:8] != b"TFL3":
        raise ConversionError("not a TFLite model: the file identifier TFL3 is missing")
    try:
        root = schema.ModelT.InitFromObj(schema.Model.GetRootAs(bytearray(model), 0))
        graph = root.subgraphs[0]
        codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in root.operatorCodes]
        names = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
        found = [
            _measure(index, operator, codes[operator.opcodeIndex], names, graph.tensors)
            for index, operator in enumerate(graph.operators)
        ]
    except (struct.error, IndexError, TypeError, ValueError, AttributeError) as error:
        raise ConversionError(f"not a TFLite model that can be read: {error}") from error
    return Coverage(tuple(each for each in found if each is not None))


def _measure(
    index: int,
    operator: Any,  # noqa: ANN401 - generated code has no types
    code: int,
    names: dict[int, str],
    tensors: Any,  # noqa: ANN401 - generated code has no types
) -> OperatorCoverage | None:
    """Measure one operator; None when it does not multiply."""
    matrices: list[Any]
    inputs: list[Any] = [None if place < 0 else tensors[place] for place in operator.inputs]
    output = tensors[operator.outputs[0]]
    if code in {_CONV, _DEPTHWISE, _TRANSPOSED, _DENSE}:
        matrices = [inputs[1]]
    elif code == _LSTM:
        matrices = [inputs[place] for place in _LSTM_MATRICES if inputs[place] is not None]
    elif code == _MATMUL:
        matrices = []
    else:
        return None
    sizes = [math.prod([int(side) for side in matrix.shape]) for matrix in matrices]
    weight_bytes = [size * _BYTES.get(matrix.type, 4.0) for size, matrix in zip(sizes, matrices, strict=True)]
    integer_bytes = [bytes_ for bytes_, matrix in zip(weight_bytes, matrices, strict=True) if matrix.type in _INTEGER]
    active = [inputs[0], output, *matrices] + ([inputs[1]] if code == _MATMUL else [])
    return OperatorCoverage(
        index=index,
        name=names.get(code, f"operator {code}"),
        macs=_macs(code, inputs, output, sizes),
        integer=all(tensor.type in _INTEGER for tensor in active),
        weight_bytes=sum(weight_bytes),
        integer_weight_bytes=sum(integer_bytes),
        parameters=sum(sizes),
    )


def _macs(code: int, inputs: list[Any], output: Any, sizes: list[int]) -> int:  # noqa: ANN401 - generated code
    """Count multiply-accumulates from shapes."""
    out = [int(side) for side in output.shape]
    if code == _CONV:
        return math.prod(out[:3]) * sizes[0]
    if code == _DEPTHWISE:
        _, height, width, channels = (int(side) for side in inputs[1].shape)
        return math.prod(out[:3]) * channels * height * width
    if code == _TRANSPOSED:
        source = [int(side) for side in inputs[2].shape]
        return math.prod(source[:3]) * sizes[0]
    if code == _DENSE:
        return math.prod(out[:-1]) * sizes[0]
    if code == _LSTM:
        return int(inputs[0].shape[1]) * sum(sizes)
    return math.prod(out) * int(inputs[0].shape[-1])
