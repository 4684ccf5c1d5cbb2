"""A .tflite file as plain data: subgraphs, tensors and operators, everything checked on the way in.

Reading needs neither TensorFlow nor the ``flatbuffers`` package. What this module returns is consistent: every index
points into its list, every constant has exactly the bytes of its shape, every scale is positive and finite. A size of
zero is let through here: converters write it for tensors that nothing reads.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from firmware_bridge.flatbuffer import ModelFormatError, Table, root_table
from firmware_bridge.schema import DEFAULTS, ITEM_BYTES, OPERATOR_NAMES, OPTIONS, TENSOR_TYPES, FieldKind

MAX_MODEL_BYTES: Final = 64 << 20
MAX_TENSORS: Final = 20_000
MAX_OPERATORS: Final = 10_000
MAX_SUBGRAPHS: Final = 64
MAX_AXES: Final = 8
MAX_TENSOR_BYTES: Final = 64 << 20

Option = int | float | bool | str


@dataclass(frozen=True, slots=True)
class Quantization:
    """Affine quantization: ``real = scale * (code - zero_point)``, one entry or one per index of ``axis``."""

    scale: tuple[float, ...]
    zero_point: tuple[int, ...]
    axis: int


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of a subgraph; ``data`` is a constant's read-only array, shaped, or None."""

    index: int
    name: str
    dtype: str
    shape: tuple[int, ...]
    quantization: Quantization | None
    data: npt.NDArray[np.generic] | None
    is_variable: bool

    @property
    def count(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return self.count * ITEM_BYTES[self.dtype]


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator: ``inputs`` may hold -1 for an absent optional input."""

    index: int
    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, Option]
    intermediates: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Subgraph:
    """One function of the model; the first is the one that runs."""

    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Model:
    """A whole model with the digest and size of the file it came from."""

    subgraphs: tuple[Subgraph, ...]
    sha256: str
    nbytes: int


def read_model(data: bytes) -> Model:
    """Read a .tflite file.

    Parameters
    ----------
    data : bytes
        The whole file, at most 64 MiB.

    Returns
    -------
    model : Model
        Constants are views of ``data``.

    Raises
    ------
    ModelFormatError
        When the bytes are no model, contradict themselves, or exceed a limit.
    """
    if len(data) > MAX_MODEL_BYTES:
        raise ModelFormatError(f"the model has {len(data)} bytes; at most {MAX_MODEL_BYTES} can be emitted")
    root = root_table(data, b"TFL3")
    version = root.integer(0, "<I")
    if version != 3:  # noqa: PLR2004 - the only version of the schema that exists
        raise ModelFormatError(f"schema version {version}; only version 3 exists")
    codes = tuple(_operator_name(code) for code in root.tables(1, MAX_OPERATORS))
    buffers = root.tables(4, 4 * MAX_TENSORS)
    tables = root.tables(2, MAX_SUBGRAPHS)
    if not tables:
        raise ModelFormatError("the model holds no subgraph")
    subgraphs = tuple(_read_subgraph(table, codes, buffers) for table in tables)
    return Model(subgraphs, hashlib.sha256(data).hexdigest(), len(data))


def _operator_name(code: Table) -> str:
    number = max(code.integer(3, "<i"), code.integer(0, "<b"))
    name = OPERATOR_NAMES.get(number, f"builtin operator {number}")
    return f"CUSTOM {code.text(1)!r}" if name == "CUSTOM" else name


def _read_subgraph(table: Table, codes: tuple[str, ...], buffers: tuple[Table, ...]) -> Subgraph:
    tensors = tuple(_read_tensor(entry, index, buffers) for index, entry in enumerate(table.tables(0, MAX_TENSORS)))
    operators = tuple(
        _read_operator(entry, index, codes, len(tensors)) for index, entry in enumerate(table.tables(3, MAX_OPERATORS))
    )
    inputs = _indices(table, 1, len(tensors), "graph input")
    outputs = _indices(table, 2, len(tensors), "graph output")
    if any(index < 0 for index in inputs + outputs):
        raise ModelFormatError("a graph input or output is absent; convert the model again")
    return Subgraph(tensors, operators, inputs, outputs)


def _indices(table: Table, field: int, n_tensors: int, what: str) -> tuple[int, ...]:
    values = tuple(int(value) for value in table.array(field, "<i4", MAX_TENSORS))
    for value in values:
        if not -1 <= value < n_tensors:
            raise ModelFormatError(f"{what} {value} does not exist; the model file is damaged")
    return values


def _read_operator(table: Table, index: int, codes: tuple[str, ...], n_tensors: int) -> Operator:
    code = table.integer(0, "<I")
    if code >= len(codes):
        raise ModelFormatError(f"operator {index} has no operator code; the model file is damaged")
    return Operator(
        index=index,
        name=codes[code],
        inputs=_indices(table, 1, n_tensors, f"operator {index}: input tensor"),
        outputs=_indices(table, 2, n_tensors, f"operator {index}: output tensor"),
        options=_read_options(codes[code], table),
        intermediates=_indices(table, 8, n_tensors, f"operator {index}: intermediate tensor"),
    )


def _read_options(name: str, table: Table) -> dict[str, Option]:
    if name not in OPTIONS:
        return {}
    number, fields = OPTIONS[name]
    options = table.table(4) if table.integer(3, "<B") == number else None
    return {key: _read_option(options, field, kind, key) for key, (field, kind) in fields.items()}


def _read_option(table: Table | None, field: int, kind: FieldKind, key: str) -> Option:
    if table is None:
        absent: dict[FieldKind, Option] = {"text": "", "float": 0.0, "bool": False}
        return absent.get(kind, DEFAULTS.get(key, 0))
    if kind == "text":
        return table.text(field)
    if kind == "float":
        value = table.real(field)
        if not math.isfinite(value):
            raise ModelFormatError(f"option {key} is not finite; the model file is damaged")
        return value
    if kind == "bool":
        return bool(table.integer(field, "<B"))
    return table.integer(field, "<i" if kind == "int" else "<b", DEFAULTS.get(key, 0))


def _read_tensor(table: Table, index: int, buffers: tuple[Table, ...]) -> Tensor:
    name = table.text(3)
    dtype = TENSOR_TYPES.get(table.integer(1, "<b"), "unknown type")
    shape = tuple(int(value) for value in table.array(0, "<i4", MAX_AXES))
    buffer = table.integer(2, "<I")
    if buffer >= len(buffers):
        raise ModelFormatError(f"tensor {index} {name!r} has no buffer; the model file is damaged")
    signature = tuple(int(value) for value in table.array(7, "<i4", MAX_AXES))
    if any(value < 0 for value in shape) or any(value < 0 for value in signature[1:]):
        shown = list(signature or shape)
        raise ModelFormatError(
            f"tensor {index} {name!r} has the dynamic shape {shown}; give every axis a fixed size before conversion"
        )
    if math.prod(shape) * ITEM_BYTES.get(dtype, 1) > MAX_TENSOR_BYTES:
        raise ModelFormatError(f"tensor {index} {name!r} of shape {list(shape)} exceeds {MAX_TENSOR_BYTES} bytes")
    return Tensor(
        index=index,
        name=name,
        dtype=dtype,
        shape=shape,
        quantization=_read_quantization(table, index, name),
        data=_read_constant(buffers[buffer], index, name, dtype, shape),
        is_variable=bool(table.integer(5, "<B")),
    )


def _read_constant(
    buffer: Table, index: int, name: str, dtype: str, shape: tuple[int, ...]
) -> npt.NDArray[np.generic] | None:
    raw = buffer.array(0, "<u1", MAX_MODEL_BYTES)
    if raw.size == 0:
        return None
    if dtype not in ITEM_BYTES or dtype == "resource":
        return raw
    expected = math.prod(shape) * ITEM_BYTES[dtype]
    if raw.nbytes != expected:
        raise ModelFormatError(
            f"constant {index} {name!r} has {raw.nbytes} bytes, its shape {list(shape)} needs {expected}; "
            "the model file is damaged"
        )
    return raw.view(np.dtype(dtype).newbyteorder("<")).reshape(shape)


def _read_quantization(table: Table, index: int, name: str) -> Quantization | None:
    details = table.table(4)
    if details is None:
        return None
    limit = 1 << 20
    scale = tuple(float(value) for value in details.array(2, "<f4", limit).tolist())
    zero_point = tuple(int(value) for value in details.array(3, "<i8", limit).tolist())
    if not scale:
        return None
    axis = details.integer(6, "<i")
    zero_point = zero_point or (0,) * len(scale)
    if len(zero_point) == 1:
        zero_point = zero_point * len(scale)
    if any(not math.isfinite(value) or value <= 0.0 for value in scale):
        raise ModelFormatError(f"tensor {index} {name!r} has a scale that is not positive and finite")
    if len(zero_point) != len(scale):
        raise ModelFormatError(
            f"tensor {index} {name!r} has {len(scale)} scales and {len(zero_point)} zero points; "
            "the model file is damaged"
        )
    return Quantization(scale, zero_point, axis)
