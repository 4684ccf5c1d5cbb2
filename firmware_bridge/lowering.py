"""What an operator's lowering works with: the graph on one side, buffers and steps on the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Never

import numpy as np
import numpy.typing as npt

from edge_runtime.errors import UnsupportedOperatorError
from firmware_bridge.model import Operator, Quantization, Subgraph, Tensor
from firmware_bridge.program import Buffer, Call, Constant, Params, Place, Ref, Step, Table, short_name
from firmware_bridge.schema import ACTIVATIONS, ITEM_BYTES
from firmware_bridge.targets import Target

CTYPES = {"int8": "int8_t", "uint8": "uint8_t", "int16": "int16_t", "int32": "int32_t", "float32": "float"}
EDGE_MAX_AXES = 5
MAX_SUM = 1 << 31
MAX_FAST_SUM = 1 << 30


class Lowering:
    """Collects buffers, constants and steps while operators are lowered one after the other.

    Parameters
    ----------
    graph : Subgraph
        The graph that runs.
    target : Target
        Decides how much scratch a step needs.

    Attributes
    ----------
    current : int
        Index of the operator that is being lowered; constants are named after it.
    """

    def __init__(self, graph: Subgraph, target: Target) -> None:
        self.graph = graph
        self.target = target
        self.buffers: list[Buffer] = []
        self.steps: list[Step] = []
        self.shared: dict[str, Constant] = {}
        self.variables: dict[str, bytes] = {}
        self._of_tensor: dict[int, int] = {}
        self._variable_of_tensor: dict[int, str] = {}
        self._variable_buffer: dict[str, int] = {}
        self._names: dict[str, int] = {}
        self.current = 0

    # -- refusals ------------------------------------------------------------------------------------------------

    def refuse(self, operator: Operator, problem: str, remedy: str) -> Never:
        """Raise the refusal of an operator.

        Raises
        ------
        UnsupportedOperatorError
            Always: names the operator, its index and output tensor, the problem and what to change.
        """
        output = short_name(self.graph.tensors[operator.outputs[0]].name) if operator.outputs else "nothing"
        raise UnsupportedOperatorError(
            f"operator {operator.index} {operator.name} (output {output!r}): {problem}; {remedy}"
        )

    # -- tensors -------------------------------------------------------------------------------------------------

    def input(self, operator: Operator, position: int) -> Tensor:
        """Return an input tensor that must be there."""
        tensor = self.optional_input(operator, position)
        if tensor is None:
            self.refuse(operator, f"input {position} is missing", "convert the model again")
        return tensor

    def optional_input(self, operator: Operator, position: int) -> Tensor | None:
        """Return an input tensor, or None when the operator does without it."""
        if position >= len(operator.inputs) or operator.inputs[position] < 0:
            return None
        tensor = self.graph.tensors[operator.inputs[position]]
        self._check_shape(operator, tensor)
        return tensor

    def output(self, operator: Operator, position: int = 0) -> Tensor:
        """Return an output tensor that must be there."""
        if position >= len(operator.outputs) or operator.outputs[position] < 0:
            self.refuse(operator, f"output {position} is missing", "convert the model again")
        tensor = self.graph.tensors[operator.outputs[position]]
        self._check_shape(operator, tensor)
        return tensor

    def _check_shape(self, operator: Operator, tensor: Tensor) -> None:
        if tensor.dtype not in ITEM_BYTES:
            self.refuse(
                operator, f"tensor {short_name(tensor.name)!r} has type {tensor.dtype}", "convert with int8 tensors"
            )
        if any(size < 1 for size in tensor.shape):
            self.refuse(
                operator,
                f"tensor {short_name(tensor.name)!r} has the empty shape {list(tensor.shape)}",
                "give every axis a size",
            )

    def constant_input(self, operator: Operator, position: int) -> npt.NDArray[np.int64]:
        """Return a constant integer input as int64, in its shape."""
        tensor = self.input(operator, position)
        if tensor.data is None:
            self.refuse(
                operator,
                f"input {position} {short_name(tensor.name)!r} is computed while the model runs",
                "convert the model with fixed shapes so that it becomes a constant",
            )
        if tensor.dtype not in {"int32", "int64"}:
            self.refuse(operator, f"input {position} has type {tensor.dtype}", "use int32")
        return tensor.data.astype(np.int64)

    def quantization(self, operator: Operator, tensor: Tensor) -> tuple[float, int]:
        """Return scale and zero point of a per-tensor quantized tensor."""
        found = tensor.quantization
        if found is None:
            self.refuse(
                operator, f"tensor {short_name(tensor.name)!r} is not quantized", "quantize the model fully to int8"
            )
        if len(found.scale) != 1:
            self.refuse(
                operator,
                f"tensor {short_name(tensor.name)!r} is quantized per channel",
                "use one scale for activations",
            )
        limits = np.iinfo(tensor.dtype)
        if not limits.min <= found.zero_point[0] <= limits.max:
            self.refuse(
                operator,
                f"zero point {found.zero_point[0]} of {short_name(tensor.name)!r} is no code",
                "convert it again",
            )
        return found.scale[0], found.zero_point[0]

    def require_type(self, operator: Operator, tensor: Tensor, allowed: Sequence[str]) -> None:
        """Refuse an operator whose tensor has another type."""
        if tensor.dtype in allowed:
            return
        wanted = " or ".join(allowed)
        if tensor.dtype.startswith("float"):
            remedy = "quantize the model fully to int8 (with a representative data set)"
        else:
            remedy = f"only {wanted} is emitted here; convert with int8 inputs, outputs and activations"
        self.refuse(operator, f"tensor {short_name(tensor.name)!r} has type {tensor.dtype}", remedy)

    def require_rank(self, operator: Operator, tensor: Tensor, rank: int) -> None:
        """Refuse an operator whose tensor has another number of axes."""
        if len(tensor.shape) != rank:
            self.refuse(
                operator,
                f"tensor {short_name(tensor.name)!r} has shape {list(tensor.shape)}",
                f"it must have {rank} axes",
            )

    def require_count(self, operator: Operator, tensor: Tensor, count: int) -> None:
        """Refuse an operator whose tensor does not hold ``count`` elements."""
        if tensor.count != count:
            self.refuse(
                operator,
                f"tensor {short_name(tensor.name)!r} has shape {list(tensor.shape)}, {count} elements are needed",
                "the model contradicts itself: convert it again",
            )

    def activation(self, operator: Operator) -> str:
        """Return the fused activation's name; only clamps can be emitted."""
        name = ACTIVATIONS.get(int(operator.options["activation"]), "unknown")
        if name not in {"NONE", "RELU", "RELU6", "RELU_N1_TO_1"}:
            self.refuse(operator, f"fused activation {name}", "use a separate operator or RELU")
        return name

    # -- buffers -------------------------------------------------------------------------------------------------

    def _new_buffer(
        self, nbytes: int, dtype: str, place: Place, name: str, constant: Constant | None = None, initial: bytes = b""
    ) -> int:
        index = len(self.buffers)
        align = min(ITEM_BYTES[dtype], 4)
        self.buffers.append(Buffer(index, nbytes, align, place, name, constant, initial))
        return index

    def buffer(self, tensor: Tensor) -> int:
        """Return the buffer of a tensor, made on first use; constants become read-only arrays."""
        if tensor.index not in self._of_tensor:
            if tensor.data is not None:
                constant = self.constant(tensor.data, f"constant {tensor.name} {list(tensor.shape)}")
                self._of_tensor[tensor.index] = self._new_buffer(
                    tensor.nbytes, tensor.dtype, "constant", tensor.name, constant
                )
            else:
                self._of_tensor[tensor.index] = self._new_buffer(tensor.nbytes, tensor.dtype, "arena", tensor.name)
        return self._of_tensor[tensor.index]

    def is_known(self, tensor: Tensor) -> bool:
        """Whether the tensor has been written, is an input or is a constant."""
        return tensor.index in self._of_tensor

    def rename(self, source: Tensor, target: Tensor) -> None:
        """Let ``target`` be the memory of ``source``."""
        self._of_tensor[target.index] = self.buffer(source)

    def state(self, tensor: Tensor, initial: bytes) -> int:
        """Return the state buffer of a variable tensor, with what ``reset`` writes into it."""
        key = f"tensor {tensor.index}"
        if key not in self._variable_buffer:
            self._variable_buffer[key] = self._new_buffer(
                tensor.nbytes, tensor.dtype, "state", tensor.name, initial=initial
            )
        return self._variable_buffer[key]

    def variable(self, key: str, tensor: Tensor) -> int:
        """Return the state buffer of a resource variable, sized by the first tensor that goes in or out."""
        if key not in self._variable_buffer:
            initial = self.variables.get(key, bytes(tensor.nbytes))
            self._variable_buffer[key] = self._new_buffer(tensor.nbytes, tensor.dtype, "state", key, initial=initial)
        return self._variable_buffer[key]

    def bind_variable(self, tensor: Tensor, key: str) -> None:
        """Remember that a resource tensor is the handle of the variable ``key``."""
        self._variable_of_tensor[tensor.index] = key

    def variable_key(self, operator: Operator, tensor: Tensor) -> str:
        """Return the variable behind a handle."""
        if tensor.index not in self._variable_of_tensor:
            self.refuse(
                operator, f"{short_name(tensor.name)!r} is no variable handle", "use a VAR_HANDLE of the same graph"
            )
        return self._variable_of_tensor[tensor.index]

    # -- constants and steps -------------------------------------------------------------------------------------

    def constant(self, values: npt.NDArray[np.generic], comment: str) -> Constant:
        """Make a constant array of its own, named after the comment's first word and the current operator."""
        word = "".join(c for c in comment.split(maxsplit=1)[0].lower() if c.isalpha() or c == "_")
        name = f"{word}_{self.current}"
        count = self._names.get(name, 0)
        self._names[name] = count + 1
        return Constant(f"{name}_v{count}" if count else name, np.ascontiguousarray(values), comment)

    def shared_constant(self, key: str, values: npt.NDArray[np.generic], comment: str) -> Constant:
        """Make a constant array once for all operators that ask under the same key."""
        if key not in self.shared:
            self.shared[key] = self.constant(values, comment)
        return self.shared[key]

    def read(self, tensor: Tensor, ctype: str | None = None) -> Ref:
        """Return a pointer to a tensor that is read."""
        return Ref(self.buffer(tensor), ctype or CTYPES[tensor.dtype])

    def write(self, tensor: Tensor, ctype: str | None = None) -> Ref:
        """Return a pointer to a tensor that is written."""
        return Ref(self.buffer(tensor), ctype or CTYPES[tensor.dtype], writes=True)

    def add(
        self,
        operator: Operator,
        *calls: Call,
        scratch_bytes: int = 0,
        in_place: tuple[tuple[Tensor, Tensor], ...] = (),
        slide: tuple[Tensor, Tensor, int, int] | None = None,
        macs: int = 0,
    ) -> None:
        """Append one step."""
        pairs = tuple((self.buffer(source), self.buffer(target)) for source, target in in_place)
        pairs = tuple(pair for pair in pairs if self.buffers[pair[0]].place == "arena")
        slides: tuple[tuple[int, int, int, int], ...] = ()
        if slide is not None and self.buffers[self.buffer(slide[0])].place == "arena":
            slides = ((self.buffer(slide[0]), self.buffer(slide[1]), slide[2], slide[3]),)
        self.steps.append(Step(operator.index, operator.name, calls, scratch_bytes, pairs, slides, macs))

    # -- scaling of sums -----------------------------------------------------------------------------------------

    def requant(
        self,
        operator: Operator,
        multipliers: Sequence[tuple[int, int]],
        bias: npt.NDArray[np.int64],
        largest_sum: npt.NDArray[np.int64],
        output: tuple[int, int, int],
    ) -> Params:
        """Parameters of the scaling from 32-bit sums to codes.

        Parameters
        ----------
        operator : Operator
            For refusals.
        multipliers : sequence of (multiplier, shift)
            One, or one per channel.
        bias : int64, shape (channels,)
            Added to the products.
        largest_sum : int64, shape (channels,)
            Bound of the magnitude of products plus bias.
        output : tuple of int
            Zero point, low and high clamp.
        """
        if int(largest_sum.max()) >= MAX_SUM:
            self.refuse(operator, "sums can leave 32 bits", "use fewer inputs per output or a finer weight scale")
        step = 1 if len(multipliers) > 1 else 0
        fast = int(largest_sum.max()) < MAX_FAST_SUM and all(shift < 0 for _, shift in multipliers)
        whole_range = output[1:] == (-128, 127)
        return Params(
            "edge_requant",
            {
                "bias": Table(self.constant(bias.astype(np.int32), "bias")),
                "multiplier": Table(self.constant(np.array([m for m, _ in multipliers], np.int32), "multiplier")),
                "shift": Table(self.constant(np.array([s for _, s in multipliers], np.int8), "shift")),
                "channel_step": step,
                "fast": (2 if whole_range else 1) if fast else 0,
                "output_zero_point": output[0],
                "low": output[1],
                "high": output[2],
            },
        )


def round_up_4(value: int) -> int:
    """Smallest multiple of 4 that is at least ``value``."""
    return (value + 3) // 4 * 4


def pad_axis(values: npt.NDArray[np.generic], axis: int, size: int) -> npt.NDArray[np.generic]:
    """Zeros behind an array along one axis, up to ``size``."""
    widths = [(0, 0)] * values.ndim
    widths[axis] = (0, size - values.shape[axis])
    return np.pad(values, widths)


def product(values: Sequence[int]) -> int:
    """Product of sizes; 1 for none."""
    return math.prod(values)


def per_channel_scales(quantization: Quantization, channels: int) -> tuple[float, ...] | None:
    """One scale, or ``channels`` of them; None when the number fits neither."""
    return quantization.scale if len(quantization.scale) in {1, channels} else None
