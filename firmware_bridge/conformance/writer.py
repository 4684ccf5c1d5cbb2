"""Writing a ``Model`` back as a .tflite file, the inverse of ``read_model``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from firmware_bridge.model import Operator, Option, Quantization, Subgraph, Tensor
from firmware_bridge.schema import OPERATOR_NAMES, OPTIONS, TENSOR_TYPES

_CODES: Final = {name: number for number, name in OPERATOR_NAMES.items()}
_TYPES: Final = {name: number for number, name in TENSOR_TYPES.items()}
_MAX_OLD_CODE: Final = 127


class _Writer:
    """One file in the making; offsets are FlatBuffers' own."""

    def __init__(self) -> None:
        import flatbuffers  # noqa: PLC0415 - only writing needs the package

        self.builder = flatbuffers.Builder(1 << 16)
        self.codes: list[str] = []
        self.buffers: list[npt.NDArray[np.generic]] = []

    def table(self, fields: Mapping[int, tuple[str, Any]], n_fields: int) -> int:
        """Write a table; each field is (kind, value) with scalars inline and everything else an offset."""
        builder = self.builder
        builder.StartObject(n_fields)
        for index, (kind, value) in fields.items():
            prepend = {
                "int": builder.PrependInt32Slot,
                "uint": builder.PrependUint32Slot,
                "byte": builder.PrependInt8Slot,
                "bool": builder.PrependBoolSlot,
                "float": builder.PrependFloat32Slot,
                "offset": builder.PrependUOffsetTRelativeSlot,
            }[kind]
            prepend(index, value, None if kind != "offset" else 0)
        return int(builder.EndObject())

    def offsets(self, values: Sequence[int]) -> int:
        """Write a list of offsets."""
        self.builder.StartVector(4, len(values), 4)
        for value in reversed(values):
            self.builder.PrependUOffsetTRelative(value)
        return int(self.builder.EndVector())

    def array(self, values: Sequence[float] | npt.NDArray[np.generic], dtype: str) -> int:
        """Write a list of scalars."""
        return int(self.builder.CreateNumpyVector(np.ascontiguousarray(values, dtype=dtype).reshape(-1)))

    def quantization(self, quantization: Quantization) -> int:
        scale = self.array(quantization.scale, "<f4")
        zero_point = self.array(quantization.zero_point, "<i8")
        return self.table({2: ("offset", scale), 3: ("offset", zero_point), 6: ("int", quantization.axis)}, 7)

    def tensor(self, tensor: Tensor) -> int:
        buffer = 0
        if tensor.data is not None:
            self.buffers.append(tensor.data)
            buffer = len(self.buffers)
        name = self.builder.CreateString(tensor.name)
        shape = self.array(tensor.shape, "<i4")
        fields: dict[int, tuple[str, Any]] = {
            0: ("offset", shape),
            1: ("byte", _TYPES[tensor.dtype]),
            2: ("uint", buffer),
            3: ("offset", name),
            5: ("bool", tensor.is_variable),
        }
        if tensor.quantization is not None:
            fields[4] = ("offset", self.quantization(tensor.quantization))
        return self.table(fields, 8)

    def options(self, name: str, options: Mapping[str, Option]) -> int:
        fields: dict[int, tuple[str, Any]] = {}
        for key, (index, kind) in OPTIONS[name][1].items():
            value: Any = options[key]
            if kind == "text":
                fields[index] = ("offset", self.builder.CreateString(str(value)))
            else:
                fields[index] = (kind, value)
        return self.table(fields, 8)

    def operator(self, operator: Operator) -> int:
        if operator.name not in self.codes:
            self.codes.append(operator.name)
        inputs, outputs = self.array(operator.inputs, "<i4"), self.array(operator.outputs, "<i4")
        intermediates = self.array(operator.intermediates, "<i4")
        fields: dict[int, tuple[str, Any]] = {
            0: ("uint", self.codes.index(operator.name)),
            1: ("offset", inputs),
            2: ("offset", outputs),
            8: ("offset", intermediates),
        }
        if operator.name in OPTIONS:
            fields[4] = ("offset", self.options(operator.name, operator.options))
            fields[3] = ("byte", OPTIONS[operator.name][0])
        return self.table(fields, 9)

    def subgraph(self, graph: Subgraph) -> int:
        tensors = self.offsets([self.tensor(tensor) for tensor in graph.tensors])
        operators = self.offsets([self.operator(operator) for operator in graph.operators])
        inputs, outputs = self.array(graph.inputs, "<i4"), self.array(graph.outputs, "<i4")
        return self.table(
            {0: ("offset", tensors), 1: ("offset", inputs), 2: ("offset", outputs), 3: ("offset", operators)}, 5
        )

    def code(self, name: str) -> int:
        number = _CODES[name]
        return self.table({0: ("byte", min(number, _MAX_OLD_CODE)), 2: ("int", 1), 3: ("int", number)}, 4)

    def buffer(self, values: npt.NDArray[np.generic] | None) -> int:
        if values is None:
            return self.table({}, 1)
        raw = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
        self.builder.StartVector(1, raw.size, 16)
        self.builder.head = self.builder.head - raw.size
        self.builder.Bytes[self.builder.head : self.builder.head + raw.size] = raw.tobytes()
        return self.table({0: ("offset", int(self.builder.EndVector()))}, 1)


def write_model(subgraphs: Sequence[Subgraph]) -> bytes:
    """Write subgraphs as a .tflite file.

    Parameters
    ----------
    subgraphs : sequence of Subgraph
        The first is the one that runs.

    Returns
    -------
    data : bytes
        A file that ``read_model`` reads back to the same subgraphs.
    """
    writer = _Writer()
    graphs = writer.offsets([writer.subgraph(graph) for graph in subgraphs])
    codes = writer.offsets([writer.code(name) for name in writer.codes])
    buffers = writer.offsets([writer.buffer(None), *(writer.buffer(values) for values in writer.buffers)])
    root = writer.table({0: ("uint", 3), 1: ("offset", codes), 2: ("offset", graphs), 4: ("offset", buffers)}, 8)
    writer.builder.Finish(root, file_identifier=b"TFL3")
    return bytes(writer.builder.Output())
