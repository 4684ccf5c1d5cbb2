"""A lowered model: buffers, constants and kernel calls, before they are placed in memory and written as C."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

Place = Literal["arena", "constant", "state"]
_SHOWN = 48


def short_name(name: str) -> str:
    """Return a tensor's name as messages show it: the last part of a long one, which converters make tell most."""
    return name if len(name) <= _SHOWN else "..." + name[-_SHOWN:]


@dataclass(frozen=True, slots=True)
class Constant:
    """A read-only C array.

    Attributes
    ----------
    name : str
        Identifier in the emitted file.
    values : integer or float32 array
        Flattened in C order.
    comment : str
        Axes and meaning, for the reader of the C.
    """

    name: str
    values: npt.NDArray[np.generic]
    comment: str


@dataclass(frozen=True, slots=True)
class Buffer:
    """Memory of one tensor, or of several that share it because an operator only renames them.

    Attributes
    ----------
    index : int
        Position in the program's list.
    nbytes : int
        Size.
    align : int
        1, 2 or 4.
    place : {"arena", "constant", "state"}
        Where it lives; only the arena is planned.
    name : str
        The tensor's name in the model, for reports.
    constant : Constant or None
        The array behind a buffer in read-only memory.
    initial : bytes
        What ``reset`` writes into a state buffer.
    """

    index: int
    nbytes: int
    align: int
    place: Place
    name: str
    constant: Constant | None = None
    initial: bytes = b""


@dataclass(frozen=True, slots=True)
class Ref:
    """A call's pointer argument: a buffer seen as ``ctype``, ``offset`` bytes in."""

    buffer: int
    ctype: str
    writes: bool = False
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Scratch:
    """A call's pointer to the step's scratch memory."""


@dataclass(frozen=True, slots=True)
class Table:
    """A call's or a parameter's pointer to a constant array."""

    constant: Constant


@dataclass(frozen=True, slots=True)
class Params:
    """A constant parameter struct; values are integers, floats, lists of integers, tables or nested structs."""

    struct: str
    values: Mapping[str, int | float | list[int] | Table | Params]


@dataclass(frozen=True, slots=True)
class Call:
    """One kernel call."""

    kernel: str
    function: str
    arguments: tuple[Ref | Scratch | Table | Params | int, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One operator's calls and what the planner must know of it.

    Attributes
    ----------
    operator : int
        Index in the model, for reports.
    name : str
        Operator name.
    calls : tuple of Call
        Empty for an operator that only renames.
    scratch_bytes : int
        Working memory during the step.
    in_place : tuple of (int, int)
        Pairs (read buffer, written buffer) that may be the same memory.
    slides : tuple of (int, int, int, int)
        (read buffer, written buffer, distance, unit): the written one may overlap the read one if it begins at least
        ``distance`` bytes and a whole number of ``unit`` bytes before it: what is overwritten has been used by then.
    macs : int
        Multiply-accumulates, for reports.
    """

    operator: int
    name: str
    calls: tuple[Call, ...]
    scratch_bytes: int = 0
    in_place: tuple[tuple[int, int], ...] = ()
    slides: tuple[tuple[int, int, int, int], ...] = ()
    macs: int = 0

    @property
    def reads(self) -> frozenset[int]:
        """Buffers that the step reads."""
        return frozenset(ref.buffer for call in self.calls for ref in _refs(call) if not ref.writes)

    @property
    def writes(self) -> frozenset[int]:
        """Buffers that the step writes."""
        return frozenset(ref.buffer for call in self.calls for ref in _refs(call) if ref.writes)


def _refs(call: Call) -> tuple[Ref, ...]:
    return tuple(argument for argument in call.arguments if isinstance(argument, Ref))


@dataclass(frozen=True, slots=True)
class Port:
    """One input or output of the graph."""

    name: str
    buffer: int
    dtype: str
    shape: tuple[int, ...]
    scale: float
    zero_point: int

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True, slots=True)
class Program:
    """A lowered model, steps in the model's order."""

    buffers: tuple[Buffer, ...]
    steps: tuple[Step, ...]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    sha256: str
    model_bytes: int
    kernels: frozenset[str] = field(default_factory=frozenset)
